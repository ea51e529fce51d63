"""Servers that mean no good: every URL of theirs in the right state, and no harm to the others."""

from __future__ import annotations

import threading
from pathlib import Path

import hostile
import pytest
from crawl_support import HTML, CrawlRunner, Sites, ledger, outcomes
from siteserver import Answer, Request, SiteServer

from crawlers.listing import MAX_ADDRESS, MAX_TAGS, MAX_TEXT
from crawlers.spider import MAX_LISTINGS
from processing.records import FETCHED, State
from processing.storage import Store

# What a page's server does, and what becomes of the page.
PAGES: dict[str, tuple[Answer, State | str]] = {
    "endless-chunks": (hostile.ENDLESS_CHUNKS, State.FAILED_TOO_LARGE),
    "endless-until-closed": (hostile.ENDLESS_UNTIL_CLOSED, State.FAILED_TOO_LARGE),
    "a-terabyte": (hostile.A_TERABYTE, State.FAILED_TOO_LARGE),
    "dripping-body": (hostile.DRIPPING_BODY, State.FAILED_TIMEOUT),
    "dripping-chunks": (hostile.DRIPPING_CHUNKS, State.FAILED_TIMEOUT),
    "dripping-headers": (hostile.DRIPPING_HEADERS, State.FAILED_TIMEOUT),
    "silent": (hostile.SILENT, State.FAILED_TIMEOUT),
    "endless-headers": (hostile.ENDLESS_HEADERS, State.FAILED_TOO_LARGE),
    "endless-header": (hostile.ENDLESS_HEADER, State.FAILED_TOO_LARGE),
    "endless-folded-header": (hostile.ENDLESS_FOLDED_HEADER, State.FAILED_TOO_LARGE),
    "endless-continues": (hostile.ENDLESS_CONTINUES, State.FAILED_TOO_LARGE),
    "a-million-cookies": (hostile.A_MILLION_COOKIES, State.FAILED_TOO_LARGE),
    "hangs-up": (hostile.HANGS_UP, State.FAILED_NETWORK),
    "hangs-up-early": (hostile.HANGS_UP_EARLY, State.FAILED_NETWORK),
    "garbage": (hostile.GARBAGE, State.FAILED_NETWORK),
    "no-http": (hostile.NO_HTTP, State.FAILED_NETWORK),
    "broken-off": (hostile.BROKEN_OFF, State.FAILED_NETWORK),
    "two-lengths": (hostile.TWO_LENGTHS, State.FAILED_NETWORK),
    "minus-one": (hostile.MINUS_ONE, State.FAILED_NETWORK),
    "bad-chunks": (hostile.BAD_CHUNKS, State.FAILED_NETWORK),
    "more-than-said": (hostile.MORE_THAN_SAID, FETCHED),
    "control-bytes": (hostile.CONTROL_BYTES, FETCHED),
    "control-bytes-in-a-name": (hostile.CONTROL_BYTES_IN_A_NAME, State.FAILED_NETWORK),
    "bomb": (hostile.BOMB, State.FAILED_TOO_LARGE),
    "bomb-in-a-bomb": (hostile.BOMB_IN_A_BOMB, State.FAILED_TOO_LARGE),
    "many-layers": (hostile.MANY_LAYERS, State.FAILED_NETWORK),
    "empty-members": (hostile.EMPTY_MEMBERS, FETCHED),
    "lying-encoding": (hostile.LYING_ENCODING, State.FAILED_NETWORK),
}

# Where redirects lead, and what becomes of the page.
REDIRECTS = {
    "/loop": ("/loop", State.FAILED_REDIRECT),
    "/6": ("/5", State.FAILED_REDIRECT),
    "/5": ("/4", FETCHED),
    "/file": ("file:///etc/passwd", State.FAILED_REDIRECT),
    "/data": ("data:text/html,<p>a page", State.FAILED_REDIRECT),
    "/ftp": ("ftp://redirects.example/page", State.FAILED_REDIRECT),
    "/no-address": ("http://[::1/", State.FAILED_REDIRECT),
    "/no-port": ("http://redirects.example:99999/", State.FAILED_REDIRECT),
    "/loopback": ("http://127.0.0.1/", State.SKIPPED_UNSAFE),
    "/mapped": ("http://[::ffff:127.0.0.1]/", State.SKIPPED_UNSAFE),
    "/metadata": ("http://169.254.169.254/latest/meta-data/", State.SKIPPED_UNSAFE),
    "/number": ("//2130706433/", State.SKIPPED_UNSAFE),
    "/user": ("http://redirects.example@127.0.0.1/", State.SKIPPED_UNSAFE),
}
HEALTHY = ("morning", "noon", "evening")
SECRET = "http://redirects.example/secret"


