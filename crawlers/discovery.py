"""What a listing names: feeds, sitemaps, sitemap indexes and section pages, told by content.

Listings come from strangers and are often damaged, so every reader takes what can be read
and none raises.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from itertools import islice

from crawlers.feeds import read_feed
from crawlers.listing import MAX_ENTRIES, Entry, Kind, Listing
from crawlers.markup import as_utf8, find_root
from crawlers.sections import read_section
from crawlers.sitemaps import read_robots, read_sitemap

__all__ = ["MAX_LISTING_BYTES", "Entry", "Kind", "Listing", "read_listing"]

MAX_LISTING_BYTES = 64 * 1024 * 1024
"""The most a listing may hold, compressed or not; a sitemap may hold 50 MB by its protocol."""


def read_listing(
    body: bytes, url: str, headers: Mapping[str, str] | None = None, *, usual: int = 0
) -> Listing:
    """The entries of a feed (RSS, Atom, RDF, JSON), sitemap, sitemap index or section page.

    A robots.txt is an index of the sitemaps that it names.

    ``url`` is where it was read; relative links hang on it. ``headers`` are the response's (the
    content type breaks ties; names in any case). ``usual`` is how many entries it named last
    time, 0 when that is not known: a feed that seems to name far fewer is read more patiently.
    Gzip'ed bodies are unpacked, at most 64 MB of them. Never raises: what is none of these is
    ``Kind.UNKNOWN`` without entries.
    """
    declared = {name.lower(): value for name, value in (headers or {}).items()}
    content_type = declared.get("content-type", "").lower()
    body = as_utf8(_unpacked(body), content_type)
    kind = Kind.SITEMAP_INDEX if _ROBOTS.fullmatch(url) else _kind(body, content_type)
    found: dict[str, Entry] = {}
    with suppress(Exception):  # whatever a parser raises over strangers' bytes
        for entry in islice(_entries(kind, body, url, usual), MAX_ENTRIES):
            known = found.get(entry.url)
            found[entry.url] = known.joined(entry) if known else entry
    return Listing(kind, tuple(found.values()))


_KINDS = {
    "urlset": Kind.SITEMAP,
    "url": Kind.SITEMAP,
    "sitemapindex": Kind.SITEMAP_INDEX,
    "sitemap": Kind.SITEMAP_INDEX,
    "rss": Kind.FEED,
    "rdf": Kind.FEED,
    "feed": Kind.FEED,
    "channel": Kind.FEED,
    "item": Kind.FEED,
    "entry": Kind.FEED,
    "html": Kind.SECTION,
    "head": Kind.SECTION,
    "body": Kind.SECTION,
}
_ADDRESSES = re.compile(rb"(?:https?://[^\s<>\"]++\s*+)++", re.IGNORECASE)
_ROBOTS = re.compile(r"https?://[^/]+/robots\.txt")
_START = 65_536


def _kind(body: bytes, content_type: str) -> Kind:
    start = body[:_START].lstrip()
    if start.startswith(b"{") and b'"items"' in body:
        return Kind.FEED
    root = find_root(body)
    if root:
        return _KINDS[root[0]]
    if _ADDRESSES.fullmatch(start[: start.rfind(b"\n") + 1] or start):
        return Kind.SITEMAP
    if b"<a" in body and ("html" in content_type or start[:14].lower() == b"<!doctype html"):
        return Kind.SECTION
    return Kind.UNKNOWN


def _entries(kind: Kind, body: bytes, url: str, usual: int) -> Iterable[Entry]:
    if _ROBOTS.fullmatch(url):
        return read_robots(body, url)
    if kind is Kind.FEED:
        return read_feed(body, url, usual)
    if kind in (Kind.SITEMAP, Kind.SITEMAP_INDEX):
        return read_sitemap(body, url)
    return read_section(body, url) if kind is Kind.SECTION else ()


def _unpacked(body: bytes) -> bytes:
    """The body without its gzip layers; some servers pack what is packed already."""
    for _ in range(2):
        if body.startswith(b"\x1f\x8b"):
            body = _gunzipped(body)
    return body[:MAX_LISTING_BYTES]


def _gunzipped(body: bytes) -> bytes:
    """What is packed, cut at the limit or where the stream breaks."""
    out = bytearray()
    with gzip.GzipFile(fileobj=BytesIO(body)) as packed:
        try:
            while len(out) < MAX_LISTING_BYTES and (chunk := packed.read1(_START)):
                out += chunk
        except (OSError, EOFError, zlib.error):
            pass
    return bytes(out)
