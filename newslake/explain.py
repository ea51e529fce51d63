"""Why an article has its topic: what the lake says, and what sections and models say today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crawlers import catalogue
from newslake.configuration import sources_directory
from newslake.reader import Lake
from processing.exceptions import UnknownArticle
from processing.topic_models import version
from processing.topics import classify, fast_chosen


def explain(lake: Lake, target: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The topic of what is published under an id or URL, today's, and the evidence for that.

    Raises UnknownArticle when nothing is published there, ConfigurationError on what is neither
    id nor URL.
    """
    row = lake.article(target)
    if row is None:
        raise UnknownArticle(
            f"nothing is published under {target}; take an id or url of the table articles"
        )
    declared = catalogue.load(sources_directory(environ)).sources.get(row["source"])
    return explain_row(row, declared.topics if declared else {}, environ)


def explain_row(
    row: Mapping[str, Any], source_map: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, Any]:
    """The same of a row of articles, copies or revisions, by its source's map of sections."""
    said = classify(
        row["title"],
        row["text"],
        url=row["url"],
        section=row["section"],
        tags=row["tags"] or (),
        language=row["language"],
        source_map=source_map,
        fast=fast_chosen(environ),
    )
    return {
        **{name: row[name] for name in ("id", "url", "title", "section")},
        "stored": {name: row[name] for name in ("topic", "topic_score", "topic_method")},
        "today": {"topic": said.topic, "topic_score": said.score, "topic_method": said.method},
        "evidence": list(said.evidence),
        "topics": [{"topic": each.topic, "score": each.score} for each in said.topics],
        "models": version(),
    }


def lines(said: Mapping[str, Any]) -> Iterator[str]:
    """The same for a person to read."""
    yield said["title"]
    yield f"  {said['url']}"
    for name in ("stored", "today"):
        held = said[name]
        score = "" if held["topic_score"] is None else f", score {held['topic_score']:.2f}"
        yield f"{name}: {held['topic']} ({held['topic_method']}{score})"
    yield from (f"  {line}" for line in said["evidence"])
    guesses = ", ".join(f"{each['topic']} {each['score']:.2f}" for each in said["topics"])
    yield f"candidates: {guesses or 'none'}"
    yield f"topic models: {said['models']}"
