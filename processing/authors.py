"""Who wrote an article: names as JSON-LD, meta tags, or the page's byline give them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml.html import HtmlElement
from trafilatura.metadata import extract_author

from processing.metadata import PageMetadata, names
from processing.texts import normalise_text

_AUTHOR_BREAK = re.compile(r"\s*(?:[,;|/•·]|\s(?:and|und|et|y|e|och|og|en|&)\s)\s*", re.IGNORECASE)
_BYLINE = re.compile(
    r"^\W*(?:(?:written|words|text|story|posted|reported)\s+by|by|von|par|por|di|door|av|af|autor|author|texte?)\b\s*:?\s+",
    re.IGNORECASE,
)
_BYLINE_LINES = 20
_BYLINE_LINE = re.compile(
    r"\W{0,3}(?:By|Von|Par|Por|Di|Door)\s((?:[^\W\d_][\w.'’-]*\s?){2,4}?)(?:\s?[,|•·–(]|$)"
)
_ADDRESS = re.compile(r"https?:|www\.", re.IGNORECASE)
_BRACKETED = re.compile(r"\s*\([^()]{0,80}\)")
_NO_NAME = re.compile(r"@|\d{3}|[{}<>]")
_ROLES = re.compile(
    r"(?:staff|senior|chief|political|sports?|freelance|special|news)?\s*"
    r"(?:writer|reporter|editor|correspondent|contributor|columnist|redakteur(?:in)?|journalist(?:e|in)?|admin(?:istrator)?|staff|author)",
    re.IGNORECASE,
)
_JR = re.compile(r",\s*(Jr|Sr|II|III|MD|M\.D|PhD|Ph\.D)\b\.?")


def read_authors(tree: HtmlElement, said: PageMetadata) -> tuple[list[str], list[str]]:
    """The persons who wrote the page, and the houses (sites, agencies) it names instead."""
    persons, houses = _stated(said)
    if not persons:
        line = extract_author(tree)
        persons = _names(line.split("; ") if line else [])
    return persons, houses


def read_byline(opening: list[str]) -> list[str]:
    """The names in the byline among a page's first lines."""
    for line in [line for line in opening if line.strip()][:_BYLINE_LINES]:
        match = _BYLINE_LINE.match(line.strip())
        if match:
            return _names([match[1]])
    return []


def _stated(said: PageMetadata) -> tuple[list[str], list[str]]:
    """The persons a page names in JSON-LD or meta tags, and the houses it names instead."""
    stated = [
        names(said.article.get("author")) or names(said.article.get("creator")),
        list(said.lists.get("author", ())) or list(said.lists.get("article:author", ())),
        [
            line
            for name in ("byl", "parsely-author", "sailthru.author", "dc.creator")
            if (line := said.first(name))
        ],
    ]
    sites = set(map(normalise_text, said.site_names))
    houses: list[str] = []
    for lines in stated:
        found = _names(lines)
        persons = [name for name in found if normalise_text(name) not in sites]
        if persons:
            return persons, houses
        houses = houses or found
    return [], houses


def _names(lines: Iterable[str]) -> list[str]:
    """People's names in author lines, each once: no "By", no roles, addresses or dates."""
    found: dict[str, str] = {}
    for line in lines:
        if _ADDRESS.search(line):
            continue
        bare = _BRACKETED.sub("", _JR.sub(r" \1", line))
        for part in _AUTHOR_BREAK.split(_BYLINE.sub("", bare)):
            name = _BYLINE.sub("", part).strip(" .,:-–—()\u200b")
            if 1 < len(name) <= 60 and not _NO_NAME.search(name) and not _ROLES.fullmatch(name):
                found.setdefault(normalise_text(name), name)
    return list(found.values())
