"""Alarms over a real lake of five weeks: what is told, where it points, what is left out."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from crawled_lake import WALL, crawl, feed, finish
from rich.console import Console

from newslake import cli, summary
from newslake.health import Alarm, alarms, alarms_of_run, lines
from newslake.reader import Lake
from processing import dataset
from processing.archive import read_member
from processing.commits import read_manifest
from processing.dataset import Tables
from processing.records import State
from processing.storage import Store
from processing.tables import SCHEMAS, to_table
from processing.texts import content_hash
from processing.urls import url_id, url_key

TODAY = date(2026, 11, 11)
NOW = datetime(2026, 11, 12, 6, tzinfo=UTC)
BACKFILL = "20261111T153000Z-abcdef"
RUN, NEXT = "20261111T230000Z-abcdef", "20261112T000000Z-abcdef"
DAY = timedelta(days=1)
PAGES = 12
COOKIES = "\nWe and our partners use cookies to improve what you see on this site."

Row = dict[str, Any]


def ledger(source: str, day: date, path: str, state: str = "published", **more: object) -> Row:
    return {
        "run_id": f"{day:%Y%m%d}T120000Z-abcdef",
        "source": source,
        "url": f"https://{source}.example/{day}/{path}",
        "state": state,
        "http_status": 200,
        "discovered_via": feed(source),
        "at": datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        "date": day,
        **more,
    }


def article(said: Row, **more: object) -> Row:
    """The article of a line of the ledger."""
    id_ = url_id(url_key(said["url"]))
    text = f"The text of {said['url']}, which is its own."
    return {
        **{name: said[name] for name in ("run_id", "source", "url", "date")},
        **{"id": id_, "cluster_id": id_, "title": "A title", "text": text, "word_count": 8},
        "authors": ["Ada Quill"],
        "published_at": said["at"],
        "published_source": "json-ld",
        "first_seen_at": said["at"],
        "fetched_at": said["at"],
        "topic": "unclassified",
        "topic_method": "none",
        "revision": 0,
        "content_hash": content_hash(text),
        "extractor": "test",
        "rights": {"ai": "unknown"},
        "warc_key": f"raw/date={said['date']}/source={said['source']}/a.warc.gz",
        "warc_offset": 100,
        "warc_length": 50,
        **more,
    }


def standing() -> Iterator[tuple[list[Row], list[Row]]]:
    """Four weeks of usual days of each source, and what TODAY's earlier runs brought."""
    for source in ("herald", "courier", "gazette", "mirror", "tribune", "dark", "closed"):
        for n in range(1, 31):
            rows = [ledger(source, TODAY - DAY * n, f"{k}") for k in range(PAGES)]
            yield rows, [article(row) for row in rows]
    healthy = [ledger("herald", TODAY, f"{n}") for n in range(PAGES)]
    yield healthy, [article(row) for row in healthy]
    redesigned = [ledger("gazette", TODAY, f"{n}") for n in range(PAGES)]
    nothing: Row = {"authors": [], "published_at": None, "published_source": "first-seen"}
    yield redesigned, [article(row, **nothing) for row in redesigned]
    cluttered = [ledger("mirror", TODAY, f"{n}") for n in range(PAGES)]
    texts = [article(row) for row in cluttered]
    yield cluttered, [{**row, "text": row["text"] + COOKIES} for row in texts]
    reserved = [ledger("tribune", TODAY, f"{n}") for n in range(PAGES)]
    yield reserved, [article(row, rights={"tdm": "denied", "ai": "unknown"}) for row in reserved]
    # None of it is today's news.
    imported = [ledger("herald", TODAY, f"i{n}", discovered_via=None) for n in range(200)]
    backfilled = [ledger("herald", TODAY, f"b{n}", run_id=BACKFILL) for n in range(200)]
    corrected = [ledger("herald", TODAY, f"{n}", "rejected-blocked") for n in range(PAGES)]
    yield imported + backfilled, []
    yield (
        [row | {"run_id": "20261111T130000Z-abcdef", "discovered_via": None} for row in corrected],
        [],
    )


SOURCES = ("herald", "courier", "gazette", "mirror", "tribune", "dark", "closed", "broken")


