"""``newslake run --demo`` as a user runs it, twice: the real DAG, store, crawl and dataset."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psutil
import pytest
from demo.sites import ExpectedPage, expected

from newslake import objectstore
from processing import dataset
from processing.records import State
from processing.storage import Store
from processing.urls import url_key

QUIET = ("AWS_", "NEWSLAKE_", "AIRFLOW", "http_proxy", "no_proxy")


@dataclass
class Run:
    output: str
    states: dict[str, str]
    articles: list[dict]


@dataclass
class Runs:
    store: Store
    first: Run
    second: Run


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: v for name, v in os.environ.items() if not name.startswith(QUIET)}
    return subprocess.run(
        [sys.executable, "-m", "newslake", *words],
        env={**kept, "NEWSLAKE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def run_once(home: Path) -> Run:
    done = command(home, "run", "--demo")
    assert done.returncode == 0, done.stdout + done.stderr
    left = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if _of(p, home)]
    assert not left, f"processes left behind: {left}"
    with objectstore.serving(home) as variables:
        store = Store.from_environment(variables)
        run_id = max(key.key for key in store.objects("runs/"))[len("runs/") : -len(".json")]
        coverage = dataset.scan(store, "coverage").to_table().to_pylist()
        states = {url_key(r["url"]): r["state"] for r in coverage if r["run_id"] == run_id}
        return Run(done.stdout, states, dataset.scan(store, "articles").to_table().to_pylist())


def _of(process: psutil.Process, home: Path) -> bool:
    return any(str(home) in word for word in process.info["cmdline"] or ())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user") / "home"


@pytest.fixture(scope="module")
def runs(home: Path):
    first = run_once(home)
    second = run_once(home)
    with objectstore.serving(home) as variables:
        yield Runs(Store.from_environment(variables), first, second)


def allowed(page: ExpectedPage) -> set[str]:
    return {page.state, *page.or_states}


def test_the_first_run_brings_every_listed_url_to_its_state(runs):
    wanted = {url_key(page.url): page for page in expected(1)}
    wrong = {
        key: (runs.first.states.get(key), sorted(allowed(page)))
        for key, page in wanted.items()
        if runs.first.states.get(key) not in allowed(page)
        and not (page.optional and key not in runs.first.states)
    }
    assert not wrong
    assert not set(runs.first.states) - set(wanted)


def test_the_articles_are_what_their_authors_wrote(runs):
    found = {url_key(row["url"]): row for row in runs.first.articles}
    for page in expected(1):
        if page.state != State.PUBLISHED:
            continue
        row = found[url_key(page.final_url or page.url)]
        assert row["title"] == page.title, page.url
        assert row["language"] == page.language, page.url
        assert page.first_paragraph in row["text"] and page.last_paragraph in row["text"], page.url
        assert (row["published_at"] or row["first_seen_at"]).date() == row["date"], page.url
        if page.published_at:
            assert row["date"] == page.published_at.date(), page.url
    assert len(found) == len(runs.first.articles) == len({r["id"] for r in runs.first.articles})


def test_copies_edited_or_not_point_at_their_originals(runs):
    copies = dataset.scan(runs.store, "copies").to_table().to_pylist()
    originals = {url_key(row["url"]): row for row in runs.second.articles}
    found = {url_key(row["url"]): row for row in copies}
    wanted = [page for page in expected(2) if page.duplicate_of]
    relations = {State.DUPLICATE_EXACT: {"exact", "same-url"}, State.DUPLICATE_NEAR: {"near"}}
    for page in wanted:
        row, original = found[url_key(page.url)], originals[url_key(page.duplicate_of)]
        assert row["article_id"] == original["id"], page.url
        assert row["cluster_id"] == original["cluster_id"], page.url
        assert row["relation"] in relations[page.state], page.url
    assert len(copies) == len(wanted) == 6


def test_the_second_run_adds_what_is_new_replaces_what_changed_and_doubles_nothing(runs):
    for page in expected(2):
        state = runs.second.states.get(url_key(page.url), "known")
        assert state in {*page.states_after_edition_1, "known"} or page.optional, page.url
    new = [p for p in expected(2) if p.change == "new"]
    updated = [p for p in expected(2) if p.change == "updated"]
    assert len(runs.second.articles) == len(runs.first.articles) + len(new)
    assert len({r["id"] for r in runs.second.articles}) == len(runs.second.articles)
    states = list(runs.second.states.values())
    assert states.count(State.PUBLISHED) == len(new) == 3
    assert states.count(State.UPDATED) == len(updated) == 2
    texts = {url_key(row["url"]): row["text"] for row in runs.second.articles}
    for page in updated:
        assert page.last_paragraph in texts[url_key(page.final_url or page.url)]
    assert dataset.scan(runs.store, "revisions").count_rows() == 2


def test_the_tables_read_the_same_by_deltalake_and_duckdb(runs):
    articles = dataset.open_table(runs.store, "articles").to_pyarrow_table()
    assert articles.num_rows == len(runs.second.articles)
    lake = dataset.scan(runs.store, "articles")  # found by its name
    (counted,) = duckdb.sql("SELECT count(*), count(DISTINCT id) FROM lake").fetchall()
    assert counted == (articles.num_rows, lake.count_rows())


def test_each_run_tells_airflow_of_the_dataset_and_of_each_partition_it_touched(runs, home):
    with sqlite3.connect(home / "airflow" / "airflow.db") as database:
        events = database.execute(
            "SELECT name, partition_key FROM asset_event JOIN asset ON asset.id = asset_id"
        ).fetchall()
    partitions = {key for name, key in events if name == "articles_by_partition"}
    assert [name for name, _ in events].count("articles") == 2
    assert partitions == {f"{row['date']}|{row['topic']}" for row in runs.second.articles}


def test_the_summary_says_where_it_lies_and_how_to_query_it(runs):
    assert "s3://newslake" in runs.first.output
    assert "newslake dataset sql" in runs.first.output
    assert "published" in runs.first.output


def test_verify_finds_nothing_wrong_even_when_every_page_is_extracted_again(runs, home):
    done = command(home, "dataset", "verify", "--full")
    assert done.returncode == 0, done.stdout + done.stderr
