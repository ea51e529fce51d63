"""From a fetched page to an article, or to the reason why it is none.

trafilatura finds the text, once per page, on a tree that is parsed once; what the page says
about itself is read from the same tree before. Pure: no network, no clock, and the same page
always gives the same article.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from urllib.parse import urlsplit

import trafilatura
from courlan import extract_domain
from lxml.html import HtmlElement

from processing.authors import read_authors, read_byline
from processing.charset import decode
from processing.cleaning import SiteTemplate, clean_text, prune
from processing.dates import date_article
from processing.language import detect_language
from processing.layout import modernise
from processing.metadata import LIVE_BLOG, PageMetadata, plain, read_metadata
from processing.records import Article, Hints, Page, Rejection, Rights, State
from processing.rejection import (
    Headlines,
    blocked,
    claims_article,
    is_list,
    linked_headlines,
    not_article,
    not_html,
    too_short,
)
from processing.rights import Statement, of_headers, of_json_ld, of_page, together
from processing.texts import content_hash, count_words
from processing.titles import MAX_TITLE, read_title
from processing.urls import url_id, url_key
from processing.wire import find_agency

__all__ = ["SiteTemplate", "extract"]

_SHORT = 500  # characters
_SMALL_SHARE = 0.2  # of the characters in a page's paragraphs
_PARAGRAPH = 60  # characters; shorter ones are labels, captions and buttons
_RESCUE = 0.5  # JSON-LD's articleBody replaces a text under half its length: +0.9 F1 on WCXB
_WORDS = re.compile(r"[^\W_]{3,}")
_SLUG = re.compile(r"\d|[^/-]+(?:-[^/-]+){2}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a page became, and the text found on it before it was cleaned.

    Sibling pages are compared by ``found``; it is empty where there is no article.
    """

    outcome: Article | Rejection
    found: str = ""


def extract(page: Page, template: SiteTemplate | None = None) -> Article | Rejection:
    """The article on a page, or why there is none. Never raises, whatever the bytes.

    ``template`` holds the lines known to recur over the pages of this host.
    """
    return read_page(page, template).outcome


def read_page(page: Page, template: SiteTemplate | None = None) -> Reading:
    """As ``extract``, with the text as it was found."""
    try:
        return _read(page, template)
    except Exception as error:  # the promise above: one bad page never costs the others
        detail = f"{type(error).__name__}: {error}".strip()[:200]
        detail = f"the extractor failed with {detail}"
        return Reading(Rejection(State.FAILED_EXTRACTION, detail))


def _read(page: Page, template: SiteTemplate | None) -> Reading:
    if page.status >= 400:
        detail = f"the page was sent with status {page.status}"
        return Reading(Rejection(State.FAILED_HTTP, detail))
    rejection = not_html(page)
    if rejection:
        return Reading(rejection)
    tree = trafilatura.load_html(decode(page.body, page.headers.get("content-type")))
    if tree is None:
        return Reading(Rejection(State.REJECTED_NOT_HTML, "the body is no HTML document"))
    said = read_metadata(tree, page.url)
    rights = _rights(tree, said, page)
    hints = Hints.of(page.hints)
    headings = [text for h1 in tree.iter("h1") if (text := plain("".join(h1.itertext())))]
    dating = date_article(tree, said, hints, page.fetched_at)
    headline = modernise(tree)
    if headline and not headings:
        headings = [headline]
    title = read_title(tree, said, hints, headings)
    known_titles = [title, said.headline, said.first("og:title"), hints.title, *headings]

    persons, houses = read_authors(tree, said)
    claims = claims_article(said)
    headlines = Headlines(0) if claims else linked_headlines(tree)  # counted before they are pruned
    prune(tree)
    found = _engine_text(tree, page.url)
    opening = found.split("\n") if headline is None else [*map(str, tree.itertext())]
    authors = persons or read_byline(opening) or houses
    if count_words(found) < _RESCUE * count_words(said.body):
        found = said.body
    proper = template.without(found) if template else found
    text = clean_text(proper, [t for t in known_titles if t])
    shown = _visible(tree, text)
    rejection = (
        # A consent layer lies over a front as well; what it lies over tells more.
        (None if is_list(said.url, text, headlines) else blocked(title, text, shown, claims=claims))
        or not_article(said, text, headlines)
        or too_short(text, tree, said.is_accessible_for_free)
    )
    if rejection:
        return Reading(rejection)
    canonical = _trusted_canonical(said, title)
    article = Article(
        id=url_id(_key(canonical or page.url)),
        url=page.url,
        canonical_url=canonical,
        source=page.source,
        title=title or text.partition("\n")[0][:MAX_TITLE],
        authors=tuple(authors),
        published_at=dating.published_at,
        published_source=dating.published_source,
        published_precision=dating.published_precision,
        modified_at=dating.modified_at,
        first_seen_at=page.fetched_at,
        fetched_at=page.fetched_at,
        language=detect_language(
            text,
            said.language,
            plain(said.article.get("inLanguage")),
            said.first("og:locale", "content-language", "language"),
        ),
        section=said.section or hints.section,
        tags=(*((LIVE_BLOG,) if said.is_live_blog else ()), *(said.tags or hints.tags)),
        summary=said.summary,
        text=text,
        word_count=count_words(text),
        image_url=said.image_url,
        is_accessible_for_free=said.is_accessible_for_free,
        wire=find_agency([*authors, *houses], text, found),
        rights=rights,
        content_hash=content_hash(text),
        extractor=extractor() if proper == found or not template else cleaned_by(template),
    )
    return Reading(article, found)


