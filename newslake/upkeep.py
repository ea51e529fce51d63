"""Upkeep of the lake as operators start it: what the sources' states still need is kept."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from crawlers.state import SourceState
from processing import probe
from processing.exceptions import ConfigurationError
from processing.records import FETCHED, Visit
from processing.storage import Store
from processing.upkeep import Done, Upkeep
from processing.urls import url_key


def keep_up(store: Store, environ: Mapping[str, str], now: datetime, keep_days: int) -> list[Done]:
    """Compact, vacuum, and let leftovers and old raw pages expire; what was done.

    ``keep_days`` is how long replaced files, old versions and leftovers stay. Raises
    ConfigurationError when ``NEWSLAKE_RAW_DAYS`` is wrong, StoreError when the store does not
    answer or cannot carry a lake; then what was done stands, and a repeat does the rest.
    """
    raw_days = _raw_days(environ)
    probe.check(store, now)
    upkeep = Upkeep(store)
    keep = timedelta(days=keep_days)
    done = upkeep.compact()
    done += upkeep.expire_staged(keep, lambda run_id: _taken_over(store, run_id))
    if raw_days is not None:
        done += upkeep.expire_raw(timedelta(days=raw_days), unpublished_files(store))
    return done + upkeep.vacuum(keep)


def unpublished_files(store: Store) -> set[str]:
    """The raw files with pages that are in no table yet: pending, or only in a staged ledger."""
    needed = set()
    for found in store.objects("state/sources/"):
        source = found.key.rpartition("/")[2].removesuffix(".sqlite")
        pending = SourceState.load(store, source).pending()
        needed |= {row.warc_key for row in pending if row.warc_key}
    for _, visit in _fetched(store, "staged/"):
        if visit.warc:
            needed.add(visit.warc.key)
    return needed


def _taken_over(store: Store, run_id: str) -> bool:
    """Whether the sources' states know every page that a dead run fetched."""
    states: dict[str, SourceState] = {}
    for source, visit in _fetched(store, f"staged/run={run_id}/"):
        if source not in states:
            states[source] = SourceState.load(store, source)
        known = states[source].url(url_key(visit.url))
        if known is None or datetime.fromisoformat(known.fetched_at) < visit.at:
            return False
    return True


def _fetched(store: Store, folder: str) -> Iterator[tuple[str, Visit]]:
    """The pages in staged ledgers, with their sources."""
    for found in store.objects(folder):
        within, _, name = found.key.rpartition("/")
        if name.startswith("crawl-"):
            for line in gzip.decompress(store.get(found.key).data).splitlines():
                visit = Visit.from_json(json.loads(line))
                if visit.outcome == FETCHED:
                    yield within.rpartition("source=")[2], visit


def _raw_days(environ: Mapping[str, str]) -> int | None:
    said = environ.get("NEWSLAKE_RAW_DAYS", "")
    if not said:
        return None
    if not said.isdigit() or int(said) < 1:
        raise ConfigurationError(
            f"NEWSLAKE_RAW_DAYS is {said!r}; give a number of days, 1 or more, or leave it away"
            " to keep raw pages for good"
        )
    return int(said)