@pytest.fixture
def hurried(crawl: CrawlRunner) -> CrawlRunner:
    """A crawl that waits for no answer longer than a few seconds."""
    crawl.constants["crawlers.settings.DOWNLOAD_TIMEOUT"] = 8
    return crawl


def test_hostile_hosts_end_in_their_states_and_the_healthy_ones_whole(
    hurried: CrawlRunner, sites: Sites, store: Store
) -> None:
    expected: dict[str, State | str] = {}
    for name, (answer, state) in PAGES.items():
        expected |= one_page(hurried, sites, name, answer, state)
    for name in HEALTHY:
        urls = [f"http://{name}.example/{n}" for n in range(10)]
        for url in urls:
            sites.article(url)
        sites.feed(f"http://{name}.example/feed", *urls)
        hurried.source(name, feeds=[f"http://{name}.example/feed"])
        expected |= dict.fromkeys(urls, FETCHED)
    expected |= redirects(hurried, sites)
    expected |= {
        "http://no-robots.example/page": State.FAILED_TIMEOUT,
        "http://endless-robots.example/page": State.FAILED_TOO_LARGE,
    }
    sites.pages["http://no-robots.example/robots.txt"] = hostile.DRIPPING_BODY
    sites.pages["http://endless-robots.example/robots.txt"] = hostile.ENDLESS_CHUNKS
    sites.feed(
        "http://robots.example/feed",
        "http://no-robots.example/page",
        "http://endless-robots.example/page",
    )
    hurried.source("robots", feeds=["http://robots.example/feed"])
    sites.pages["http://listings.example/endless"] = hostile.ENDLESS_FEED
    sites.pages["http://listings.example/packed"] = hostile.PACKED_SITEMAP
    sites.pages["http://listings.example/dripping"] = hostile.DRIPPING_BODY
    listings = [f"http://listings.example/{name}" for name in ("endless", "packed", "dripping")]
    hurried.source("listings", feeds=listings)
    sites.server.handler = with_calendar(sites)
    hurried.source("calendar", sitemaps=["http://calendar.example/0.xml"])
    names = [*PAGES, *HEALTHY, "redirects", "robots", "listings", "calendar"]

    outcome = hurried(*names)

    assert outcome.status == 0, outcome.errors
    found = {url: said for name in names for url, said in outcomes(store, name).items()}
    assert found == expected
    asked = [request.url for request in sites.server.requests]
    assert SECRET not in asked
    assert sum("calendar" in url and "xml" in url for url in asked) == MAX_LISTINGS
    problems = outcome.results["listings"]["problems"]
    assert problems == [
        "http://listings.example/endless: larger than the limit",
        "http://listings.example/dripping: no whole answer in time",
    ]
    assert all(outcome.results[name]["ok"] for name in names)
    assert outcome.peak_mb < 300


def one_page(
    crawl: CrawlRunner, sites: Sites, name: str, answer: Answer, state: State | str
) -> dict[str, State | str]:
    page = f"http://{name}.example/page"
    sites.pages[page] = answer
    sites.feed(f"http://{name}.example/feed", page)
    crawl.source(name, feeds=[f"http://{name}.example/feed"])
    return {page: state}


