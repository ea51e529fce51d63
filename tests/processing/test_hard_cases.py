"""Publishing when the store, the network or another writer gets in the way.

Kills at every stage are in tests/test_kills.py, crashes between two commits and racing
publishers in test_publishing.py, the lease by itself in test_lease.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from faultproxy import CONDITIONS, Fault, FaultProxy, answering, cut
from test_publishing import DAY, FIRST, SECOND, THIRD, article, facts, publish, rows, stage, states

from newslake import steps
from processing import dataset
from processing.commits import read_manifest, unfinished_runs
from processing.dataset import Tables
from processing.exceptions import LeaseLost, StoreError
from processing.records import State
from processing.storage import Store
from processing.upkeep import Upkeep

SAME_DAY = "20261110T130000Z-abcdef"
LEASE_SECONDS = 2.0  # a lease that a fault left behind is waited for as long
PLAIN, SPORT, COPY = (
    "https://herald.example/a",
    "https://herald.example/sport/b",
    "https://tribune.example/a",
)
PUTS = {
    "the lease": r"PUT /[^/]+/lease\.json",
    "a Parquet object": r"PUT /[^/]+/articles/date",
    "the commit plan": r"PUT /[^/]+/staged/.*commit\.json",
    "a commit": r"PUT /[^/]+/articles/_delta_log/0*1\.json",
    "the last commit": r"PUT /[^/]+/coverage/_delta_log/0*1\.json",
    "the manifest": r"PUT /[^/]+/runs/",
}


def through(lake_env: dict[str, str], proxy: FaultProxy, retries: int = 10) -> Store:
    store = Store.from_environment({**lake_env, "AWS_ENDPOINT_URL_S3": proxy.url}, retries=retries)
    store.delta_options["max_retries"] = str(retries - 1)
    return store


def stage_three(store: Store, run_id: str = FIRST) -> None:
    stage(
        store,
        run_id,
        article(PLAIN, "The text."),
        article(SPORT, "Another."),
        article(COPY, "The text.", source="tribune", published_at=DAY + timedelta(hours=1)),
    )


def check_three(store: Store, run_id: str = FIRST) -> None:
    """The run's three pages are in the lake, each once, and the run is finished."""
    assert sorted(row["url"] for row in rows(store, "articles")) == [PLAIN, SPORT]
    assert [row["url"] for row in rows(store, "copies")] == [COPY]
    assert states(store, run_id) == {
        PLAIN: State.PUBLISHED,
        SPORT: State.PUBLISHED,
        COPY: State.DUPLICATE_EXACT,
    }
    for name in ("keys", "fingerprints"):
        assert len({row["key"] for row in rows(store, name)}) >= 2
        assert len(rows(store, name)) == 3
    manifest = read_manifest(store, run_id)
    assert manifest and manifest["tables"] == Tables(store).versions()
    assert not unfinished_runs(store)


def now_and_then(fault: Fault, every: int, until: int) -> Fault:
    """The fault for each ``every``-th request, of the first ``until``."""
    met = 0

    def sometimes(request: BaseHTTPRequestHandler) -> bool:
        nonlocal met
        met += 1
        return fault(request) if met % every == 0 and met <= until else True

    return sometimes


# --- the store ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (503, "SlowDown"),
        (503, "ServiceUnavailable"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
    ],
)
def test_a_store_that_throttles_or_fails_now_and_then_is_asked_again(store, lake_env, status, code):
    stage_three(store)
    failing = now_and_then(answering(status, code), every=6, until=60)
    with FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], r" /", failing, 10**6) as proxy:
        publish(through(lake_env, proxy), facts(FIRST))
        assert proxy.met > 40
    check_three(store)


_FULL = r"cannot write s3://\S+: the store answered InsufficientStorage .*; give the store more"
_UNCOMMITTED = r"cannot commit to s3://\S+: .*507.*; give the store more"
SAID_WHEN_FULL = {
    "a Parquet object": _FULL,
    "the commit plan": _FULL,
    "a commit": _UNCOMMITTED,
    "the last commit": _UNCOMMITTED,
    "the manifest": _FULL,
}


