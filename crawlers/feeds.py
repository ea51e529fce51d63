"""Feeds: RSS, Atom and RDF by fastfeedparser with feedparser behind it, and JSON Feed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from html import unescape
from io import BytesIO
from typing import Any
from xml.parsers import expat

import fastfeedparser  # type: ignore[import-untyped]
import feedparser  # type: ignore[import-untyped]

from crawlers.listing import Entry, absolute, one_line
from crawlers.markup import find_root, mended
from crawlers.moments import read_moment

MAX_FEED_BYTES = 4 * 1024 * 1024
"""The most of a feed that is read: ten times the largest of 219 real ones."""

_MOST_PATIENT = 1024 * 1024  # feedparser may take seconds for a hostile megabyte
_FEW = 4
_MARK = re.compile(rb"<(?:[\w.-]+:)?(?:item|entry)(?=[\s>/])", re.IGNORECASE)


def read_feed(body: bytes, url: str, usual: int = 0) -> list[Entry]:
    """The entries of a feed in UTF-8, as many as can be read of a damaged one.

    ``usual`` is how many it showed last time, 0 when that is not known. Raises what json and
    feedparser raise.
    """
    body = body[:MAX_FEED_BYTES]
    if body.lstrip().startswith(b"{"):
        return list(_json_entries(json.loads(body), url))
    root, start = find_root(body) or ("", 0)
    dates = _Dates()
    body = b'<?xml version="1.0" encoding="utf-8"?>' + dates.in_order(mended(body[start:]))
    atom = root in ("feed", "entry")
    entries = []
    if not _only_feedparser_reads(body):
        try:
            entries = list(_entries(_by_fastfeedparser(body), url, dates, atom))
        except Exception:  # its errors are not all ValueError
            entries = []
    named = sum(1 for _ in _MARK.finditer(body))
    damaged = not _well_formed(body)
    if damaged or not entries or len(entries) < max(named, usual / 2 if usual >= _FEW else 0):
        patient = list(_entries(_by_feedparser(body), url, dates, atom))
        if len(patient) > len(entries) - damaged:
            entries = patient
    return entries


def _well_formed(body: bytes) -> bool:
    try:
        expat.ParserCreate().Parse(body, True)
    except expat.ExpatError:
        return False
    return True


_ORIGINAL = re.compile(rb"<[\w.-]+:origLink[\s>]", re.IGNORECASE)
_RELATIVE = re.compile(rb"<(?:[\w.-]+:)?link\s[^<>]{0,500}?href\s*=\s*[\"'](?!\w+:)", re.IGNORECASE)


def _only_feedparser_reads(body: bytes) -> bool:
    """Whether links hang on what fastfeedparser leaves out: FeedBurner's origLink, xml:base."""
    if _ORIGINAL.search(body):
        return True
    return b"xml:base" in body and _RELATIVE.search(body) is not None


def _by_fastfeedparser(body: bytes) -> Mapping[str, Any]:
    said: Mapping[str, Any] = fastfeedparser.parse(
        body, include_content=False, include_media=False, include_enclosures=False
    )
    return said


def _by_feedparser(body: bytes) -> Mapping[str, Any]:
    # BytesIO, since feedparser would fetch a string that looks like an address.
    said: Mapping[str, Any] = feedparser.parse(
        BytesIO(body[:_MOST_PATIENT]), sanitize_html=False, resolve_relative_uris=False
    )
    return said


_DATE = re.compile(
    rb"(?P<start><(?:[\w.-]+:)?(?:pubdate|published|issued|created|date"
    rb"|(?P<modified>updated|modified|lastbuilddate))(?:\s[^<>]{0,200})?>)"
    rb"\s*(?:<!\[CDATA\[)?(?P<text>[^<>\]]{0,200})(?:\]\]>)?(?=\s*</)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Dates:
    """The dates a feed states, by the form in which its readers meet them.

    fastfeedparser guesses where it cannot read: by the clock, a month for a day, a date from an
    item's number. So each date is put into ISO 8601 first, and what a reader hands back counts
    only if it is one of these.
    """

    published: dict[object, datetime | date] = field(default_factory=dict)
    modified: dict[object, datetime | date] = field(default_factory=dict)

    def in_order(self, body: bytes) -> bytes:
        return _DATE.sub(self._put_in_order, body)

    def _put_in_order(self, found: re.Match[bytes]) -> bytes:
        start: bytes = found["start"]
        moment = read_moment(unescape(found["text"].decode(errors="replace")))
        if moment is None:
            return start
        form = moment.isoformat() + ("" if isinstance(moment, datetime) else "T00:00:00+00:00")
        (self.modified if found["modified"] else self.published)[form] = moment
        return start + form.encode()


def _entries(feed: Mapping[str, Any], url: str, dates: _Dates, atom: bool) -> Iterator[Entry]:
    base = absolute(url, (feed.get("feed") or {}).get("link")) or url
    for place in feed.get("entries") or ():
        said = dict(place)  # feedparser's own mapping gives the publication for a missing update
        link = next(filter(None, (absolute(base, link) for link in _links(said, atom))), None)
        if link:
            published, updated = said.get("published"), said.get("updated")
            yield Entry(
                url=link,
                title=_title(said.get("title")),
                # feedparser calls dc:date an update.
                published=dates.published.get(published) or dates.published.get(updated),
                modified=dates.modified.get(updated),
                tags=tuple(_tags(said.get("tags"))),
            )


def _links(said: Mapping[str, Any], atom: bool) -> Iterator[object]:
    """Where an entry's page may be, the likeliest first (RFC 4287, 4.2.7; RSS 2.0, item)."""
    yield said.get("feedburner_origlink")
    pages = [link for link in said.get("links") or () if link.get("rel") in _PAGE]
    for link in sorted(pages, key=lambda link: "html" not in (link.get("type") or "html")):
        yield link.get("href")
    if not atom:  # there it may be the entry's feed, its comments or its sound
        yield said.get("link")
    yield said["id"] if _web(said.get("id")) else None


_PAGE = (None, "", "alternate")


def _web(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(("http://", "https://"))


_TAG = re.compile(r"<[^<>]{0,500}>")


def _title(value: object) -> str | None:
    """A title without the markup and the entities that some feeds put into it."""
    if not isinstance(value, str):
        return None
    return one_line(unescape(_TAG.sub("", value)))


def _tags(said: Any) -> Iterator[str]:
    for tag in said if isinstance(said, list) else ():
        name = tag.get("term") or tag.get("label") if isinstance(tag, Mapping) else tag
        text = one_line(name)
        if text:
            yield text


def _json_entries(feed: Any, url: str) -> Iterator[Entry]:
    """https://www.jsonfeed.org/version/1.1/; items that are not what they should be are left."""
    items = feed.get("items")
    for said in items if isinstance(items, list) else ():
        if not isinstance(said, dict):
            continue
        name = said.get("id")
        link = absolute(url, said.get("url")) or (absolute(url, name) if _web(name) else None)
        if link:
            yield Entry(
                url=link,
                title=_title(said.get("title")),
                published=_moment(said.get("date_published")),
                modified=_moment(said.get("date_modified")),
                tags=tuple(_tags(said.get("tags"))),
            )


def _moment(value: object) -> datetime | date | None:
    return read_moment(value) if isinstance(value, str) else None
