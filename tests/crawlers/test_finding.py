"""Where a site may list its articles, and which of what was found is worth reading."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.discovery import Entry, Kind, Listing
from crawlers.finding import (
    Findings,
    Found,
    LeftOut,
    Place,
    addresses,
    child_places,
    choose,
    cover,
    front_page,
    home_of,
    judge,
    label_of,
    pointless,
    site_of,
    sitemap_places,
)
from processing.exceptions import ConfigurationError
from processing.urls import url_key

HOME = "https://www.paper.example/"
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

FRONT = """<!doctype html><html><head><title>Home - The Paper</title><base href="/start/">
<link rel="alternate" type="application/rss+xml" title="The Paper" href="/feed">
<link rel="alternate" type="application/atom+xml; charset=utf-8" href="atom.xml">
<link rel="alternate" type="application/json" href="/wp-json/">
<link rel="alternate" hreflang="de" href="/de/"><link rel="stylesheet" href="/x.css">
<link rel="alternate" type="application/rss+xml" href="http://[">
</head><body><a href="/about">About us</a>
<nav><a href="/">Home</a><a href="/politics/">Politics</a><a href="/sport/">Sport</a></nav>
<a href="/politics/2026/03/bridge-vote">Council votes for a new bridge after all</a>
<a href="/rss">RSS</a><a href="https://feeds.feeder.example/paper">Feed</a>
<a href="https://www.other.example/rss">Not ours</a><a href="/feed-prices/">Feed prices</a>
<footer><a href="/terms/">Terms</a></footer></body></html>"""


def entries(*urls: str, at: datetime | None = NOON) -> tuple[Entry, ...]:
    return tuple(Entry(url, "A title", published=at) for url in urls)


def pages(count: int, first: int = 0) -> list[str]:
    return [f"{HOME}story-{number}" for number in range(first, first + count)]


def feed(name: str, *urls: str, at: datetime | None = NOON, kind: Kind = Kind.FEED) -> Found:
    return Found(f"{HOME}{name}", "link tag", kind, entries(*urls, at=at))


# --- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("https://paper.example/news/", ("https://paper.example/news/",)),
        ("http://paper.example", ("http://paper.example/",)),
        ("paper.example", ("https://paper.example/", "http://paper.example/")),
        (
            "paper.example:8080/a?b=c",
            tuple(f"{s}://paper.example:8080/a?b=c" for s in ("https", "http")),
        ),
    ],
)
def test_an_address_without_a_scheme_is_tried_with_both(written, asked):
    assert addresses(written) == asked


@pytest.mark.parametrize(
    "written", ["ftp://paper.example/", "https://", "a b.example", "http://[", ""]
)
def test_what_is_no_web_address_is_refused(written: str):
    with pytest.raises(ConfigurationError, match="is no web address; write"):
        addresses(written)


@pytest.mark.parametrize(
    ("url", "site", "label"),
    [
        ("https://www.bbc.co.uk/news", "bbc.co.uk", "bbc"),
        ("https://feeds.example-times.com/rss", "example-times.com", "example-times"),
        ("http://www.harbour-herald.example/", "harbour-herald.example", "harbour-herald"),
    ],
)
def test_a_site_is_its_registered_domain(url: str, site: str, label: str):
    assert site_of(url) == site
    assert label_of(url.split("/")[2]) == label


def test_an_address_without_a_host_belongs_to_no_site():
    assert site_of("http://[") is site_of("/a") is None


# --- pages ----------------------------------------------------------------------------------


def test_a_front_page_declares_feeds_and_links_feeds_and_sections():
    front = front_page(FRONT, HOME)
    assert front.name == "The Paper"
    assert [(place.url, place.label) for place in front.declared] == [
        ("https://www.paper.example/feed", "The Paper"),
        ("https://www.paper.example/start/atom.xml", ""),
    ]
    assert [place.url for place in front.linked] == [
        "https://www.paper.example/rss",
        "https://feeds.feeder.example/paper",
    ]
    # The navigation's first; no headline, no feed, nothing of the footer.
    assert [place.label for place in front.sections] == [
        *("Politics", "Sport", "About us", "Feed prices"),
    ]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ('<meta property="og:site_name" content=" The  Paper "><title>x</title>', "The Paper"),
        ('<meta name="application-name" content="Paper"><title>x</title>', "Paper"),
        ("<title>Latest news and videos | The Paper</title>", "The Paper"),
        ("<title>The Paper: news from everywhere</title>", "The Paper"),
        ("<title>Something else altogether</title>", "Something else altogether"),
        ("<title> </title>", "www.paper.example"),
        ("<title>The\x85\nPaper</title>", "The Paper"),
    ],
)
def test_a_site_is_named_by_itself(head: str, name: str):
    assert front_page(f"<html><head>{head}</head><body><p>x</p></body></html>", HOME).name == name


MARKUP = st.lists(
    st.sampled_from(
        [
            *("<a href='", "'>", "</a>", "<link rel=alternate type=application/rss+xml href=", ">"),
            *(
                "http://[",
                "//",
                "\x00",
                "\ud800",
                "<nav>",
                "<base href='",
                "<title>",
                "<!--",
                "/rss",
            ),
            *("https://www.paper.example/politics", "Politics", "&#xd800;", "javascript:x()"),
        ]
    )
    | st.text(max_size=20)
).map("".join)


@settings(deadline=None)
@given(MARKUP)
def test_any_markup_can_be_read_and_every_place_is_a_web_address(markup: str):
    front = front_page(markup, HOME)
    assert front.name
    for place in (*front.declared, *front.linked, *front.sections):
        assert url_key(place.url)


# --- robots.txt and indexes -----------------------------------------------------------------


def test_robots_txt_names_sitemaps_and_those_of_news_come_first():
    robots = "User-agent: *\nSitemap: /all.xml\nsitemap: https://www.paper.example/News.xml\n"
    robots += "Sitemap: mailto:x\nSitemap: http://[\nSitemap: /all.xml"
    assert sitemap_places(HOME, robots) == [
        Place("https://www.paper.example/News.xml", "robots.txt"),
        Place("https://www.paper.example/all.xml", "robots.txt"),
    ]


@settings(deadline=None)
@given(st.text() | st.lists(st.text(max_size=30)).map(lambda said: "\nSitemap: ".join(["", *said])))
def test_any_robots_txt_can_be_read(robots: str):
    for place in sitemap_places(HOME, robots):
        assert url_key(place.url)


def test_of_an_index_news_comes_first_then_articles_then_the_latest():
    names = ["page-2.xml", "sitemap-posts-1.xml", "sitemap-news.xml", "sitemap-video.xml", "3.xml"]
    listing = Listing(
        Kind.SITEMAP_INDEX,
        tuple(
            Entry(f"{HOME}{name}", modified=date(2026, 3, day + 1))
            for day, name in enumerate(names)
        ),
    )
    places = child_places(Place(f"{HOME}index.xml", "robots.txt"), listing)
    assert [place.url.removeprefix(HOME) for place in places] == [
        *("sitemap-news.xml", "sitemap-posts-1.xml", "3.xml", "page-2.xml"),
    ]
    assert {place.via for place in places} == {f"index {HOME}index.xml"}


@pytest.mark.parametrize(
    ("path", "label", "reason"),
    [
        ("comments/feed/", "", "a feed of comments"),
        ("feed/x", "The Paper » Kommentar-Feed", "a feed of comments"),
        ("podcasts/daily.rss", "", "a podcast"),
        ("author/ann/feed", "", "of one tag or author"),
        ("sitemap-images.xml", "", "by its name a sitemap of no articles"),
        ("commentary/rss", "Commentary", None),
        ("sitemap-news.xml", "", None),
        ("feed", "", None),
    ],
)
def test_a_place_that_holds_no_articles_by_its_name_is_not_asked(path, label, reason):
    assert pointless(Place(f"{HOME}{path}", "link tag", label)) == reason


# --- judgement ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listing", "body", "reason"),
    [
        (Listing(Kind.UNKNOWN), b"", "is no feed or sitemap"),
        (Listing(Kind.FEED), b"", "names no pages"),
        (
            Listing(Kind.FEED, entries(*pages(2))),
            b"<enclosure url='a' type='audio/mpeg'/>" * 2,
            "a podcast",
        ),
        (
            Listing(Kind.FEED, entries(f"{HOME}a", "https://x.example/a", "https://x.example/b")),
            b"",
            "its entries lead elsewhere, most of them to x.example",
        ),
    ],
)
def test_a_listing_that_is_not_worth_reading_is_left_out(listing, body, reason):
    place = Place(f"{HOME}feed", "link tag")
    assert judge(place, listing, body, "paper.example") == LeftOut(place.url, place.via, reason)


def test_a_listing_is_counted_by_the_entries_of_the_site():
    listing = Listing(
        Kind.SITEMAP,
        (
            Entry("https://www.example.com/a", "A", published=NOON),
            Entry("https://sport.example.com/b", published=date(2026, 3, 11)),
            Entry("https://other.example/c", "C", published=NOON),
        ),
    )
    found = judge(Place(f"{HOME}x.xml", "robots.txt"), listing, b"", "example.com")
    assert isinstance(found, Found)
    assert found.summary() == {
        "url": f"{HOME}x.xml",
        "via": "robots.txt",
        "kind": "news-sitemap",
        "entries": 2,
        "titled": 1,
        "dated": 2,
        "newest": datetime(2026, 3, 11, tzinfo=UTC),
    }


def test_the_front_page_of_a_listing_is_that_of_most_entries():
    urls = ("https://a.example/1", "http://[", *pages(2))
    assert home_of(Listing(Kind.FEED, entries(*urls))) == HOME
    assert home_of(Listing(Kind.FEED)) is None


def test_of_two_feeds_with_mostly_the_same_entries_the_larger_is_read():
    small, large, other = (
        feed("small", *pages(10)),
        feed("large", *pages(30)),
        feed("other", *pages(10, first=27)),
    )
    kept, left_out = choose([small, large, other])
    assert kept == [large, other]
    assert left_out == [LeftOut(small.url, small.via, "its entries are in the other listings")]


def test_a_feed_and_a_news_sitemap_of_the_same_entries_are_both_read():
    news = feed("news.xml", *pages(10), kind=Kind.SITEMAP)
    assert choose([news, feed("feed", *pages(10))])[0] == [feed("feed", *pages(10)), news]


def test_a_feed_that_has_died_is_left_out():
    dead = feed("dead", *pages(5), at=NOON - timedelta(days=31))
    alive = feed("alive", *pages(5, first=20))
    kept, left_out = choose([dead, alive])
    assert kept == [alive]
    assert left_out == [LeftOut(dead.url, dead.via, "its newest entry is of 2026-02-07")]
    assert choose([dead])[0] == [dead]


def test_the_whole_sites_sitemap_is_read_only_where_there_is_nothing_better():
    index = feed("index.xml", *pages(90), at=None, kind=Kind.SITEMAP_INDEX)
    sitemap = feed("sitemap.xml", *pages(95), at=None, kind=Kind.SITEMAP)
    assert choose([sitemap])[0] == [sitemap]
    assert choose([sitemap, index])[0] == [index]
    kept, left_out = choose([sitemap, index, feed("feed", *pages(3))])
    assert kept == [feed("feed", *pages(3))]
    assert {left.url for left in left_out} == {sitemap.url, index.url}


KEYS = st.sets(st.integers(0, 30), min_size=1)


@settings(deadline=None)
@given(st.lists(KEYS, max_size=6))
def test_listings_that_are_left_out_have_little_that_the_others_have_not(numbers: list[set[int]]):
    listings = [
        feed(f"feed-{n}", *(f"{HOME}story-{number}" for number in sorted(each)))
        for n, each in enumerate(numbers)
    ]
    kept, left_out = cover(listings)
    assert [f.url for f in listings if f in kept] == [f.url for f in kept]
    assert len(kept) + len(left_out) == len(listings)
    known = {entry.url for found in kept for entry in found.entries}
    for left in left_out:
        urls = {e.url for found in listings if found.url == left.url for e in found.entries}
        assert len(urls - known) * 5 < len(urls)


# --- findings -------------------------------------------------------------------------------

MOMENTS = st.none() | st.dates() | st.datetimes(timezones=st.just(UTC))
ENTRIES = st.builds(
    Entry,
    st.sampled_from(pages(3)),
    st.none() | st.text(min_size=1, max_size=5),
    MOMENTS,
    MOMENTS,
    st.none() | st.text(min_size=1, max_size=5),
    st.lists(st.text(max_size=5), max_size=2).map(tuple),
)
FOUND = st.builds(
    Found,
    st.sampled_from(pages(3)),
    st.text(),
    st.sampled_from(Kind),
    st.lists(ENTRIES, max_size=3).map(tuple),
)


@settings(deadline=None)
@given(
    st.lists(FOUND, max_size=3).map(tuple),
    st.lists(st.builds(LeftOut, st.text(), st.text(), st.text())).map(tuple),
)
def test_findings_come_back_from_json_as_they_were(listings, left_out):
    findings = Findings(HOME, "The Paper", listings, left_out)
    assert Findings.of(findings.to_json()) == findings


def test_a_page_that_two_listings_name_is_one_entry_as_the_first_has_it():
    other = Found(f"{HOME}b", "link tag", Kind.FEED, (Entry(f"{HOME}story-1?utm_source=b", "B"),))
    findings = Findings(HOME, "The Paper", (feed("a", *pages(2)), other), ())
    assert findings.entries == list(entries(*pages(2)))
