"""Backfills: which archives and pages are of the days asked for, and that rounds finish them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from crawl_support import RUNS, CrawlRunner, Outcome, Sites, outcomes, publish
from hypothesis import given
from hypothesis import strategies as st
from siteserver import Answer

from crawlers.backfill import Days, archives, days_of_archive, days_of_page, outside
from crawlers.catalogue import Source
from crawlers.discovery import Entry, Kind, read_listing
from crawlers.refusals import refusal_of_status
from crawlers.source_crawl import SourceCrawl, Validators
from crawlers.warc import WireResponse
from processing.records import FETCHED, Hints, State
from processing.storage import Store

JANUARY = Days(date(2024, 1, 1), date(2024, 1, 31))
PAPER = "http://paper.example"


def span(first: str, last: str = "") -> Days:
    return Days(date.fromisoformat(first), date.fromisoformat(last or first))


@pytest.mark.parametrize(
    ("address", "days"),
    [
        ("/sitemap.xml?yyyy=2024&mm=01&dd=15", span("2024-01-15")),
        ("/sitemap?year=2024&month=2", span("2024-02-01", "2024-02-29")),
        ("/sitemaps/2024/1", span("2024-01-01", "2024-01-31")),
        ("/2024/jan/sitemap.xml", span("2024-01-01", "2024-01-31")),
        ("/sitemap_september_2023.xml", span("2023-09-01", "2023-09-30")),
        ("/sitemap-202401.xml.gz", span("2024-01-01", "2024-01-31")),
        ("/sitemap-20240115.xml", span("2024-01-15")),
        ("/sitemap-2024-01-15.xml", span("2024-01-15")),
        ("/archive-2024.xml", span("2024-01-01", "2024-12-31")),
        ("/archive-2019-2021.xml", span("2019-01-01", "2021-12-31")),
        ("/2024-w05.xml", span("2024-01-01", "2024-12-31")),
        ("/markets-2024.xml", span("2024-01-01", "2024-12-31")),
        ("/post-sitemap37.xml", None),
        ("/sitemap-120240115.xml", None),
    ],
)
def test_the_days_of_an_archive_stand_in_its_address(address, days):
    assert days_of_archive(f"http://2019-01.example{address}") == days


@pytest.mark.parametrize(
    ("address", "days"),
    [
        ("/2024/01/15/a-tram", span("2024-01-15")),
        ("/world/2024/jan/05/a-tram", span("2024-01-05")),
        ("/a-tram-20240115", span("2024-01-15")),
        ("/2024/01/a-tram", span("2024-01-01", "2024-01-31")),
        ("/2024/02/31/a-tram", span("2024-02-01", "2024-02-29")),
        ("/the-election-of-2024", None),
        ("/news/202401", None),
    ],
)
def test_the_day_of_a_page_is_told_by_no_less_than_a_month(address, days):
    assert days_of_page(f"{PAPER}{address}") == days


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_address_can_be_asked_for_its_days(path, query):
    for days in (days_of_page(f"{PAPER}/{path}?{query}"), days_of_archive(f"{PAPER}/{path}")):
        assert days is None or days.first <= days.last


@given(st.dates(date(1990, 1, 1), date(2099, 12, 31)), st.sampled_from("-/_."))
def test_a_whole_date_is_read_as_it_was_written(day, by):
    assert days_of_page(f"{PAPER}/x/{day:%Y{by}%m{by}%d}/y") == Days(day, day)


def test_archives_near_the_days_are_read_those_that_reach_them_first():
    named = [
        ("a/sitemap-2023-11.xml", None),
        ("a/sitemap-2023-12.xml", date(2024, 5, 5)),
        ("a/sitemap-2024-01.xml", None),
        ("a/sitemap-2024-03.xml", None),
        ("a/post-sitemap1.xml", datetime(2023, 12, 30, tzinfo=UTC)),
        ("a/post-sitemap3.xml", datetime(2024, 4, 1, tzinfo=UTC)),
        ("a/post-sitemap2.xml", datetime(2024, 1, 20, tzinfo=UTC)),
        ("a/video-sitemap-2024-01.xml", None),
        ("a/sitemap.xml", None),
    ]
    assert archives(named, JANUARY) == [
        "a/sitemap-2023-12.xml",  # its last day may be the first one in UTC
        "a/post-sitemap2.xml",
        "a/sitemap-2024-01.xml",
        "a/post-sitemap3.xml",
        "a/sitemap.xml",
    ]


IN, OUT = date(2024, 1, 15), date(2024, 2, 15)


@pytest.mark.parametrize(
    ("url", "said", "listing", "reason"),
    [
        ("/a", Hints(published=IN, modified=OUT), "/feed", None),
        ("/a", Hints(published=OUT), "/sitemap-2024-01.xml", "dated 2024-02-15"),
        ("/2024/01/15/a", Hints(modified=OUT), "/feed", None),
        ("/2024/02/15/a", Hints(modified=IN), "/feed", "its address is of 2024-02-15"),
        ("/a", Hints(modified=IN), "/feed", None),
        ("/a", Hints(modified=date(2023, 5, 1)), "/feed", "last changed 2023-05-01"),
        ("/a", Hints(modified=OUT), "/feed", "nothing says of which day it is"),
        ("/a", Hints(modified=OUT), "/sitemap-2024-01.xml", None),
        ("/a", Hints(), "/sitemap-2024-01.xml", None),
        ("/a", Hints(), "/sitemap.xml", "nothing says of which day it is"),
    ],
)
def test_a_page_is_of_the_days_by_its_date_its_address_or_its_archive(url, said, listing, reason):
    assert outside(JANUARY, f"{PAPER}{url}", said, f"{PAPER}{listing}") == reason


def test_a_robots_txt_is_an_index_of_the_sitemaps_it_names():
    body = b"User-agent: *\nDisallow: /x\nSitemap: /s.xml\n sitemap : http://b.example/s.xml # b\n"
    found = read_listing(body, f"{PAPER}/robots.txt")
    assert found.kind is Kind.SITEMAP_INDEX
    assert [entry.url for entry in found.entries] == [f"{PAPER}/s.xml", "http://b.example/s.xml"]
    assert read_listing(body, f"{PAPER}/notes.txt").kind is Kind.UNKNOWN


def sitemap(sites: Sites, url: str, *entries: str | tuple[str, str], index: bool = False) -> None:
    """A sitemap or an index of addresses, or of pairs of an address and its lastmod."""
    outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
    pairs = [(entry, "") if isinstance(entry, str) else entry for entry in entries]
    rows = "".join(
        f"<{inner}><loc>{link.replace('&', '&amp;')}</loc>"
        + (f"<lastmod>{changed}</lastmod>" if changed else "")
        + f"</{inner}>"
        for link, changed in pairs
    )
    body = f'<?xml version="1.0"?><{outer}>{rows}</{outer}>'
    sites.pages[url] = Answer(200, {"Content-Type": "text/xml"}, body.encode())


@pytest.fixture
def archive(sites: Sites, crawl: CrawlRunner) -> list[str]:
    """A paper of which robots.txt names the archive; the addresses of its January."""
    sites.pages[f"{PAPER}/robots.txt"] = Answer(200, body=f"Sitemap: {PAPER}/all.xml".encode())
    months = [f"{PAPER}/sitemap-2024-{month:02}.xml" for month in (1, 2, 3)]
    weeks = [f"{PAPER}/sitemap-2024-01-{day}.xml" for day in ("01", "15")]
    sitemap(sites, f"{PAPER}/all.xml", *weeks, *months[1:], index=True)
    january = [f"{PAPER}/january-{n}" for n in range(5)]
    for url in january:
        sites.article(url)
    sitemap(sites, weeks[0], *january[:3], "http://elsewhere.example/january")
    sitemap(sites, weeks[1], *january[3:], (f"{PAPER}/older", "2023-06-01"))
    sites.feed(f"{PAPER}/feed", (f"{PAPER}/today", f"<pubDate>{datetime.now(UTC)}</pubDate>"))
    crawl.source("paper", feeds=[f"{PAPER}/feed"], max_articles=3)
    return january


def backfill(crawl: CrawlRunner, run: str) -> Outcome:
    first, last = str(JANUARY.first), str(JANUARY.last)
    arguments = [*crawl.arguments("paper", run=run), "--days", first, last]
    return crawl.finish(crawl.start_with(arguments))


def test_rounds_of_a_backfill_go_on_where_the_last_published_one_ended(
    crawl: CrawlRunner, sites: Sites, store: Store, archive: list[str]
) -> None:
    first = backfill(crawl, RUNS[0]).results["paper"]
    assert (first["ok"], first["fetched"], first["unfinished"]) == (True, 3, True)
    assert outcomes(store, "paper") == {
        **dict.fromkeys(archive[:3], FETCHED),
        "http://elsewhere.example/january": State.SKIPPED_RULE,
        f"{PAPER}/today": State.SKIPPED_OLD,
    }
    sites.asked()
    publish(store, RUNS[0])
    second = backfill(crawl, RUNS[1]).results["paper"]
    assert (second["fetched"], second["unfinished"]) == (2, False)
    asked = sites.asked()
    assert f"{PAPER}/sitemap-2024-01-01.xml" not in asked, "it was dealt with"
    assert f"{PAPER}/sitemap-2024-03.xml" not in asked and f"{PAPER}/today" not in asked
    assert outcomes(store, "paper", RUNS[1])[f"{PAPER}/older"] == State.SKIPPED_OLD
    publish(store, RUNS[1])
    sites.article(f"{PAPER}/today")
    crawl("paper", run=RUNS[2])
    assert sites.asked() == [f"{PAPER}/feed", f"{PAPER}/today"], "a crawl is what it was before"


def source_crawl(directory: Path, days: Days | None) -> SourceCrawl:
    source = Source(
        id="paper", name="Paper", homepage=f"{PAPER}/", feeds=[f"{PAPER}/feed"], max_articles=9
    )
    crawl = SourceCrawl(
        source,
        run_id=RUNS[0],
        attempt=1,
        directory=directory,
        store=None,
        clock=lambda: datetime.now(UTC),
        days=days,
    )
    crawl.begin()
    return crawl


@pytest.mark.parametrize(
    ("days", "ill", "unfinished"),
    [
        pytest.param(JANUARY, 2, True, id="most came"),
        pytest.param(JANUARY, 4, False, id="most failed"),
        pytest.param(None, 2, False, id="no backfill"),
    ],
)
def test_a_backfill_goes_on_when_something_is_left_and_most_came(tmp_path, days, ill, unfinished):
    crawl = source_crawl(tmp_path, days)
    entries = [Entry(f"{PAPER}/{n}", published=date(2024, 1, 9)) for n in range(8)]
    crawl.source = crawl.source.model_copy(update={"max_age_days": 10_000})
    crawl.listing_read(f"{PAPER}/feed", Kind.FEED, entries, Validators(None, None, "hash"))
    for n, candidate in enumerate(crawl.decide()):
        if n < ill:
            crawl.refused(candidate, refusal_of_status(500))
        elif n < 7:
            wire = WireResponse(b"HTTP/1.1 200 OK\r\n\r\n", b"<p>page</p>")
            crawl.fetched(candidate, candidate.url, wire, Validators(None, None, candidate.key))
        else:
            crawl.over_limit(candidate, "max_articles is 7")
    crawl.complete = True
    crawl.finish()
    assert crawl.result("finished").unfinished is unfinished
