"""The demo sites serve what their data says, and their expected records agree with it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import pytest
import yaml
from demo.sites import (
    SOURCES,
    ExpectedPage,
    expected,
    handler,
    pages,
    sites,
    stories,
)
from lxml import etree, html
from siteserver import CLOSE, Answer, Request, SiteServer

from processing.records import TOPICS, State
from processing.urls import url_key

EDITIONS = (1, 2)
SOURCE_FILES = sorted(SOURCES.glob("*.yaml"))
STORIES = [pytest.param(e, key, id=f"{key}-{e}") for e in EDITIONS for key in stories(e)]


@pytest.fixture(scope="module")
def server() -> Iterator[SiteServer]:
    with SiteServer(handler(1)) as running:
        yield running


def get(
    server: SiteServer,
    url: str,
    headers: Mapping[str, str] | None = None,
    proxied: bool = True,
    method: str = "GET",
) -> tuple[HTTPResponse, bytes]:
    host, path = urlsplit(url).netloc, url.split(urlsplit(url).netloc, 1)[1]
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, url if proxied else path, headers={"Host": host, **(headers or {})})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def visible_text(answer: Answer, charset: str) -> str:
    tree = html.document_fromstring(answer.body.decode(charset))
    etree.strip_elements(tree, "script", "style", with_tail=False)
    return " ".join(" ".join(tree.itertext()).split())


def links_of(listing: str, answer: Answer) -> list[str]:
    """The links of a feed, sitemap or page, read without the code that wrote them."""
    if "html" in answer.headers["Content-Type"]:
        tree = html.document_fromstring(answer.body.decode("ascii"))
        return [urljoin(listing, a.get("href")) for a in tree.iter("a")]
    tree = etree.fromstring(answer.body)
    found = [e.text for e in tree.iter("{*}loc")] + [e.text for e in tree.iterfind(".//item/link")]
    return found + [e.get("href") for e in tree.iterfind(".//{*}entry/{*}link")]


# --- what is served


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_page_is_served_through_the_proxy_and_directly(edition: int) -> None:
    with SiteServer(handler(edition)) as running:
        for url, answer in pages(edition).items():
            for proxied in (True, False):
                response, body = get(running, url, proxied=proxied)
                assert (response.status, body) == (answer.status, answer.body), url


def test_listed_urls_answer_with_the_status_of_their_story(server: SiteServer) -> None:
    statuses = {}
    for page in expected(1):
        statuses[page.url], _ = get(server, page.url)
    assert {url: r.status for url, r in statuses.items() if r.status != 200} == {
        "http://harbour-herald.example/business/2026/11/withdrawn-ferry-bid/"
        "?utm_source=rss&utm_medium=rss&utm_campaign=herald-feed": 404,
        "http://meridian-wire.example/en/2026-11-12/business/grain-harvest": 500,
        "http://tagblatt-nordheim.example/a/48213": 301,
    }
    redirect = statuses["http://tagblatt-nordheim.example/a/48213"]
    assert redirect.headers["Location"] in pages(1)


def test_every_page_and_listing_has_validators_that_give_304(server: SiteServer) -> None:
    for url, answer in pages(1).items():
        if answer.status != 200:
            continue
        etag, changed = answer.headers["ETag"], answer.headers["Last-Modified"]
        for condition in ({"If-None-Match": etag}, {"If-Modified-Since": changed}):
            response, body = get(server, url, condition)
            assert (response.status, body, response.headers["ETag"]) == (304, b"", etag), url
        stale = {"If-None-Match": '"other"', "If-Modified-Since": changed}
        assert get(server, url, stale)[0].status == 200, url


def test_edition_2_differs_exactly_where_it_is_declared() -> None:
    before, after = pages(1), pages(2)
    changed = {url for url in after if before.get(url) != after[url]}
    declared = {page.final_url: page.change for page in expected(2) if page.change != "same"}
    shown_on = {
        site.url + path
        for site in sites().values()
        for path, resource in site.resources.items()
        if "stories" in resource
    }
    aliases = {alias for page in expected(2) if page.change == "updated" for alias in page.aliases}
    assert before.keys() <= after.keys()
    assert changed - shown_on - aliases == declared.keys()
    assert sorted(declared.values()) == ["new", "new", "new", "updated", "updated"]
    assert (
        pages(3 - 1)["http://meridian-wire.example/atom.xml"]
        == before["http://meridian-wire.example/atom.xml"]
    )


def test_updates_are_told_by_their_listings_and_change_text_and_title() -> None:
    first = {page.url: page for page in expected(1)}
    for page in expected(2):
        if page.change != "updated":
            continue
        old = first[page.url]
        assert page.title != old.title
        assert page.modified_at is not None and page.modified_at > (
            old.modified_at or old.published_at
        )
        assert SequenceMatcher(None, old.text, page.text, autojunk=False).ratio() < 0.9
        for listing in page.listed_by:
            assert pages(1)[listing].headers["ETag"] != pages(2)[listing].headers["ETag"]
            stamp = page.modified_at.strftime("%Y-%m-%dT")
            assert stamp.encode() in pages(2)[listing].body


@pytest.mark.parametrize("edition", EDITIONS)
def test_listings_name_what_is_expected_and_nothing_else(edition: int) -> None:
    for site in sites().values():
        for path in site.listings:
            listing = site.url + path
            named = {url_key(link) for link in links_of(listing, pages(edition)[listing])}
            records = {url_key(page.url) for page in expected(edition) if listing in page.listed_by}
            assert named == records, listing


def test_a_feed_repeats_a_url_under_tracking_parameters_and_amp() -> None:
    for page in expected(1):
        assert {url_key(alias) for alias in page.aliases} <= {url_key(page.url)}
    feed = links_of("", pages(1)["http://harbour-herald.example/feed/"])
    assert len(feed) == len({url_key(link) for link in feed}) + 2


@pytest.mark.parametrize("edition", EDITIONS)
def test_url_keys_are_distinct(edition: int) -> None:
    keys = [url_key(page.url) for page in expected(edition)]
    assert len(keys) == len(set(keys))


# --- the stories and their records


@pytest.mark.parametrize(("edition", "key"), STORIES)
def test_a_story_stands_in_its_page_and_no_boilerplate_in_the_story(edition: int, key: str) -> None:
    story = stories(edition)[key]
    if story.location or not story.template.endswith("html"):
        return
    shown = visible_text(pages(edition)[story.url], story.charset)
    for block in story.blocks:
        assert block.text in shown
    if story.state == "published" and story.template == "article.html":
        assert story.title in shown
    for boilerplate in (*sites()[story.host].boilerplate, *story.must_not):
        assert boilerplate not in story.text


@pytest.mark.parametrize("edition", EDITIONS)
def test_boilerplate_really_surrounds_the_articles(edition: int) -> None:
    for page in expected(edition):
        if page.text is None or page.final_url is None:
            continue
        story = next(s for s in stories(edition).values() if s.url == page.final_url)
        shown = visible_text(pages(edition)[page.final_url], story.charset)
        assert sum(line in shown for line in page.must_not) >= 5, page.url


def test_the_demo_has_the_breadth_it_promises() -> None:
    articles = [page for page in expected(1) if page.text]
    assert 30 <= len(articles) <= 45
    assert {page.language for page in articles} == {"de", "en"}
    assert {page.topic for page in articles} <= set(TOPICS)
    assert len({page.topic for page in articles}) >= 14
    for page in articles:
        assert 110 <= len(page.text.split()) <= 350, page.url
        assert "2026-11-09" <= f"{page.published_at:%Y-%m-%d}" <= "2026-11-20", page.url


@pytest.mark.parametrize("edition", EDITIONS)
def test_states_are_states_and_only_articles_have_texts(edition: int) -> None:
    for page in expected(edition):
        assert {page.state, *page.or_states} <= set(State)
        assert (page.text is not None) == page.state.startswith(("published", "duplicate"))
        assert page.listed_by, page.url


@pytest.mark.parametrize("edition", EDITIONS)
def test_copies_are_later_than_their_originals_and_as_alike_as_declared(edition: int) -> None:
    by_final = {page.final_url: page for page in expected(edition)}
    copies = [page for page in expected(edition) if page.duplicate_of]
    assert {page.state for page in copies} == {"duplicate-exact", "duplicate-near"}
    for copy in copies:
        original = by_final[copy.duplicate_of]
        assert original.state == "published"
        earlier = (original.published_at, url_key(original.url))
        # A page that tells only its day may seem earlier: it is a stub, and told by its length.
        if copy.published_precision == "second":
            assert earlier < (copy.published_at, url_key(copy.url))
        else:
            assert len(copy.text) < len(original.text)
        if copy.state == "duplicate-exact":
            assert copy.text == original.text
        else:
            alike = SequenceMatcher(None, copy.text, original.text, autojunk=False)
            matched = sum(block.size for block in alike.get_matching_blocks())
            assert copy.text != original.text
            assert matched / len(copy.text) > 0.9


def test_json_ld_tells_what_the_record_expects() -> None:
    for page in expected(2):
        if page.source != "tagblatt-nordheim" or page.text is None:
            continue
        story = next(s for s in stories(2).values() if s.url == page.final_url)
        tree = html.document_fromstring(pages(2)[story.url].body.decode(story.charset))
        (script,) = tree.xpath("//script[@type='application/ld+json']")
        graph = {item["@type"]: item for item in json.loads(script.text)["@graph"]}
        article = graph["NewsArticle"]
        assert article["headline"] == page.title
        assert tuple(author["name"] for author in article["author"]) == page.authors
        assert article["isAccessibleForFree"] is page.is_accessible_for_free
        assert article["articleSection"] == page.section


# --- encodings


@pytest.mark.parametrize("edition", EDITIONS)
def test_pages_are_valid_in_the_encoding_they_declare(edition: int) -> None:
    for url, answer in pages(edition).items():
        content_type = answer.headers.get("Content-Type", "")
        declared = re.search(r"charset=([\w-]+)", content_type)
        in_page = re.search(rb"""<meta[^>]*charset="?([\w-]+)""", answer.body)
        if declared:
            answer.body.decode(declared[1])
        if declared and in_page:
            assert in_page[1].decode().lower() == declared[1].lower(), url