@pytest.mark.parametrize("refused", SAID_WHEN_FULL)
def test_a_full_store_is_one_sentence_and_a_rerun_completes(store, lake_env, refused):
    dataset.initialise(store)
    stage_three(store)
    before = {name: rows(store, name) for name in dataset.SCHEMAS}
    full = False

    def fault(request: BaseHTTPRequestHandler) -> bool:
        nonlocal full
        full = full or bool(re.search(PUTS[refused], f"PUT {request.path}"))
        return answering(507, "InsufficientStorage")(request) if full else True

    with (
        FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], r"PUT ", fault, 10**6) as proxy,
        pytest.raises(StoreError, match=SAID_WHEN_FULL[refused]),
    ):
        publish(through(lake_env, proxy, 2), facts(FIRST), lease_seconds=LEASE_SECONDS)
    assert full
    if refused not in ("the last commit", "the manifest"):
        assert {name: rows(store, name) for name in dataset.SCHEMAS} == before, "nothing is torn"
    publish(store, facts(FIRST), lease_seconds=LEASE_SECONDS)
    check_three(store)


@pytest.mark.parametrize("lost", PUTS)
def test_an_answer_that_is_lost_after_the_write_repeats_nothing(store, lake_env, lost):
    dataset.initialise(store)
    stage_three(store)
    with FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], PUTS[lost], cut, after=True) as proxy:
        publish(through(lake_env, proxy), facts(FIRST))
        assert proxy.met == 1
    check_three(store)


def test_a_store_without_conditional_writes_gets_nothing_published(store, lake_env):
    stage_three(store)
    before = [found.key for found in store.objects()]
    with (
        FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], strip=CONDITIONS, keys=lake_env) as proxy,
        pytest.raises(StoreError, match="does not honour If-None-Match and If-Match"),
    ):
        publish(through(lake_env, proxy), facts(FIRST))
    assert [found.key for found in store.objects()] == before


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_wrong_by_an_hour_gets_nothing_published(store, lake_env, ahead):
    stage_three(store)
    before = [found.key for found in store.objects()]
    said = r"clock is 60 minutes (ahead of|behind) the store's; set"
    with (
        FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], ahead=ahead) as proxy,
        pytest.raises(StoreError, match=said),
    ):
        steps.publish(
            [{"sources": list(facts(FIRST).sources)}],
            FIRST,
            DAY,
            {**lake_env, "AWS_ENDPOINT_URL_S3": proxy.url},
        )
    assert [found.key for found in store.objects()] == before
    publish(store, facts(FIRST))
    check_three(store)


# --- other writers --------------------------------------------------------------------------


def once(act: Callable[[], object]) -> Fault:
    """Something that happens elsewhere while a request is on its way."""

    def fault(_: BaseHTTPRequestHandler) -> bool:
        act()
        return True

    return fault


@pytest.mark.parametrize("moment", ["the commit plan", "a commit", "the last commit"])
def test_a_publisher_that_loses_its_lease_in_the_middle_loses_and_doubles_nothing(
    store, lake_env, moment
):
    dataset.initialise(store)
    stage_three(store)
    other = article("https://herald.example/other", "Other.")
    stage(store, SECOND, other)

    def take_over() -> None:
        token = json.loads(store.get("lease.json").data)["token"]
        store.put("lease.json", json.dumps({"holder": "", "token": token + 1}).encode())
        publish(store, facts(SECOND))

    with (
        FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], PUTS[moment], once(take_over)) as proxy,
        pytest.raises(LeaseLost, match="run this publish again"),
    ):
        publish(through(lake_env, proxy), facts(FIRST))
    assert states(store, SECOND) == {other.url: State.PUBLISHED}
    again = publish(store, facts(FIRST))
    assert again["counts"] == {
        "herald": {"published": 2},
        "tribune": {"duplicate-exact": 1},
    }
    urls = [row["url"] for row in rows(store, "articles")]
    assert sorted(urls) == sorted([PLAIN, SPORT, other.url])
    assert [row["url"] for row in rows(store, "copies")] == [COPY]
    assert len(rows(store, "keys")) == len(rows(store, "fingerprints")) == 4
    assert not unfinished_runs(store)


