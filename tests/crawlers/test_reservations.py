"""What publishers reserve: kept with every page, and honoured where a source says so."""

from __future__ import annotations

import json

import pytest
from crawl_support import HTML, RUNS, CrawlRunner, Sites, ledger, outcomes, publish
from siteserver import Answer

from processing.archive import read_listed_page
from processing.records import FETCHED, State
from processing.storage import Store

PAPER = "http://paper.example"
FEED = f"{PAPER}/feed"
TDMREP = f"{PAPER}/.well-known/tdmrep.json"
ROBOTS = b"User-agent: *\nAllow: /\n\nUser-agent: GPTBot\nDisallow: /premium/\n"
RESERVED = [{"location": "/premium/*", "tdm-reservation": 1}]
FREE, PREMIUM = f"{PAPER}/free", f"{PAPER}/premium/story"
NOINDEX, NOAI = f"{PAPER}/noindex", f"{PAPER}/noai"


@pytest.fixture
def paper(sites: Sites) -> Sites:
    sites.pages[f"{PAPER}/robots.txt"] = Answer(200, body=ROBOTS)
    sites.pages[TDMREP] = Answer(200, body=json.dumps(RESERVED).encode())
    sites.feed(FEED, FREE, PREMIUM, NOINDEX, NOAI)
    sites.article(FREE)
    sites.article(PREMIUM)
    sites.article(NOINDEX, **{"X-Robots-Tag": "noindex"})
    page = b'<!doctype html><meta name="robots" content="noai"><body><p>story</p>'
    sites.pages[NOAI] = Answer(200, HTML, page)
    return sites


def test_what_a_site_says_is_kept_with_each_page(
    crawl: CrawlRunner, paper: Sites, store: Store
) -> None:
    crawl.source("paper", feeds=[FEED])
    crawl("paper")
    visits = {visit.url: visit for visit in ledger(store, "paper")}
    assert {visit.outcome for visit in visits.values()} == {FETCHED}
    rights = {}
    for url in (FREE, PREMIUM):
        pointer = visits[url].warc
        assert pointer is not None
        stored = read_listed_page(store, pointer, source="paper")
        assert stored is not None
        rights[url] = dict(stored.page.rights or {})
    assert rights[FREE] == {"robots": "allowed"}
    evidence = rights[PREMIUM].pop("evidence")
    assert rights[PREMIUM] == {"robots": "allowed", "tdm": "denied", "ai": "denied"}
    assert "GPTBot" in " ".join(evidence)


@pytest.mark.parametrize(
    ("honour", "skipped", "never_asked"),
    [
        (["tdm"], {PREMIUM}, {PREMIUM}),
        (["ai"], {PREMIUM, NOAI}, {PREMIUM}),
        (["noindex"], {NOINDEX}, set()),
        (["tdm", "ai", "noindex"], {PREMIUM, NOAI, NOINDEX}, {PREMIUM}),
    ],
)
def test_a_source_honours_what_it_says_it_does(
    crawl: CrawlRunner,
    paper: Sites,
    store: Store,
    honour: list[str],
    skipped: set[str],
    never_asked: set[str],
) -> None:
    crawl.source("paper", feeds=[FEED], honour=honour)
    crawl("paper")
    found = outcomes(store, "paper")
    assert {url for url, state in found.items() if state == State.SKIPPED_RIGHTS} == skipped
    assert {url for url, state in found.items() if state == FETCHED} == set(found) - skipped
    assert not never_asked & set(paper.asked())
    details = [visit.detail or "" for visit in ledger(store, "paper") if visit.url in skipped]
    assert all("is reserved:" in detail for detail in details)


def test_reservations_are_asked_once_a_day(crawl: CrawlRunner, paper: Sites, store: Store) -> None:
    crawl.source("paper", feeds=[FEED], honour=["tdm"])
    crawl("paper")
    publish(store, RUNS[0])
    another = f"{PAPER}/premium/another"
    paper.feed(FEED, another)
    paper.article(another)
    paper.server.forget_requests()
    crawl("paper", run=RUNS[1])
    assert outcomes(store, "paper", RUNS[1]) == {another: State.SKIPPED_RIGHTS}
    assert [request.url for request in paper.server.requests] == [FEED]


def test_a_site_whose_tdmrep_cannot_be_had_is_crawled_all_the_same(
    crawl: CrawlRunner, paper: Sites, store: Store
) -> None:
    paper.pages[TDMREP] = Answer(500)
    crawl.source("paper", feeds=[FEED], honour=["tdm"])
    crawl("paper")
    assert set(outcomes(store, "paper").values()) == {FETCHED}
