"""What a listing names: feeds, sitemaps, sitemap indexes and section pages, told by content.

Listings come from strangers and are often damaged, so every reader takes what can be read
and none raises.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import fastfeedparser  # type: ignore[import-untyped]
import feedparser  # type: ignore[import-untyped]
from courlan import extract_domain
from courlan.filters import is_navigation_page, is_not_crawlable
from lxml import etree
from lxml import html as lxml_html

from processing.records import Hints
from processing.urls import url_key

MAX_LISTING_BYTES = 64 * 1024 * 1024
"""The most a listing may hold, compressed or not; a sitemap may hold 50 MB by its protocol."""


class Kind(StrEnum):
    """What a listing is."""

    FEED = "feed"
    SITEMAP = "sitemap"
    SITEMAP_INDEX = "sitemap-index"
    SECTION = "section"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """One address a listing names, and what it says about it.

    ``published`` and ``modified`` are aware datetimes in UTC, or dates where only the day is
    given. The entries of a sitemap index are further sitemaps.
    """

    url: str
    title: str | None = None
    published: datetime | date | None = None
    modified: datetime | date | None = None
    section: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def hints(self) -> Hints:
        """What the listing said, without the address."""
        return Hints(self.title, self.published, self.modified, self.section, self.tags)


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing as read: its kind and its entries, each address once, in the listing's order."""

    kind: Kind
    entries: tuple[Entry, ...] = ()


def read_listing(body: bytes, url: str, headers: Mapping[str, str] | None = None) -> Listing:
    """The entries of a feed (RSS, Atom, RDF, JSON), sitemap, sitemap index or section page.

    ``url`` is where it was read; relative links hang on it. ``headers`` are the response's (the
    content type breaks ties; names in any case). Gzip'ed bodies are unpacked, at most 64 MB of
    them. Never raises: what is none of these is ``Kind.UNKNOWN`` without entries.
    """
    body = _as_utf8(_unpacked(body))
    declared = {name.lower(): value for name, value in (headers or {}).items()}
    kind = _kind(body, declared.get("content-type", "").lower())
    try:
        found = list(_READERS[kind](body, url))
    except Exception:  # four parsers over strangers' bytes: whatever one raises, nothing was read
        found = []
    if kind is Kind.FEED and not found and _SITEMAP_MARK.search(body):
        kind, found = Kind.SITEMAP, list(_read_sitemap(body, url))
    return Listing(kind, tuple(_once(found)))


_ROOT = re.compile(
    rb"<(?:[\w.-]+:)?(urlset|sitemapindex|rss|rdf|feed|channel|html|head|body)(?=[\s>/])", re.I
)
_SITEMAP_MARK = re.compile(rb"<(?:\w+:)?loc>", re.I)
_PLAIN_ADDRESSES = re.compile(rb"(?:https?://[^\s<>\"]+\s*)+")
_KINDS = {
    b"urlset": Kind.SITEMAP,
    b"sitemapindex": Kind.SITEMAP_INDEX,
    b"rss": Kind.FEED,
    b"rdf": Kind.FEED,
    b"feed": Kind.FEED,
    b"channel": Kind.FEED,
    b"html": Kind.SECTION,
    b"head": Kind.SECTION,
    b"body": Kind.SECTION,
}
_HEAD = 65_536  # junk before the prolog that is looked through


def _kind(body: bytes, content_type: str) -> Kind:
    root = _ROOT.search(body, 0, _HEAD)
    if root:
        return _KINDS[root[1].lower()]
    start = body[:_HEAD].lstrip()
    if start.startswith(b"{") and b'"items"' in body:
        return Kind.FEED
    if _PLAIN_ADDRESSES.fullmatch(start[: start.rfind(b"\n") + 1] or start):
        return Kind.SITEMAP
    if "html" in content_type and b"<a" in body:
        return Kind.SECTION
    return Kind.UNKNOWN


def _unpacked(body: bytes) -> bytes:
    """The body without its gzip layer, cut at the limit or where the stream breaks."""
    out = bytearray()
    rest = body
    while rest.startswith(b"\x1f\x8b") and len(out) < MAX_LISTING_BYTES:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            # A step at a time, so that what stands before a damaged spot is kept.
            while rest and not unpacker.eof and len(out) < MAX_LISTING_BYTES:
                chunk, rest = rest[:_HEAD], rest[_HEAD:]
                out += unpacker.decompress(chunk, MAX_LISTING_BYTES - len(out))
        except zlib.error:
            return bytes(out)
        rest = unpacker.unused_data + rest
    return bytes(out) or body[:MAX_LISTING_BYTES]


def _as_utf8(body: bytes) -> bytes:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if body.startswith(mark):
            text = body.decode(encoding, "replace")
            return re.sub(r"encoding=[\"'][\w-]+[\"']", "", text, count=1).encode()
    return body.removeprefix(b"\xef\xbb\xbf")


