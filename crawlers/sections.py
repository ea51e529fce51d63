"""Section pages: which of their links lead to articles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from courlan import extract_domain
from courlan.filters import is_navigation_page, is_not_crawlable
from lxml import html as lxml_html

from crawlers.listing import Entry, absolute
from processing.urls import url_key

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""The most of a page that is read; a tree takes forty times that if it is all tags."""


def read_section(body: bytes, url: str) -> Iterator[Entry]:
    """The links of a page in UTF-8 that look like articles of its own site.

    Links in ``nav`` and ``footer`` do not count. Those marked sponsored or nofollow do, for
    within a site they often lead to articles of its own. Raises what lxml raises.
    """
    parser = lxml_html.HTMLParser(no_network=True, huge_tree=False, encoding="utf-8")
    root = lxml_html.document_fromstring(body[:MAX_PAGE_BYTES], parser=parser)
    declared = root.find(".//base[@href]")
    base = url if declared is None else absolute(url, declared.get("href")) or url
    own, here = _site(url), {url_key(url), url_key(base)}
    found: dict[str, Entry] = {}
    for link in root.iter("a"):
        target = absolute(base, (link.get("href") or "").partition("#")[0])
        if target is None or _site(target) != own or _in_furniture(link):
            continue
        key = url_key(target)
        text = _words(link)
        known = found.get(key)
        if key not in here and (known is None or len(text) > len(known.title or "")):
            found[key] = Entry(known.url if known else target, title=text or None)
    for entry in found.values():
        if _article_like(entry.url, entry.title or ""):
            yield entry


def _site(url: str) -> str | None:
    return extract_domain(url) or urlsplit(url).hostname


def _in_furniture(link: Any) -> bool:
    return any(True for _ in link.iterancestors("nav", "footer"))


def _words(link: Any) -> str:
    """A link's text, or how it is named for those who cannot see it."""
    for said in ("".join(map(str, link.itertext())), link.get("aria-label"), link.get("title")):
        text = " ".join((said or "").split())
        if text:
            return text
    return ""


_NEVER = re.compile(
    r"/(about|about-us|abo|account|advert\w*|agb|articlecomments|categor(?:y|ies)|kategorien?"
    r"|comments?(?=/?$)|contact\w*|cookies?\b[\w-]*|datenschutz\w*|faqs?|feeds?|help|hilfe|impressum"
    r"|imprint|jobs|kontakt|legal|login|logout|mediadaten|mentions-legales|(?:page|seite)/\d+"
    r"|privacy[\w-]*|profiles?|register|registrieren|rss|search|shop|signin|signup|sitemap|staff"
    r"|subscribe|subscription|suche|tags?|terms[\w-]*|ueber-uns|users?"
    r"|wp-(?:admin|content|json|login))(?=[/.?]|$)",
    re.IGNORECASE,
)
# Their front pages are none, but articles may lie below.
_SELDOM = re.compile(
    r"/(?:archives?|authors?|autor(?:en)?|calendar|events?|karriere|newsletters?|podcasts?|themen?"
    r"|thema|topics?|videos?)(?=[/.?]|$)",
    re.IGNORECASE,
)
_FILE = re.compile(
    r"\.(?:pdf|jpe?g|png|gif|webp|svg|mp[34]|m4a|ogg|webm|zip|gz|xml|rss|atom|json|css|js|ico"
    r"|docx?|xlsx?|pptx?)$",
    re.IGNORECASE,
)
_DATED = re.compile(r"/(?:19|20)\d\d[/-]?[01]?\d[/-]?|[-_/](?:19|20)\d{6}")
_NUMBERED = re.compile(r"(?<!\d)(?!(?:19|20)\d\d(?!\d))\d{4,}")  # a year alone is no number
_WIDE = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_IDS = ("aid", "article", "artid", "id", "news")


def _article_like(url: str, text: str) -> bool:
    """Whether an address and the words of its link look like an article's.

    Addresses with a date or a slug of many words speak for themselves; a number or a shorter
    slug needs a few words, anything else a headline.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if _NEVER.search(path) or _FILE.search(path) or is_not_crawlable(url):
        return False
    if not path.strip("/") and not parts.query:
        return False
    words = _slug_words(path)
    dated = bool(_DATED.search(path))
    if words >= 5 or (dated and words >= 2):
        return True
    numbered = dated or bool(_NUMBERED.search(path)) or _has_id(parts.query)
    # A letter of a script without spaces says as much as two.
    weight = len(text) + len(_WIDE.findall(text))
    if is_navigation_page(url.partition("?")[0]) or _SELDOM.search(path):
        return weight >= 30 and (numbered or words >= 3)
    return weight >= (15 if numbered else 22 if words >= 3 else 30)


def _slug_words(path: str) -> int:
    """How many words the slug has: the last part of a path, or that before a bare id."""
    parts = [re.sub(r"\.\w{2,5}$", "", part) for part in path.split("/") if part]
    counts = [
        sum(len(word) > 1 and not word.isdigit() for word in re.split(r"[-_+\s,]", part))
        for part in parts[-2:]
    ]
    if counts and counts[-1] < 2 and any(map(str.isdigit, parts[-1])):
        return max(counts)
    return counts[-1] if counts else 0


def _has_id(query: str) -> bool:
    pairs = parse_qsl(query)
    return any(said.isdigit() and (len(said) > 2 or name.lower() in _IDS) for name, said in pairs)
