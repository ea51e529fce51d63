"""What became of the URLs discovered: by day with its completeness, by run, or one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow.dataset as ds

from processing.commits import read_manifest
from processing.completeness import Completeness, completeness, runs_around
from processing.dataset import Tables
from processing.exceptions import ConfigurationError
from processing.manifests import list_manifests, read_manifests
from processing.records import run_day
from processing.storage import Store
from processing.urls import address_id, mask

Row = dict[str, Any]

_SHOWN = ("date", "run_id", "source", "url", "state", "detail", "http_status", "article_id", "at")


def by_day(
    store: Store, first: date, last: date, only: Collection[str], now: datetime
) -> list[Row]:
    """One row for each source on each day: its completeness, and what became of its URLs.

    The columns of ``Completeness``, and ``discovered`` and ``known`` (URLs), ``states`` (state ->
    URLs) and ``flags``. ``only`` names sources, none of them all; ``now`` is aware.
    """
    run_ids = runs_around(list_manifests(store), first, last)
    manifests = list(read_manifests(store, run_ids))
    rows = {
        (row.date, row.source): asdict(row) for row in completeness(manifests, first, last, now)
    }
    said: dict[tuple[date, str], list[Row]] = defaultdict(list)
    for manifest in manifests:
        for source in manifest["counts"]:
            said[run_day(manifest["run_id"]), source].append(_of_source(manifest, source))
    for (day, source), parts in said.items():
        if first <= day <= last:
            row = rows.setdefault((day, source), asdict(_uncrawled(day, source)))
            row |= _together(parts)
    nothing = _together([])
    return [{**nothing, **row} for key, row in sorted(rows.items()) if not only or key[1] in only]


def by_run(store: Store, run_id: str, only: Collection[str]) -> list[Row]:
    """One row for each source of a run: what became of its URLs, and why it failed if it did.

    Raises ConfigurationError when no such run has finished.
    """
    manifest = _manifest(store, run_id)
    return [
        {
            "date": run_day(run_id),
            "run_id": run_id,
            "source": source,
            "failure": manifest["failures"].get(source),
            **_of_source(manifest, source),
        }
        for source in sorted(manifest["counts"])
        if not only or source in only
    ]


def urls(
    store: Store,
    first: date | None,
    last: date | None,
    only: Collection[str],
    *,
    run_id: str | None = None,
    state: str | None = None,
    url: str | None = None,
) -> list[Row]:
    """The rows of coverage that meet all that is asked for, oldest first.

    ``url`` finds every row of that address, and those of its other forms (scheme, tracking
    parameters) that led to an article. Raises ConfigurationError when no such run has finished.
    """
    tables = Tables(store)
    days = _days(first, last)
    where = ds.scalar(True)
    if run_id is not None:
        _manifest(store, run_id)
        days = [run_day(run_id)]
        where &= ds.field("run_id") == run_id
    if only:
        where &= ds.field("source").isin(sorted(only))
    if state is not None:
        where &= ds.field("state") == state
    if url is not None:
        ids = {address_id(url)} | {
            row["id"] for row in tables.find("keys", "key", {address_id(url)})
        }
        where &= ds.field("url").isin([url, mask(url)]) | ds.field("article_id").isin(sorted(ids))
    rows = tables.rows("coverage", where, _SHOWN, days)
    if url is not None:
        # An article's id stands for its copies' addresses too.
        rows = [row for row in rows if address_id(row["url"]) == address_id(url)]
    return sorted(rows, key=lambda row: (row["run_id"], row["source"], row["url"]))


def lines(rows: Iterable[Row]) -> list[Row]:
    """Rows of ``by_day`` or ``by_run`` as a person reads them: a few short columns."""
    return [
        {
            **{name: row[name] for name in ("date", "source")},
            **(_runs(row) if "done" in row else {}),
            "URLs": row["discovered"],
            "states": ", ".join(f"{count} {state}" for state, count in _states(row)),
        }
        for row in rows
    ]


def _states(row: Row) -> Iterable[tuple[str, int]]:
    known = [("known", row["known"])] if row["known"] else []
    return [*row["states"].items(), *known]


def remarks(rows: Iterable[Row]) -> list[str]:
    """What of the rows is not as it should be: a sentence for each failure and flag."""
    told = []
    for row in rows:
        failures = row["reasons"] if "reasons" in row else filter(None, [row["failure"]])
        told += [f"{row['date']} {row['source']} failed: {reason}" for reason in failures]
        told += [
            f"{row['date']} {row['source']} {flag['flag']}: {flag['detail']}"
            for flag in row["flags"]
        ]
    return told


def _runs(row: Row) -> Row:
    return {
        "runs": (
            f"{row['done']} of {row['expected']} {row['schedule']}"
            if row["schedule"]
            else f"{row['done']} by hand"
        ),
        "failed": row["failed"] or None,
        "closed": "yes" if row["closed"] else "no",
    }


def _of_source(manifest: Mapping[str, Any], source: str) -> Row:
    return {
        "discovered": manifest["discovered"].get(source, 0),
        "known": manifest["known"].get(source, 0),
        "states": manifest["counts"][source],
        "flags": [
            {"run_id": manifest["run_id"], "flag": said["flag"], "detail": said["detail"]}
            for said in manifest.get("flags", ())
            if said["source"] == source
        ],
    }


def _together(parts: Iterable[Row]) -> Row:
    discovered = known = 0
    states: Counter[str] = Counter()
    flags: list[Row] = []
    for part in parts:
        discovered += part["discovered"]
        known += part["known"]
        states.update(part["states"])
        flags += part["flags"]
    return {
        "discovered": discovered,
        "known": known,
        "states": dict(sorted(states.items())),
        "flags": flags,
    }


def _uncrawled(day: date, source: str) -> Completeness:
    return Completeness(day, source, None, 0, 0, 0, (), closed=False)


def _days(first: date | None, last: date | None) -> list[date] | None:
    if first is None or last is None:
        return None
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _manifest(store: Store, run_id: str) -> Mapping[str, Any]:
    said = read_manifest(store, run_id)
    if said is None:
        raise ConfigurationError(
            f"no finished run {run_id!r} is in {store.url}; take a run_id of the lake's manifests"
        )
    return said
