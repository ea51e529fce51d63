"""Alarms reach people once, and what could not be told is told again."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from crawled_lake import finish
from receivers import webhook

from newslake import chores, told
from newslake.health import Alarm
from processing import dataset
from processing.storage import Store

RUN, NEXT = "20261111T230000Z-abcdef", "20261112T000000Z-abcdef"
PAGE = "http://127.0.0.1:8080/the/task"


@pytest.fixture
def lake(lake_env: dict[str, str], store: Store) -> dict[str, str]:
    """A run that closes a day on which every crawl of one source failed."""
    dataset.initialise(store)
    finish(store, RUN, ["herald", "broken"], {"broken": "no answer"})
    finish(store, NEXT, ["herald", "broken"])
    return lake_env


def alarm(day: int, source: str = "herald") -> Alarm:
    moment = datetime(2026, 11, day, tzinfo=UTC).date()
    return Alarm(moment, source, "gone-dark", 0, None, 1, "", None, None, None, None, "")


def test_an_alarm_is_told_once(lake):
    with webhook() as (address, got):
        environ = {**lake, "NEWSLAKE_NOTIFY_WEBHOOK": address}
        lines = chores.tell_alarms(NEXT, environ, PAGE)
        assert "2026-11-11 broken gone-dark" in lines[0]
        said = got.get(timeout=10)
        assert (said["event"], said["run_id"], said["url"]) == ("alarm", NEXT, PAGE)
        assert said["text"] == "\n".join(lines)
        assert chores.tell_alarms(NEXT, environ, PAGE) == []
        assert got.empty()


def test_what_could_not_be_told_is_told_by_a_repeat(lake):
    with (
        webhook(status=500) as (address, _),
        pytest.raises(ExceptionGroup, match="not everybody could be told"),
    ):
        chores.tell_alarms(NEXT, {**lake, "NEWSLAKE_NOTIFY_WEBHOOK": address}, PAGE)
    assert chores.tell_alarms(NEXT, lake, PAGE) != []


def test_a_run_without_a_manifest_has_no_alarms(lake):
    assert chores.tell_alarms("20261111T130000Z-abcdef", lake, PAGE) == []


def test_what_was_told_a_week_ago_is_let_go_and_no_page_is_named(store):
    told.remember(store, [alarm(1), alarm(7), alarm(2, "courier")])
    told.remember(store, [alarm(8), alarm(8)])
    assert told.untold(store, [alarm(7), alarm(8), alarm(9)]) == [alarm(9)]
    kept = json.loads(store.get(told.KEY).data)
    assert kept == [
        ["2026-11-02", "courier", "gone-dark"],
        ["2026-11-07", "herald", "gone-dark"],
        ["2026-11-08", "herald", "gone-dark"],
    ]
