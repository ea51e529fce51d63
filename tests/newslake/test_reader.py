"""Reading a real lake: filters, increments, old states, SQL that reaches nothing else."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from filled_lake import FIRST, NOON, SECOND, THIRD, article, fill, published

import newslake
from newslake.reader import Lake
from processing import dataset
from processing.dataset import Tables
from processing.exceptions import ConfigurationError, LakeFormatError, QueryError, StoreError
from processing.storage import Store
from processing.tables import (
    ARTICLES,
    COPIES,
    KEYS,
    PARTITIONS,
    SCHEMAS,
    to_table,
)
from processing.upkeep import Upkeep
from processing.urls import url_id


@pytest.fixture(scope="module")
def lake(object_store: dict[str, str]) -> Iterator[Lake]:
    """The lake of ``filled_lake.fill``."""
    bucket = f"s3://test-{secrets.token_hex(8)}"
    store = Store.from_environment({**object_store, "NEWSLAKE_LAKE": bucket})
    store.ensure_bucket()
    fill(store)
    with Lake(store) as opened:
        yield opened


def paths(table) -> list[str]:
    return sorted(url.partition("example")[2] for url in table["url"].to_pylist())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["/a", "/c", "/d", "/sport/b"]),
        ({"date": "2026-11-10"}, ["/a", "/d", "/sport/b"]),
        ({"date": date(2026, 11, 11)}, ["/c"]),
        ({"date": ("2026-11-10", "2026-11-11")}, ["/a", "/c", "/d", "/sport/b"]),
        ({"date": (date.min, "2026-11-10")}, ["/a", "/d", "/sport/b"]),
        ({"date": ("2026-11-12", "2026-11-30")}, []),
        ({"topic": "sport"}, ["/sport/b"]),
        ({"topic": ["sport", "politics"], "date": "2026-11-10"}, ["/a", "/d", "/sport/b"]),
        ({"since_run": FIRST}, ["/a"]),
        ({"since_run": FIRST, "topic": "sport"}, []),
        ({"since_run": FIRST, "topic": "politics", "date": "2026-11-10"}, ["/a"]),
        ({"since_run": FIRST, "date": "2026-11-11"}, []),
        ({"since_run": SECOND}, []),
    ],
)
def test_articles_are_chosen_by_date_topic_and_run(lake, asked, expected):
    table = lake.articles(**asked)
    assert paths(table) == expected
    assert table.schema.names == ARTICLES.names


def test_columns_are_chosen_by_name(lake):
    table = lake.articles(topic="sport", columns=["title", "date"])
    assert table.to_pylist() == [{"title": "A title", "date": date(2026, 11, 10)}]
    assert lake.articles(since_run=FIRST, columns=("url",)).column_names == ["url"]


# --- what changed since ---------------------------------------------------------------------


def test_since_run_follows_the_order_of_finishing_not_of_starting(store):
    published(store, SECOND, article("/a", "Text a."), finished=NOON + timedelta(days=2))
    published(store, FIRST, article("/b", "Text b."), finished=NOON + timedelta(days=9))
    with Lake(store) as lake:
        assert paths(lake.articles(since_run=SECOND)) == ["/b"]
        assert paths(lake.articles(since_run=FIRST)) == []
        assert [m["run_id"] for m in lake.manifests()] == [FIRST, SECOND]
        assert lake.last_run()["run_id"] == FIRST


def test_since_run_counts_from_its_first_end_when_it_was_published_again(store):
    published(store, FIRST, article("/a", "Text a."), finished=NOON)
    published(store, SECOND, article("/b", "Text b."), finished=NOON + timedelta(days=1))
    published(store, FIRST, article("/c", "Text c."), finished=NOON + timedelta(days=2))
    with Lake(store) as lake:
        assert lake.last_run()["run_id"] == FIRST
        assert paths(lake.articles(since_run=FIRST)) == ["/b", "/c"]
        assert paths(lake.articles(since_run=SECOND)) == ["/c"]
        assert paths(lake.as_of(FIRST).articles()) == ["/a", "/b", "/c"]


def test_a_row_that_only_lies_in_another_file_has_not_changed(store):
    published(store, FIRST, article("/a", "Text a."), finished=NOON)
    published(store, SECOND, article("/b", "Text b."), finished=NOON + timedelta(days=1))
    with Lake(store) as lake:
        assert lake.counts().column("files").to_pylist() == [2]
        Upkeep(store).compact()
        assert lake.counts().column("files").to_pylist() == [1]
        assert paths(lake.articles(since_run=FIRST)) == ["/b"]
        assert paths(lake.articles(since_run=SECOND)) == []
        assert lake.removed(SECOND).num_rows == 0


def test_an_expired_raw_page_is_no_change_of_its_article(store):
    pointer = {"warc_key": "raw/x.warc.gz", "warc_offset": 0, "warc_length": 9}
    published(store, FIRST, article("/a", "Text a.", **pointer), finished=NOON)
    rewritten(store, warc_key=None, warc_offset=None, warc_length=None)
    with Lake(store) as lake:
        assert lake.articles(columns=["warc_key"]).to_pylist() == [{"warc_key": None}]
        assert lake.articles(since_run=FIRST).num_rows == 0


def test_a_topic_that_moved_is_a_change_and_nothing_removed(store):
    published(store, FIRST, article("/a", "Text a."), finished=NOON)
    rewritten(store, topic="health")
    with Lake(store) as lake:
        assert lake.articles(since_run=FIRST)["topic"].to_pylist() == ["health"]
        assert paths(lake.articles(since_run=FIRST, topic="health")) == ["/a"]
        assert lake.articles(since_run=FIRST, topic="politics").num_rows == 0
        assert lake.removed(FIRST).num_rows == 0


def test_removed_tells_what_is_no_article_any_more(store):
    published(store, FIRST, article("/a", "Text a."), article("/sport/b", "Text b."), finished=NOON)
    with Lake(store) as lake:
        (gone,) = lake.articles(topic="sport").to_pylist()
        took_out(store, gone)
        expected = {name: gone[name] for name in ("id", "date", "topic")}
        assert lake.removed(FIRST).to_pylist() == [expected]
        assert lake.articles(since_run=FIRST).num_rows == 0


def took_out(store: Store, gone: dict, fresh: pa.Table | None = None) -> None:
    """Take a row out of articles, and put others in, as forgetting and reprocessing do."""
    tables = Tables(store)
    where = dataset.rows_of({(gone["id"], gone["source"]): gone["date"]})
    rows = to_table([], ARTICLES) if fresh is None else fresh
    change = dataset.change_rows(tables, "articles", rows, SECOND, gone=where)
    dataset.commit(tables, change, f"{SECOND}/test", tables.delta("articles").version(), NOON)


def rewritten(store: Store, **values: object) -> None:
    """Give the lake's one article other values, as expiry and reprocessing do."""
    (row,) = Tables(store).rows("articles", ds.scalar(True))
    took_out(store, row, to_table([row | values], ARTICLES))


