"""`dataset coverage` and `Lake.completeness` over a real lake of three runs."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

import pyarrow.parquet as pq
import pytest

from newslake import coverage
from newslake.reader import Lake
from processing.exceptions import ConfigurationError
from processing.publishing import RunFacts, publish
from processing.records import KNOWN, Article
from processing.storage import Store
from processing.tables import EXTRACTED, STAGED_ARTICLES, STAGED_COVERAGE, to_table
from processing.texts import content_hash, count_words
from processing.urls import mask, url_id, url_key

Command = Callable[..., "subprocess.CompletedProcess[str]"]

TUESDAY, WEDNESDAY = date(2026, 11, 10), date(2026, 11, 11)
FIRST, SECOND, NEXT = (f"202611{moment}0000Z-abcdef" for moment in ("10T00", "10T06", "11T00"))
NOW = datetime(2026, 11, 11, 0, 30, tzinfo=UTC)
SITE = "https://herald.example"


def published(
    store: Store, run_id: str, states: Mapping[str, str], failures: Mapping[str, str] | None = None
) -> None:
    """A run of every-6-hours over herald, whose URLs ended in these states."""
    moment = datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    found = [(f"{SITE}{path}", state) for path, state in states.items()]
    articles = [
        Article(
            id=url_id(url_key(url)),
            url=url,
            title="A title",
            text=f"The text of {url_key(url)}.",
            source="herald",
            fetched_at=moment,
            first_seen_at=moment,
            content_hash=content_hash(f"The text of {url_key(url)}."),
            word_count=count_words("The text of it."),
            extractor="test",
        )
        for url, state in found
        if state == EXTRACTED
    ]
    rows = [{**one.to_row(), "listed_url": one.url} for one in articles]
    said = [
        {"run_id": run_id, "source": "herald", "url": url, "state": state, "at": moment}
        | {"date": moment.date()}
        for url, state in found
    ]
    for name, table in (
        ("articles", to_table(rows, STAGED_ARTICLES)),
        ("coverage", to_table(said, STAGED_COVERAGE)),
    ):
        sink = io.BytesIO()
        pq.write_table(table, sink)
        store.put(f"staged/run={run_id}/source=herald/{name}.parquet", sink.getvalue())
    schedules = {"herald": "every-6-hours"}
    facts = RunFacts(run_id, ("herald",), moment, {}, failures or {}, {}, schedules=schedules)
    publish(store, facts, clock=lambda: moment)


@pytest.fixture(scope="module")
def store(object_store: dict[str, str]) -> Store:
    bucket = f"s3://test-{secrets.token_hex(8)}"
    lake = Store.from_environment({**object_store, "NEWSLAKE_LAKE": bucket})
    lake.ensure_bucket()
    published(lake, FIRST, {"/a": EXTRACTED, "/b": EXTRACTED, "/gone": "failed-http"})
    published(lake, SECOND, {"/a": KNOWN, "/c": "skipped-robots"}, {"herald": "no answer"})
    published(lake, NEXT, {"/a?utm_source=x": EXTRACTED, "/gone": "failed-http"})
    return lake


def test_a_day_tells_its_completeness_and_its_states(store):
    first, second = coverage.by_day(store, TUESDAY, WEDNESDAY, (), NOW)
    assert first == {
        "date": TUESDAY,
        "source": "herald",
        "schedule": "every-6-hours",
        "expected": 4,
        "done": 1,
        "failed": 1,
        "reasons": ("no answer",),
        "closed": True,
        "discovered": 5,
        "known": 1,
        "states": {"failed-http": 1, "published": 2, "skipped-robots": 1},
        "flags": [],
    }
    assert (second["expected"], second["done"], second["closed"]) == (1, 1, False)


def test_only_the_sources_asked_for_are_told_of(store):
    assert coverage.by_day(store, TUESDAY, WEDNESDAY, ("tribune",), NOW) == []
    assert len(coverage.by_day(store, TUESDAY, WEDNESDAY, ("herald",), NOW)) == 2


def test_a_run_tells_its_states_and_why_it_failed(store):
    (row,) = coverage.by_run(store, SECOND, ())
    assert (row["failure"], row["known"], row["states"]) == ("no answer", 1, {"skipped-robots": 1})
    with pytest.raises(ConfigurationError, match="no finished run 'nonsense'"):
        coverage.by_run(store, "nonsense", ())


def test_urls_are_listed_by_state_day_and_run(store):
    def paths(first=None, last=None, only=(), **asked):
        rows = coverage.urls(store, first, last, only, **asked)
        return [(row["run_id"], row["url"].removeprefix(SITE)) for row in rows]

    assert paths(state="failed-http") == [(FIRST, "/gone"), (NEXT, "/gone")]
    assert paths(WEDNESDAY, WEDNESDAY, state="failed-http") == [(NEXT, "/gone")]
    assert paths(run_id=FIRST, state="failed-http") == [(FIRST, "/gone")]
    assert paths(TUESDAY, TUESDAY, ("tribune",), state="failed-http") == []
    with pytest.raises(ConfigurationError, match="no finished run"):
        paths(run_id="20261110T120000Z-abcdef", state="published")


def test_an_address_is_found_in_every_form_that_led_to_its_article(store):
    rows = coverage.urls(store, None, None, (), url="http://www.herald.example/a")
    assert [(row["run_id"], row["state"]) for row in rows] == [
        (FIRST, "published"),
        (NEXT, "unchanged"),
    ]
    assert coverage.urls(store, None, None, (), url=f"{SITE}/never-seen") == []
    gone = coverage.urls(store, None, None, (), url=f"{SITE}/gone")
    assert [row["state"] for row in gone] == ["failed-http"] * 2
    assert coverage.urls(store, None, None, (), url=mask(f"{SITE}/a")) == rows


def test_flags_and_failures_are_remarked_on(store):
    said = coverage.by_day(store, TUESDAY, TUESDAY, (), NOW)
    said[0]["flags"] = [{"run_id": FIRST, "flag": "volume-collapse", "detail": "2, not 90"}]
    assert coverage.remarks(said) == [
        "2026-11-10 herald failed: no answer",
        "2026-11-10 herald volume-collapse: 2, not 90",
    ]
    assert coverage.remarks(coverage.by_run(store, FIRST, ())) == []


def test_a_person_reads_short_lines(store):
    (line,) = coverage.lines(coverage.by_day(store, TUESDAY, TUESDAY, (), NOW))
    assert (line["runs"], line["failed"], line["closed"]) == ("1 of 4 every-6-hours", 1, "yes")
    assert line["states"] == "1 failed-http, 2 published, 1 skipped-robots, 1 known"
    (line,) = coverage.lines(coverage.by_run(store, FIRST, ()))
    assert (line["URLs"], "runs" in line) == (3, False)


def test_readers_get_completeness_as_a_table(store):
    with Lake(store) as lake:
        days = lake.completeness(("2026-11-10", "2026-11-11"), NOW)
        assert days.column_names == [
            "date", "source", "schedule", "expected", "done", "failed", "reasons", "closed",
        ]  # fmt: skip
        assert days["closed"].to_pylist() == [True, False]
        assert lake.completeness("2026-11-10", NOW).num_rows == 1
        assert lake.completeness(now=NOW).num_rows == 2
        assert lake.completeness("2026-10-01", NOW).schema == days.schema
        with pytest.raises(ConfigurationError, match="is no day"):
            lake.completeness("yesterday", NOW)


def test_a_manifest_tells_of_completeness_itself(store):
    with Lake(store) as lake:
        said = {manifest["run_id"]: manifest["completeness"] for manifest in lake.manifests()}
    assert [(row["date"], row["done"], row["closed"]) for row in said[NEXT]] == [
        ("2026-11-11", 1, False),
        ("2026-11-10", 1, True),
    ]


@pytest.fixture
def command(store: Store, lake_env: dict[str, str]) -> Command:
    """Runs ``newslake dataset coverage`` over the lake, on a wide screen."""
    environ = {**lake_env, "NEWSLAKE_LAKE": store.url, "COLUMNS": "250"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "newslake", "dataset", "coverage", *words],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_command_prints_days_and_what_went_wrong_in_them(command):
    done = command("--date", "2026-11-10")
    assert done.returncode == 0, done.stderr
    heading, line, remark = done.stdout.splitlines()
    assert heading.split() == ["date", "source", "runs", "failed", "closed", "URLs", "states"]
    assert line.split()[:8] == ["2026-11-10", "herald", "1", "of", "4", "every-6-hours", "1", "yes"]
    assert remark == "2026-11-10 herald failed: no answer"


@pytest.mark.parametrize(
    ("words", "states"),
    [
        (("--run", FIRST), [{"failed-http": 1, "published": 2}]),
        (("--run", FIRST, "--state", "published"), ["published"] * 2),
        (("--date", "2026-11-10..2026-11-11", "--state", "failed-http"), ["failed-http"] * 2),
        (("--url", f"{SITE}/a"), ["published", "unchanged"]),
        (("--date", "2026-11-10", "--source", "tribune"), []),
    ],
)
def test_the_command_prints_json(command, words, states):
    done = command(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert [row.get("states") or row["state"] for row in json.loads(done.stdout)] == states


@pytest.mark.parametrize(
    "words", [("--date", "2026-13-01"), ("--state", "lost"), ("--run", "nonsense")], ids=" ".join
)
def test_what_cannot_be_asked_for_is_refused(command, words):
    done = command(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert words[1] in done.stderr
