"""A site searched for its listings, as ``newslake sources add`` does: real HTTP, a real crawler."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from crawl_support import HTML, Sites
from siteserver import Answer

from crawlers.discovery import Kind
from crawlers.finding import Findings

HOME = "http://paper.example/"
XML = {"Content-Type": "application/xml"}
TEXT = {"Content-Type": "text/plain"}
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

_processes = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Search:
    """What a search left behind, and the addresses that it asked for."""

    status: int | None
    errors: str
    findings: Findings
    asked: list[str]

    @property
    def listings(self) -> list[str]:
        return [found.url.removeprefix(HOME) for found in self.findings.listings]

    @property
    def left_out(self) -> dict[str, str]:
        return {left.url.removeprefix(HOME): left.reason for left in self.findings.left_out}


def _main(arguments: list[str], env: dict[str, str], errors: Path) -> None:
    from crawlers.find import main  # here, so that the tests themselves load no reactor

    os.environ.clear()
    os.environ.update(env)
    with errors.open("wb") as file:
        os.dup2(file.fileno(), 2)
    raise SystemExit(main(arguments))


@pytest.fixture
def find(tmp_path: Path, sites: Sites) -> Callable[..., Search]:
    """Searches a site in a process of its own, without a delay."""
    result, errors = tmp_path / "result.json", tmp_path / "errors.log"
    proxies = {"http_proxy": sites.server.proxy_url, "https_proxy": sites.server.proxy_url}
    env = {**os.environ, **proxies, "no_proxy": "127.0.0.1"}

    def run(url: str = HOME) -> Search:
        arguments = ["--delay", "0", "--result", str(result), "--", url]
        process = _processes.Process(target=_main, args=(arguments, env, errors))
        process.start()
        process.join(60)
        nothing = Findings("", "", (), ())
        found = Findings.of(json.loads(result.read_text())) if result.exists() else nothing
        asked = [request.url.removeprefix(HOME) for request in sites.server.requests]
        return Search(process.exitcode, errors.read_text(), found, asked)

    return run


def front(sites: Sites, head: str = "", body: str = "<p>Welcome</p>", url: str = HOME) -> None:
    page = f"<!doctype html><html><head><title>The Paper</title>{head}</head><body>{body}</body>"
    sites.pages[url] = Answer(200, HTML, page.encode())


def robots(sites: Sites, text: str) -> None:
    sites.pages[f"{HOME}robots.txt"] = Answer(200, TEXT, text.encode())


def stories(count: int, first: int = 0) -> list[str]:
    return [f"{HOME}news/story-{number}" for number in range(first, first + count)]


def sitemap(sites: Sites, url: str, urls: list[str], news: bool = False) -> None:
    """A sitemap of a site; with ``news`` one that dates its entries."""
    dated = f"<n:news><n:publication_date>{NOW.isoformat()}</n:publication_date></n:news>" * news
    entries = "".join(f"<url><loc>{one}</loc>{dated}</url>" for one in urls)
    body = f'<urlset xmlns:n="http://www.google.com/schemas/sitemap-news/0.9">{entries}</urlset>'
    sites.pages[url] = Answer(200, XML, body.encode())


def index(sites: Sites, url: str, urls: list[str]) -> None:
    entries = "".join(f"<sitemap><loc>{one}</loc></sitemap>" for one in urls)
    sites.pages[url] = Answer(200, XML, f"<sitemapindex>{entries}</sitemapindex>".encode())


def link(path: str, title: str = "") -> str:
    return f'<link rel="alternate" type="application/rss+xml" title="{title}" href="{path}">'


def test_a_feed_in_the_head_is_found_and_nothing_is_asked_that_is_not_needed(find, sites):
    front(sites, link("/feed") + link("/comments/feed") + link("/small"))
    sites.feed(f"{HOME}feed", *stories(10))
    sites.feed(f"{HOME}small", *stories(4))
    search = find()
    assert (search.status, search.listings) == (0, ["feed"])
    assert (search.findings.homepage, search.findings.name) == (HOME, "The Paper")
    assert search.findings.listings[0].via == "link tag"
    assert [entry.url for entry in search.findings.listings[0].entries] == stories(10)
    assert search.left_out == {
        "comments/feed": "a feed of comments",
        "small": "its entries are in the other listings",
    }
    assert search.asked == ["robots.txt", "", "feed", "small"]


def test_a_news_sitemap_is_found_inside_an_index_that_only_robots_txt_names(find, sites):
    front(sites)
    robots(sites, f"User-agent: *\nDisallow: /intern/\nSitemap: {HOME}index.xml\n")
    index(sites, f"{HOME}index.xml", [f"{HOME}all.xml", f"{HOME}sitemap-news.xml"])
    sitemap(sites, f"{HOME}all.xml", stories(30))
    sitemap(sites, f"{HOME}sitemap-news.xml", stories(5), news=True)
    search = find()
    assert search.listings == ["sitemap-news.xml"]
    assert search.findings.listings[0].news
    assert search.asked == ["robots.txt", "", "index.xml", "sitemap-news.xml", "all.xml"]


def test_the_whole_sites_index_is_proposed_where_there_is_nothing_better(find, sites):
    front(sites)
    robots(sites, f"Sitemap: {HOME}index.xml\n")
    children = [f"{HOME}sitemap-{number}.xml" for number in range(9)]
    index(sites, f"{HOME}index.xml", children)
    for child in children:
        sitemap(sites, child, stories(3))
    search = find()
    assert search.listings == ["index.xml"]
    assert search.findings.listings[0].kind is Kind.SITEMAP_INDEX
    assert len([path for path in search.asked if path.startswith("sitemap-")]) <= 4


def test_the_usual_places_are_asked_until_one_has_a_listing(find, sites):
    front(sites)
    sites.feed(f"{HOME}rss.xml", *stories(5))
    sites.feed(f"{HOME}atom.xml", *stories(5))
    search = find()
    assert search.listings == ["rss.xml"]
    assert search.asked == ["robots.txt", "", "feed", "rss", "rss.xml"]
    assert search.left_out == {}


def test_feeds_are_found_on_a_page_about_feeds(find, sites):
    front(sites, body='<a href="/service/rss.html">RSS</a>')
    linked = '<a href="/service/rss.html">RSS</a><a href="/rss/all">All</a><a href="/x">Imprint</a>'
    front(sites, body=linked, url=f"{HOME}service/rss.html")
    sites.feed(f"{HOME}rss/all", *stories(5))
    search = find()
    assert search.listings == ["rss/all"]
    assert search.asked == ["robots.txt", "", "service/rss.html", "rss/all"]


def test_a_site_without_listings_is_read_by_its_front_page_and_sections(find, sites):
    def links(urls: list[str]) -> str:
        return "".join(
            f'<a href="{url}">A headline of some more words than a few</a>' for url in urls
        )

    nav = "<nav><a href='/politics/'>Politics</a><a href='/sport/'>Sport</a>"
    nav += "<a href='/about/'>About us</a></nav>"
    front(sites, body=nav + links(stories(6)))
    front(sites, body=nav + links(stories(6, first=50)), url=f"{HOME}politics/")
    front(sites, body=nav + links(stories(6)), url=f"{HOME}sport/")
    front(sites, body=nav + "<p>We are a paper.</p>", url=f"{HOME}about/")
    search = find()
    assert search.listings == ["", "politics/"]
    assert {found.kind for found in search.findings.listings} == {Kind.SECTION}
    assert search.left_out == {"sport/": "its entries are in the other listings"}


def test_a_site_that_lists_nothing_gives_one_sentence(find, sites):
    front(sites)
    search = find()
    assert search.status == 1
    assert search.errors.splitlines()[-1] == (
        f"{HOME} has no feed, sitemap or section page that could be found; look for one in a"
        " browser, and give its address in place of the front page's"
    )


def test_what_robots_txt_forbids_is_not_asked(find, sites):
    robots(sites, "User-agent: *\nDisallow: /feed\nDisallow: /sitemap\n")
    front(sites, link("/feed") + link("/news.rss"))
    sites.feed(f"{HOME}feed", *stories(9))
    sites.feed(f"{HOME}news.rss", *stories(3))
    search = find()
    assert (search.listings, search.left_out) == (["news.rss"], {"feed": "robots.txt forbids it"})
    assert search.asked == ["robots.txt", "", "news.rss"]


def test_a_site_that_wants_no_crawler_is_left_alone(find, sites):
    robots(sites, "User-agent: *\nDisallow: /\n")
    front(sites, link("/feed"))
    search = find()
    assert (search.status, search.asked) == (1, ["robots.txt"])
    assert search.errors.splitlines()[-1].startswith(
        f"{HOME} cannot be read: robots.txt forbids it"
    )


def test_a_site_of_many_dead_listings_is_asked_25_pages_at_most(find, sites):
    robots(sites, "".join(f"Sitemap: {HOME}news-{number}.xml\n" for number in range(60)))
    front(sites, "".join(link(f"/feed/{number}") for number in range(60)))
    search = find()
    assert search.status == 1
    assert len([path for path in search.asked if path != "robots.txt"]) == 25


def test_an_address_without_a_scheme_is_asked_by_http_when_https_fails(find, sites):
    front(sites, link("/feed"))
    sites.feed(f"{HOME}feed", *stories(5))
    search = find("paper.example")
    assert (search.status, search.findings.homepage, search.listings) == (0, HOME, ["feed"])


def test_the_address_that_the_front_page_leads_to_is_the_homepage(find, sites):
    moved = "http://www.paper.example/"
    sites.pages[HOME] = Answer(301, {"Location": moved})
    front(sites, link("/feed"), url=moved)
    sites.feed(f"{moved}feed", *stories(5))
    search = find()
    assert search.findings.homepage == moved
    assert [found.url for found in search.findings.listings] == [f"{moved}feed"]


def test_a_feed_that_is_given_is_taken_and_tells_the_front_page(find, sites):
    front(sites, link("/feed"))
    sites.feed("http://feeds.example/paper", *stories(5))
    search = find("http://feeds.example/paper")
    assert [found.url for found in search.findings.listings] == ["http://feeds.example/paper"]
    assert (search.findings.homepage, search.findings.name) == (HOME, "The Paper")


def test_a_feed_of_last_year_does_not_hide_the_living_one(find, sites):
    def dated(moment: datetime) -> str:
        return f"<pubDate>{moment:%a, %d %b %Y %H:%M:%S} GMT</pubDate>"

    front(sites, link("/old") + link("/new"))
    long_ago = NOW - timedelta(days=365)
    sites.feed(f"{HOME}old", *((url, dated(long_ago)) for url in stories(20)))
    sites.feed(f"{HOME}new", *((url, dated(NOW)) for url in stories(5, first=50)))
    search = find()
    assert (search.listings, search.left_out) == (
        ["new"],
        {"old": "its newest entry is of 2025-03-10"},
    )


def test_an_address_in_a_private_network_is_not_asked(find, sites):
    search = find(f"{sites.server.url}/")
    assert (search.status, search.asked) == (1, [])
    assert "is no public address" in search.errors.splitlines()[-1]