SITE_TEMPLATE = "+site-template/"
"""What follows the extractor of a page whose lines a site template has cleaned."""


@cache
def extractor() -> str:
    """Name and version of what extracts: equal where the same page gives the same article."""
    return f"newslake/{version('newslake')}+trafilatura/{version('trafilatura')}"


def cleaned_by(template: SiteTemplate) -> str:
    """The extractor of a page from which lines of ``template`` were taken."""
    return f"{extractor()}{SITE_TEMPLATE}{template.version}"


def _rights(tree: HtmlElement, said: PageMetadata, page: Page) -> Rights:
    """What page, response and site said, in this order."""
    return together(
        of_page(tree, page.url),
        of_json_ld(said.article),
        of_headers(page.headers),
        Statement.from_json(page.rights),
    ).rights


def _engine_text(tree: HtmlElement, url: str) -> str:
    """The text by the engine alone, and by its comparison with others where that is doubtful.

    The comparison costs a third of all extraction. On news it takes more than it gives (F1 points
    on text_news_aeb, fundus_dev, wcxb: -0.3, +0.1, 0.0); where the engine finds little of a page
    with many paragraphs, it finds the text.
    """
    found = _found(tree, url, fast=True)
    if len(found) >= _SHORT and len(found) >= _SMALL_SHARE * _paragraphs(tree):
        return found
    return _found(tree, url, fast=False)


def _found(tree: HtmlElement, url: str, *, fast: bool) -> str:
    document = trafilatura.bare_extraction(
        tree, url=url, include_comments=False, with_metadata=False, fast=fast
    )
    return getattr(document, "text", None) or ""


def _paragraphs(tree: HtmlElement) -> int:
    """Characters in the page's paragraphs."""
    lengths = [len(p.text_content().strip()) for p in tree.iter("p")]
    return sum(length for length in lengths if length > _PARAGRAPH)


def _visible(tree: HtmlElement, text: str) -> str:
    """What a reader of a page without much text sees: needed to tell a wall from a stub."""
    if count_words(text) > 100:
        return ""
    shown = [
        element.text or ""
        for element in tree.iter()
        if isinstance(element.tag, str) and element.tag not in ("script", "style", "template")
    ]
    return " ".join(" ".join(shown).split())[:5000]


def _trusted_canonical(said: PageMetadata, title: str) -> str | None:
    """The page's canonical URL when it can be an article's, never a home page or a section."""
    if not said.canonical:
        return None
    here, there = urlsplit(said.url), urlsplit(said.canonical)
    try:
        url_key(said.canonical)
        same_site = _site(here.hostname or "") == _site(there.hostname or "")
    except ValueError:
        return None
    own_depth, depth = (len(p.path.strip("/").split("/")) for p in (here, there))
    is_page = bool(there.path.strip("/")) or bool(there.query)
    if not is_page or (same_site and depth < own_depth - 1):
        return None
    if same_site or (_SLUG.search(there.path) and _same_story(here.path, there.path, title)):
        return said.canonical
    return None


def _same_story(here: str, there: str, title: str) -> bool:
    """Whether an address elsewhere, a partner's or the agency's, names this page's story."""
    known = set(_WORDS.findall(f"{here} {title}".casefold()))
    named = set(_WORDS.findall(there.casefold()))
    return bool(named) and 2 * len(named & known) >= len(named)


def _key(url: str) -> str:
    """The URL's key; a page saved on disk may have none, then its address is its own key."""
    try:
        return url_key(url)
    except ValueError:
        return url


def _site(host: str) -> str:
    return extract_domain(f"http://{host}/") or host