def test_two_pages_are_windows_1252_one_of_them_without_saying_so() -> None:
    odd = {s.url: pages(1)[s.url] for s in stories(1).values() if s.charset == "windows-1252"}
    assert sorted("charset" in a.headers["Content-Type"] for a in odd.values()) == [False, True]
    for answer in odd.values():
        with pytest.raises(UnicodeDecodeError):
            answer.body.decode("utf-8")


def test_a_url_with_umlauts_is_listed_as_it_is_written(server: SiteServer) -> None:
    listing = pages(1)["http://tagblatt-nordheim.example/sitemaps/2026-11.xml"]
    (link,) = [link for link in links_of("", listing) if "ü" in link]
    response, _ = get(server, quote(link, safe=":/"))
    assert response.status == 200


# --- the sources


@pytest.mark.parametrize("file", SOURCE_FILES, ids=lambda file: file.stem)
def test_a_source_leads_to_the_listings_and_its_rules_fit_the_states(file: Path) -> None:
    source = yaml.safe_load(file.read_text("utf-8"))
    (site,) = [site for site in sites().values() if site.source == source["id"]]
    assert source["id"] == file.stem
    assert source["homepage"] == f"{site.url}/"
    assert set(source.get("topics", {}).values()) <= set(TOPICS)

    given = [url for kind in ("feeds", "sitemaps", "sections") for url in source.get(kind, ())]
    read = [
        child
        for url in given
        for child in (
            links_of(url, pages(1)[url]) if b"<sitemapindex" in pages(1)[url].body else [url]
        )
    ]
    assert read == [site.url + path for path in site.listings]

    for page in expected(2):
        if page.source == source["id"]:
            assert passes(source, page) == (page.state != "skipped-rule"), page.url
            for part, topic in source.get("topics", {}).items():
                assert page.topic in (topic, None) or part not in page.final_url, page.url


