"""Whether a day's news of a source is all there: runs due, done and failed, and the day closed.

Everything is read off the runs' manifests. The newest run of a schedule names the sources that
schedule has, until a newer one names others; so a source counts from its first run on, an outage
of the whole scheduler shows as runs not done, and a source taken out is expected no more.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from processing.records import run_day

Manifest = Mapping[str, Any]

AROUND = timedelta(days=8)
"""How far before and after a day its runs are looked for: a week, and a day for a late one."""

_CORRECTIONS = ("reprocess", "forget")
"""What manifests name as their DAG when the run asked no site for anything."""
_IMPORT = "import"
"""The same of runs that brought pages, but asked no listing what else there is."""

_DAY = timedelta(days=1)
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
_TIMES: Mapping[str, tuple[timedelta, timedelta]] = {
    "every-15-minutes": (timedelta(minutes=15), timedelta()),
    "hourly": (timedelta(hours=1), timedelta()),
    "every-6-hours": (timedelta(hours=6), timedelta()),
    "daily": (_DAY, timedelta(hours=3)),
    "weekly": (7 * _DAY, timedelta(hours=3)),
}
"""Schedule -> how often it is due, and how long after Monday 00:00 UTC for the first time."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """One source on one UTC day.

    ``schedule`` is None for a source that only ran by hand. ``expected`` counts the runs its
    schedule had due (of a day under way: so far), ``done`` the finished runs in which it did not
    fail, ``failed`` those in which it did, for ``reasons``; runs by hand and imports count as
    done, never as expected. ``closed``: the day is over, and a crawl of the source that was due
    after its end, by at most ``AROUND``, finished well, so all that its listings showed that day
    was asked for.
    """

    date: date
    source: str
    schedule: str | None
    expected: int
    done: int
    failed: int
    reasons: tuple[str, ...]
    closed: bool


@dataclass(frozen=True, slots=True)
class _Run:
    """``sources`` maps each source to its schedule, None by hand; ``failures`` to the reason."""

    moment: datetime
    sources: Mapping[str, str | None]
    failures: Mapping[str, str]
    crawled: bool


def completeness(
    manifests: Iterable[Manifest], first: date, last: date, now: datetime
) -> list[Completeness]:
    """Every source on every day from ``first`` to ``last``, both included, by day and source.

    ``manifests`` are those of the runs that ``runs_around`` names; ``now`` is aware.
    """
    history = _History(map(_run, manifests))
    # A day that has not begun has nothing to say.
    days = [
        first + _DAY * n for n in range((min(last, now.astimezone(UTC).date()) - first).days + 1)
    ]
    return [row for day in days for row in _of_day(history, day, now)]


def runs_around(run_ids: Iterable[str], first: date, last: date) -> list[str]:
    """The runs whose manifests ``completeness`` of these days takes, oldest first."""
    ids = sorted(run_ids)
    before = [run_day(run_id) for run_id in ids if run_day(run_id) < first]
    # Back from the last run there was: after an outage its sources are still the ones expected.
    begin = (before[-1] if before else first) - AROUND
    return [run_id for run_id in ids if begin <= run_day(run_id) <= last + AROUND]


def of_run(manifest: Manifest, earlier: Iterable[Manifest], now: datetime) -> list[dict[str, Any]]:
    """What a run's own manifest says of completeness: JSON-ready rows of ``Completeness``.

    Its sources on its own day as they stand with it, and on the day before where this run is the
    first to close that. ``earlier`` are the manifests of both days, without the run's own.
    """
    runs = [_run(said) for said in earlier if said["run_id"] != manifest["run_id"]]
    own = _run(manifest)
    day = own.moment.date()
    history = _History([*runs, own])
    rows = [row for row in _of_day(history, day, now) if row.source in own.sources]
    closed_before = {row.source for row in _of_day(_History(runs), day - _DAY, now) if row.closed}
    rows += [
        row
        for row in _of_day(history, day - _DAY, now)
        if row.closed and row.source in own.sources and row.source not in closed_before
    ]
    return [row | {"date": row["date"].isoformat()} for row in map(asdict, rows)]


def due(schedule: str, day: date) -> list[datetime]:
    """The moments of a UTC day at which a schedule's runs are due."""
    every, after = _TIMES[schedule]
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    late = (start - _MONDAY - after) % every
    moment = start + (every - late if late else timedelta())
    moments = []
    while moment < start + _DAY:
        moments.append(moment)
        moment += every
    return moments


