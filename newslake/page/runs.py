"""What the crawls of the last weeks did, by source and day, out of the runs' manifests.

A manifest is read once: by its ETag it is known whether it has changed.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from newslake.page.remembered import Remembered
from newslake.reader import Lake
from processing.manifests import list_manifests, read_manifests
from processing.records import KNOWN, run_day

LOOKED_BACK = timedelta(days=35)
"""How far back runs are read: a month to compare with, and the week that is shown."""

_KIND = "crawls-of-manifest"
_COUNTED = ("run_id", "dag_id", "finished_at", "counts", "known", "failures", "schedules")
_OTHER_NEWS = "news_backfill"
_FRESH = timedelta(seconds=30)  # listing a month of runs costs a second, and a run takes minutes
_DAYS_BACK = timedelta(days=2)
_NEWEST = 8


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: what its manifest says, of each source its states with ``known`` ones."""

    run_id: str
    dag_id: str | None
    finished: datetime
    states: Mapping[str, Mapping[str, int]]
    failures: Mapping[str, str]
    schedules: Mapping[str, str | None]

    @property
    def day(self) -> date:
        """Its UTC day."""
        return run_day(self.run_id)


@dataclass(slots=True)
class History:
    """One source's crawls: states of its URLs by day, and its runs, newest first."""

    days: dict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    runs: list[Run] = field(default_factory=list)

    def states(self, days: Iterable[date]) -> Counter[str]:
        """What became of its URLs on these days together."""
        together: Counter[str] = Counter()
        for day in days:
            together.update(self.days.get(day, {}))
        return together


@dataclass(frozen=True, slots=True)
class Recent:
    """The run that finished last, of all kinds, and the crawls of each source."""

    last: Run | None = None
    of_source: Mapping[str, History] = field(default_factory=dict)


class Runs:
    """The runs of the last weeks; for all threads of a process."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered
        self._lock = threading.Lock()
        self._known: dict[str, Run] = {}
        self._recent = Recent()
        self._looked: datetime | None = None

    def look(self, lake: Lake, now: datetime) -> Recent:
        """The runs of the last weeks, as they were half a minute ago at most. Raises StoreError."""
        today = now.astimezone(UTC).date()
        with self._lock:
            if self._looked and now - self._looked < _FRESH:
                return self._recent
            listed = list_manifests(lake.store, today - LOOKED_BACK, today)
            keys = {f"{run_id} {said.etag}": run_id for run_id, said in listed.items()}
            fresh = self._said(lake, keys, keys.keys() - self._known.keys())
            held = self._known | {key: _run(said) for key, said in fresh.items()}
            # What was corrected meanwhile, or is too long ago, goes.
            known = {key: held[key] for key in keys if key in held}
            if known.keys() != self._known.keys():
                self._known = known
                self._recent = _together(known.values())
            self._looked = now
            return self._recent

    def _said(self, lake: Lake, keys: Mapping[str, str], fresh: Set[str]) -> dict[str, Any]:
        """What the manifests of these keys say that counts here."""
        said = self._remembered.get(_KIND, fresh)
        unread = {keys[key]: key for key in fresh - said.keys()}
        read = {
            unread[manifest["run_id"]]: {name: manifest.get(name) for name in _COUNTED}
            for manifest in read_manifests(lake.store, list(unread))
        }
        if read:
            self._remembered.put(_KIND, read, keys.keys())
        return said | read


def last_manifest(lake: Lake, now: datetime) -> dict[str, Any] | None:
    """The manifest of the run that finished last; None before the first. Raises StoreError.

    Looks at the last days only, and lists all runs there ever were where these had none.
    """
    today = now.astimezone(UTC).date()
    listed = list_manifests(lake.store, today - _DAYS_BACK, today)
    newest = sorted(listed, key=lambda run_id: listed[run_id].modified_at, reverse=True)[:_NEWEST]
    found = list(read_manifests(lake.store, newest))
    if not found:
        return lake.last_run()
    return max(
        found, key=lambda said: (datetime.fromisoformat(said["finished_at"]), said["run_id"])
    )


def _together(runs: Iterable[Run]) -> Recent:
    newest_first = sorted(runs, key=lambda run: run.run_id, reverse=True)
    found: dict[str, History] = defaultdict(History)
    for run in newest_first:
        # Back-fills, imports and corrections tell nothing of their day.
        for source in run.schedules if run.dag_id != _OTHER_NEWS else ():
            history = found[source]
            history.runs.append(run)
            day = history.days[run.day]
            # Not Counter.update, which takes ten times as long for so few.
            for state, urls in run.states.get(source, {}).items():
                day[state] += urls
    last = max(newest_first, key=lambda run: run.finished, default=None)
    return Recent(last, dict(found))


def _run(said: Mapping[str, Any]) -> Run:
    states = {source: dict(counts) for source, counts in said["counts"].items()}
    for source, number in said["known"].items():
        if number:
            states.setdefault(source, {})[KNOWN] = number
    return Run(
        said["run_id"],
        said.get("dag_id"),
        datetime.fromisoformat(said["finished_at"]),
        states,
        said["failures"],
        said.get("schedules") or {},
    )
