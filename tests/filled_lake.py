"""A lake filled through the real publisher, for tests of those who read it."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq

from processing.publishing import RunFacts, publish
from processing.records import KNOWN, Article, run_day
from processing.storage import Store
from processing.tables import EXTRACTED, STAGED_ARTICLES, STAGED_COVERAGE, to_table
from processing.texts import content_hash, count_words
from processing.urls import url_id, url_key

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (f"202611{n}T120000Z-abcdef" for n in (11, 12, 13))


def article(path: str, text: str, published_at: datetime = NOON, **more: object) -> Article:
    """An article of herald.example."""
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
    """Publish a run that met these articles, a page known before, and one that failed."""
    rows = [{**one.to_row(), "listed_url": one.url} for one in articles]
    said = [(one.url, EXTRACTED) for one in articles]
    said += [("https://herald.example/old", KNOWN), ("https://herald.example/no", "failed-http")]
    day = run_day(run_id)
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
    topics = {"herald": {"/": "politics", "/sport/": "sport"}}
    facts = RunFacts(run_id, ("herald",), NOON, topics, {}, {})
    publish(store, facts, clock=lambda: finished)


def fill(store: Store) -> None:
    """Two runs: the first brought four articles, the second a copy and a new text of /a."""
    published(
        store,
        FIRST,
        article("/a", "Text of a."),
        article("/sport/b", "Text of b."),
        article("/c", "Text of c.", NOON + timedelta(days=1)),
        article("/d", "Text of d, which lies in the same file as a."),
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