def redirects(crawl: CrawlRunner, sites: Sites) -> dict[str, State | str]:
    host = "http://redirects.example"
    for path, (target, _) in REDIRECTS.items():
        sites.pages[f"{host}{path}"] = Answer(302, {"Location": target})
    for n in range(1, 5):
        sites.pages[f"{host}/{n}"] = Answer(302, {"Location": f"/{n - 1}"})
    sites.article(f"{host}/0")
    refresh = f'<html><head><meta http-equiv="refresh" content="0; url={SECRET}"></head></html>'
    sites.pages[f"{host}/refresh"] = Answer(
        200, {**HTML, "Refresh": f"0; url={SECRET}"}, refresh.encode()
    )
    states = {f"{host}{path}": state for path, (_, state) in REDIRECTS.items()}
    states[f"{host}/refresh"] = FETCHED
    sites.feed(f"{host}/feed", *states)
    crawl.source("redirects", feeds=[f"{host}/feed"])
    return states


def with_calendar(sites: Sites):  # type: ignore[no-untyped-def]
    """The sites, and a host whose every sitemap index names a hundred further ones."""
    pages = sites.server.handler

    def answer(request: Request) -> Answer:
        if request.host != "calendar.example" or not request.path.endswith(".xml"):
            return pages(request)
        days = (f"http://calendar.example{request.path[:-4]}-{day}.xml" for day in range(100))
        children = "".join(f"<sitemap><loc>{day}</loc></sitemap>" for day in days)
        return Answer(200, {}, f"<sitemapindex>{children}</sitemapindex>".encode())

    return answer