@pytest.fixture(scope="module")
def store(object_store: dict[str, str]) -> Store:
    bucket = f"s3://test-{secrets.token_hex(8)}"
    lake = Store.from_environment({**object_store, "NEWSLAKE_LAKE": bucket})
    lake.ensure_bucket()
    dataset.initialise(lake)
    tables = Tables(lake)
    days = list(standing())
    for name, rows in (
        ("coverage", [row for part, _ in days for row in part]),
        ("articles", [row for _, part in days for row in part]),
    ):
        change = dataset.change_rows(tables, name, to_table(rows, SCHEMAS[name]), "history")
        dataset.commit(tables, change, "history", tables.delta(name).version(), NOW)
    finish(lake, BACKFILL, ["herald"], dag_id="news_backfill")
    walls = {f"https://courier.example/{TODAY}/{n}": WALL for n in range(PAGES)}
    crawl(lake, RUN, "courier", walls)
    robots = {f"https://closed.example/{TODAY}/{n}": State.SKIPPED_ROBOTS for n in range(PAGES)}
    crawl(lake, RUN, "closed", {}, robots)
    finish(lake, RUN, SOURCES, {"broken": "no answer"})
    finish(lake, NEXT, SOURCES)
    return lake


@pytest.fixture(scope="module")
def found(store: Store) -> dict[tuple[str, str], Alarm]:
    with Lake(store) as lake:
        told = alarms(lake, TODAY, TODAY, NOW)
    assert len({(alarm.source, alarm.alarm) for alarm in told}) == len(told)
    return {(alarm.source, alarm.alarm): alarm for alarm in told}


def test_what_is_wrong_is_told_and_nothing_else(found):
    assert set(found) == {
        ("broken", "gone-dark"),
        ("closed", "robots-changed"),
        ("courier", "blocked"),
        ("dark", "gone-dark"),
        ("gazette", "missing-authors"),
        ("gazette", "missing-dates"),
        ("mirror", "repeated-text"),
        ("tribune", "rights-changed"),
    }
    assert {alarm.date for alarm in found.values()} == {TODAY}


def test_an_alarm_names_figure_usual_and_mend(found):
    dark, blocked = found["dark", "gone-dark"], found["courier", "blocked"]
    assert (dark.figure, dark.usual, dark.days, dark.url) == (0, PAGES, 1, feed("dark"))
    assert dark.detail == "no new pages; 12 are usual on a Wednesday"
    assert "newslake sources check dark" in dark.mend
    assert (blocked.figure, blocked.usual) == (1, 0)
    assert "courier.yaml" in blocked.mend
    assert found["broken", "gone-dark"].detail == "every crawl failed (1): no answer"
    for alarm in found.values():
        assert "{" not in alarm.mend and "None" not in alarm.mend


def test_a_rejected_page_is_found_in_the_raw_zone(store, found):
    alarm = found["courier", "blocked"]
    data = store.get_range(alarm.warc_key, alarm.warc_offset, alarm.warc_length)
    page = read_member(data)
    assert (page.url, page.body) == (alarm.url, WALL)


def test_an_article_says_where_its_page_lies(found):
    for kind in ("missing-dates", "missing-authors"):
        alarm = found["gazette", kind]
        assert alarm.url.startswith(f"https://gazette.example/{TODAY}/")
        assert (alarm.warc_offset, alarm.warc_length) == (100, 50)
        assert f"newslake sources fixture {alarm.url} --output" in alarm.mend
    assert found["mirror", "repeated-text"].warc_key.startswith("raw/")
    assert found["tribune", "rights-changed"].url.startswith("https://tribune.example/")
    assert found["closed", "robots-changed"].warc_key is None


def test_only_the_sources_asked_for_are_told_of(store):
    with Lake(store) as lake:
        told = alarms(lake, TODAY, TODAY, NOW, ("dark", "gazette"))
        assert {alarm.source for alarm in told} == {"dark", "gazette"}
        assert alarms(lake, TODAY, TODAY, NOW, ("herald",)) == []


def test_of_a_day_under_way_neither_silence_nor_repetition_is_told(store):
    with Lake(store) as lake:
        told = alarms(lake, TODAY, TODAY, datetime(2026, 11, 11, 23, 30, tzinfo=UTC))
    kinds = {alarm.alarm for alarm in told}
    assert not kinds & {"gone-dark", "repeated-text"} and "blocked" in kinds