# --- one article ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        "https://herald.example/sport/b",
        "http://www.herald.example/sport/b/?utm_source=x#top",
        url_id("herald.example/sport/b"),
    ],
)
def test_an_article_is_found_by_its_address_in_any_form_or_its_id(lake, asked):
    found = lake.article(asked)
    assert found == lake.articles(topic="sport").to_pylist()[0]


def test_what_was_published_as_a_copy_is_found_as_one(lake):
    found = lake.article("https://herald.example/b-again")
    assert found["article_id"] == url_id("herald.example/sport/b")
    assert list(found) == COPIES.names


def test_an_article_nobody_published_is_none(lake):
    assert lake.article("https://herald.example/never") is None
    with pytest.raises(ConfigurationError, match="neither an id"):
        lake.article("sport/b")


# --- lazily, and with other libraries -------------------------------------------------------


def test_a_table_is_read_lazily_by_polars_and_duckdb(lake):
    articles = lake.dataset("articles", date="2026-11-10")
    lazy = pl.scan_pyarrow_dataset(articles).filter(pl.col("topic") == "sport")
    assert lazy.select("title").collect().rows() == [("A title",)]
    assert duckdb.sql("SELECT count(*) FROM articles").fetchall() == [(3,)]
    assert lake.dataset("articles", date=("2026-11-12", "2026-11-30")).count_rows() == 0
    assert lake.copies().count_rows() == 1
    assert lake.dataset("keys").schema == KEYS


