"""Listings of every kind, whole and damaged."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.discovery import MAX_LISTING_BYTES, Entry, Kind, read_listing

URL = "https://paper.example/listing"
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

RSS = b"""<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Paper</title>
<item><title>Bridge &amp; ferry</title><link>https://paper.example/a</link>
<pubDate>Tue, 10 Mar 2026 13:00:00 +0100</pubDate><category>Politics</category></item>
<item><title>Second</title><link>/b</link></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Paper</title><entry><title>Bridge</title>
<link href="https://paper.example/a"/><id>tag:1</id><published>2026-03-10T12:00:00Z</published>
<updated>2026-03-10T14:00:00+02:00</updated></entry></feed>"""
RDF = b"""<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<item rdf:about="https://paper.example/a"><title>Bridge</title><link>https://paper.example/a</link>
<dc:date>2026-03-10T12:00:00Z</dc:date></item></rdf:RDF>"""
JSON = b"""{"version": "https://jsonfeed.org/version/1.1", "title": "Paper", "items": [
{"id": "1", "url": "https://paper.example/a", "title": "Bridge",
"date_published": "2026-03-10T12:00:00Z"}]}"""
SITEMAP = b"""<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"
xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
<url><loc> https://paper.example/a?x=1&amp;y=2 </loc><lastmod>2026-03-10</lastmod>
<image:image><image:loc>https://paper.example/a.jpg</image:loc></image:image>
<news:news><news:publication><news:name>Paper</news:name></news:publication>
<news:publication_date>2026-03-10T12:00:00Z</news:publication_date>
<news:title>Bridge</news:title><news:keywords>pier, council</news:keywords></news:news></url>
</urlset>"""
INDEX = b"""<sitemapindex><sitemap><loc>https://paper.example/1.xml</loc>
<lastmod>2026-03-10T12:00:00Z</lastmod></sitemap></sitemapindex>"""
SECTION = b"""<!doctype html><html><head><title>World</title></head><body>
<nav><a href="/2026/03/10/in-the-navigation-bar">In the navigation bar</a></nav>
<a href="/2026/03/10/bridge-vote"><img src="x.jpg"></a>
<h2><a href="/2026/03/10/bridge-vote#comments">Council votes for a new bridge</a></h2>
<a href="news.php?id=123">Ferry stops for the winter</a>
<a href="https://sport.example.com/cup-final-ends-in-a-draw-again">Cup final</a>
<a href="https://elsewhere.example/2026/03/10/not-our-own-story">Not our own story at all</a>
<a href="/impressum">Impressum und alle Angaben zum Verlag</a>
<a href="/privacy-policy">How we handle the data of our readers</a>
<a href="/tag/bridges">Everything that we have on bridges</a>
<a href="/2026/03/10/accounts.pdf">Accounts of the town for the year</a>
<a href="mailto:desk@example.com">Write to the editors of this paper</a>
<a href="/world/">World</a> <a href="http://[">Broken</a></body></html>"""


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
        (b"https://paper.example/a\nhttps://paper.example/b\n", Kind.SITEMAP,
         Entry("https://paper.example/a")),
    ],
)  # fmt: skip
def test_the_kind_is_told_by_the_content(body: bytes, kind: Kind, first: Entry) -> None:
    listing = read_listing(body, URL, {"Content-Type": "application/octet-stream"})
    assert (listing.kind, listing.entries[0]) == (kind, first)


def test_a_section_page_gives_the_links_that_look_like_articles() -> None:
    listing = read_listing(SECTION, "https://example.com/world/", {"Content-Type": "text/html"})
    assert listing.kind is Kind.SECTION
    assert {entry.url: entry.title for entry in listing.entries} == {
        "https://example.com/2026/03/10/bridge-vote": "Council votes for a new bridge",
        "https://example.com/world/news.php?id=123": "Ferry stops for the winter",
        "https://sport.example.com/cup-final-ends-in-a-draw-again": "Cup final",
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: b"\n\n  " + body,
        lambda body: b"<!-- served by cache 7 -->\n" + body,
        lambda body: b"Warning: mysql_connect()\n" + body,
        gzip.compress,
        lambda body: gzip.compress(body[:200]) + gzip.compress(body[200:]),
        lambda body: gzip.compress(body, 0)[:-12],
        lambda body: body.replace(b"&amp;", b"&"),
        lambda body: body.replace(b"</urlset>", b""),
        lambda body: body.replace(b"xmlns:news=", b"data-x="),
        lambda body: body.decode().encode("utf-16"),
        lambda body: body.replace(b"<?xml version", b"<?xml  encoding='latin-9' version"),
    ],
    ids=["bom", "space", "comment", "junk", "gzip", "two-members", "cut-gzip", "bare-ampersand",
         "no-end", "undeclared-prefix", "utf-16", "odd-prolog"],
)  # fmt: skip
def test_a_damaged_sitemap_gives_what_can_be_read(damage) -> None:
    listing = read_listing(damage(SITEMAP), URL, {})
    (entry,) = listing.entries
    assert listing.kind is Kind.SITEMAP
    assert (entry.url, entry.published) == ("https://paper.example/a?x=1&y=2", NOON)


@pytest.mark.parametrize("keep", [250, 300, 380])
def test_a_cut_feed_gives_the_entries_before_the_cut(keep: int) -> None:
    assert read_listing(RSS[:keep], URL, {}).entries[0].url == "https://paper.example/a"


def test_external_and_swelling_entities_come_to_nothing(tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("https://secret.example/")
    swell = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 20 if n else "x" * 50}">' for n in range(9))
    body = (
        f'<!DOCTYPE urlset [{swell}<!ENTITY file SYSTEM "file://{secret}">]>'
        "<urlset><url><loc>https://paper.example/&e8;</loc></url><url><loc>&file;</loc></url>"
        "<url><loc>https://paper.example/last</loc></url></urlset>"
    )
    urls = [entry.url for entry in read_listing(body.encode(), URL, {}).entries]
    assert urls[-1] == "https://paper.example/last"
    assert not any("secret" in url or "xxx" in url for url in urls)


def test_a_gzip_bomb_is_unpacked_to_the_limit() -> None:
    packed = gzip.compress(bytes(MAX_LISTING_BYTES + 1024), 1)
    assert read_listing(packed, URL, {}).kind is Kind.UNKNOWN


@pytest.mark.parametrize("body", [b"", b"hello", b"%PDF-1.7", b"{}", b"<svg/>", b"\x1f\x8bxx"])
def test_what_is_no_listing_is_unknown(body: bytes) -> None:
    listing = read_listing(body, URL, {})
    assert (listing.kind, listing.entries) == (Kind.UNKNOWN, ())


def test_dates_are_aware_or_days_or_nothing() -> None:
    said = ["2026-03-10", "2026-03-10T12:00:00", "2026-03-10T13:00+01:00", "soon", "2026-13-40"]
    rows = "".join(
        f"<url><loc>https://x.example/{n}</loc><lastmod>{d}</lastmod></url>"
        for n, d in enumerate(said)
    )
    entries = read_listing(f"<urlset>{rows}</urlset>".encode(), URL, {}).entries
    assert [e.modified for e in entries] == [date(2026, 3, 10), NOON, NOON, None, None]


SAMPLES = [RSS, ATOM, RDF, JSON, SITEMAP, INDEX, SECTION]


@settings(deadline=None)
@given(
    body=st.sampled_from(SAMPLES),
    cuts=st.lists(
        st.tuples(st.integers(0, 900), st.integers(0, 60), st.binary(max_size=8)), max_size=4
    ),
)
def test_no_damage_makes_a_reader_raise(body: bytes, cuts: list[tuple[int, int, bytes]]) -> None:
    for start, length, put_in in cuts:
        body = body[:start] + put_in + body[start + length :]
    check(body)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_a_reader_raise(body: bytes) -> None:
    check(body)
    check(gzip.compress(body))
    check(b"<urlset><url><loc>https://x.example/" + body + b"</loc></url></urlset>")
    check(b"<html><a href='" + body + b"'>a headline of many words, so it counts</a></html>")


def check(body: bytes) -> None:
    listing = read_listing(body, URL, {"Content-Type": "text/html"})
    for entry in listing.entries:
        assert entry.url.lower().startswith(("http://", "https://"))
        for moment in (entry.published, entry.modified):
            assert not isinstance(moment, datetime) or moment.tzinfo is UTC
