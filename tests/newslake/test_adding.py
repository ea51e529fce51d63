"""A source added to a catalogue: a real site searched, a sample of it really tried."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from demo import sites as demo_sites
from siteserver import Answer, Request, SiteServer

from crawlers.catalogue import Source, read_source
from newslake import adding
from processing.exceptions import ConfigurationError, CrawlError

HTML = {"Content-Type": "text/html; charset=utf-8"}
PROSE = (
    "The harbour board met on Tuesday to hear what the repair of the eastern mole will cost. "
    "Its engineers had measured the cracks over two winters, and found them wider each time. "
    "Members asked whether the work could wait until the fishing season ends in September. "
    "The chair answered that a storm would not wait, and put the question to a vote. "
)


@dataclass
class Added:
    """What adding a source told, wrote and asked for."""

    source: Source | None
    text: str
    rows: list[dict[str, Any]]
    asked: list[str]

    def section(self, name: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["section"] == name]

    def states(self) -> dict[str, str]:
        return {row["url"]: row["state"] for row in self.section("sample")}


@dataclass
class Web:
    """The demo sites, and further pages by their addresses."""

    folder: Path
    server: SiteServer
    pages: dict[str, Answer] = field(default_factory=dict)

    def add(self, url: str) -> Added:
        rows: list[Any] = []
        self.server.forget_requests()
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "NEWSLAKE_"))}
        environ = {**kept, "http_proxy": self.server.proxy_url, "no_proxy": "127.0.0.1,localhost"}
        file = adding.destination(url, None, self.folder, environ)
        try:
            adding.add(url, file, environ, datetime.now(UTC), rows.extend)
        except CrawlError as error:
            rows.append({"section": "error", "said": str(error)})
        asked = [request.url for request in self.server.requests]
        if not file.exists():
            return Added(None, "", rows, asked)
        return Added(read_source(file), file.read_text("utf-8"), rows, asked)

    def page(self, url: str, body: str, title: str = "Mole repair begins in May") -> None:
        head = f"<title>{title}</title>"
        page = f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>"
        self.pages[url] = Answer(200, HTML, page.encode())

    def article(self, url: str) -> None:
        title = f"Mole repair begins in May: {url}"
        self.page(url, f"<article><h1>{title}</h1><p>{PROSE}</p><p>{PROSE}</p></article>", title)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(adding, "DELAY", 0.0)  # nobody here has to be spared
    demo = demo_sites.handler(1)

    def answer(request: Request) -> Answer:
        return known.pages.get(request.url) or demo(request)

    with SiteServer(answer) as server:
        known = Web(tmp_path / "sources", server)
        yield known


def sitemap(*urls: str) -> Answer:
    now = datetime.now(UTC)
    entries = "".join(
        f"<url><loc>{url}</loc><n:news><n:publication_date>"
        f"{(now - timedelta(hours=3 * number)).isoformat()}</n:publication_date></n:news></url>"
        for number, url in enumerate(urls)
    )
    space = "http://www.google.com/schemas/sitemap-news/0.9"
    text = f'<urlset xmlns:n="{space}">{entries}</urlset>'
    return Answer(200, {"Content-Type": "application/xml"}, text.encode())


def test_a_news_sitemap_becomes_a_source_with_rules_that_the_sample_bears_out(web: Web):
    home = "http://www.tide-times.example/"
    web.page(home, "<p>Welcome</p>", "Front page | Tide Times")
    robots = f"User-agent: *\nDisallow: /2026/sport/secret\nSitemap: {home}news.xml\n"
    web.pages[f"{home}robots.txt"] = Answer(200, {"Content-Type": "text/plain"}, robots.encode())
    articles = [f"{home}2026/{name}/{n}" for name in ("sport", "town") for n in range(5)]
    others = [f"{home}weather-maps", f"{home}games/a", f"{home}games/b", f"{home}tides"]
    hidden = [f"{home}2026/sport/secret", f"{home}video/storm"]
    web.pages[f"{home}news.xml"] = sitemap(*articles, *others, *hidden)
    for url in articles:
        web.article(url)
    for url in others:
        web.pages[url] = Answer(200, {"Content-Type": "application/pdf"}, b"%PDF")

    added = web.add(home)

    assert added.source == Source(
        id="tide-times",
        name="Tide Times",
        homepage=home,
        language="en",
        schedule="every-6-hours",
        sitemaps=[f"{home}news.xml"],
        allow=[r"/20\d\d/"],
        deny=["/video/", "/games/"],
        topics={"/sport/": "sport"},
    )
    states = added.states()
    assert {states[url] for url in articles} == {"publishable"}
    assert {states[url] for url in others} == {"rejected-not-html"}
    assert states[hidden[0]] == "skipped-robots"
    assert not set(hidden) & set(added.asked)
    assert added.section("unsampled") == [
        {"section": "unsampled", "state": "skipped-rule", "count": 1}
    ]
    assert (
        "allow: ['/20\\d\\d/']  # all 10 articles of the sample match, 2 other pages" in added.text
    )
    assert {row["field"]: row["reason"] for row in added.section("proposal")}["deny"] == (
        "no articles: video by its name, games by all 2 pages tried"
    )
    (listing,) = added.section("listing")
    assert (listing["kind"], listing["via"], listing["entries"]) == (
        "news-sitemap",
        "robots.txt",
        16,
    )


def test_the_harbour_herald_is_added_from_its_front_page(web: Web):
    added = web.add("harbour-herald.example")
    assert added.source is not None
    assert added.source.homepage == "http://harbour-herald.example/"
    assert added.source.name == "Harbour Herald"
    assert added.source.feeds == ["http://harbour-herald.example/feed/"]
    assert added.source.sitemaps == added.source.sections == []
    assert added.source.deny == ["/sponsored/"]
    assert added.source.topics["/sport/"] == "sport"
    assert added.source.language == "en"
    assert added.source.delay == Source.model_fields["delay"].default
    assert "publishable" in added.states().values()
    assert not [url for url in added.asked if "/sponsored/" in url]


def test_a_site_without_feeds_is_added_with_its_sections(web: Web):
    home = "http://plain-paper.example/"
    stories = [
        f"{home}a-story-of-some-{word}-words-{n}" for n, word in enumerate(("few", "more", "x"))
    ]
    links = "".join(f"<a href='{url}'>The harbour board has met again today</a>" for url in stories)
    web.page(home, f"<main>{links}</main>", "The Plain Paper")
    for url in stories:
        web.article(url)
    added = web.add(home)
    assert added.source is not None
    assert (added.source.sections, added.source.feeds) == ([home], [])
    assert set(added.states()) == set(stories)


def test_a_site_whose_articles_would_not_be_stored_is_not_added(web: Web):
    home = "http://closed-paper.example/"
    web.page(home, "<p>Welcome</p>")
    web.pages[f"{home}sitemap.xml"] = sitemap(f"{home}a", f"{home}b")
    added = web.add(home)
    assert added.source is None
    assert set(added.states().values()) == {"failed-http"}
    (error,) = added.section("error")
    assert error["said"].startswith(
        f"no article of {home} would be stored (2 failed-http), so no file was written; "
    )
    assert not web.folder.exists()


def test_a_site_that_lists_nothing_is_not_added(web: Web):
    home = "http://empty-paper.example/"
    web.page(home, "<p>Welcome</p>")
    added = web.add(home)
    assert (added.source, web.folder.exists()) == (None, False)
    (error,) = added.rows
    assert error["said"].startswith(f"{home} has no feed, sitemap or section page")


def test_a_file_that_comes_to_be_meanwhile_is_not_overwritten(tmp_path: Path):
    file = tmp_path / "paper.yaml"
    file.write_text("mine")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        adding.write(file, "ours")
    assert file.read_text() == "mine"