@pytest.mark.parametrize("name", SCHEMAS)
def test_counts_are_those_of_the_rows(lake, name):
    counted = lake.counts(name)
    whole = lake.dataset(name).to_table()
    assert sum(counted["rows"].to_pylist()) == whole.num_rows
    assert counted.column_names == [*PARTITIONS[name], "rows", "files", "bytes"]
    partitions = whole.select(PARTITIONS[name]).group_by(PARTITIONS[name]).aggregate([])
    assert counted.select(PARTITIONS[name]).num_rows == partitions.num_rows
    assert all(size > 1000 for size in counted["bytes"].to_pylist())


# --- other states ---------------------------------------------------------------------------


def test_an_open_lake_sees_the_next_run(store):
    published(store, FIRST, article("/a", "Text a."), finished=NOON)
    with Lake(store) as lake:
        assert (paths(lake.articles()), lake.last_run()["run_id"]) == (["/a"], FIRST)
        published(store, SECOND, article("/b", "Text b."), finished=NOON + timedelta(days=1))
        assert (paths(lake.articles()), lake.last_run()["run_id"]) == (["/a", "/b"], SECOND)
        assert lake.sql("SELECT count(*) AS n FROM articles").to_pylist() == [{"n": 2}]
        assert lake.article("https://herald.example/b")["title"] == "A title"


def test_as_of_reads_all_tables_as_a_run_left_them(lake):
    before = lake.as_of(FIRST)
    assert before.articles(topic="politics")["revision"].to_pylist() == [0, 0, 0]
    assert before.copies().count_rows() == before.revisions().count_rows() == 0
    assert before.sql("SELECT DISTINCT run_id FROM coverage").to_pylist() == [{"run_id": FIRST}]
    assert before.article("https://herald.example/b-again") is None
    assert lake.as_of(SECOND).articles(since_run=FIRST) == lake.articles(since_run=FIRST)
    with pytest.raises(ConfigurationError, match=f"{SECOND} finished after"):
        before.articles(since_run=SECOND)


def test_as_of_takes_versions(lake):
    now = lake.versions()
    assert lake.as_of(now).articles() == lake.articles()
    only = lake.as_of({"articles": now["articles"] - 1})
    assert (only.articles(since_run=FIRST).num_rows, only.copies().count_rows()) == (0, 1)


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (THIRD, THIRD),
        ({"artikels": 1}, "did you mean 'articles'"),
        ({"articles": 99}, "no longer kept"),
    ],
)
def test_as_of_refuses_a_state_that_is_not_there(lake, state, named):
    with pytest.raises(ConfigurationError, match=named):
        lake.as_of(state)


def test_a_state_past_the_retention_is_refused(store):
    published(store, FIRST, article("/a", "Text a."), finished=NOON)
    later = article("/a", "Text of a, with more.", fetched_at=NOON + timedelta(days=3))
    published(store, SECOND, later, finished=NOON + timedelta(days=1))
    with Lake(store) as lake:
        old = lake.as_of(FIRST)
        in_a_year = datetime.now(UTC) + timedelta(days=365)
        Upkeep(store, clock=lambda: in_a_year).vacuum(timedelta(days=1))
        assert paths(lake.articles()) == ["/a"]
        for refused in (lake.as_of, lake.removed, lambda run: lake.articles(since_run=run)):
            with pytest.raises(ConfigurationError, match=f"{FIRST} is no longer kept"):
                refused(FIRST)
        for read in (old.articles, lambda: old.sql("SELECT text FROM articles")):
            with pytest.raises(StoreError, match="no longer kept") as caught:
                read()
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"date": "10.11.2026"}, "10.11.2026"),
        ({"topic": "sports"}, "did you mean 'sport'"),
        ({"columns": ["titel"]}, "did you mean 'title'"),
        ({"since_run": THIRD}, THIRD),
    ],
)
def test_what_does_not_exist_is_refused_and_not_empty(lake, asked, named):
    with pytest.raises(ConfigurationError, match=named):
        lake.articles(**asked)


