"""Reading a real lake: filters, increments, SQL that reaches nothing else."""

from __future__ import annotations

import io
import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest

import newslake
from newslake.reader import Lake
from processing.exceptions import ConfigurationError, LakeFormatError, QueryError, StoreError
from processing.publishing import RunFacts, publish
from processing.records import KNOWN, Article
from processing.storage import Store
from processing.tables import ARTICLES, EXTRACTED, STAGED_ARTICLES, STAGED_COVERAGE, to_table
from processing.texts import content_hash, count_words
from processing.urls import url_id, url_key

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (f"202611{n}T120000Z-abcdef" for n in (11, 12, 13))


def article(path: str, text: str, published_at: datetime = NOON, **more: object) -> Article:
    url = f"https://herald.example{path}"
    fetched = datetime(2026, 11, 11, 12, tzinfo=UTC)
    return Article(
        id=url_id(url_key(url)),
        url=url,
        title="A title",
        text=text,
        source="herald",
        published_at=published_at,
        published_source="json-ld",
        first_seen_at=fetched,
        content_hash=content_hash(text),
        word_count=count_words(text),
        extractor="test",
        **{"fetched_at": fetched, **more},
    )


def published(store: Store, run_id: str, *articles: Article, finished: datetime) -> None:
    day = datetime.strptime(run_id[:8], "%Y%m%d").date()
    rows = [{**one.to_row(), "listed_url": one.url} for one in articles]
    said = [(one.url, EXTRACTED) for one in articles]
    said += [("https://herald.example/old", KNOWN), ("https://herald.example/no", "failed-http")]
    coverage = [
        {"run_id": run_id, "source": "herald", "url": url, "state": state, "at": NOON, "date": day}
        for url, state in said
    ]
    for name, table in (
        ("articles", to_table(rows, STAGED_ARTICLES)),
        ("coverage", to_table(coverage, STAGED_COVERAGE)),
    ):
        sink = io.BytesIO()
        pq.write_table(table, sink)
        store.put(f"staged/run={run_id}/source=herald/{name}.parquet", sink.getvalue())
    facts = RunFacts(run_id, ("herald",), NOON, {"herald": {"/sport/": "sport"}}, {}, {})
    publish(store, facts, clock=lambda: finished)


@pytest.fixture(scope="module")
def lake(object_store: dict[str, str]) -> Iterator[Lake]:
    """Two runs: the first brought three articles, the second a copy and a new text of /a."""
    bucket = f"s3://test-{secrets.token_hex(8)}"
    store = Store.from_environment({**object_store, "NEWSLAKE_LAKE": bucket})
    store.ensure_bucket()
    published(
        store,
        FIRST,
        article("/a", "Text of a."),
        article("/sport/b", "Text of b."),
        article("/c", "Text of c.", NOON + timedelta(days=1)),
        finished=NOON + timedelta(days=2),
    )
    later = NOON + timedelta(days=3)
    published(
        store,
        SECOND,
        article("/a", "Text of a, with more.", fetched_at=later),
        article("/b-again", "Text of b.", later, fetched_at=later),
        finished=later,
    )
    with Lake(store) as opened:
        yield opened


def paths(table) -> list[str]:
    return sorted(url.partition("example")[2] for url in table["url"].to_pylist())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["/a", "/c", "/sport/b"]),
        ({"date": "2026-11-10"}, ["/a", "/sport/b"]),
        ({"date": date(2026, 11, 11)}, ["/c"]),
        ({"date": ("2026-11-10", "2026-11-11")}, ["/a", "/c", "/sport/b"]),
        ({"date": ("2026-11-12", "2026-11-30")}, []),
        ({"topic": "sport"}, ["/sport/b"]),
        ({"topic": ["sport", "unclassified"], "date": "2026-11-10"}, ["/a", "/sport/b"]),
        ({"since_run": FIRST}, ["/a"]),
        ({"since_run": SECOND}, []),
    ],
)
def test_articles_are_chosen_by_date_topic_and_run(lake, asked, expected):
    table = lake.articles(**asked)
    assert paths(table) == expected
    assert table.schema.names == ARTICLES.names


def test_since_run_follows_the_order_of_finishing_not_of_starting(store):
    published(store, SECOND, article("/a", "Text a."), finished=NOON + timedelta(days=2))
    published(store, FIRST, article("/b", "Text b."), finished=NOON + timedelta(days=9))
    with Lake(store) as lake:
        assert paths(lake.articles(since_run=SECOND)) == ["/b"]
        assert paths(lake.articles(since_run=FIRST)) == []
        assert [m["run_id"] for m in lake.manifests()] == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"date": "10.11.2026"}, "10.11.2026"),
        ({"topic": "sports"}, "did you mean 'sport'"),
        ({"since_run": THIRD}, THIRD),
    ],
)
def test_what_does_not_exist_is_refused_and_not_empty(lake, asked, named):
    with pytest.raises(ConfigurationError, match=named):
        lake.articles(**asked)


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
    assert [r["n"] for r in lake.sql(states).to_pylist()] == [1, 2, 3, 1]


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


def test_open_lake_takes_an_address_and_the_environment(lake, lake_env, monkeypatch):
    for name, value in lake_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEWSLAKE_LAKE", lake.url)
    with newslake.open_lake() as by_environment:
        assert by_environment.articles().num_rows == 3
    monkeypatch.setenv("NEWSLAKE_LAKE", "s3://elsewhere")
    with newslake.open_lake(lake.url) as by_address:
        assert by_address.url == lake.url
        assert by_address.articles().num_rows == 3


def test_open_lake_says_when_nothing_is_there_or_too_new(store, lake_env, monkeypatch):
    for name, value in lake_env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match="no lake is at s3://not-made"):
        newslake.open_lake("s3://not-made")
    store.put("lake.json", b'{"format_version": 99}')
    with pytest.raises(LakeFormatError, match="99"):
        newslake.open_lake()


def test_a_lake_without_rows_reads_as_empty(store):
    store.put("lake.json", b'{"format_version": 1}')
    with Lake(store) as lake:
        assert lake.articles(date="2026-11-10").num_rows == 0
        assert lake.sql("SELECT count(*) AS n FROM coverage").to_pylist() == [{"n": 0}]
        assert lake.manifests() == []


def test_importing_newslake_is_light():
    heavy = ("pyarrow", "duckdb", "boto3", "scrapy", "airflow", "deltalake")
    code = f"import newslake, sys; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert said.stdout.strip() == "[]"
