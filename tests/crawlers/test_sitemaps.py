"""Sitemaps and indexes, whole and damaged."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crawlers.discovery import Entry, Kind, read_listing
from crawlers.listing import MAX_ENTRIES

URL = "https://paper.example/sitemaps/news.xml"
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def sitemap(*places: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        ' xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
        ' xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
        ' xmlns:video="http://www.google.com/schemas/sitemap-video/1.1"'
        ' xmlns:xhtml="http://www.w3.org/1999/xhtml">\n'
        + "\n".join(f"<url>{place}</url>" for place in places)
        + "\n</urlset>"
    ).encode()


def entries(body: bytes, kind: Kind = Kind.SITEMAP) -> list[Entry]:
    listing = read_listing(body, URL, {})
    assert listing.kind is kind
    return list(listing.entries)


NEWS = (
    "<loc>https://paper.example/{0}?x=1&amp;y=2</loc><lastmod>2026-03-10</lastmod>"
    "<news:news><news:publication><news:name>Paper</news:name><news:language>en</news:language>"
    "</news:publication><news:publication_date>2026-03-10T13:00:00+01:00</news:publication_date>"
    "<news:title>Grüße {0}</news:title><news:keywords>pier, council,</news:keywords></news:news>"
)


def news(number: int) -> Entry:
    day = date(2026, 3, 10)
    url = f"https://paper.example/{number}?x=1&y=2"
    return Entry(url, f"Grüße {number}", NOON, day, None, ("pier", "council"))


def test_a_news_sitemap_gives_titles_dates_and_keywords() -> None:
    assert entries(sitemap(NEWS.format(1), NEWS.format(2))) == [news(1), news(2)]


@pytest.mark.parametrize(
    "place",
    [
        "<loc>https://paper.example/a</loc>",
        "<loc>\n\t https://paper.example/a \n</loc>",
        "<loc>https://paper.exam\n   ple/a</loc>",
        '<loc lang="en"><![CDATA[https://paper.example/a]]></loc>',
        "<loc>/a</loc>",
        "<loc>../a</loc>",
        "<loc>//paper.example/a</loc>",
        "<loc>paper.example/a</loc>",
        "<LOC>https://paper.example/a</LOC>",
        "<!-- <loc>https://paper.example/old</loc> --><loc>https://paper.example/a</loc>",
        "<image:image><image:loc>https://paper.example/a.jpg</image:loc></image:image>"
        "<loc>https://paper.example/a</loc>",
        "<video:video><video:player_loc>https://paper.example/p</video:player_loc>"
        "<video:title>Film</video:title></video:video><loc>https://paper.example/a</loc>",
        '<xhtml:link rel="alternate" hreflang="de" href="https://paper.example/de/a"/>'
        "<loc>https://paper.example/a</loc>",
    ],
)
def test_an_entry_is_its_own_loc_and_no_other(place: str) -> None:
    assert entries(sitemap(place)) == [Entry("https://paper.example/a")]


@pytest.mark.parametrize(
    "place", ["", "<loc/>", "<loc>mailto:a@b.example</loc>", "<loc>http://[</loc>", "<loc> </loc>"]
)
def test_what_has_no_address_is_no_entry(place: str) -> None:
    assert entries(sitemap(place, "<loc>/a</loc>")) == [Entry("https://paper.example/a")]


def test_an_index_names_its_sitemaps_with_their_dates() -> None:
    body = (
        b'<?xml version="1.0"?><sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        b"<sitemap><loc>https://paper.example/1.xml.gz</loc>"
        b"<lastmod>2026-03-10T12:00:00Z</lastmod></sitemap>"
        b"<sitemap><loc>/2.xml</loc></sitemap></sitemapindex>"
    )
    assert entries(body, Kind.SITEMAP_INDEX) == [
        Entry("https://paper.example/1.xml.gz", modified=NOON),
        Entry("https://paper.example/2.xml"),
    ]


SITEMAP = sitemap(*(NEWS.format(number) for number in range(9)))
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda body: body,
    "byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "space before": lambda body: b"\n\n  " + body,
    "comment before": lambda body: b"<!-- served by cache 7, <rss> -->\n" + body,
    "warning before": lambda body: b"Warning: mysql_connect()\n" + body,
    "gzip": gzip.compress,
    "gzip twice": lambda body: gzip.compress(gzip.compress(body)),
    "two members": lambda body: gzip.compress(body[:200]) + gzip.compress(body[200:]),
    "gzip and rubbish": lambda body: gzip.compress(body) + b"rubbish",
    "gzip cut": lambda body: gzip.compress(body + b" " * 9, 0)[:-12],
    "utf-16": lambda body: body.decode().encode("utf-16"),
    "declared latin-1": lambda body: body.replace(b"utf-8", b"latin-9"),
    "declared cp1252": lambda body: (
        body.replace(b"utf-8", b"windows-1252").decode().encode("cp1252")
    ),
    "bare ampersands": lambda body: body.replace(b"&amp;", b"&"),
    "entities of HTML": lambda body: body.replace("ü".encode(), b"&uuml;"),
    "control characters": lambda body: body.replace(b"<news:title>", b"<news:title>\x00\x1b"),
    "no end": lambda body: body.replace(b"</urlset>", b""),
    "no root": lambda body: body[body.index(b"<url>") :],
    "undeclared prefixes": lambda body: body.replace(b"xmlns:news=", b"data-x="),
    "another prefix": lambda body: body.replace(b"news:", b"n:"),
    "no namespace": lambda body: body.replace(b"xmlns=", b"data-x="),
    "all prefixed": lambda body: body.replace(b"<url", b"<sm:url").replace(b"</url", b"</sm:url"),
    "entries unclosed": lambda body: body.replace(b"</url>", b""),
    "an entry unclosed": lambda body: body.replace(b"</url>", b"", 1),
    "a tag unclosed": lambda body: body.replace(b"</lastmod>", b"", 1).replace(
        b"<lastmod>2026-03-10", b"<lastmod>2026-03-10</lastmod>", 1
    ),
    "a stray tag": lambda body: body.replace(b"</url>", b"</div></url>"),
    "an entry commented out": lambda body: body.replace(
        b"</urlset>", b"<!-- <url><loc>https://paper.example/old</loc></url> --></urlset></p>"
    ),
    "twice": lambda body: body + body,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_sitemap_gives_all_its_entries(damage: str) -> None:
    assert entries(DAMAGE[damage](SITEMAP)) == [news(number) for number in range(9)]


def test_a_cut_sitemap_gives_the_entries_before_the_cut() -> None:
    for place in range(len(SITEMAP) // 4, len(SITEMAP), 97):
        cut = SITEMAP[:place]
        whole = [news(number) for number in range(cut.count(b"</url>"))]
        assert entries(cut)[: len(whole)] == whole


def test_damage_in_one_place_costs_no_other_entry() -> None:
    places = [f"<loc>https://paper.example/{number}</loc>" for number in range(9_000)]
    body = sitemap(*places).replace(b"/4000</loc>", b"/4000<loc><a <b & c").replace(b"</url>", b"")
    urls = {entry.url for entry in entries(body)}
    lost = {f"https://paper.example/{number}" for number in range(9_000)} - urls
    assert lost <= {"https://paper.example/4000"}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n\n"])
def test_a_sitemap_may_be_lines_of_text(end: bytes) -> None:
    body = end.join(b"https://paper.example/%d" % number for number in range(3))
    assert [entry.url for entry in entries(body)] == [
        f"https://paper.example/{number}" for number in range(3)
    ]


def test_external_and_swelling_entities_come_to_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("https://secret.example/")
    swell = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 20 if n else "x" * 50}">' for n in range(9))
    included = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{secret}"/>'
    body = (
        f'<!DOCTYPE urlset [{swell}<!ENTITY file SYSTEM "file://{secret}">]>'
        "<urlset><url><loc>https://paper.example/&e8;</loc></url><url><loc>&file;</loc></url>"
        f"<url><loc>{included}</loc></url><url><loc>https://paper.example/last</loc></url></urlset>"
    )
    urls = [entry.url for entry in entries(body.encode())]
    assert urls[-1] == "https://paper.example/last"
    assert not any("secret" in url or "xxx" in url for url in urls)


def test_no_sitemap_gives_more_entries_than_may_be() -> None:
    place = "<url><loc>/{}</loc></url>"
    body = f"<urlset>{''.join(map(place.format, range(MAX_ENTRIES + 9)))}</urlset>"
    read = entries(body.encode())
    assert len(read) == MAX_ENTRIES
    assert read[-1].url == f"https://paper.example/{MAX_ENTRIES - 1}"
