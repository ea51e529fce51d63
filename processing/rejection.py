"""What is no article, told without a model: not HTML, a bot check, a front page, a stub.

Every rule errs towards keeping: of 344 labelled news pages one is rejected, whose text the engine
does not find.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from processing.metadata import PageMetadata
from processing.phrases import CHECKS, CONSENT, ERRORS, SCRIPT
from processing.records import Page, Rejection, State
from processing.texts import count_words, normalise_text

MINIMUM_WORDS = 25
"""A floor by choice: the shortest of 344 labelled news texts has 64, and briefs have fewer."""
_BRIEF_WORDS = 60

_HTML_TYPES = ("text/html", "application/xhtml", "text/plain", "application/xml", "text/xml")
_BINARY = (
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"RIFF", "a media file"),
    (b"\x00\x00\x00", "a media file"),
)
_FEED = re.compile(
    rb"\s*(?:<\?xml[^>]*>)?\s*(?:<!--.{0,500}?-->\s*)?<(?:rss|feed|urlset|sitemapindex|rdf:RDF)\b",
    re.S,
)
_JSON = re.compile(rb"\s*[\[{]\s*[\"{\[\]}]")
_MARKUP = re.compile(rb"<\s*[a-zA-Z!]")

_SHORT_PAGE = 400  # words: checks, walls and error pages say little; articles about them say more
_WALL_WORDS = 75  # a page with more text than this and a word about robots is about robots
_FRONT_TYPES = {
    "CollectionPage",
    "SearchResultsPage",
    "ImageGallery",
    "MediaGallery",
    "VideoGallery",
    "ProfilePage",
    "ContactPage",
}
_INDEX_WORDS = 90
_INDEX_LINKS = 4
_HEADLINE_WORDS = 5
_TEASER_WORDS = 45


def not_html(page: Page) -> Rejection | None:
    """A rejection when the body is no HTML document, by its type and its bytes."""
    kind = page.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not kind.startswith(_HTML_TYPES):
        return Rejection(State.REJECTED_NOT_HTML, f"the content type is {kind[:80]}")
    if not page.body.strip():
        return Rejection(State.REJECTED_NOT_HTML, "the body is empty")
    found = _other_format(page.body)
    return Rejection(State.REJECTED_NOT_HTML, f"the body is {found}") if found else None


def _other_format(body: bytes) -> str | None:
    for magic, name in _BINARY:
        if body.startswith(magic):
            return name
    if _FEED.match(body[:2000]):
        return "a feed or sitemap"
    if _JSON.match(body[:200]):
        return "JSON"
    wide = body.startswith((b"\xff\xfe", b"\xfe\xff"))
    return None if wide or _MARKUP.search(body) else "plain text without markup"


def claims_article(said: PageMetadata) -> bool:
    """Whether the page calls itself an article, in JSON-LD or og:type."""
    return bool(said.article) or said.first("og:type") == "article"


def blocked(title: str, text: str, visible: str, *, claims: bool) -> Rejection | None:
    """A rejection when the page stands in front of the article instead of being it.

    ``text`` is what was extracted, ``visible`` all that a reader would see; ``claims`` is
    whether the page calls itself an article.
    """
    words = count_words(text)
    if words >= _SHORT_PAGE:
        return None
    few = words < _WALL_WORDS
    shown = f"{title}\n{text[:1500]}\n{visible[:3000]}" if few else ""
    for pattern, detail in ((CHECKS, "a bot check"), (CONSENT, "a consent wall")):
        if pattern.search(shown) or (not claims and pattern.search(title)):
            return Rejection(State.REJECTED_BLOCKED, f"{detail} stands where the article should be")
    if SCRIPT.search(shown):
        return Rejection(State.REJECTED_BLOCKED, "the page needs JavaScript to show its text")
    if (few or not claims) and (ERRORS.search(title) or ERRORS.search(text[:200])):
        return Rejection(State.REJECTED_BLOCKED, "an error page that was sent as a success")
    return None


def not_article(said: PageMetadata, text: str, headlines: int) -> Rejection | None:
    """A rejection when the page lists articles, or is a gallery or the home page.

    A page that calls itself an article (JSON-LD or og:type) is believed. ``headlines`` is the
    page's count of linked headlines, as ``linked_headlines`` finds it.
    """
    parts = urlsplit(said.url)
    home = parts.path.strip("/") in ("", "index.html", "index.php") and not parts.query
    if home and not said.article.get("datePublished"):
        return Rejection(State.REJECTED_NOT_ARTICLE, "the home page of a site")
    if claims_article(said):
        return None
    front = sorted(said.types & _FRONT_TYPES)
    if front:
        return Rejection(State.REJECTED_NOT_ARTICLE, f"the page calls itself {front[0]}")
    if _is_list(text, headlines):
        return Rejection(State.REJECTED_NOT_ARTICLE, "a list of links with teasers, not one text")
    return None


def linked_headlines(tree: HtmlElement) -> int:
    """How many headings and list items of a page are a link of some words."""
    return sum(_is_headline_link(item) for item in tree.iter("h2", "h3", "h4", "li"))


def too_short(text: str, tree: HtmlElement) -> Rejection | None:
    """A rejection when too little text was found to call it an article.

    Of a short text only what stands in the page's own paragraphs counts, where it has any: on a
    page without a report the engine gathers buttons and labels into one.
    """
    words = count_words(text)
    if words < _BRIEF_WORDS:
        whole = normalise_text(text)
        own = [p for p in map(_said, tree.iter("p")) if p and normalise_text(p) in whole]
        words = min(words, sum(map(count_words, own))) if own else words
    if words >= MINIMUM_WORDS:
        return None
    return Rejection(State.REJECTED_TOO_SHORT, f"{words} words of text, fewer than {MINIMUM_WORDS}")


def _said(element: HtmlElement) -> str:
    return " ".join("".join(map(str, element.itertext())).split())


def _is_list(text: str, headlines: int) -> bool:
    """Whether there are headlines with links and hardly more than a teaser below each."""
    words = [count_words(line) for line in text.split("\n") if line.strip()]
    if sum(words) < _INDEX_WORDS:
        return headlines >= _INDEX_LINKS
    return headlines >= max(_INDEX_LINKS, len(words)) and max(words) < _TEASER_WORDS


def _is_headline_link(item: HtmlElement) -> bool:
    link = item.getparent() if _in_link(item) else item.find(".//a")
    return link is not None and len(" ".join(link.itertext()).split()) >= _HEADLINE_WORDS


def _in_link(heading: HtmlElement) -> bool:
    parent = heading.getparent()
    return parent is not None and parent.tag == "a"
