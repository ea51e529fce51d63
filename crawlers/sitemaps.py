"""Sitemaps and sitemap indexes (https://www.sitemaps.org/protocol.html), of news and in text.

Read a slice at a time, so that memory is bounded and damage stays where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, islice, pairwise
from typing import Any

from lxml import etree

from crawlers.listing import MAX_ENTRIES, Entry, absolute, one_line
from crawlers.markup import mended
from crawlers.moments import read_moment

_ENTRY = re.compile(rb"<(?:[\w.-]+:)?(?:url|sitemap)(?=[\s>])", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_LINE = re.compile(rb"\S+")
_ROBOTS_LINE = re.compile(rb"^[ \t]*sitemap[ \t]*:[ \t]*([^\s#]+)", re.IGNORECASE | re.MULTILINE)
_SLICE = 256 * 1024
_MOST = 4 * _SLICE  # an entry may be long, but not that long
# A prefix that a sitemap uses and does not declare is read as if it were one of its own.
_WRAPPER = b'<x xmlns:news="news" xmlns:image="image" xmlns:video="video" xmlns:xhtml="xhtml">'


def read_sitemap(body: bytes, url: str) -> Iterator[Entry]:
    """The entries of a sitemap or an index in UTF-8; also of one that is but lines of text."""
    cuts = [*_cuts(body), len(body)]
    slices = (body[start : min(end, start + _MOST)] for start, end in pairwise(cuts))
    places = chain.from_iterable(map(_places, slices))
    for place in islice(places, MAX_ENTRIES):
        entry = _entry(place, url)
        if entry:
            yield entry
    for line in _LINE.finditer(body) if len(cuts) == 1 else ():
        link = absolute(url, line[0].decode(errors="replace"))
        if link:
            yield Entry(link)


def read_robots(body: bytes, url: str) -> Iterator[Entry]:
    """The sitemaps that a robots.txt names (https://www.sitemaps.org/protocol.html#submit_robots).

    By its lines alone: what Protego makes of all agents and rules of a hostile file takes hours.
    """
    for line in _ROBOTS_LINE.finditer(body):
        link = absolute(url, line[1].decode(errors="replace"))
        if link:
            yield Entry(link)


def _cuts(body: bytes) -> Iterator[int]:
    """Where slices begin, each at an entry."""
    found = _ENTRY.search(body)
    while found:
        yield found.start()
        found = _ENTRY.search(body, found.start() + _SLICE)


def _places(piece: bytes) -> list[Any]:
    """The elements that are entries, those of a damaged slice read one by one."""
    piece = mended(_COMMENT.sub(b"", piece))
    parser = _parser()
    places = _children(piece, parser)
    if parser.error_log:
        starts = [found.start() for found in _ENTRY.finditer(piece)]
        if len(places) != len(starts):
            parts = (piece[start:end] for start, end in pairwise([*starts, len(piece)]))
            return [place for part in parts for place in _children(part, parser)[:1]]
    return places


def _children(piece: bytes, parser: etree.XMLParser) -> list[Any]:
    root = etree.fromstring(_WRAPPER + piece + b"</x>", parser)
    return [] if root is None else list(root)


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


_OWN = ("loc", "lastmod")
_NEWS = ("publication_date", "title", "keywords")


def _entry(place: Any, url: str) -> Entry | None:
    if _local(place.tag) not in ("url", "sitemap"):
        return None
    said: dict[str, str | None] = {}
    for child in place:
        name = _local(child.tag)
        if name == "news":
            for told in child:
                if (name := _local(told.tag)) in _NEWS:
                    said.setdefault(name, _content(told))
        elif name in _OWN:
            said.setdefault(name, _content(child))
    link = absolute(url, said.get("loc"))
    if not link:
        return None
    return Entry(
        url=link,
        title=one_line(said.get("title")),
        published=read_moment(said.get("publication_date") or ""),
        modified=read_moment(said.get("lastmod") or ""),
        tags=tuple(_keywords(said.get("keywords"))),
    )


@lru_cache(maxsize=256)
def _local(tag: object) -> str:
    """The tag without namespace or (undeclared) prefix, in lower case."""
    if not isinstance(tag, str):
        return ""
    return tag.rpartition("}")[2].rpartition(":")[2].lower()


def _content(element: Any) -> str | None:
    return "".join(element.itertext()) if len(element) else element.text


def _keywords(said: str | None) -> Iterator[str]:
    for keyword in (said or "").split(","):
        text = one_line(keyword)
        if text:
            yield text