def publish_two_runs(store: Store) -> None:
    """Two runs in one partition, with a page that a third may change."""
    for number, run_id in enumerate((FIRST, SECOND)):
        stage(store, run_id, article(f"https://herald.example/{number}", f"Text {number}."))
        publish(store, facts(run_id))


CHANGED = article(
    "https://herald.example/0", "Text 0, corrected.", fetched_at=DAY + timedelta(days=2)
)


def texts(store: Store) -> list[str]:
    return sorted(row["text"] for row in rows(store, "articles"))


def test_a_publish_during_a_compaction_wins_and_no_row_is_lost(store, lake_env):
    publish_two_runs(store)
    stage(store, THIRD, CHANGED)
    with FaultProxy(
        lake_env["AWS_ENDPOINT_URL_S3"],
        r"PUT /[^/]+/articles/date.*-upkeep-",
        once(lambda: publish(store, facts(THIRD))),
    ) as proxy:
        done = Upkeep(through(lake_env, proxy)).compact()
        assert proxy.met == 1
    assert "articles" not in {each.where for each in done}, "its files had been replaced"
    assert texts(store) == ["Text 0, corrected.", "Text 1."]
    Upkeep(store).compact()
    assert texts(store) == ["Text 0, corrected.", "Text 1."]
    assert len(Tables(store).files("articles")) == 1


def test_a_compaction_during_a_publish_waits_for_it(store, lake_env):
    publish_two_runs(store)
    stage(store, THIRD, CHANGED)
    with ThreadPoolExecutor(1) as beside:
        compactions = []

        def compact() -> None:
            compactions.append(beside.submit(Upkeep(store).compact))

        with FaultProxy(
            lake_env["AWS_ENDPOINT_URL_S3"], PUTS["the commit plan"], once(compact)
        ) as proxy:
            publish(through(lake_env, proxy), facts(THIRD))
        compactions[0].result()
    assert texts(store) == ["Text 0, corrected.", "Text 1."]
    assert states(store, THIRD) == {CHANGED.url: State.UPDATED}
    assert [row["text"] for row in rows(store, "revisions")] == ["Text 0."]


def test_two_compactions_at_once_double_and_lose_nothing(store):
    publish_two_runs(store)
    before = {name: rows(store, name) for name in dataset.SCHEMAS}
    with ThreadPoolExecutor(2) as both:
        done = [each for told in both.map(lambda _: Upkeep(store).compact(), "ab") for each in told]
    assert sorted(each.where for each in done) == ["articles", "fingerprints", "keys"]
    assert {name: rows(store, name) for name in dataset.SCHEMAS} == before


def test_a_reader_of_an_old_version_reads_on_through_compaction_and_vacuum(store):
    publish_two_runs(store)
    reader = Tables(store)
    held = {name: reader.dataset(name) for name in dataset.SCHEMAS}
    before = {name: rows(store, name) for name in dataset.SCHEMAS}
    Upkeep(store).compact()
    Upkeep(store).vacuum(timedelta(days=30))
    for name, dataset_ in held.items():
        assert dataset_.count_rows() == len(before[name])
    assert sorted(held["articles"].to_table()["text"].to_pylist()) == texts(store)
    reader.look()
    assert len(reader.files("articles")) == 1 and reader.dataset("articles").count_rows() == 2


# --- the design's rules ---------------------------------------------------------------------


