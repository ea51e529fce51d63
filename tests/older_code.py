"""An extractor as an older release might have been; importable by name in a worker's process.

What it does to a page is told by the page's address.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from processing.cleaning import SiteTemplate
from processing.extraction import Reading, extract
from processing.records import Article, Page, Rejection, State
from processing.texts import content_hash, count_words
from processing.urls import url_id, url_key

OLD = "older/0.1"
ONE_TEXT = "The same few words were all that the older code ever found on either of the pages."


def older(page: Page, _: SiteTemplate | None) -> Reading:
    """Misses, cuts, mislabels and makes up articles; knows no site templates."""
    return Reading(_older(page))


def _older(page: Page) -> Article | Rejection:
    made = extract(page)
    if "/missed" in page.url:
        return Rejection(State.REJECTED_NOT_ARTICLE, "the older code saw no article")
    if isinstance(made, Rejection):
        return _made_up(page) if "/stub" in page.url else made
    if "/cut" in page.url:
        made = _with_text(made, made.text.partition("\n")[0])
        made = replace(made, title=f"{made.title} | Herald", section=None, tags=())
    if "/early" in page.url and made.published_at:
        made = replace(made, published_at=made.published_at - timedelta(days=2))
    if "/one-text" in page.url:
        made = _with_text(made, ONE_TEXT)
    return replace(made, extractor=OLD)


def _with_text(article: Article, text: str) -> Article:
    return replace(
        article, text=text, content_hash=content_hash(text), word_count=count_words(text)
    )


def _made_up(page: Page) -> Article:
    text = ONE_TEXT if "/stub-one-text" in page.url else f"A stub found at {page.url} on that day."
    return Article(
        id=url_id(url_key(page.url)),
        url=page.url,
        title="A stub",
        text=text,
        source=page.source,
        published_at=page.fetched_at - timedelta(hours=5),
        published_source="html",
        published_precision="second",
        fetched_at=page.fetched_at,
        first_seen_at=page.fetched_at,
        content_hash=content_hash(text),
        word_count=count_words(text),
        extractor=OLD,
    )


def without_rights(page: Page, _: SiteTemplate | None) -> Reading:
    """Reads everything but what the publisher reserves."""
    made = extract(page)
    return Reading(made if isinstance(made, Rejection) else replace(made, rights=None))


def failing(page: Page, _: SiteTemplate | None) -> Reading:
    """Never gets done with a page."""
    raise RuntimeError(f"no memory for {page.url}")
