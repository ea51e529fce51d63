"""Bringing a lake of an older format up to the one this newslake writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import Schema

from processing import dataset
from processing.commits import Clock, finish_dead_runs
from processing.dataset import FORMAT_VERSION, Tables
from processing.exceptions import ObjectNotFound, StoreError
from processing.fingerprints import fingerprint_row
from processing.lease import TIME_TO_LIVE, Lease, lease
from processing.signatures import VERSION
from processing.storage import Store
from processing.tables import FINGERPRINTS, KEYS, SCHEMAS, to_table
from processing.urls import url_id, url_key

_NAME = "migrate"
_WITH_TEXTS = ("articles", "copies")
_COLUMNS = (
    "id", "source", "text", "content_hash", "cluster_id", "run_id", "date",
    "article_id", "relation", "similarity",
)  # fmt: skip
_ADDRESSED = ("id", "source", "url", "canonical_url", "date", "topic", "run_id")
_AT_ONCE = 1_000  # rows with their texts
_ANY: ds.Expression = ds.field("id").is_valid()  # type: ignore[assignment]  # the stubs say bool


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
        _widen(tables, "fingerprints")
        finish_dead_runs(tables, held, clock)
        _key_addresses(tables, held, clock)
        _sign_texts(tables, held, clock)
        held.confirm()
        body = json.dumps({**said, "format_version": FORMAT_VERSION}).encode()
        store.put("lake.json", body, if_match=blob.etag)
        return found, FORMAT_VERSION


def _sign_texts(tables: Tables, held: Lease, clock: Clock) -> None:
    """Formats 2 and 3: what every text is found again by, one day after another."""
    dates = [tables.files(name)["partition.date"].cast(pa.date32()) for name in _WITH_TEXTS]
    days: set[Any] = {day for of_table in dates for day in of_table.to_pylist()}
    signed: ds.Expression = ds.field("signature") == pa.scalar(VERSION)
    for day in sorted(days):
        standing = sum(tables.dataset(name, [day]).count_rows() for name in _WITH_TEXTS)
        if tables.dataset("fingerprints", [day]).count_rows(filter=signed) == standing:
            continue  # done before
        fresh = to_table(_fingerprints(tables, day), FINGERPRINTS)
        change = dataset.change_rows(tables, "fingerprints", fresh, _NAME, gone=_ANY, days=[day])
        held.confirm()
        base = tables.delta("fingerprints").version()
        dataset.commit(tables, change, f"{_NAME}/{FORMAT_VERSION}/{day}/{base}", base, clock())


def _key_addresses(tables: Tables, held: Lease, clock: Clock) -> None:
    """Format 3: what is published is found by today's keys of its addresses, too."""
    keys = tables.dataset("keys").to_table(columns=["key", "source"]).to_pydict()
    known = set(zip(keys["key"], keys["source"], strict=True))
    fresh: dict[tuple[str, str], dict[str, Any]] = {}
    for kind, name in (("article", "articles"), ("copy", "copies")):
        for batch in tables.dataset(name).to_batches(columns=list(_ADDRESSED)):
            for row in batch.to_pylist():
                said = {c: row[c] for c in ("source", "id", "date", "topic", "run_id")}
                # A copy is known by its own address alone.
                addresses = (row["url"], row["canonical_url"] if kind == "article" else None)
                for address in filter(None, addresses):
                    place = url_id(url_key(address)), row["source"]
                    if place not in known:
                        fresh.setdefault(place, {"key": place[0], "kind": kind, **said})
    if fresh:
        change = dataset.change_rows(tables, "keys", to_table(fresh.values(), KEYS), _NAME)
        held.confirm()
        base = tables.delta("keys").version()
        dataset.commit(tables, change, f"{_NAME}/{FORMAT_VERSION}/{base}", base, clock())


def _widen(tables: Tables, name: str) -> None:
    """Give a table the columns of its schema that it lacks."""
    table = tables.delta(name)
    held = {field.name for field in table.schema().fields}
    lacking = [f for f in Schema.from_arrow(SCHEMAS[name]).fields if f.name not in held]
    if lacking:
        table.alter.add_columns(lacking)
        tables.look(name)


def _fingerprints(tables: Tables, day: date) -> Iterator[dict[str, Any]]:
    for name in _WITH_TEXTS:
        columns = [c for c in _COLUMNS if c in SCHEMAS[name].names]
        for rows in tables.dataset(name, [day]).to_batches(columns=columns, batch_size=_AT_ONCE):
            yield from map(fingerprint_row, rows.to_pylist())
