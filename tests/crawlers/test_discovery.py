"""Listings of every kind, told by what they hold, and none too damaged to be read."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.discovery import MAX_LISTING_BYTES, Entry, Kind, read_listing

URL = "https://paper.example/listing"
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

RSS = b"""<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Paper</title>
<item><title>Bridge &amp; ferry</title><link>https://paper.example/a</link>
<pubDate>Tue, 10 Mar 2026 13:00:00 +0100</pubDate><category>Politics</category></item>
<item><title><![CDATA[Second]]></title><link>/b</link></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Paper</title><entry><title>Bridge</title>
<link href="https://paper.example/a"/><id>tag:1</id><published>2026-03-10T12:00:00Z</published>
<updated>2026-03-10T14:00:00+02:00</updated></entry></feed>"""
RDF = b"""<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<item rdf:about="https://paper.example/a"><title>Bridge</title><link>https://paper.example/a</link>
<dc:date>2026-03-10T12:00:00Z</dc:date></item></rdf:RDF>"""
JSON = b"""{"version": "https://jsonfeed.org/version/1.1", "title": "Paper", "items": [
{"id": "1", "url": "https://paper.example/a", "title": "Bridge",
"date_published": "2026-03-10T12:00:00Z", "content_html": "<html><body>"}]}"""
SITEMAP = b"""<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
xmlns:news="http://www.google.com/schemas/sitemap-news/0.9">
<url><loc> https://paper.example/a?x=1&amp;y=2 </loc><lastmod>2026-03-10</lastmod>
<news:news><news:publication_date>2026-03-10T12:00:00Z</news:publication_date>
<news:title>Bridge</news:title><news:keywords>pier, council</news:keywords></news:news></url>
</urlset>"""
INDEX = b"""<sitemapindex><sitemap><loc>https://paper.example/1.xml</loc>
<lastmod>2026-03-10T12:00:00Z</lastmod></sitemap></sitemapindex>"""
TEXT = b"https://paper.example/a\nhttps://paper.example/b\n"
SECTION = b"""<!doctype html><html><head><title>World</title><link rel="alternate"
type="application/rss+xml" href="/rss"></head><body><nav><a href="/world/">World</a></nav>
<h2><a href="/2026/03/10/bridge-vote">Council votes for a new bridge</a></h2></body></html>"""


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("text/html; charset=utf-8", "news.html"),
        ("text/xml", "sitemap.xml"),
        ("application/rss+xml", "feed"),
        ("application/json", "feed.json"),
        ("text/plain", "sitemap.txt"),
        ("application/gzip", "sitemap.xml.gz"),
        ("", ""),
    ],
)
@pytest.mark.parametrize(
    ("body", "kind", "first"),
    [
        (RSS, Kind.FEED, Entry("https://paper.example/a", "Bridge & ferry", NOON, None, None,
                               ("Politics",))),
        (ATOM, Kind.FEED, Entry("https://paper.example/a", "Bridge", NOON, NOON)),
        (RDF, Kind.FEED, Entry("https://paper.example/a", "Bridge", NOON)),
        (JSON, Kind.FEED, Entry("https://paper.example/a", "Bridge", NOON)),
        (SITEMAP, Kind.SITEMAP, Entry("https://paper.example/a?x=1&y=2", "Bridge", NOON,
                                      date(2026, 3, 10), None, ("pier", "council"))),
        (INDEX, Kind.SITEMAP_INDEX, Entry("https://paper.example/1.xml", modified=NOON)),
        (TEXT, Kind.SITEMAP, Entry("https://paper.example/a")),
        (SECTION, Kind.SECTION, Entry("https://paper.example/2026/03/10/bridge-vote",
                                      "Council votes for a new bridge")),
    ],
    ids=["rss", "atom", "rdf", "json", "sitemap", "index", "text", "section"],
)  # fmt: skip
def test_the_kind_is_told_by_the_content_never_by_type_or_name(
    body: bytes, kind: Kind, first: Entry, content_type: str, name: str
) -> None:
    for sent in (body, gzip.compress(body), b"\xef\xbb\xbf" + body):
        listing = read_listing(
            sent, f"https://paper.example/{name}", {"Content-Type": content_type}
        )
        assert (listing.kind, listing.entries[0]) == (kind, first)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><p><a href=/a>A</a>", Kind.SECTION),
        (b"<p><a href=/a>A</a>", Kind.SECTION),
        (b"<!-- <rss> --><!DOCTYPE html><html></html>", Kind.SECTION),
        (b"<?xml version='1.0'?><!DOCTYPE rss SYSTEM 'rss.dtd'><rss><channel/></rss>", Kind.FEED),
        (b"<x:feed xmlns:x='http://www.w3.org/2005/Atom'/>", Kind.FEED),
        (b"<sm:urlset xmlns:sm='sm'/>", Kind.SITEMAP),
        (b"<item><link>https://paper.example/a</link></item>", Kind.FEED),
        (b'{"version": "https://jsonfeed.org/version/1", "items": []}', Kind.FEED),
    ],
)
def test_an_odd_or_empty_listing_has_its_kind(body: bytes, kind: Kind) -> None:
    assert read_listing(body, URL, {"content-type": "TEXT/HTML"}).kind is kind


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"%PDF-1.7", b"{}", b"[1]", b"<svg/>", b"\x1f\x8bxx", b"see https://x.example",
     b"https://" * 900 + b"<", b"<p>no link"],
)  # fmt: skip
def test_what_is_no_listing_is_unknown(body: bytes) -> None:
    listing = read_listing(body, URL, {"Content-Type": "text/html"})
    assert (listing.kind, listing.entries) == (Kind.UNKNOWN, ())


def test_what_two_entries_say_of_one_address_is_put_together() -> None:
    again = RSS.replace(
        b"</channel>",
        b"<item><link>/b</link><title>Other</title><category>Sport</category></item></channel>",
    )
    assert read_listing(again, URL).entries[1:] == (
        Entry("https://paper.example/b", "Second", tags=("Sport",)),
    )


@pytest.mark.parametrize(
    ("content_type", "declared", "charset"),
    [
        ("text/xml; charset=windows-1251", "", "cp1251"),
        ("text/xml", '<?xml version="1.0" encoding="windows-1251"?>', "cp1251"),
        ("text/xml; charset=iso-8859-1", '<?xml version="1.0" encoding="koi8-r"?>', "utf-8"),
        ("text/xml", '<?xml version="1.0" encoding="EUC-JP"?>', "euc-jp"),
        ("", "", "utf-16"),
    ],
)
def test_text_is_read_in_its_charset(content_type: str, declared: str, charset: str) -> None:
    body = (
        f"{declared}<rss><channel><item><title>Мост</title><link>/a</link></item></channel></rss>"
    )
    listing = read_listing(body.encode(charset), URL, {"Content-Type": content_type})
    assert listing.entries == (Entry("https://paper.example/a", "Мост"),)


def test_a_gzip_bomb_is_unpacked_to_the_limit() -> None:
    packed = gzip.compress(bytes(MAX_LISTING_BYTES + 1024), 1)
    assert read_listing(packed, URL, {}).kind is Kind.UNKNOWN
    assert read_listing(gzip.compress(packed), URL, {}).kind is Kind.UNKNOWN


def test_a_listing_beyond_the_limit_is_cut_there() -> None:
    far = INDEX + b" " * MAX_LISTING_BYTES + b"<sitemap><loc>/far</loc></sitemap>"
    assert [e.url for e in read_listing(far, URL).entries] == ["https://paper.example/1.xml"]


# --- No bytes make it raise ---

SAMPLES = [RSS, ATOM, RDF, JSON, SITEMAP, INDEX, TEXT, SECTION]
ODD = [
    b"<", b">", b"&", b"&nbsp;", b"&#0;", b"]]>", b"<![CDATA[", b"<!--", b"-->", b"<?xml", b"\x00",
    b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"<item>", b"</item>", b"<entry",
    b"<url>", b"</channel>", b"<html>", b"<a href='", b"<base href='//['>", b"xml:base='//['", b"http://[",
    b"https://\xe2\x84\x80.example/", b"http://a.example:99999/", b"{", b'"items"', b"null", b"[",
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"99999999999999999999", b"-0001-00-00T99:99:99+99:99",
]  # fmt: skip
DAMAGE = st.tuples(
    st.floats(0, 1), st.integers(0, 60), st.sampled_from(ODD) | st.binary(max_size=8)
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(SAMPLES), st.lists(DAMAGE, max_size=6), st.integers(0, 3))
def test_no_damage_makes_a_reader_raise(
    body: bytes, damages: list[tuple[float, int, bytes]], repeat: int
) -> None:
    for place, length, put_in in damages:
        start = int(place * len(body))
        body = body[:start] + put_in * (repeat + 1) + body[start + length :]
    check(body)


@settings(deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_parts_of_listings_in_any_order_make_no_reader_raise(first: bytes, data) -> None:
    parts = [first]
    for _ in range(data.draw(st.integers(1, 4))):
        other = data.draw(st.sampled_from(SAMPLES))
        ends = sorted(data.draw(st.tuples(*[st.integers(0, len(other))] * 2)))
        parts.insert(data.draw(st.integers(0, len(parts))), other[ends[0] : ends[1]])
    check(b"".join(parts))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_a_reader_raise(body: bytes) -> None:
    check(body)
    check(gzip.compress(body))
    check(b"\x1f\x8b" + body)
    check(b"<urlset><url><loc>https://x.example/" + body + b"</loc></url></urlset>")
    check(b"<rss><channel><item><link>" + body + b"</link><pubDate>" + body + b"</pubDate></item>")
    check(b"<html><a href='" + body + b"'>a headline of many words, so it counts</a></html>")
    check(b'{"items": [{"url": "' + body + b'", "id": ' + body + b"}]}")


def check(body: bytes) -> None:
    headers = {"Content-Type": "text/html"}
    listing = read_listing(body, URL, headers)
    assert read_listing(body, URL, headers) == listing
    urls = [entry.url for entry in listing.entries]
    assert len(set(urls)) == len(urls)
    for entry in listing.entries:
        parts = urlsplit(entry.url)
        assert parts.scheme.lower() in ("http", "https")
        assert parts.hostname
        assert not any(character.isspace() for character in entry.url)
        for moment in (entry.published, entry.modified):
            assert not isinstance(moment, datetime) or moment.tzinfo is UTC
