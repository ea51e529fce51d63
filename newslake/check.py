"""A dry run of one source: what a crawl of it would store today, and why not the rest."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from crawlers.catalogue import Source
from newslake import objectstore, steps
from processing.exceptions import CrawlError
from processing.parquet import decode
from processing.records import run_id_of
from processing.storage import Store
from processing.tables import EXTRACTED
from processing.topics import classify, fast_chosen

SAMPLE = 20
"""Most articles that a check fetches: enough to judge a source, little enough to be polite."""


def check(source: Source, environ: Mapping[str, str]) -> tuple[list[dict[str, Any]], str | None]:
    """Crawl and extract a sample of ``source`` into a store thrown away afterwards.

    One row a URL discovered: ``source``, ``url``, ``state`` (``publishable`` where an article
    would be stored), ``detail``, and of articles title, authors, published_at and its source,
    language, topic, words. Beside them the reason when the source as a whole fails. Raises
    ConfigurationError on a wrong NEWSLAKE_TOPICS.
    """
    fast = fast_chosen(environ)
    with tempfile.TemporaryDirectory(prefix="newslake-check-") as folder:
        sampled = source.model_copy(update={"max_articles": min(source.max_articles, SAMPLE)})
        (Path(folder) / f"{source.id}.yaml").write_text(yaml.safe_dump(sampled.model_dump()))
        with objectstore.serving(Path(folder) / "home") as lake:
            own = {**environ, **lake, "NEWSLAKE_SOURCES": folder}
            run_id = run_id_of("check", source.id, datetime.now(UTC))
            reason = None
            try:
                steps.Crawl(own).run([source.id], run_id, 1)
            except CrawlError as error:
                reason = str(error)
            steps.extract([source.id], run_id, own)
            return _rows(Store.from_environment(own), source, run_id, fast=fast), reason


def _rows(store: Store, source: Source, run_id: str, *, fast: bool) -> list[dict[str, Any]]:
    staged = {
        name: decode(
            store.get(f"staged/run={run_id}/source={source.id}/{name}.parquet").data
        ).to_pylist()
        for name in ("coverage", "articles")
    }
    articles = {row["listed_url"]: row for row in staged["articles"]}
    return [_row(source, said, articles.get(said["url"]), fast=fast) for said in staged["coverage"]]


def _row(
    source: Source,
    said: Mapping[str, Any],
    article: Mapping[str, Any] | None,
    *,
    fast: bool,
) -> dict[str, Any]:
    row = {
        "source": source.id,
        "url": said["url"],
        "state": "publishable" if said["state"] == EXTRACTED else said["state"],
        "detail": said["detail"],
    }
    if article is not None:
        topic = classify(
            article["title"],
            article["text"],
            url=article["url"],
            section=article["section"],
            tags=tuple(article["tags"] or ()),
            language=article["language"],
            source_map=source.topics,
            fast=fast,
        )
        columns = ("title", "authors", "published_at", "published_source", "language", "word_count")
        row |= {name: article[name] for name in columns} | {"topic": topic.topic}
    return row
