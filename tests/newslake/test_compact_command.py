"""Upkeep as operators start it: what sources still need stays, and everything done is told."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from crawlers.state import PENDING, SourceState, known_url
from newslake import upkeep
from processing import dataset
from processing.exceptions import ConfigurationError, StoreError
from processing.records import FETCHED, Hints, Visit, WarcPointer
from processing.tables import to_table
from processing.urls import url_key

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
DEAD, DONE = "20260310T120000Z-dead00", "20260310T130000Z-done00"
URL = "https://herald.example/a"


def visit(url: str, *, outcome: str = FETCHED, at: datetime = AT) -> Visit:
    pointer = WarcPointer(f"raw/date=2026-03-10/source=herald/{DEAD}-1-000.warc.gz", 0, 9)
    return Visit(
        url=url,
        outcome=outcome,
        discovered_via="https://herald.example/feed",
        at=at,
        http_status=200,
        warc=pointer if outcome == FETCHED else None,
        hints=Hints(),
    )


def ledger(store, run_id: str, *visits: Visit) -> None:
    lines = "\n".join(json.dumps(each.to_json()) for each in visits)
    store.put(f"staged/run={run_id}/source=herald/crawl-1.jsonl.gz", gzip.compress(lines.encode()))


def remember(store, url: str, run_id: str, warc_key: str, at: datetime = AT) -> None:
    state = SourceState.load(store, "herald")
    row = known_url(
        key=url_key(url),
        url=url,
        status=PENDING,
        run_id=run_id,
        at=at,
        discovered_via="",
        hints=Hints(),
        before=None,
    )
    state.put(replace(row, warc_key=warc_key))
    state.save(store, "herald")


def test_pending_pages_and_those_of_standing_ledgers_are_needed(store):
    remember(store, URL, DEAD, "raw/pending.warc.gz")
    remember(store, "https://herald.example/b", DONE, "raw/published.warc.gz")
    store.put(f"runs/{DONE}.json", b"{}")
    ledger(store, DEAD, visit("https://herald.example/c"), visit(URL, outcome="failed-http"))
    assert upkeep.unpublished_files(store) == {
        "raw/pending.warc.gz",
        f"raw/date=2026-03-10/source=herald/{DEAD}-1-000.warc.gz",
    }


@pytest.mark.parametrize(
    ("known", "safe"),
    [
        ({}, False),
        ({URL: AT}, True),
        ({URL: AT - timedelta(days=1)}, False),
        ({"https://herald.example/other": AT}, False),
    ],
)
def test_a_dead_run_is_taken_over_when_the_state_knows_each_page_as_fetched(store, known, safe):
    for url, at in known.items():
        remember(store, url, DEAD, "raw/x.warc.gz", at)
    ledger(store, DEAD, visit(URL), visit("https://herald.example/gone", outcome="failed-http"))
    assert upkeep._taken_over(store, DEAD) is safe


def test_a_run_without_ledgers_can_be_made_again(store):
    store.put(f"staged/run={DEAD}/source=import/articles.parquet", b"")
    assert upkeep._taken_over(store, DEAD)


@pytest.mark.parametrize("said", ["0", "-3", "a week", "1.5"])
def test_a_wrong_number_of_days_is_told_before_anything_is_done(store, said):
    with pytest.raises(ConfigurationError, match=f"NEWSLAKE_RAW_DAYS is '{said}'; give a number"):
        upkeep.keep_up(store, {"NEWSLAKE_RAW_DAYS": said}, datetime.now(UTC), 30)
    assert not list(store.objects())


def test_nothing_is_done_by_a_clock_that_is_wrong(store):
    with pytest.raises(StoreError, match="60 minutes ahead of the store's"):
        upkeep.keep_up(store, {}, store.stated_time() + timedelta(hours=1), 30)
    assert not list(store.objects())


def newslake(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "newslake", "dataset", "compact", *words],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_tells_what_it_did_in_words_and_as_json(store, lake_env):
    dataset.initialise(store)
    for source in ("herald", "tribune"):
        keys = {"key": "0" * 32, "source": source, "id": "0" * 32, "kind": "article"}
        rows = to_table([{**keys, "run_id": DONE}], dataset.SCHEMAS["keys"])
        tables = dataset.Tables(store)
        change = dataset.change_rows(tables, "keys", rows, DONE)
        base = tables.delta("keys").version()
        dataset.commit(tables, change, source, base, datetime.now(UTC))
    told = newslake(lake_env, "--keep-days", "7", "--json")
    assert told.returncode == 0, told.stderr
    (done,) = json.loads(told.stdout)
    assert (done["task"], done["where"], done["objects"]) == ("compacted", "keys", 2)
    again = newslake(lake_env, "--keep-days", "7")
    assert (again.returncode, again.stdout) == (0, "there was nothing to do\n")
    assert newslake(lake_env, "--keep-days", "0").returncode == 2