def _read_feed(body: bytes, url: str) -> Iterator[Entry]:
    try:
        said = fastfeedparser.parse(
            body, include_content=False, include_media=False, include_enclosures=False
        )
        entries = list(_feed_entries(said.get("entries") or (), url))
    except Exception:  # its errors are not all ValueError; feedparser is the more patient one
        entries = []
    if not entries:
        # BytesIO, since feedparser would fetch a string that looks like an address.
        said = feedparser.parse(BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
        entries = list(_feed_entries(said.get("entries") or (), url))
    yield from entries


def _feed_entries(entries: Iterable[Mapping[str, Any]], url: str) -> Iterator[Entry]:
    for entry in entries:
        said = dict(entry)  # feedparser's own mapping gives the publication for a missing update
        link = said.get("feedburner_origlink") or said.get("link") or said.get("id") or ""
        if not isinstance(link, str):
            continue
        yield Entry(
            url=urljoin(url, link.strip()),
            title=_text(_plain(said.get("title"))),
            published=_moment(said.get("published")) or _struct(said.get("published_parsed")),
            modified=_moment(said.get("updated")) or _struct(said.get("updated_parsed")),
            tags=tuple(_tags(said.get("tags") or ())),
        )


def _tags(said: Iterable[Any]) -> Iterator[str]:
    for tag in said:
        name = tag.get("term") or tag.get("label") if isinstance(tag, Mapping) else tag
        text = _text(name)
        if text:
            yield text


def _read_sitemap(body: bytes, url: str) -> Iterator[Entry]:
    if not _ROOT.search(body, 0, _HEAD) and not _SITEMAP_MARK.search(body):
        for line in body.decode("utf-8", "replace").split():
            yield Entry(line)
        return
    root = _xml(body)
    for place in root.iterchildren() if root is not None else ():
        if _local(place) not in ("url", "sitemap"):
            continue
        said = {_local(child): child for child in place.iterchildren(tag=etree.Element)}
        news = said.get("news")
        told = {} if news is None else {_local(child): child for child in news.iterchildren()}
        link = _content(said.get("loc"))
        if link:
            yield Entry(
                url=link if _WEB.match(link) else urljoin(url, link),
                title=_content(told.get("title")),
                published=_moment(_content(told.get("publication_date"))),
                modified=_moment(_content(said.get("lastmod"))),
                tags=tuple(_tags((_content(told.get("keywords")) or "").split(","))),
            )


_BARE_AMPERSAND = re.compile(rb"&(?!#\d{1,7};|#x[0-9a-fA-F]{1,6};|\w{1,32};)")


def _xml(body: bytes) -> Any:
    root = _ROOT.search(body, 0, _HEAD)
    if root:
        # Junk before the root ends here, and a document type with its entities; of the prolog,
        # often broken too, only the encoding is needed.
        prolog = b'<?xml version="1.0" encoding="%s"?>' % _encoding(body[: root.start()])
        body = prolog + body[root.start() :]
    if b"<![CDATA[" not in body:
        body = _BARE_AMPERSAND.sub(b"&amp;", body)
    parser = etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    return etree.fromstring(body, parser)


_DECLARED = re.compile(rb"<\?xml[^>]*\bencoding\s*=\s*[\"']([\w.:-]{2,30})[\"']")


def _encoding(prolog: bytes) -> bytes:
    declared = _DECLARED.search(prolog)
    try:
        return codecs.lookup(declared[1].decode()).name.encode() if declared else b"utf-8"
    except LookupError:
        return b"utf-8"


def _local(element: Any) -> str:
    """The tag without namespace or (undeclared) prefix, in lower case."""
    tag = element.tag
    if not isinstance(tag, str):
        return ""
    return tag.rpartition("}")[2].rpartition(":")[2].lower()


def _content(element: Any) -> str | None:
    if element is None:
        return None
    return _text("".join(element.itertext()) if len(element) else element.text)


def _read_section(body: bytes, url: str) -> Iterator[Entry]:
    parser = lxml_html.HTMLParser(no_network=True, huge_tree=False, encoding=_charset(body))
    root = lxml_html.document_fromstring(body, parser=parser)
    declared = root.find(".//base[@href]")
    base = url if declared is None else urljoin(url, declared.get("href") or "")
    own = extract_domain(url)
    here = {_key(url), _key(base)}
    texts: dict[str, Entry] = {}
    for link in root.iter("a"):
        try:
            target = urljoin(base, (link.get("href") or "").strip()).partition("#")[0]
            key = url_key(target)
        except ValueError:
            continue
        if key in here or (extract_domain(target) or urlsplit(target).hostname) != (
            own or urlsplit(url).hostname
        ):
            continue
        if any(True for _ in link.iterancestors("nav", "footer")):
            continue
        text = _text("".join(map(str, link.itertext()))) or ""
        known = texts.get(key)
        if known is None or len(text) > len(known.title or ""):
            texts[key] = Entry(known.url if known else target, title=text or None)
    for entry in texts.values():
        if _article_like(entry.url, entry.title or ""):
            yield entry


_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{2,30})", re.I)


