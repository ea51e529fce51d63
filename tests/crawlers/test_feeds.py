"""Feeds of every dialect, whole and damaged: their links, dates and titles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from crawlers import feeds
from crawlers.discovery import Entry, Kind, read_listing

URL = "https://paper.example/feeds/all.xml"
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
ARTICLE = "https://paper.example/a"


def entries(body: bytes, url: str = URL, **known: int) -> list[Entry]:
    listing = read_listing(body, url, {}, **known)
    assert listing.kind is Kind.FEED
    return list(listing.entries)


def rss(*items: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:a10="http://www.w3.org/2005/Atom"'
        ' xmlns:media="http://search.yahoo.com/mrss/"'
        ' xmlns:feedburner="http://rssnamespace.org/feedburner/ext/1.0">'
        "<channel><title>Paper</title><link>https://paper.example/</link>"
        + "".join(f"<item>{item}</item>" for item in items)
        + "</channel></rss>"
    ).encode()


def atom(*items: str, attributes: str = "") -> bytes:
    return (
        f'<feed xmlns="http://www.w3.org/2005/Atom"{attributes}><title>Paper</title>'
        + "".join(f"<entry>{item}</entry>" for item in items)
        + "</feed>"
    ).encode()


@pytest.mark.parametrize(
    "item",
    [
        "<link>https://paper.example/a</link>",
        "<link>\n  https://paper.example/a\n</link>",
        "<link>https://paper.exam\nple/a</link>",
        "<link><![CDATA[https://paper.example/a]]></link>",
        "<link>/a</link>",
        "<link>a</link>",
        "<link>paper.example/a</link>",
        '<link href="https://paper.example/a"/>',
        '<link/><guid isPermaLink="true">https://paper.example/a</guid>',
        "<link></link><guid>https://paper.example/a</guid>",
        '<guid isPermaLink="false">7</guid><link>https://paper.example/a</link>',
        '<a10:link href="https://paper.example/a"/><a10:updated>2026-03-10T12:00:00Z</a10:updated>',
        '<a10:link rel="self" href="https://paper.example/a.rss"/><link>/a</link>',
        '<link>/a</link><enclosure url="https://paper.example/a.mp3" type="audio/mpeg"/>',
        "<link>https://feeds.example/~r/1</link>"
        "<feedburner:origLink>https://paper.example/a</feedburner:origLink>",
    ],
)
def test_an_rss_item_leads_to_its_page(item: str) -> None:
    assert [entry.url for entry in entries(rss(f"<title>A</title>{item}"))] == [ARTICLE]


@pytest.mark.parametrize(
    "item",
    [
        '<link href="https://paper.example/a"/>',
        '<link rel="alternate" href="/a"/>',
        '<link rel="self" href="/a.atom"/><link href="https://paper.example/a"/>',
        '<link rel="replies" href="/a/comments"/><link rel="alternate" href="/a"/>',
        '<link rel="alternate" type="application/json" href="/a.json"/>'
        '<link rel="alternate" type="text/html" href="/a"/>',
        '<link rel="enclosure" href="/a.mp3"/><link rel="alternate" href="/a"/>',
        '<link rel="self" href="/a.atom"/><id>https://paper.example/a</id>',
    ],
)
def test_an_atom_entry_leads_to_its_page(item: str) -> None:
    assert [entry.url for entry in entries(atom(f"<title>A</title>{item}"))] == [ARTICLE]


def test_relative_links_hang_on_xml_base_or_the_feeds_site() -> None:
    based = atom('<link href="a"/>', attributes=' xml:base="https://paper.example/world/"')
    assert [entry.url for entry in entries(based)] == ["https://paper.example/world/a"]
    proxied = entries(rss("<link>/a</link>"), "https://feeds.example/paper")
    assert [entry.url for entry in proxied] == [ARTICLE]


@pytest.mark.parametrize(
    "body",
    [
        rss('<title>A</title><media:content url="https://paper.example/a.jpg"/>'),
        rss('<title>A</title><enclosure url="https://paper.example/a.mp3" type="audio/mpeg"/>'),
        rss('<title>A</title><guid isPermaLink="false">12</guid>'),
        rss("<title>A</title><link>mailto:desk@paper.example</link>"),
        rss("<title>A</title><link>http://[</link>"),
        atom('<title>A</title><link rel="enclosure" href="/a.mp3"/><id>urn:a</id>'),
        rss(),
    ],
)
def test_an_item_without_a_page_is_no_entry(body: bytes) -> None:
    assert entries(body) == []


@pytest.mark.parametrize(
    ("item", "published", "modified"),
    [
        ("<pubDate>Tue, 10 Mar 2026 13:00:00 +0100</pubDate>", NOON, None),
        ("<pubDate><![CDATA[Tue, 10 Mar 2026 12:00:00 GMT]]></pubDate>", NOON, None),
        ("<pubDate>Tue, 10 Mar 2026 14:00:00 CEST</pubDate>", NOON, None),
        ("<pubDate>10.03.2026 12:00</pubDate>", NOON, None),
        ("<pubDate>2026-03-10</pubDate>", date(2026, 3, 10), None),
        ("<dc:date>2026-03-10T12:00:00Z</dc:date>", NOON, None),
        ("<a10:updated>2026-03-10T12:00:00Z</a10:updated>", None, NOON),
        ("<pubDate>Friday</pubDate>", None, None),
        ("<guid>12</guid>", None, None),
        ("<guid>20260310</guid><pubDate>?</pubDate>", None, None),
    ],
)
@pytest.mark.parametrize("end", ["</channel></rss>", ""], ids=["whole", "cut"])
def test_an_items_dates_are_those_it_states_by_either_reader(
    item: str, published: object, modified: object, end: str
) -> None:
    body = rss(f"<title>A</title><link>/a</link>{item}").replace(b"</channel></rss>", end.encode())
    (entry,) = entries(body)
    assert (entry.published, entry.modified) == (published, modified)


def test_an_update_is_no_publication() -> None:
    first = "<link href='/a'/><updated>2026-03-10T12:00:00Z</updated>"
    second = "<link href='/b'/><published>2026-03-10T12:00:00Z</published>"
    (only,) = entries(atom(first))
    assert (only.published, only.modified) == (None, NOON)
    (only,) = entries(atom(second))
    assert (only.published, only.modified) == (NOON, None)


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Bridge &amp; ferry", "Bridge & ferry"),
        ("Bridge &amp;amp; ferry&amp;#8217;s", "Bridge & ferry’s"),
        ("<![CDATA[Bridge &#038; <b>ferry</b>]]>", "Bridge & ferry"),
        ("Bridge & ferry", "Bridge & ferry"),
        ("Caf&eacute;&nbsp;bridge &unknown; &#31;ferry", "Café bridge &unknown; ferry"),
        ("Bridge\n   and ferry", "Bridge and ferry"),
        ("Bri\x08dge", "Bridge"),
        ("Bridge < ferry", "Bridge < ferry"),
        ("", None),
    ],
)
def test_titles_are_plain_text_on_one_line(said: str, title: str | None) -> None:
    (entry,) = entries(rss(f"<link>/a</link><title>{said}</title>"))
    assert entry.title == title


ITEMS = [
    f"<title>Grüße {n}</title><link>https://paper.example/{n}</link>"
    f"<guid isPermaLink='false'>{n}</guid><category>Politik</category>"
    "<pubDate>Tue, 10 Mar 2026 12:00:00 GMT</pubDate>"
    "<description>Some &lt;b&gt; words</description>"
    for n in range(12)
]
FEED = rss(*ITEMS)
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda body: body,
    "byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "space before": lambda body: b"\r\n  " + body,
    "warning before": lambda body: b"<br />\n<b>Notice</b>: feed.php on line 3<br />\n" + body,
    "comment before": lambda body: b"<!-- <html> <urlset> -->" + body,
    "page after": lambda body: body + b"<script>a < b</script></html>",
    "no end": lambda body: body.removesuffix(b"</channel></rss>"),
    "utf-16": lambda body: body.decode().replace("utf-8", "utf-16").encode("utf-16"),
    "declared latin-1": lambda body: body.replace(b"utf-8", b"iso-8859-1"),
    "declared utf-16": lambda body: body.replace(b"utf-8", b"utf-16"),
    "declared nonsense": lambda body: body.replace(b"utf-8", b"nonsense-9"),
    "undeclared cp1252": lambda body: (
        body.replace(b' encoding="utf-8"', b"").decode().encode("cp1252")
    ),
    "undeclared prefixes": lambda body: re.sub(rb" xmlns:\w+=\"[^\"]+\"", b"", body).replace(
        b"<guid", b"<media:thumbnail url='x'/><guid"
    ),
    "entities of HTML": lambda body: body.replace(b"Some", b"Some&nbsp;&copy; AT&T "),
    "control characters": lambda body: body.replace(b"Some", b"S\x0bo\x00me"),
    "bad bytes": lambda body: body.replace(b"Some", b"S\xffome"),
    "open tag in a title": lambda body: body.replace(b"e 3<", b"e 3 <3 <i<"),
    "a tag unclosed": lambda body: body.replace(b"Politik</category>", b"Politik", 1),
    "tags crossed": lambda body: body.replace(b"</guid><category>", b"<category></guid>", 2),
    "items unclosed": lambda body: body.replace(b"</item>", b""),
    "upper case": lambda body: re.sub(
        rb"<(/?)(item|link|title)\b", lambda tag: b"<" + tag[1] + tag[2].upper(), body
    ),
    "twice": lambda body: body + body,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_feed_gives_all_its_entries(damage: str) -> None:
    read = entries(DAMAGE[damage](FEED))
    assert [entry.url for entry in read] == [f"https://paper.example/{n}" for n in range(12)]
    assert read[1].title == "Grüße 1"
    assert {entry.published for entry in read} == {NOON}


@pytest.mark.parametrize("keep", [40, 70, 95])
def test_a_cut_feed_gives_the_entries_before_the_cut(keep: int) -> None:
    cut = FEED[: len(FEED) * keep // 100]
    whole = cut.count(b"</item>")
    assert len(entries(cut)) >= whole > 2


def test_an_item_that_one_reader_leaves_out_is_read_by_the_other() -> None:
    odd = '<a10:link rel="self" href="/b.rss"/><link>/b</link>'
    read = entries(rss("<link>/a</link>", odd))
    assert [entry.url for entry in read] == [ARTICLE, "https://paper.example/b"]


def test_a_feed_that_names_far_fewer_than_usual_is_read_by_feedparser_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []
    patient = feeds.feedparser.parse

    def counted(body: Any, **options: Any) -> Any:
        asked.append(b"")
        return patient(body, **options)

    monkeypatch.setattr(feeds.feedparser, "parse", counted)
    few = rss(*ITEMS[:3])
    for usual in (0, 3, 6):
        assert len(entries(few, usual=usual)) == 3
    assert not asked
    assert len(entries(few, usual=7)) == 3
    assert asked


def test_a_json_feed_gives_what_its_sound_items_say() -> None:
    said = {
        "version": "https://jsonfeed.org/version/1.1",
        "items": [
            {
                "id": "1",
                "url": "/a",
                "title": "Bridge",
                "date_published": "2026-03-10T13:00:00+01:00",
                "date_modified": "2026-03-10T12:00:00Z",
                "tags": ["pier", 7],
                "content_html": "<body><urlset>",
            },
            {"id": "https://paper.example/b", "title": None, "date_published": 1773144000},
            {"id": 3, "external_url": "https://elsewhere.example/c"},
            {"id": "4"},
            "no item",
        ],
    }
    assert entries(json.dumps(said).encode()) == [
        Entry(ARTICLE, "Bridge", NOON, NOON, None, ("pier",)),
        Entry("https://paper.example/b"),
    ]
    assert entries(b'{"version": "https://jsonfeed.org/version/1", "items": [') == []


def test_a_feeds_own_entities_come_to_nothing() -> None:
    swell = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 20 if n else "x" * 50}">' for n in range(9))
    body = f"<!DOCTYPE rss [{swell}]>".encode() + rss("<link>/a</link><title>A &e8;</title>")
    (entry,) = entries(body)
    assert entry.title == "A &e8;"