def test_days_on_which_nothing_was_crawled_have_no_alarms(store):
    with Lake(store) as lake:
        assert alarms(lake, TODAY - 40 * DAY, TODAY - DAY, NOW) == []
        assert alarms(lake, TODAY + DAY, TODAY + DAY, NOW) == []


def test_a_run_tells_of_its_day_and_of_the_one_that_it_closed(store, found):
    with Lake(store) as lake:
        own = alarms_of_run(lake, read_manifest(store, RUN))
        closing = alarms_of_run(lake, read_manifest(store, NEXT))
        other = alarms_of_run(lake, read_manifest(store, BACKFILL) | {"schedules": {}})
    assert {alarm.source for alarm in own} == {"courier", "closed", "gazette", "tribune"}
    assert closing == sorted(found.values(), key=lambda alarm: (alarm.source, alarm.alarm))
    assert other == []


def test_the_summary_of_a_run_has_its_alarms(store, found, capsys):
    with Lake(store) as lake:
        said = [row for row in summary.rows(lake) if row["section"] == "alarms"]
        summary.show(Console(width=200, markup=False), lake, {})
    assert {(row["source"], row["alarm"]) for row in said} == set(found)
    printed = capsys.readouterr().out
    for line in lines(said):
        assert line in printed


def test_a_person_reads_what_where_and_the_mend(found):
    blocked = found["courier", "blocked"]
    assert list(lines([asdict(blocked)])) == [
        f"2026-11-11 courier blocked: {blocked.detail}",
        f"    {blocked.url}",
        f"    {blocked.warc_key} at {blocked.warc_offset}",
        f"    {blocked.mend}",
    ]
    assert len(list(lines([asdict(found["dark", "gone-dark"])]))) == 3


# --- the command ----------------------------------------------------------------------------

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    store: Store,
    lake_env: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Command]:
    """Runs ``newslake sources health`` over the lake, with a catalogue of two of its sources.

    Exit status, standard output and standard error.
    """
    for id_ in ("herald", "dark"):
        text = f"id: {id_}\nname: A\nhomepage: https://{id_}.example/\nfeeds: [{feed(id_)}]\n"
        (tmp_path / f"{id_}.yaml").write_text(text)
    environ = {**lake_env, "NEWSLAKE_LAKE": store.url, "NEWSLAKE_SOURCES": str(tmp_path)}

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["newslake", "sources", "health", *words])
        capfd.readouterr()
        with mock.patch.dict(os.environ, environ, clear=True), pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capfd.readouterr()

    terminate = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, terminate)


def test_alarms_are_printed_and_are_no_failure_of_the_command(command, found):
    status, out, err = command("--date", f"{TODAY}", "--json")
    assert (status, err) == (0, "")
    assert {(row["source"], row["alarm"]) for row in json.loads(out)} == set(found)
    status, out, err = command("dark", "--date", f"{TODAY - DAY}..{TODAY}")
    assert (status, err) == (0, "")
    assert out.splitlines() == list(lines([asdict(found["dark", "gone-dark"])]))


def test_cron_has_nothing_to_mail_when_all_is_as_usual(command):
    assert command("herald", "--date", f"{TODAY}") == (0, "", "")
    status, out, _ = command("herald", "--date", f"{TODAY}", "--json")
    assert (status, json.loads(out)) == (0, [])


def test_that_nothing_was_crawled_is_no_good_news(command):
    status, out, err = command("--date", f"{TODAY - 9 * DAY}")
    assert (status, out) == (1, "")
    assert "nothing was crawled from 2026-11-02 to 2026-11-02" in err
    status, out, _ = command("--json")
    assert (status, json.loads(out)) == (1, [])


@pytest.mark.parametrize("words", [("heralt",), ("--date", "2026-13-01")], ids=" ".join)
def test_what_cannot_be_asked_for_is_refused(command, words):
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert words[-1] in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("table", ["coverage", "articles"])
def test_what_cannot_be_read_is_told_in_a_sentence(store, command, table):
    files = Tables(store).files(table, [TODAY - 3 * DAY])["path"].to_pylist()
    kept = {key: store.get(key).data for key in (f"{table}/{path}" for path in files)}
    store.delete(kept)
    try:
        status, out, err = command("--date", f"{TODAY}")
    finally:
        for key, data in kept.items():
            store.put(key, data)
    assert (status, out) == (1, "")
    assert err.startswith("newslake: ") and len(err.splitlines()) == 1
