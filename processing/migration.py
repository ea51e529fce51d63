"""Bringing a lake of an older format up to the one this newslake writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from processing import dataset
from processing.commits import Clock, finish_dead_runs
from processing.dataset import FORMAT_VERSION, Tables
from processing.exceptions import ObjectNotFound, StoreError
from processing.lease import TIME_TO_LIVE, lease
from processing.storage import Store
from processing.tables import FINGERPRINTS

_NAME = "migrate"
_COLUMNS = ("id", "source", "content_hash", "run_id", "date")


def migrate(
    store: Store,
    *,
    clock: Clock = lambda: datetime.now(UTC),
    lease_seconds: float = TIME_TO_LIVE,
    wait: Callable[[float], object] = time.sleep,
) -> tuple[int, int]:
    """Bring the lake up, under its lease; the format it had and the one it has.

    May be repeated. Raises LakeFormatError for a lake of a newer format, StoreError where no
    lake stands.
    """
    with lease(store, _NAME, time_to_live=lease_seconds, wait=wait) as held:
        try:
            blob = store.get("lake.json")
        except ObjectNotFound:
            raise StoreError(
                f"no lake is at {store.url}; fill it with 'newslake run', or check NEWSLAKE_LAKE"
            ) from None
        said = json.loads(blob.data)
        found: int = said["format_version"]
        if found >= FORMAT_VERSION:
            dataset.check_format(store, found)
            return found, found
        dataset.ensure_tables(store)
        tables = Tables(store)
        finish_dead_runs(tables, held, clock)
        _fill_fingerprints(tables, clock())
        held.confirm()
        body = json.dumps({**said, "format_version": FORMAT_VERSION}).encode()
        store.put("lake.json", body, if_match=blob.etag)
        return found, FORMAT_VERSION


def _fill_fingerprints(tables: Tables, now: datetime) -> None:
    """Format 2: what every text is found again by."""
    tables.look()
    articles = tables.dataset("articles").to_table(columns=list(_COLUMNS))
    copies = tables.dataset("copies").to_table(columns=[*_COLUMNS, "article_id", "relation"])
    none = pa.nulls(len(articles), pa.string())
    articles = articles.append_column("article_id", articles["id"]).append_column("relation", none)
    fresh = pa.concat_tables(
        rows.append_column("key", pc.utf8_slice_codeunits(rows["content_hash"], 0, 32))
        .select(FINGERPRINTS.names)
        .cast(FINGERPRINTS)
        for rows in (articles, copies)
    )
    change = dataset.change_rows(tables, "fingerprints", fresh, _NAME)
    base = tables.delta("fingerprints").version()
    dataset.commit(tables, change, f"{_NAME}/{FORMAT_VERSION}", base, now)
