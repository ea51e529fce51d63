"""Whole crawls: a process, sites on loopback, a real store; every URL in exactly one state."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from io import BytesIO

import pytest
from crawl_support import HTML, RUNS, CrawlRunner, Sites, ledger, outcomes, publish
from demo.sites import SOURCES, expected, handler
from fastwarc.warc import ArchiveIterator, WarcRecordType
from siteserver import CLOSE, Answer, Request, SiteServer

from crawlers.catalogue import load
from processing.records import FETCHED, KNOWN, Hints, State
from processing.storage import Store
from processing.urls import url_key

PAPER = "http://paper.example"
FEED = f"{PAPER}/feed"


def test_every_kind_of_url_ends_in_its_state(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    sites.pages[f"{PAPER}/robots.txt"] = Answer(200, body=b"User-agent: *\nDisallow: /private/")
    sites.pages["http://closed.example/robots.txt"] = Answer(503)
    sites.article(f"{PAPER}/good")
    sites.article(f"{PAPER}/moved-here")
    sites.article(f"{PAPER}/private/secret")
    sites.article(f"{PAPER}/video/clip")
    sites.article("http://closed.example/story")
    sites.pages[f"{PAPER}/moved"] = Answer(301, {"Location": "/moved-here"})
    sites.pages[f"{PAPER}/circle"] = Answer(302, {"Location": "/circle"})
    sites.pages[f"{PAPER}/nowhere"] = Answer(302, {"Location": "ftp://paper.example/x"})
    sites.pages[f"{PAPER}/inside"] = Answer(302, {"Location": "http://10.0.0.1/admin"})
    sites.pages[f"{PAPER}/broken"] = Answer(500, HTML, b"oops")
    sites.pages[f"{PAPER}/hung-up"] = Answer(CLOSE)
    sites.pages[f"{PAPER}/file"] = Answer(200, {"Content-Type": "application/pdf"}, b"%PDF-1.7")
    sites.pages[f"{PAPER}/huge"] = Answer(200, HTML, b"x" * (8 * 1024 * 1024 + 1))
    sites.pages[f"{PAPER}/bomb"] = Answer(
        200, {**HTML, "Content-Encoding": "gzip"}, gzip.compress(bytes(9 * 1024 * 1024))
    )
    sites.article(f"{PAPER}/reserved", **{"X-Robots-Tag": "noai"})
    sites.pages["http://busy.example/one"] = Answer(503, {"Retry-After": "3600"})
    sites.article("http://busy.example/two")
    old = (f"{PAPER}/old", "<pubDate>Sun, 01 Jan 2023 10:00:00 GMT</pubDate>")
    expected: dict[str, tuple[str, int | None]] = {
        f"{PAPER}/good": (FETCHED, 200),
        f"{PAPER}/moved": (FETCHED, 200),
        f"{PAPER}/private/secret": (State.SKIPPED_ROBOTS, None),
        "http://closed.example/story": (State.SKIPPED_ROBOTS, None),
        f"{PAPER}/video/clip": (State.SKIPPED_RULE, None),
        f"{PAPER}/old": (State.SKIPPED_OLD, None),
        f"{PAPER}/circle": (State.FAILED_REDIRECT, 302),
        f"{PAPER}/nowhere": (State.FAILED_REDIRECT, 302),
        f"{PAPER}/inside": (State.SKIPPED_UNSAFE, None),
        "http://127.0.0.1:1/x": (State.SKIPPED_UNSAFE, None),
        f"{PAPER}/gone": (State.FAILED_HTTP, 404),
        f"{PAPER}/broken": (State.FAILED_HTTP, 500),
        f"{PAPER}/hung-up": (State.FAILED_NETWORK, None),
        f"{PAPER}/file": (State.REJECTED_NOT_HTML, 200),
        f"{PAPER}/huge": (State.FAILED_TOO_LARGE, None),
        f"{PAPER}/bomb": (State.FAILED_TOO_LARGE, None),
        f"{PAPER}/reserved": (State.SKIPPED_RIGHTS, 200),
        "http://busy.example/one": (State.FAILED_HTTP, 503),
        "http://busy.example/two": (State.SKIPPED_UNAVAILABLE, None),
    }
    links = [old if url == old[0] else url for url in expected]
    sites.feed(FEED, *links, f"{PAPER}/good?utm_source=rss")
    crawl.source("paper", feeds=[FEED], deny=["/video/"], honour=["ai"])

    outcome = crawl("paper")

    assert outcome.status == 0, outcome.errors
    visits = ledger(store, "paper")
    assert {v.url: (v.outcome, v.http_status) for v in visits} == expected
    result = outcome.results["paper"]
    assert result["ok"], result
    assert result["discovered"] == len(expected) == len(visits)
    counted = ("fetched", "known", "unchanged", "skipped", "failed")
    assert [result[name] for name in counted] == [2, 0, 0, 8, 9]
    assert all(v.discovered_via == FEED for v in visits)


def test_what_is_stored_is_the_page_and_what_its_listing_said(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    page = b"<html><body>gr\xc3\xbcn</body></html>"
    packed = gzip.compress(page)
    sites.pages[f"{PAPER}/a"] = Answer(302, {"Location": "/b"})
    sites.pages[f"{PAPER}/b"] = Answer(200, {**HTML, "Content-Encoding": "gzip"}, packed)
    said = "<pubDate>Tue, 10 Mar 2026 08:00:00 GMT</pubDate><category>Politics</category>"
    sites.feed(FEED, (f"{PAPER}/a", said))
    crawl.source("paper", feeds=[FEED], max_age_days=9999)

    assert crawl("paper").status == 0

    (visit,) = ledger(store, "paper")
    assert visit.warc is not None
    assert visit.warc.key == f"raw/date=2026-03-10/source=paper/{RUNS[0]}-1-000.warc.gz"
    assert visit.hints.title == "About 0"
    assert visit.hints.tags == ("Politics",)
    member = store.get_range(visit.warc.key, visit.warc.offset, visit.warc.length)
    record = next(iter(ArchiveIterator(BytesIO(member))))
    assert record.headers["WARC-Target-URI"] == f"{PAPER}/b"
    assert record.record_date == visit.at
    assert record.http_headers.status_code == 200
    assert record.http_headers["Content-Encoding"] == "gzip"
    assert record.reader.read() == packed
    kinds = [r.record_type for r in ArchiveIterator(BytesIO(store.get(visit.warc.key).data))]
    assert kinds == [WarcRecordType.warcinfo, WarcRecordType.metadata, WarcRecordType.response]


def test_an_unchanged_site_costs_its_listings_conditional_gets(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    listings = {f"{PAPER}/index.xml", f"{PAPER}/news.xml", FEED, f"{PAPER}/politics/"}
    sites.feed(FEED, f"{PAPER}/one", ETag='"feed"')
    child = f"<urlset><url><loc>{PAPER}/two</loc></url></urlset>".encode()
    index = f"<sitemapindex><sitemap><loc>{PAPER}/news.xml</loc></sitemap></sitemapindex>".encode()
    dated = {"Last-Modified": "Tue, 10 Mar 2026 08:00:00 GMT"}
    sites.pages[f"{PAPER}/index.xml"] = Answer(200, {"ETag": '"index"'}, index)
    sites.pages[f"{PAPER}/news.xml"] = Answer(200, dated, child)
    three = f"{PAPER}/politics/council-votes-for-a-new-bridge"
    front = f'<html><a href="{three}">Council votes for a new bridge</a></html>'.encode()
    sites.pages[f"{PAPER}/politics/"] = Answer(200, HTML, front)  # no validator: told by its hash
    for url in (f"{PAPER}/one", f"{PAPER}/two", three):
        sites.article(url)
    crawl.source(
        "paper", feeds=[FEED], sitemaps=[f"{PAPER}/index.xml"], sections=[f"{PAPER}/politics/"]
    )
    assert set(outcomes_of(crawl, store, RUNS[0]).values()) == {FETCHED}
    assert set(sites.asked()) == {*listings, f"{PAPER}/one", f"{PAPER}/two", three}
    publish(store, RUNS[0])

    assert outcomes_of(crawl, store, RUNS[1]) == {}

    assert sorted(sites.asked()) == sorted(listings)

    # A 304 of the index must not hide what its sitemap has new.
    more = f"<urlset><url><loc>{PAPER}/two</loc></url><url><loc>{PAPER}/new</loc></url></urlset>"
    sites.pages[f"{PAPER}/news.xml"] = Answer(200, {}, more.encode())
    sites.article(f"{PAPER}/new")
    third = outcomes_of(crawl, store, RUNS[2])
    assert third == {f"{PAPER}/two": KNOWN, f"{PAPER}/new": FETCHED}


def outcomes_of(crawl: CrawlRunner, store: Store, run: str) -> dict[str, str]:
    outcome = crawl("paper", run=run)
    assert outcome.status == 0, outcome.errors
    assert outcome.results["paper"]["ok"], outcome.results
    return outcomes(store, "paper", run)


def test_a_failing_article_is_asked_again_though_its_listing_has_not_changed(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    sites.feed(FEED, f"{PAPER}/good", f"{PAPER}/ill", f"{PAPER}/gone", ETag='"1"')
    sites.article(f"{PAPER}/good")
    sites.pages[f"{PAPER}/ill"] = Answer(503)
    crawl.source("paper", feeds=[FEED])
    outcomes_of(crawl, store, RUNS[0])
    publish(store, RUNS[0])
    sites.article(f"{PAPER}/ill")
    sites.asked()

    second = outcomes_of(crawl, store, RUNS[1])

    assert second == {f"{PAPER}/good": KNOWN, f"{PAPER}/ill": FETCHED, f"{PAPER}/gone": KNOWN}
    assert sites.asked() == [FEED, f"{PAPER}/ill"]
    publish(store, RUNS[1])
    assert outcomes_of(crawl, store, RUNS[2]) == {}


def test_articles_over_the_limit_come_in_the_next_run_the_newest_first(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    days = [f"{PAPER}/{day}" for day in (1, 3, 2)]
    for url in days:
        sites.article(url)
    dates = [(u, f"<pubDate>Tue, {u[-1]} Mar 2026 08:00:00 GMT</pubDate>") for u in days]
    sites.feed(FEED, *dates, ETag='"1"')
    crawl.source("paper", feeds=[FEED], max_articles=2, max_age_days=9999)

    first = outcomes_of(crawl, store, RUNS[0])

    assert first == {days[0]: State.SKIPPED_LIMIT, days[1]: FETCHED, days[2]: FETCHED}
    assert sites.asked() == [FEED, days[1], days[2]]
    publish(store, RUNS[0])
    assert outcomes_of(crawl, store, RUNS[1])[days[0]] == FETCHED


def test_a_changed_article_is_fetched_again_and_an_unchanged_one_is_not_stored(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    urls = [f"{PAPER}/{name}" for name in ("validated", "same-body", "changed")]
    sites.article(urls[0], ETag='"v"')
    sites.article(urls[1])
    sites.article(urls[2], "before")

    def list_them(day: int) -> None:
        entries = "".join(
            f"<url><loc>{url}</loc><lastmod>2026-03-{day:02}T08:00:00Z</lastmod></url>"
            for url in urls
        )
        sites.pages[FEED] = Answer(200, {}, f"<urlset>{entries}</urlset>".encode())

    crawl.source("paper", sitemaps=[FEED], max_age_days=9999)
    list_them(8)
    assert set(outcomes_of(crawl, store, RUNS[0]).values()) == {FETCHED}
    publish(store, RUNS[0])
    sites.article(urls[2], "after")
    list_them(9)

    outcomes_of(crawl, store, RUNS[1])

    states = {v.url: (v.outcome, v.http_status) for v in ledger(store, "paper", RUNS[1])}
    assert states == {
        urls[0]: (State.UNCHANGED, 304),
        urls[1]: (State.UNCHANGED, 200),
        urls[2]: (FETCHED, 200),
    }


def test_an_article_with_a_new_title_in_its_feed_is_asked_again(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    other = f"{PAPER}/other-feed"
    sites.feed(FEED, f"{PAPER}/one")
    sites.feed(other, "http://x.example/", f"{PAPER}/one")  # here its title is another
    sites.article(f"{PAPER}/one", "before")
    crawl.source("paper", feeds=[FEED, other], allow=["paper"])
    outcomes_of(crawl, store, RUNS[0])
    publish(store, RUNS[0])
    sites.article(f"{PAPER}/one", "after")
    sites.feed(FEED, f"{PAPER}/two", "http://x.example/", f"{PAPER}/one")

    second = outcomes_of(crawl, store, RUNS[1])

    assert second[f"{PAPER}/one"] == FETCHED
    publish(store, RUNS[1])
    sites.feed(FEED, f"{PAPER}/three", "http://x.example/", f"{PAPER}/one")
    assert outcomes_of(crawl, store, RUNS[2])[f"{PAPER}/one"] == KNOWN


def test_pages_of_a_run_that_did_not_publish_are_taken_over(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    sites.feed(FEED, f"{PAPER}/one", ETag='"1"')
    sites.article(f"{PAPER}/one")
    crawl.source("paper", feeds=[FEED])
    outcomes_of(crawl, store, RUNS[0])  # no manifest follows
    (first,) = ledger(store, "paper", RUNS[0])

    outcomes_of(crawl, store, RUNS[1])

    (second,) = ledger(store, "paper", RUNS[1])
    assert (second.outcome, second.warc) == (FETCHED, first.warc)
    assert second.hints == Hints(title="About 0")
    publish(store, RUNS[1])
    assert outcomes_of(crawl, store, RUNS[2]) == {}


def test_a_crawl_that_dies_before_its_state_is_written_loses_nothing(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    sites.feed(FEED, f"{PAPER}/one", ETag='"1"')
    sites.article(f"{PAPER}/one")
    crawl.source("paper", feeds=[FEED])
    outcomes_of(crawl, store, RUNS[0])
    store.delete(["state/sources/paper.sqlite"])  # what a kill before the last upload leaves

    outcome = crawl("paper", run=RUNS[0], attempt=2)

    assert outcome.results["paper"]["ok"]
    (again,) = ledger(store, "paper", RUNS[0], attempt=2)
    assert again.outcome == FETCHED
    assert again.warc is not None
    assert again.warc.key.endswith(f"{RUNS[0]}-2-000.warc.gz")


def test_sigterm_saves_what_was_fetched_and_the_next_run_goes_on(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    reached, let_go = threading.Event(), threading.Event()

    def slow(request: Request) -> Answer:
        reached.set()
        let_go.wait(60)
        return Answer(200, HTML, b"<p>late</p>")

    urls = [f"{PAPER}/{name}" for name in ("quick", "slow", "never")]
    dates = [
        (url, f"<pubDate>Tue, 10 Mar 2026 0{9 - n}:00:00 GMT</pubDate>")
        for n, url in enumerate(urls)
    ]
    sites.feed(FEED, *dates, ETag='"1"')
    sites.article(urls[0])
    sites.pages[urls[1]] = slow
    sites.article(urls[2])
    crawl.source("paper", feeds=[FEED], max_age_days=9999)
    process = crawl.start("paper")
    assert reached.wait(60)

    process.terminate()
    outcome = crawl.finish(process)
    let_go.set()

    assert outcome.status == 0, outcome.errors
    result = outcome.results["paper"]
    assert (result["ok"], result["finish_reason"], result["fetched"]) == (False, "shutdown", 1)
    assert "cut short" in result["reason"]
    skipped = State.SKIPPED_LIMIT
    assert outcomes(store, "paper") == {urls[0]: FETCHED, urls[1]: skipped, urls[2]: skipped}
    sites.article(urls[1])
    second = outcomes_of(crawl, store, RUNS[1])
    assert set(second.values()) == {FETCHED}


def test_a_crawl_whose_parent_is_gone_saves_and_ends(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    reached, let_go = threading.Event(), threading.Event()

    def slow(request: Request) -> Answer:
        reached.set()
        let_go.wait(60)
        return Answer(200, HTML, b"<p>late</p>")

    sites.feed(FEED, f"{PAPER}/quick", f"{PAPER}/slow")
    sites.article(f"{PAPER}/quick")
    sites.pages[f"{PAPER}/slow"] = slow
    crawl.source("paper", feeds=[FEED])
    command = [sys.executable, "-m", "crawlers.crawl", *crawl.arguments("paper")]
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *command],
        env=crawl.env,
        stderr=subprocess.PIPE,
    )
    assert reached.wait(60)

    parent.kill()
    parent.communicate(timeout=60)  # the pipe closes when the crawl has ended too
    let_go.set()

    (result,) = json.loads(crawl.result.read_text())
    assert (result["finish_reason"], result["fetched"]) == ("shutdown", 1)
    assert outcomes(store, "paper")[f"{PAPER}/quick"] == FETCHED


def test_a_private_address_is_reached_only_where_the_source_allows_it(
    crawl: CrawlRunner, sites: Sites
) -> None:
    feed = f"{sites.server.url}/feed"
    sites.feed("http://127.0.0.1/feed", f"{sites.server.url}/one")
    sites.article("http://127.0.0.1/one")
    crawl.source("inside", feeds=[feed], allow_private=True)
    crawl.source("outside", feeds=[feed])

    results = crawl("inside", "outside").results

    assert (results["inside"]["ok"], results["inside"]["fetched"]) == (True, 1)
    assert "127.0.0.1 is no public address" in results["outside"]["reason"]


def test_one_dead_source_does_not_hurt_the_others(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    sites.feed(FEED, f"{PAPER}/one")
    sites.article(f"{PAPER}/one")
    sites.pages["http://web.example/feed"] = Answer(200, HTML, b"<html><a href='/x'>x</a></html>")
    store.put("state/sources/damaged.sqlite", b"this is no database" * 100)
    crawl.source("paper", feeds=[FEED, f"{PAPER}/lost-feed"])
    crawl.source("dead", feeds=["http://dead.example/feed"])
    crawl.source("web", feeds=["http://web.example/feed"])
    crawl.source("damaged", feeds=["http://damaged.example/feed"])

    outcome = crawl("paper", "dead", "web", "damaged")

    assert outcome.status == 1  # the damaged state is the store's trouble, not a site's
    results = outcome.results
    assert {name: result["ok"] for name, result in results.items()} == {
        "paper": True,
        "dead": False,
        "web": False,
        "damaged": False,
    }
    assert results["paper"]["listings_failed"] == 1
    assert results["paper"]["problems"] == [f"{PAPER}/lost-feed: answered 404 (Not Found)"]
    assert "answered 404" in results["dead"]["reason"]
    assert "an HTML page" in results["web"]["reason"]
    assert "no sound SQLite file" in results["damaged"]["reason"]


def test_crawl_delay_and_conditions_reach_the_server_under_our_name(
    crawl: CrawlRunner, sites: Sites
) -> None:
    robots = b"User-agent: newslake\nCrawl-delay: 0.01\nDisallow: /b\n\nUser-agent: *\nDisallow: /"
    sites.pages[f"{PAPER}/robots.txt"] = Answer(200, body=robots)
    sites.feed(FEED, f"{PAPER}/a", f"{PAPER}/b")
    sites.article(f"{PAPER}/a")
    crawl.source("paper", feeds=[FEED])

    assert crawl("paper").results["paper"]["fetched"] == 1

    requests = sites.server.requests
    paths = ["/robots.txt", "/feed", "/.well-known/tdmrep.json", "/a"]
    assert [r.path for r in requests] == paths
    assert all(r.headers["user-agent"].startswith("newslake/") for r in requests)
    assert all(r.headers["accept-encoding"] == "gzip, deflate" for r in requests)
    assert not any("referer" in r.headers or "cookie" in r.headers for r in requests)


def test_the_demo_sites_are_crawled_whole(crawl: CrawlRunner, store: Store) -> None:
    with SiteServer(handler(1)) as server:
        crawl.env["http_proxy"] = server.proxy_url
        crawl.sources = SOURCES
        outcome = crawl(*load(SOURCES).sources)
    assert outcome.status == 0, outcome.errors
    assert {id_: result["ok"] for id_, result in outcome.results.items()} == dict.fromkeys(
        load(SOURCES).sources, True
    )
    for id_ in outcome.results:
        pages = {url_key(page.url): page for page in expected(1) if page.source == id_}
        seen = {url_key(visit.url): visit for visit in ledger(store, id_)}
        assert {key for key, page in pages.items() if not page.optional} <= set(seen)
        for key, visit in seen.items():
            page = pages[key]
            if visit.outcome == FETCHED:
                assert not page.state.startswith(("skipped", "failed-h", "rejected-not-html")), page
            else:
                assert visit.outcome in {page.state, *page.or_states}, page


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"--run-id": "today"}, "--run-id is 'today'; write it as 20260131T120000Z-0a1b2c"),
        ({"--source": "papre"}, "no source 'papre' in the catalogue; did you mean 'paper'?"),
        (
            {"--source": "broken"},
            "broken.yaml: feed: is no field of a source; did you mean 'feeds'?",
        ),
        ({"--sources-dir": "/nowhere"}, "the sources directory /nowhere is not there"),
    ],
)
def test_wrong_configuration_is_one_sentence_and_status_2(
    crawl: CrawlRunner, change: dict[str, str], told: str
) -> None:
    crawl.source("paper", feeds=[FEED])
    (crawl.sources / "broken.yaml").write_text("id: broken\nfeed: [https://x.example/]\n")
    arguments = crawl.arguments("paper")
    for name, value in change.items():
        arguments[arguments.index(name) + 1] = value

    outcome = crawl.finish(crawl.start_with(arguments))

    assert (outcome.status, outcome.errors.count("\n")) == (2, 1)
    assert outcome.errors.startswith(told)
    assert not outcome.results
