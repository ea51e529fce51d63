"""A stored page as a test fixture: the page as it was fetched, and what extraction makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from newslake import coverage
from newslake.reader import Lake
from processing.archive import read_pages
from processing.exceptions import ConfigurationError, ObjectNotFound
from processing.health import STATES
from processing.pool import ExtractionPool
from processing.records import Rejection, State, WarcPointer, run_day
from processing.saved import extract_saved
from processing.storage import Store
from processing.urls import address_id

_LATELY = timedelta(days=28)
_WITH_PAGE = (*STATES["pages"], State.UPDATED)


@dataclass(frozen=True, slots=True)
class StoredPage:
    """Where a page lies in the raw zone, and its records, each a gzip member, as they lie there.

    Before the response they hold what its listing and its site said.
    """

    pointer: WarcPointer
    records: bytes


def find(store: Store, run_id: str, source: str, url: str) -> StoredPage | None:
    """The last page of a URL, as discovered, that a run stored; None when it stored none.

    Reads raw files of that run and source. Raises StoreError when the store does not answer.
    """
    prefix = f"raw/date={run_day(run_id)}/source={source}/{run_id}-"
    keys = sorted((stored.key for stored in store.objects(prefix)), key=_attempt, reverse=True)
    found = (_in_file(store, key, url) for key in keys)
    return next(filter(None, found), None)


def save(lake: Lake, url: str, directory: Path) -> tuple[Path, Path]:
    """Write the newest stored page of an address into ``directory``, made if missing.

    A WARC file, which ``newslake extract`` reads, and beside it what that prints today as JSON:
    the article, or ``url``, ``state`` and ``detail`` of a page that is none. Raises
    ObjectNotFound when no page of that address is stored, ConfigurationError when the files are
    there already or cannot be written.
    """
    source, page = _newest(lake, url)
    name = f"{source}-{address_id(url)[:12]}"
    warc, outcome = directory / f"{name}.warc.gz", directory / f"{name}.json"
    for path in (warc, outcome):
        if path.exists():
            raise ConfigurationError(f"{path} is there already; remove it, or name another folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        warc.write_bytes(page.records)
        said = json.dumps(_extracted(warc), default=str, ensure_ascii=False)
        outcome.write_text(f"{said}\n", "utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write into {directory}: {error.strerror or error}; name another folder"
        ) from error
    return warc, outcome


def _newest(lake: Lake, url: str) -> tuple[str, StoredPage]:
    for row in _ledger(lake, url):
        page = find(lake.store, row["run_id"], row["source"], row["url"])
        if page:
            return row["source"], page
    # A page that a later run took over from a dead one lies under that one's name.
    article = lake.article(url) or {}
    key = article.get("warc_key") or ""
    taken_over = _in_file(lake.store, key, url) if key.startswith("raw/") else None
    if taken_over is None:
        raise ObjectNotFound(
            f"no page of {url} is stored in {lake.url}; 'newslake dataset coverage --url {url}'"
            " says what became of it"
        )
    return article["source"], taken_over


def _ledger(lake: Lake, url: str) -> Iterator[dict[str, Any]]:
    """The rows of coverage by which a page of that address was stored, newest first."""
    days: list[Any] = lake.counts("coverage")["date"].to_pylist()
    if not days:
        return
    lately = max(days) - _LATELY
    for first, last in ((lately + timedelta(days=1), max(days)), (min(days), lately)):
        if first <= last:
            rows = coverage.urls(lake.store, first, last, (), url=url)
            yield from (row for row in reversed(rows) if row["state"] in _WITH_PAGE)


def _in_file(store: Store, key: str, url: str) -> StoredPage | None:
    try:
        data = store.get(key).data
    except ObjectNotFound:
        return None
    begin, found = 0, None
    for stored in read_pages(data, key):
        if stored.pointer is None:
            continue
        end = stored.pointer.offset + stored.pointer.length
        if url in (stored.discovered_url, stored.page.url):
            found = StoredPage(stored.pointer, data[begin:end])
        begin = end
    return found


def _attempt(key: str) -> tuple[int, ...]:
    """The attempt and number of a raw file: ``<run_id>-<attempt>-NNN.warc.gz``."""
    name = key.rpartition("/")[2].partition(".")[0]
    return tuple(int(part) for part in name.split("-")[2:] if part.isdigit())


def _extracted(warc: Path) -> dict[str, Any]:
    with ExtractionPool(workers=1) as pool:
        ((url, outcome),) = extract_saved([warc], pool)
    if isinstance(outcome, Rejection):
        return {"url": url, "state": outcome.state, "detail": outcome.detail}
    return outcome.to_row()