def test_a_name_that_leads_elsewhere_the_second_time_gets_not_a_byte(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    crawl.constants["crawlers.settings.TWISTED_DNS_RESOLVER"] = "hostile.HostileNames"
    crawl.env["no_proxy"] += ",rebinding.example,private.example"
    with hostile.Listener() as listener:
        page = f"http://page.rebinding.example:{listener.port}/page"
        tls = f"https://tls.rebinding.example:{listener.port}/page"
        always = f"http://private.example:{listener.port}/page"
        sites.feed("http://paper.example/feed", page, tls, always)
        crawl.source("paper", feeds=["http://paper.example/feed"])

        outcome = crawl("paper")

    assert outcome.status == 0, outcome.errors
    details = {visit.url: visit.detail for visit in ledger(store, "paper")}
    refused = "is no public address; allow_private lets a source reach it"
    assert details == {
        page: f"127.0.0.1 {refused}",
        tls: f"127.0.0.1 {refused}",
        always: f"127.0.0.1 (of private.example) {refused}",
    }
    assert set(outcomes(store, "paper").values()) == {State.SKIPPED_UNSAFE}
    assert listener.received == [b"", b""]  # connected to, and left


def test_a_connection_of_a_source_that_may_is_not_lent_to_one_that_may_not(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    crawl.constants["crawlers.settings.TWISTED_DNS_RESOLVER"] = "hostile.HostileNames"
    crawl.env["no_proxy"] += ",rebinding.example"
    shared = f"http://shared.rebinding.example:{sites.server.port}"
    fetched = threading.Event()

    def open_page(request: Request) -> Answer:
        fetched.set()
        return Answer(200, HTML, b"<p>open</p>")

    sites.feed("http://shared.rebinding.example/feed", f"{shared}/open")
    sites.pages["http://shared.rebinding.example/open"] = open_page
    sites.article("http://shared.rebinding.example/secret")
    sites.feed("http://paper.example/feed", f"{shared}/secret")
    listing = sites.pages["http://paper.example/feed"]

    def after_the_other(request: Request) -> Answer:
        assert fetched.wait(60)
        assert isinstance(listing, Answer)
        return listing

    sites.pages["http://paper.example/feed"] = after_the_other
    crawl.source("inside", feeds=[f"{shared}/feed"], allow_private=True)
    crawl.source("outside", feeds=["http://paper.example/feed"])

    outcome = crawl("inside", "outside")

    assert outcome.status == 0, outcome.errors
    assert outcomes(store, "inside") == {f"{shared}/open": FETCHED}
    assert outcomes(store, "outside") == {f"{shared}/secret": State.SKIPPED_UNSAFE}
    assert "/secret" not in [request.path for request in sites.server.requests]


def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    crawl: CrawlRunner, sites: Sites, store: Store, tmp_path: Path
) -> None:
    with SiteServer(lambda request: Answer(200, HTML, b"<p>a page</p>")) as server:
        server._tcp.socket = hostile.self_signed(tmp_path).wrap_socket(
            server._tcp.socket, server_side=True
        )
        page = f"https://127.0.0.1:{server.port}/page"
        sites.feed("http://paper.example/feed", page)
        crawl.source("paper", feeds=["http://paper.example/feed"], allow_private=True)

        assert crawl("paper").status == 0

        assert not server.requests
    (visit,) = ledger(store, "paper")
    assert visit.outcome == State.FAILED_NETWORK
    assert visit.detail is not None
    assert "TLS: certificate verify failed" in visit.detail


def test_what_kills_a_parser_does_not_kill_the_crawl(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    crawl.constants["crawlers.spider.read_listing"] = hostile.read_or_die
    crawl.constants["crawlers.spider.of_html"] = hostile.read_or_die
    crawl.env["PYTHONPATH"] = str(Path(hostile.__file__).parent)
    sites.feed("http://paper.example/feed", "http://paper.example/page")
    sites.article("http://paper.example/page", "x" * 200_000)
    sites.feed("http://paper.example/large", *["http://paper.example/" + "x" * 4000] * 50)
    listings = ["http://paper.example/feed", "http://paper.example/large"]
    crawl.source("paper", feeds=listings)
    crawl.source("reserved", feeds=listings[:1], honour=["noindex"])

    outcome = crawl("paper", "reserved")

    assert outcome.status == 0, outcome.errors
    said = "takes too much time or memory to read"
    assert outcome.results["paper"]["problems"] == [f"{listings[1]}: {said}"]
    assert outcome.results["paper"]["fetched"] == 1
    (visit,) = ledger(store, "reserved")
    assert (visit.outcome, visit.detail) == (State.FAILED_TOO_LARGE, said)


def test_a_source_that_takes_too_long_is_left_for_the_next_run(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    crawl.constants["crawlers.spider.MAX_SECONDS"] = 0
    sites.feed("http://paper.example/feed", "http://paper.example/page")
    crawl.source("paper", feeds=["http://paper.example/feed"])

    result = crawl("paper").results["paper"]

    assert result["reason"] == (
        "no listing could be read: http://paper.example/feed: the crawl's time was up"
    )
    assert not sites.asked()


def test_a_source_that_names_addresses_without_end_is_cut(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    crawl.constants["crawlers.spider.MAX_URLS"] = 20
    maps = [f"http://paper.example/{n}.xml" for n in range(5)]
    for listing in maps:
        pages = "".join(f"<url><loc>{listing}/{n}</loc></url>" for n in range(10))
        sites.pages[listing] = Answer(200, {}, f"<urlset>{pages}</urlset>".encode())
    crawl.source("paper", sitemaps=maps, max_articles=1)

    result = crawl("paper").results["paper"]

    assert result["discovered"] == len(outcomes(store, "paper")) == 20
    assert result["problems"] == [
        f"{listing}: left, since the others named 20 addresses; 20 are enough"
        for listing in maps[2:]
    ]
    assert result["ok"]


def test_of_words_without_end_the_beginning_is_kept(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    title = f"<title>{'x' * 1_000_000}</title>"
    tags = "".join(f"<category>{n} {'z' * 5000}</category>" for n in range(300))
    item = f"<item>{title}{tags}<link>http://paper.example/page</link></item>"
    feed = f"<rss><channel>{item}</channel></rss>"
    sites.pages["http://paper.example/feed"] = Answer(200, {}, feed.encode())
    sites.article("http://paper.example/page")
    crawl.source("paper", feeds=["http://paper.example/feed"])

    assert crawl("paper").status == 0

    (visit,) = ledger(store, "paper")
    assert visit.hints.title == "x" * MAX_TEXT
    assert len(visit.hints.tags) <= MAX_TAGS
    assert all(len(tag) <= MAX_TEXT for tag in visit.hints.tags)


def test_an_address_without_end_is_none(crawl: CrawlRunner, sites: Sites, store: Store) -> None:
    page = "http://paper.example/" + "a" * (MAX_ADDRESS - 21)
    sites.article(page)
    sites.feed("http://paper.example/feed", page, page + "a")
    crawl.source("paper", feeds=["http://paper.example/feed"])

    assert crawl("paper").status == 0

    assert outcomes(store, "paper") == {page: FETCHED}