def passes(source: Mapping[str, list[str]], page: ExpectedPage) -> bool:
    allowed = not source.get("allow") or any(re.search(a, page.url) for a in source["allow"])
    return allowed and not any(re.search(d, page.url) for d in source.get("deny", ()))


def test_robots_forbid_exactly_what_is_expected_and_one_site_asks_for_a_delay() -> None:
    robots = {host: site.robots or "" for host, site in sites().items()}
    forbidden = {
        page.url
        for page in expected(2)
        for folder in re.findall(r"Disallow: (\S+)", robots[urlsplit(page.url).netloc])
        if urlsplit(page.url).path.startswith(folder)
    }
    assert forbidden == {page.url for page in expected(2) if page.state == "skipped-robots"}
    assert [host for host in robots if "Crawl-delay" in robots[host]] == ["old-mill-post.example"]


# --- the server


def answer_by_path(request: Request) -> Answer:
    match request.path:
        case "/hang-up":
            return Answer(CLOSE)
        case "/raw":
            return Answer(CLOSE, body=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort")
        case "/bug":
            raise LookupError("a bug in the handler")
    return Answer(200, {"X-Host": request.host}, request.path.encode())


@pytest.fixture
def plain() -> Iterator[SiteServer]:
    with SiteServer(answer_by_path) as running:
        yield running


def test_the_request_line_decides_the_site_before_the_host_header(plain: SiteServer) -> None:
    response, body = get(plain, "http://Some.example:8080/a?b=http://x/", {"Host": "other.example"})
    assert (response.headers["X-Host"], body) == ("some.example", b"/a?b=http://x/")
    response, body = get(plain, "http://other.example:99/c", proxied=False)
    assert (response.headers["X-Host"], body) == ("other.example", b"/c")


def test_requests_are_recorded_with_the_status_answered(plain: SiteServer) -> None:
    get(plain, "http://a.example/x?y", {"User-Agent": "curious"})
    get(plain, "http://a.example/bug", method="HEAD")
    first, second = plain.requests
    assert (first.url, first.headers["user-agent"], first.status) == (
        "http://a.example/x?y",
        "curious",
        200,
    )
    assert (second.method, second.status) == ("HEAD", 500)
    plain.forget_requests()
    assert plain.requests == []


def test_one_connection_carries_many_requests_also_without_bodies(plain: SiteServer) -> None:
    connection = HTTPConnection("127.0.0.1", plain.port, timeout=10)
    connection.connect()
    line = connection.sock
    for method, body in (("GET", b"/1"), ("HEAD", b""), ("GET", b"/1")):
        connection.request(method, "/1")
        response = connection.getresponse()
        assert (response.read(), response.headers["Content-Length"]) == (body, "2")
        assert connection.sock is line
    connection.close()


def test_a_handler_can_hang_up_or_write_raw_bytes(plain: SiteServer) -> None:
    with pytest.raises(RemoteDisconnected):
        get(plain, "http://a.example/hang-up")
    connection = HTTPConnection("127.0.0.1", plain.port, timeout=10)
    connection.request("GET", "/raw")
    response = connection.getresponse()
    assert response.headers["Content-Length"] == "99"
    assert response.read(99)[:5] == b"short"
    connection.close()


def test_tunnels_and_other_methods_are_refused(plain: SiteServer) -> None:
    for method, target in (("CONNECT", "a.example:443"), ("POST", "/x")):
        connection = HTTPConnection("127.0.0.1", plain.port, timeout=10)
        connection.request(method, target)
        assert connection.getresponse().status == 405
        connection.close()


def test_the_end_of_the_server_ends_kept_connections() -> None:
    with SiteServer(answer_by_path) as running:
        connection = HTTPConnection("127.0.0.1", running.port, timeout=10)
        connection.request("GET", "/1")
        connection.getresponse().read()
        line = connection.sock
    assert line.recv(1) == b""
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_an_edition_and_stops_on_a_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, str(SOURCES.parent / "server.py"), "--port", "0", "--edition", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(re.fullmatch(r"serving on http://127\.0\.0\.1:(\d+)\n", line)[1])
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "http://old-mill-post.example/story1190.htm")
        assert connection.getresponse().status == 200
        process.send_signal(number)
        assert process.wait(20) == 0
        connection.close()