def _run(manifest: Manifest) -> _Run:
    moment = datetime.strptime(manifest["run_id"][:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    dag_id = manifest["dag_id"]
    by_hand = dict.fromkeys(manifest["counts"])
    sources = {} if dag_id in _CORRECTIONS else manifest.get("schedules", by_hand)
    return _Run(moment, sources, manifest["failures"], crawled=dag_id != _IMPORT)


class _History:
    """Runs in the order they were due, looked up by schedule, day and source."""

    def __init__(self, runs: Iterable[_Run]):
        self._by_day: dict[date, list[_Run]] = defaultdict(list)
        self._good: dict[str, list[datetime]] = defaultdict(list)
        self._moments: dict[str, list[datetime]] = defaultdict(list)
        self._rosters: dict[str, list[Collection[str]]] = defaultdict(list)
        for run in sorted(runs, key=lambda run: run.moment):
            self._add(run)

    def _add(self, run: _Run) -> None:
        self._by_day[run.moment.date()].append(run)
        if run.crawled:
            for source in run.sources.keys() - run.failures.keys():
                self._good[source].append(run.moment)
        rosters: dict[str, set[str]] = defaultdict(set)
        for source, schedule in run.sources.items():
            if schedule:
                rosters[schedule].add(source)
        for schedule, roster in rosters.items():
            # At another moment it was started by hand, maybe over a choice of sources.
            if run.moment in due(schedule, run.moment.date()):
                self._moments[schedule].append(run.moment)
                self._rosters[schedule].append(roster)

    def expected(self, day: date, until: datetime) -> Iterator[tuple[str, str]]:
        """(source, schedule) once for each run due that day up to a moment."""
        for schedule in self._moments:
            for moment in due(schedule, day):
                if moment <= until:
                    yield from ((s, schedule) for s in self._roster(schedule, moment))

    def sources(self, day: date) -> dict[str, str | None]:
        """The sources that ran that day or belonged to a schedule at its end; their schedules."""
        found: dict[str, str | None] = {}
        for run in self._by_day.get(day, ()):
            found |= dict.fromkeys(run.sources)
        end = _end(day)
        for schedule in self._moments:
            found |= dict.fromkeys(self._roster(schedule, end - timedelta.resolution), schedule)
        return found

    def runs(self, day: date) -> list[_Run]:
        """The runs of a day."""
        return self._by_day.get(day, [])

    def closes(self, source: str, day: date) -> bool:
        """Whether a good run of the source was due after the day's end, and not too long after."""
        good = self._good.get(source, [])
        at = bisect_left(good, _end(day))
        return at < len(good) and good[at] < _end(day) + AROUND

    def _roster(self, schedule: str, moment: datetime) -> Collection[str]:
        at = bisect_right(self._moments[schedule], moment)
        return self._rosters[schedule][at - 1] if at else ()


def _of_day(history: _History, day: date, now: datetime) -> list[Completeness]:
    expected: dict[str, int] = defaultdict(int)
    done: dict[str, int] = defaultdict(int)
    failed: dict[str, list[str]] = defaultdict(list)
    schedules = history.sources(day)
    for source, schedule in history.expected(day, now):
        expected[source] += 1
        schedules[source] = schedules.get(source) or schedule
    for run in history.runs(day):
        for source in run.sources:
            if source in run.failures:
                failed[source].append(run.failures[source])
            else:
                done[source] += 1
    return [
        Completeness(
            date=day,
            source=source,
            schedule=schedules[source],
            expected=expected[source],
            done=done[source],
            failed=len(failed[source]),
            reasons=tuple(dict.fromkeys(failed[source])),
            closed=now >= _end(day) and history.closes(source, day),
        )
        for source in sorted(schedules)
    ]


def _end(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + _DAY