# --- SQL ------------------------------------------------------------------------------------


def test_sql_joins_the_tables_under_their_names(lake):
    answer = lake.sql(
        "SELECT a.url, c.url AS copy, c.relation FROM copies c JOIN articles a"
        " ON a.id = c.article_id WHERE a.date = DATE '2026-11-10'"
        " AND a.published_at < TIMESTAMPTZ '2026-11-10 12:00:01+00'"
    )
    (row,) = answer.to_pylist()
    assert row["url"].endswith("/sport/b")
    assert row["copy"].endswith("/b-again")
    assert row["relation"] == "exact"
    assert lake.sql("SELECT text FROM revisions").to_pylist() == [{"text": "Text of a."}]
    states = "SELECT state, count(*) AS n FROM coverage GROUP BY state ORDER BY state"
    assert [r["n"] for r in lake.sql(states).to_pylist()] == [1, 2, 4, 1]
    assert len(lake.sql("SHOW TABLES")) == 4


def test_sql_without_a_hit_is_a_table_without_rows(lake):
    answer = lake.sql("SELECT id, date FROM articles WHERE topic = 'health'")
    assert (answer.num_rows, answer.column_names) == (0, ["id", "date"])


def test_sql_gives_moments_in_utc(lake):
    answer = lake.sql("SELECT published_at FROM articles WHERE topic = 'sport'")
    assert str(answer.schema.field("published_at").type) == "timestamp[us, tz=UTC]"
    assert answer["published_at"][0].as_py() == NOON


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM 'https://herald.example/x.parquet'",
        "COPY articles TO '{folder}/out.csv'",
        "ATTACH '{folder}/out.db'",
        "SET enable_external_access = true",
        "LOAD httpfs",
        "SELECT * FROM lake",
    ],
)
def test_sql_reaches_nothing_but_the_lake(lake, query, tmp_path):
    with pytest.raises(QueryError):
        lake.sql(query.format(folder=tmp_path))
    assert not list(tmp_path.glob("out.*"))


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT titel FROM articles", "titel"),
        ("SELEC 1", "SELEC"),
        ("SELECT * FROM artikels", "artikels"),
        ("", "SELECT"),
    ],
)
def test_wrong_sql_is_one_sentence(lake, query, named):
    with pytest.raises(QueryError, match=named) as caught:
        lake.sql(query)
    assert "\n" not in str(caught.value)


# --- opening --------------------------------------------------------------------------------


def test_open_lake_takes_an_address_and_the_environment(lake, lake_env, monkeypatch):
    for name, value in lake_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEWSLAKE_LAKE", lake.url)
    with newslake.open_lake() as by_environment:
        assert by_environment.articles().num_rows == 4
    monkeypatch.setenv("NEWSLAKE_LAKE", "s3://elsewhere")
    with newslake.open_lake(lake.url) as by_address:
        assert by_address.url == lake.url
        assert by_address.articles().num_rows == 4


def test_open_lake_says_when_nothing_is_there_or_too_new(store, lake_env, monkeypatch):
    for name, value in lake_env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match="no lake is at s3://not-made"):
        newslake.open_lake("s3://not-made")
    store.put("lake.json", b'{"format_version": 99}')
    with pytest.raises(LakeFormatError, match="99"):
        newslake.open_lake()


def test_a_lake_without_rows_reads_as_empty(store):
    dataset.initialise(store)
    with Lake(store) as lake:
        assert lake.articles(date="2026-11-10").num_rows == 0
        assert lake.counts().num_rows == 0
        assert lake.last_run() is None
        assert lake.sql("SELECT count(*) AS n FROM coverage").to_pylist() == [{"n": 0}]
        assert lake.manifests() == []


def test_importing_newslake_is_light():
    heavy = ("pyarrow", "duckdb", "boto3", "scrapy", "airflow", "deltalake")
    code = f"import newslake, sys; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert said.stdout.strip() == "[]"