def test_identity_is_fixed_at_first_publication_under_either_address(store):
    named, moved = "https://herald.example/news/wall", "https://herald.example/m/1"
    text = "The harbour wall was finished on Friday, two weeks early."
    pages = (
        article(moved, text, canonical_url=named),
        article(moved, text + " Ferries run.", fetched_at=DAY + timedelta(days=1)),
        article(named, text + " Ferries run again.", fetched_at=DAY + timedelta(days=2)),
    )
    for run_id, page in zip((FIRST, SECOND, THIRD), pages, strict=True):
        stage(store, run_id, page)
        publish(store, facts(run_id))
    (row,) = rows(store, "articles")
    assert (row["id"], row["text"], row["revision"]) == (pages[0].id, pages[2].text, 2)
    assert {found["id"] for found in rows(store, "keys")} == {pages[0].id}


def test_the_date_is_fixed_at_first_publication_though_a_better_one_comes(store):
    seen = DAY + timedelta(hours=3)
    stage(store, FIRST, article(PLAIN, "Old.", published_at=None, fetched_at=seen))
    publish(store, facts(FIRST))
    better = DAY - timedelta(days=5)
    again = seen + timedelta(days=1)
    stage(store, SECOND, article(PLAIN, "New.", published_at=better, fetched_at=again))
    manifest = publish(store, facts(SECOND))
    (row,) = rows(store, "articles")
    assert (row["date"], row["published_at"]) == (seen.date(), better)
    assert manifest["partitions"] == [f"{seen.date()}|{row['topic']}"]


def test_a_late_article_goes_to_its_own_dates_partition_and_the_manifest_says_so(store):
    stage(store, FIRST, article(PLAIN, "Of the day."))
    publish(store, facts(FIRST))
    late = article(SPORT, "Of last week.", published_at=DAY - timedelta(days=7))
    stage(store, SECOND, late)
    manifest = publish(store, facts(SECOND))
    assert manifest["partitions"] == [f"{(DAY - timedelta(days=7)).date()}|sport"]
    assert {row["url"]: row["date"] for row in rows(store, "articles")} == {
        PLAIN: DAY.date(),
        SPORT: late.published_at.date(),
    }


def test_a_manifest_says_how_complete_its_day_was(store):
    for number, (run_id, failures) in enumerate(((FIRST, {}), (SAME_DAY, {"herald": "no answer"}))):
        stage(store, run_id, article(f"https://tribune.example/{number}", source="tribune"))
        run = replace(
            facts(run_id), failures=failures, schedules={"herald": "hourly", "tribune": "hourly"}
        )
        publish(store, run)
    manifest = read_manifest(store, SAME_DAY)
    told = {row["source"]: row for row in manifest["completeness"]}
    assert {id_: (row["done"], row["failed"], row["reasons"]) for id_, row in told.items()} == {
        "herald": (1, 1, ["no answer"]),
        "tribune": (2, 0, []),
    }
    assert not any(row["closed"] for row in told.values())


TESTS = Path(__file__).parent.parent
ARCHITECTURE = TESTS.parent / "docs" / "architecture.md"


def rules() -> dict[str, list[str]]:
    """Rule -> the tests that the document names for it, as ``file::test``."""
    page = ARCHITECTURE.read_text("utf-8")
    section = page.partition("## The eight rules and their tests\n")[2].partition("\n## ")[0]
    lines = [line.split("|") for line in section.splitlines() if re.match(r"\| \d", line)]
    return {cells[1].strip(): re.findall(r"`([\w/.]+::\w+)`", cells[2]) for cells in lines}


def test_each_of_the_eight_rules_names_its_tests():
    assert [rule.split(".")[0] for rule in rules()] == list("12345678")
    assert all(rules().values())


@pytest.mark.parametrize("named", sorted({name for names in rules().values() for name in names}))
def test_a_test_that_a_rule_names_exists(named):
    file, _, test = named.partition("::")
    assert f"def {test}(" in (TESTS / file).read_text("utf-8")