def _charset(body: bytes) -> str | None:
    declared = _CHARSET.search(body, 0, 4096)
    try:
        body[:_HEAD].decode("utf-8", "strict" if len(body) <= _HEAD else "ignore")
        return "utf-8"
    except UnicodeDecodeError:
        return declared[1].decode() if declared else None


_BOILERPLATE = re.compile(
    r"/(about|about-us|abo|account|advert\w*|agb|archive|author|authors|autor|category|contact\w*"
    r"|cookie\w*|datenschutz\w*|faq|help|hilfe|impressum|imprint|jobs|karriere|kontakt|legal|login"
    r"|logout|mediadaten|mentions-legales|newsletter\w*|privacy[\w-]*|register|registrieren|rss"
    r"|search|shop|signin|signup|sitemap|subscribe|subscription|suche|tag|tags|terms[\w-]*|thema"
    r"|themen|topic|topics|ueber-uns|wp-(?:admin|content|json|login)|feed|page/\d+)(?=[/.?]|$)",
    re.I,
)
_FILE = re.compile(
    r"\.(?:pdf|jpe?g|png|gif|webp|svg|mp[34]|m4a|ogg|webm|zip|gz|xml|rss|atom|json|css|js|ico"
    r"|docx?|xlsx?|pptx?)$",
    re.I,
)
_DATED = re.compile(r"/(?:19|20)\d\d[/-]?[01]?\d[/-]?|[-_/](?:19|20)\d{6}")
_WIDE = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _article_like(url: str, text: str) -> bool:
    """Whether an address and the words of its link look like an article's.

    Addresses that carry a date or a slug of many words speak for themselves; a number needs a
    few words, anything else a headline.
    """
    parts = urlsplit(url)
    path = parts.path
    if _BOILERPLATE.search(path) or _FILE.search(path) or is_not_crawlable(url):
        return False
    if is_navigation_page(url) or (path.strip("/") == "" and not parts.query):
        return False
    slug = re.sub(r"\.\w{2,5}$", "", path.rstrip("/").rpartition("/")[2])
    words = len([w for w in re.split(r"[-_+]|%20", slug) if len(w) > 1])
    # A letter of a script without spaces says as much as half a word.
    weight = len(text) + 3 * len(_WIDE.findall(text))
    numbered = re.search(r"\d{4,}", path) or any(
        value.isdigit() for _, value in parse_qsl(parts.query)
    )
    if words >= 5 or (_DATED.search(path) and words >= 2):
        return True
    if words >= 3 or numbered or _DATED.search(path):
        return weight >= 15
    return weight >= 30


_READERS: dict[Kind, Callable[[bytes, str], Iterator[Entry]]] = {
    Kind.FEED: _read_feed,
    Kind.SITEMAP: _read_sitemap,
    Kind.SITEMAP_INDEX: _read_sitemap,
    Kind.SECTION: _read_section,
    Kind.UNKNOWN: lambda body, url: iter(()),
}


_WEB = re.compile(r"https?://[^\s/?#]+[^\s]*$", re.I)


def _once(entries: Iterable[Entry]) -> Iterable[Entry]:
    """The entries with an http(s) address, each address once, the first's place kept."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if _WEB.match(entry.url):
            known = found.get(entry.url)
            found[entry.url] = entry if known is None else _joined(known, entry)
    return found.values()


def _joined(first: Entry, second: Entry) -> Entry:
    return replace(
        first,
        title=first.title or second.title,
        published=first.published or second.published,
        modified=first.modified or second.modified,
        tags=first.tags or second.tags,
    )


def _key(url: str) -> str | None:
    try:
        return url_key(url)
    except ValueError:
        return None


def _text(value: object) -> str | None:
    """One line of text without control characters or lone surrogates, None when empty."""
    if not isinstance(value, str):
        return None
    if not value.isprintable():
        clean = value.encode("utf-8", "ignore").decode()
        value = " ".join("".join(c if c >= " " else " " for c in clean).split())
    return value.strip() or None


_TAG = re.compile(r"<[^<>]{0,500}>")


def _plain(value: object) -> object:
    """A title without the markup that some feeds put into it."""
    return _TAG.sub("", value) if isinstance(value, str) and "<" in value else value


def _struct(value: Any) -> datetime | None:
    """feedparser's UTC time tuple as a datetime."""
    try:
        year, month, day, hour, minute, second = value[:6]
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except (TypeError, ValueError):
        return None


def _moment(value: object) -> datetime | date | None:
    """A W3C or RFC 822 date as an aware datetime in UTC, or a date; None when it is neither.

    One without a zone is taken for UTC.
    """
    text = _text(value)
    if not text:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
