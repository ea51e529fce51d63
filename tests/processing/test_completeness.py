"""Completeness of days: runs expected by the manifests alone, done, failed, days closed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.completeness import completeness, due, of_run, runs_around

MONDAY = date(2026, 11, 9)
TUESDAY, WEDNESDAY = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
LATER = datetime(2026, 12, 1, tzinfo=UTC)
PERIODS = {"every-15-minutes": 96, "hourly": 24, "every-6-hours": 4, "daily": 1}


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def run(
    moment: datetime,
    schedules: Mapping[str, str | None],
    failures: Mapping[str, str] | None = None,
    dag_id: str | None = None,
) -> dict[str, Any]:
    """A manifest as far as completeness reads it."""
    return {
        "run_id": f"{moment:%Y%m%dT%H%M%SZ}-abcdef",
        "dag_id": dag_id,
        "counts": {source: {} for source in schedules},
        "failures": dict(failures or {}),
        "schedules": dict(schedules),
    }


def on(day: date, *manifests: dict[str, Any], now: datetime = LATER) -> dict[str, tuple[Any, ...]]:
    """source -> (expected, done, failed, closed) of a day."""
    rows = completeness(manifests, day, day, now)
    assert all(row.date == day for row in rows)
    return {row.source: (row.expected, row.done, row.failed, row.closed) for row in rows}


def hourly(day: date, *hours: int, sources: tuple[str, ...] = ("a",)) -> list[dict[str, Any]]:
    return [run(at(day, hour), dict.fromkeys(sources, "hourly")) for hour in hours]


@pytest.mark.parametrize(("schedule", "count"), PERIODS.items())
def test_a_schedule_is_due_so_many_times_a_day(schedule, count):
    assert len(due(schedule, TUESDAY)) == count


def test_weekly_is_due_on_mondays_at_three():
    week = [due("weekly", MONDAY + timedelta(days=n)) for n in range(7)]
    assert week == [[at(MONDAY, 3)], [], [], [], [], [], []]
    assert due("daily", TUESDAY) == [at(TUESDAY, 3)]


def test_a_whole_day_with_a_good_run_after_it_is_closed():
    runs = [*hourly(TUESDAY, *range(24)), *hourly(WEDNESDAY, 0)]
    assert on(TUESDAY, *runs) == {"a": (24, 24, 0, True)}


def test_a_day_is_open_until_a_good_run_after_its_end():
    runs = hourly(TUESDAY, *range(24))
    assert on(TUESDAY, *runs) == {"a": (24, 24, 0, False)}
    failed = run(at(WEDNESDAY), {"a": "hourly"}, {"a": "no answer"})
    assert on(TUESDAY, *runs, failed)["a"][3] is False
    good = run(at(WEDNESDAY, 1), {"a": "hourly"})
    assert on(TUESDAY, *runs, failed, good)["a"][3] is True


def test_a_run_long_after_closes_nothing():
    late = run(at(TUESDAY + timedelta(days=9)), {"a": "hourly"})
    assert on(TUESDAY, *hourly(TUESDAY, 0), late)["a"][3] is False


def test_of_a_day_under_way_what_is_due_so_far_is_expected():
    runs = hourly(TUESDAY, 0, 1, 2)
    assert on(TUESDAY, *runs, now=at(TUESDAY, 3, 30)) == {"a": (4, 3, 0, False)}


def test_a_source_is_expected_from_its_first_run_to_the_first_without_it():
    runs = [
        *hourly(TUESDAY, 0, 1, sources=("a",)),
        *hourly(TUESDAY, 2, 3, sources=("a", "b")),
        *hourly(TUESDAY, 4, sources=("b",)),
    ]
    now = at(TUESDAY, 5, 30)
    assert on(TUESDAY, *runs, now=now) == {"a": (4, 4, 0, False), "b": (4, 3, 0, False)}


def test_an_outage_of_everything_shows_as_runs_not_done():
    runs = hourly(MONDAY, 23, sources=("a", "b"))
    assert on(WEDNESDAY, *runs) == {"a": (24, 0, 0, False), "b": (24, 0, 0, False)}


def test_failures_are_counted_with_their_reasons_once():
    runs = [
        run(at(TUESDAY, hour), {"a": "every-6-hours"}, {"a": "no answer"} if hour else {})
        for hour in (0, 6, 12, 18)
    ]
    (row,) = completeness(runs, TUESDAY, TUESDAY, LATER)
    assert (row.expected, row.done, row.failed, row.reasons) == (4, 1, 3, ("no answer",))
    assert row.schedule == "every-6-hours"


def test_runs_by_hand_are_done_and_never_expected():
    by_hand = run(at(TUESDAY, 9, 17), {"a": None, "b": None})
    partial = run(at(TUESDAY, 9, 18), {"a": "hourly"})
    rows = on(TUESDAY, *hourly(MONDAY, 0, sources=("a", "c")), by_hand, partial)
    assert rows == {"a": (24, 2, 0, False), "b": (0, 1, 0, False), "c": (24, 0, 0, False)}


def test_corrections_say_nothing_and_imports_close_nothing():
    runs = hourly(TUESDAY, 0)
    reprocessed = run(at(WEDNESDAY, 9, 17), {"a": None}, dag_id="reprocess")
    imported = run(at(WEDNESDAY, 9, 18), {"a": None}, dag_id="import")
    assert on(TUESDAY, *runs, reprocessed, imported)["a"][3] is False
    assert on(WEDNESDAY, *runs, reprocessed, imported)["a"][1] == 1
    assert on(WEDNESDAY, run(at(WEDNESDAY), {"a": None}, dag_id="forget")) == {}


def test_a_manifest_from_before_schedules_were_told_counts_as_by_hand():
    old = run(at(TUESDAY), {"a": None})
    del old["schedules"]
    assert on(TUESDAY, old) == {"a": (0, 1, 0, False)}


def test_a_weekly_source_is_told_of_on_every_day():
    runs = [
        run(at(MONDAY, 3), {"a": "weekly"}),
        run(at(MONDAY + timedelta(days=7), 3), {"a": None}),
    ]
    rows = completeness(runs, MONDAY, WEDNESDAY, LATER)
    assert [(row.expected, row.done, row.closed) for row in rows] == [
        (1, 1, True),
        (0, 0, True),
        (0, 0, True),
    ]


def test_days_that_have_not_begun_are_left_out():
    rows = completeness(hourly(MONDAY, 0), MONDAY, WEDNESDAY, at(TUESDAY, 1))
    assert {row.date for row in rows} == {MONDAY, TUESDAY}


def test_the_runs_around_reach_back_from_the_last_run_there_was():
    ids = [f"202610{day:02}T000000Z-abcdef" for day in (1, 10, 15)]
    ids += [f"202611{day:02}T000000Z-abcdef" for day in (10, 15, 30)]
    assert runs_around(ids, TUESDAY, TUESDAY) == ids[1:5]
    assert runs_around(reversed(ids), TUESDAY, TUESDAY) == ids[1:5]
    assert runs_around([], TUESDAY, TUESDAY) == []


@given(st.lists(st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 20)), max_size=30))
def test_the_runs_around_a_day_tell_the_same_as_all_runs(moments):
    runs = {m["run_id"]: m for m in (run(m.replace(tzinfo=UTC), {"a": None}) for m in moments)}
    some = [runs[run_id] for run_id in runs_around(runs, TUESDAY, TUESDAY)]
    assert completeness(some, TUESDAY, TUESDAY, LATER) == completeness(
        runs.values(), TUESDAY, TUESDAY, LATER
    )


def test_a_run_tells_of_its_own_sources_on_its_day_and_of_the_day_it_closes():
    earlier = [*hourly(MONDAY, 22, 23, sources=("a", "b")), *hourly(TUESDAY, 0, sources=("b",))]
    own = run(at(TUESDAY, 1), {"a": "hourly"})
    rows = of_run(own, [*earlier, own], at(TUESDAY, 1, 10))
    assert [(row["date"], row["source"], row["done"], row["closed"]) for row in rows] == [
        ("2026-11-10", "a", 1, False),
        ("2026-11-09", "a", 2, True),
    ]
    again = run(at(TUESDAY, 2), {"a": "hourly"})
    assert [row["date"] for row in of_run(again, [*earlier, own], at(TUESDAY, 2, 10))] == [
        "2026-11-10"
    ]
