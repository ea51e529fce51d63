"""Pages drawn by script, in real headless Chromium: what is kept, and what it never reaches."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from crawl_support import HTML, RUNS, CrawlRunner, Outcome, Sites, ledger, outcomes, publish
from fastwarc.warc import ArchiveIterator, WarcRecordType
from siteserver import Answer, Request

from crawlers.rendering import missing
from processing.archive import read_member
from processing.extraction import Article, extract
from processing.records import FETCHED, State, Visit
from processing.storage import Store
from processing.urls import address_id, tombstone

PAPER, PLAIN, OTHER = "http://paper.example", "http://plain.example", "http://cdn.example"
FEED = f"{PAPER}/feed"
MOST_REQUESTS = 100  # of one page
PATIENT = {f"crawlers.browser.{name}_SECONDS": 100 for name in ("ANSWER", "SETTLE", "RENDER")}
"""For a busy machine: no bound of time is tested with them."""

NO_BROWSER = missing(os.environ) is not None
needs_browser = pytest.mark.skipif(NO_BROWSER, reason="needs Debian's chromium")

SHELL = """<!doctype html><html><head><meta charset="iso-8859-1"><title>{url}</title>
<link rel="stylesheet" href="/style.css"><link rel="icon" href="/favicon.ico">
<link rel="preload" as="font" href="/font.woff2" crossorigin><link rel="prefetch" href="/next">
<style>@font-face {{ font-family: f; src: url(/face.woff2) }} p {{ font-family: f }}</style>
</head><body><noscript>Please enable JavaScript</noscript><img src="/picture.png">
<video src="/film.mp4" autoplay></video><article id="a"><p>Empty shell</p></article>
<script>const say = text => {{
  const line = document.createElement('p'); line.textContent = text;
  document.getElementById('a').append(line); }};</script>
<script>{script}</script></body></html>"""

ESCAPES = """
const at = where => `127.0.0.1:%(port)d/${where}`;
const add = (tag, given) => document.body.append(
  Object.assign(document.createElement(tag), given));
for (const url of ['http://' + at('fetch'), 'http://169.254.169.254/latest', 'file:///etc/passwd',
                   '/inside', 'http://localhost:%(port)d/name', 'http://[::1]:%(port)d/six'])
  fetch(url).then(r => r.text()).then(t => say('came out: ' + t)).catch(e => say('kept in'));
for (const tag of ['img', 'iframe', 'script', 'embed']) add(tag, {src: 'http://' + at(tag)});
for (const rel of ['preconnect', 'dns-prefetch', 'prefetch', 'prerender', 'modulepreload'])
  add('link', {rel, href: 'http://' + at(rel)});
navigator.sendBeacon('http://' + at('beacon'));
new WebSocket('ws://' + at('socket'));
new EventSource('http://' + at('events'));
const peer = new RTCPeerConnection({iceServers: [{urls: 'stun:127.0.0.1:%(udp)d'},
  {urls: 'turn:127.0.0.1:%(port)d?transport=tcp', username: 'a', credential: 'b'}]});
peer.createDataChannel('d'); peer.createOffer().then(offer => peer.setLocalDescription(offer));
const code = `fetch('http://${at('worker')}'); new WebSocket('ws://${at('worker')}')`;
new Worker(URL.createObjectURL(new Blob([code])));
window.open('http://' + at('popup'));
add('form', {action: 'http://' + at('form')}); document.forms[0].submit();
setTimeout(() => { location.href = 'http://' + at('navigation'); }, 50);
setTimeout(() => say('ran to its end'), 200);
"""


class Inside:
    """A service on loopback that knows who called, by TCP or UDP."""

    def __init__(self) -> None:
        self.callers: list[bytes] = []
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self.port, self.udp_port = (s.getsockname()[1] for s in (self._tcp, self._udp))
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._receive, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            self.callers.append(connection.recv(200))
            connection.close()

    def _receive(self) -> None:
        while True:
            self.callers.append(self._udp.recv(200))


@dataclass(frozen=True)
class World:
    """A crawl of rendered and plain sources, and what was seen of it."""

    outcome: Outcome
    store: Store
    requests: list[Request]
    inside: Inside

    def visit(self, name: str, source: str = "paper") -> Visit:
        (found,) = [v for v in ledger(self.store, source) if v.url.endswith(f"/{name}")]
        return found

    def stored(self, name: str, source: str = "paper") -> Stored:
        return stored(self.store, self.visit(name, source))

    def asked(self, host: str) -> Counter[str]:
        return Counter(r.path for r in self.requests if f"http://{r.host}" == host)


@dataclass(frozen=True)
class Stored:
    """A page as its WARC file has it."""

    told: dict[str, object]
    headers: dict[str, str]
    body: str

    @property
    def said(self) -> list[str]:
        """The paragraphs; what they hold stands in scripts too."""
        return re.findall(r"<p>(.*?)</p>", self.body)


def stored(store: Store, visit: Visit) -> Stored:
    assert visit.warc is not None, visit
    told: dict[str, object] = {}
    for record in ArchiveIterator(BytesIO(store.get(visit.warc.key).data)):
        if record.record_type == WarcRecordType.metadata:
            told = json.loads(record.reader.read())
        elif record.record_type == WarcRecordType.response and told["url"] == visit.url:
            headers = {name.lower(): value for name, value in record.http_headers}
            return Stored(told, headers, record.reader.read().decode())
    pytest.fail(f"{visit.url} is not in {visit.warc.key}")


def put_shell(sites: Sites, name: str, script: str, **headers: str) -> str:
    """A page of PAPER whose text its script draws; its address."""
    url = f"{PAPER}/{name}"
    body = SHELL.format(url=url, script=script).encode("iso-8859-1")
    sites.pages[url] = Answer(200, {"Content-Type": "text/html", **headers}, body)
    return url


def put_data(sites: Sites, url: str, text: str) -> None:
    headers = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}
    sites.pages[url] = Answer(200, headers, json.dumps({"text": text}).encode())


def put_world(sites: Sites, inside: Inside) -> None:
    fetch = "fetch('{}').then(r => r.json()).then(j => say(j.text))"
    moves = "history.pushState({}, '', '/elsewhere'); say('still here');" + (
        f"window.open('{PAPER}/popped-up'); setTimeout(() => location.assign('{PAPER}/away'), 20)"
    )
    cookies = "document.cookie = 'a=1'; " + fetch.format("/data/cookies.json")
    polls = "const next = () => fetch('/poll').then(next); next();"
    scripts = {
        "polls": polls + "setTimeout(() => say('drawn meanwhile'), 50)",
        "inline": "say('Drawn in place: grün, Ωmega')".replace("Ω", "\\u03a9"),
        "fetched": fetch.format("/data/fetched.json"),
        "posted": "fetch('/data/posted.json', {method: 'POST', body: 'q'});"
        + fetch.format(f"{OTHER}/data.json"),
        "deleting": "fetch('/d', {method: 'DELETE'}).catch(e => say('not deleted'))",
        "cookies": cookies,
        "moves": moves,
        "escapes": ESCAPES % {"port": inside.port, "udp": inside.udp_port},
        "forgotten-part": fetch.format("/secret.json") + ".catch(e => say('stays forgotten'))",
        "forbidden-part": fetch.format("/private/a.json") + ".catch(e => say('stays private'))",
        "long": "for (let n = 0; n < 20; n++) say(`After a long debate the harbour board has voted"
        " for bridge number ${n} over the river, and builds it at once.`)",
        "greedy": f"for (let n = 0; n < {2 * MOST_REQUESTS}; n++) fetch(`/more/${{n}}`)",
        "huge": "document.body.dataset.all = 'x'.repeat(9000000)",
    }
    urls = [put_shell(sites, name, script) for name, script in scripts.items()]
    header = {"Set-Cookie": "b=2", "Last-Modified": "Tue, 10 Mar 2026 08:00:00 GMT"}
    urls.append(put_shell(sites, "headers", "say('with headers')", ETag='"1"', **header))
    for name in ("fetched", "cookies"):
        put_data(sites, f"{PAPER}/data/{name}.json", f"Came by {name}: schön")
    put_data(sites, f"{OTHER}/data.json", "Came from elsewhere")
    put_data(sites, f"{PAPER}/secret.json", "a secret")
    put_data(sites, f"{PAPER}/private/a.json", "private")
    sites.pages[f"{PAPER}/robots.txt"] = Answer(200, body=b"User-agent: *\nDisallow: /private/")
    sites.pages[f"{PAPER}/inside"] = Answer(
        302, {"Location": f"http://127.0.0.1:{inside.port}/redirected"}
    )
    sites.pages[f"{PAPER}/to-inside"] = Answer(302, {"Location": f"http://10.0.0.1/{FEED}"})
    sites.pages[f"{PAPER}/moved"] = Answer(302, {"Location": "/inline"})
    sites.pages[f"{PAPER}/file"] = Answer(200, {"Content-Type": "application/pdf"}, b"%PDF-1.7")
    sites.pages[f"{PAPER}/poll"] = Answer(200, HTML, b"nothing new")
    urls += [f"{PAPER}/{name}" for name in ("to-inside", "moved", "file", "gone")]
    sites.feed(FEED, *urls)
    shared = '<body><article id="a"></article><script src="/app.js"></script></body>'
    for name in ("one", "two"):
        sites.pages[f"{OTHER}/{name}"] = Answer(200, HTML, shared.encode())
        sites.pages[f"{PLAIN}/{name}"] = Answer(200, HTML, shared.encode())
    app = b"document.getElementById('a').textContent = 'Drawn by an application'"
    sites.pages[f"{OTHER}/app.js"] = Answer(200, {"Content-Type": "text/javascript"}, app)
    sites.feed(f"{OTHER}/feed", f"{OTHER}/one", f"{OTHER}/two")
    sites.feed(f"{PLAIN}/feed", f"{PLAIN}/one", f"{PLAIN}/two")


@pytest.fixture(scope="module")
def world(
    object_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    if NO_BROWSER:
        pytest.skip("needs Debian's chromium")
    inside, sites = Inside(), Sites()
    put_world(sites, inside)
    with sites.server as server:
        proxied = {"http_proxy": server.proxy_url, "no_proxy": "127.0.0.1,localhost"}
        lake = {"NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}"}
        env = {**os.environ, **object_store, **lake, **proxied}
        store = Store.from_environment(env)
        store.ensure_bucket()
        store.put(tombstone(address_id(f"{PAPER}/secret.json")), b"{}")
        crawl = CrawlRunner(tmp_path_factory.mktemp("rendering"), env)
        crawl.constants = PATIENT
        crawl.source("paper", feeds=[FEED], render=True, concurrency=16)
        crawl.source("other", feeds=[f"{OTHER}/feed"], render=True)
        crawl.source("plain", feeds=[f"{PLAIN}/feed"])
        outcome = crawl("paper", "other", "plain")
        yield World(outcome, store, server.requests, inside)


def test_everything_ends_in_its_state(world: World) -> None:
    assert world.outcome.status == 0, world.outcome.errors
    assert all(result["ok"] for result in world.outcome.results.values())
    states = {
        v.url.rpartition("/")[2]: (v.outcome, v.http_status) for v in ledger(world.store, "paper")
    }
    assert {name: state for name, state in states.items() if state != (FETCHED, 200)} == {
        "huge": (State.FAILED_TOO_LARGE, 200),
        "to-inside": (State.SKIPPED_UNSAFE, None),
        "file": (State.REJECTED_NOT_HTML, 200),
        "gone": (State.FAILED_HTTP, 404),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("inline", "Drawn in place: gr\u00fcn, \u03a9mega"),
        ("fetched", "Came by fetched: sch\u00f6n"),
        ("posted", "Came from elsewhere"),
        ("moved", "Drawn in place: gr\u00fcn, \u03a9mega"),
        ("polls", "drawn meanwhile"),
    ],
)
def test_text_that_scripts_draw_is_stored(world: World, name: str, text: str) -> None:
    page = world.stored(name)
    assert page.said == ["Empty shell", text]
    assert page.told["rendered"] is True


def test_what_is_stored_is_the_page_in_utf_8_under_its_own_headers(world: World) -> None:
    page = world.stored("headers")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["etag"] == '"1"'
    assert not page.headers.keys() & {"content-length", "content-encoding", "transfer-encoding"}


def test_a_rendered_page_is_extracted_as_what_a_reader_sees(world: World) -> None:
    visit = world.visit("long")
    assert visit.warc is not None
    data = world.store.get_range(visit.warc.key, visit.warc.offset, visit.warc.length)
    page = read_member(data)
    assert page is not None
    article = extract(page)
    assert isinstance(article, Article), article
    assert article.text.count("harbour board") >= 20
    assert "JavaScript" not in article.text


def test_only_article_pages_of_that_source_are_rendered(world: World) -> None:
    page = world.stored("one", "plain")
    assert "rendered" not in page.told
    assert "Drawn" not in page.body
    assert "/app.js" not in world.asked(PLAIN)
    assert world.asked(PAPER)["/feed"] == 1


def test_only_scripts_and_their_data_are_asked_for(world: World) -> None:
    asked = world.asked(PAPER)
    unseen = ("/style.css", "/picture.png", "/film.mp4", "/font.woff2", "/face.woff2", "/next")
    assert not asked.keys() & {*unseen, "/favicon.ico", "/service.js", "/away", "/popped-up"}
    assert asked["/data/fetched.json"] == 1
    assert asked["/inline"] == 2  # once by its own address, once as what moved there


def test_a_page_that_goes_on_asking_is_bounded(world: World) -> None:
    more = [path for path in world.asked(PAPER).elements() if path.startswith("/more/")]
    assert len(more) == MOST_REQUESTS


def test_a_script_that_pages_share_is_asked_for_once(world: World) -> None:
    assert world.asked(OTHER)["/app.js"] == 1
    for name in ("one", "two"):
        assert "Drawn by an application" in world.stored(name, "other").body


def test_every_request_is_ours_by_name_and_carries_no_cookie(world: World) -> None:
    assert all(r.headers["user-agent"].startswith("newslake/") for r in world.requests)
    assert not any("cookie" in r.headers or "referer" in r.headers for r in world.requests)


def test_scripts_neither_change_anything_nor_leave_the_page(world: World) -> None:
    assert "not deleted" in world.stored("deleting").said
    assert {r.method for r in world.requests} <= {"GET", "POST"}
    moves = world.stored("moves")
    assert "still here" in moves.said
    assert moves.told["url"] == world.visit("moves").url


def test_no_script_reaches_what_only_this_machine_can(world: World) -> None:
    said = Counter(world.stored("escapes").said)
    assert said == {"Empty shell": 1, "kept in": 6, "ran to its end": 1}
    assert world.inside.callers == []


def test_robots_and_forgetting_hold_for_what_scripts_ask_for(world: World) -> None:
    assert "stays private" in world.stored("forbidden-part").said
    assert "stays forgotten" in world.stored("forgotten-part").said
    assert not world.asked(PAPER).keys() & {"/private/a.json", "/secret.json"}


@needs_browser
def test_a_page_whose_data_changed_is_stored_again(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    url = put_shell(
        sites, "a", "fetch('/d').then(r => r.json()).then(j => say(j.text))", ETag='"1"'
    )
    crawl.source("paper", sitemaps=[FEED], render=True, max_age_days=9999)
    for run, day, text in ((RUNS[0], 8, "before"), (RUNS[1], 9, "after")):
        put_data(sites, f"{PAPER}/d", text)
        listed = f"<url><loc>{url}</loc><lastmod>2026-03-0{day}T08:00:00Z</lastmod></url>"
        sites.pages[FEED] = Answer(200, {}, f"<urlset>{listed}</urlset>".encode())
        assert crawl("paper", run=run).status == 0
        publish(store, run)

        (visit,) = ledger(store, "paper", run)
        assert text in stored(store, visit).said
    assert not any("if-none-match" in r.headers for r in sites.server.requests if r.path == "/a")


def test_without_a_browser_that_source_fails_and_the_others_do_not(
    crawl: CrawlRunner, sites: Sites, store: Store, tmp_path: Path
) -> None:
    for site, source, rendered in ((PAPER, "paper", True), (PLAIN, "plain", False)):
        sites.article(f"{site}/one")
        sites.feed(f"{site}/feed", f"{site}/one")
        crawl.source(source, feeds=[f"{site}/feed"], render=rendered)
    crawl.env["PATH"] = str(tmp_path)

    outcome = crawl("paper", "plain")

    assert outcome.status == 0, outcome.errors
    assert outcome.results["paper"]["reason"] == (
        "source paper has render: true and no browser is installed; install Debian's chromium,"
        " or set render: false"
    )
    assert outcomes(store, "plain") == {f"{PLAIN}/one": FETCHED}
    assert {r.host for r in sites.server.requests} == {"plain.example"}


def test_a_browser_that_does_not_start_is_one_sentence(
    crawl: CrawlRunner, sites: Sites, store: Store, tmp_path: Path
) -> None:
    sites.article(f"{PAPER}/one")
    sites.feed(FEED, f"{PAPER}/one")
    crawl.source("paper", feeds=[FEED], render=True)
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    crawl.env["PATH"] = f"{tmp_path}:{crawl.env['PATH']}"

    reason = crawl("paper").results["paper"]["reason"]

    assert reason.startswith("the browser did not start (")
    assert reason.endswith("see 'Rendering' in docs/operating.md")
    assert "\n" not in reason
    assert outcomes(store, "paper") == {f"{PAPER}/one": State.SKIPPED_LIMIT}


def test_playwright_is_loaded_only_where_something_is_rendered() -> None:
    loaded = "import sys, crawlers.crawl; sys.exit(any('playwright' in m for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


@needs_browser
def test_a_script_that_never_returns_is_ended(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    url = put_shell(sites, "hangs", "setTimeout(() => { for (;;) ; }, 0)")
    sites.feed(FEED, url)
    crawl.source("paper", feeds=[FEED], render=True)
    crawl.constants = {"crawlers.browser.RENDER_SECONDS": 2}

    assert crawl("paper").results["paper"]["ok"]

    (visit,) = ledger(store, "paper")
    assert (visit.outcome, visit.detail) == (State.FAILED_TIMEOUT, "not rendered in 2 s")


@needs_browser
def test_a_page_that_never_rests_is_taken_as_it_stands(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    let_go = threading.Event()

    def never(request: Request) -> Answer:
        let_go.wait(60)
        return Answer(200, HTML, b"late")

    sites.pages[f"{PAPER}/never"] = never
    script = "say('at first'); fetch('/never').finally(() => say('at last'))"
    sites.feed(FEED, put_shell(sites, "restless", script))
    crawl.source("paper", feeds=[FEED], render=True)
    crawl.constants = {**PATIENT, "crawlers.browser.SETTLE_SECONDS": 1}

    assert crawl("paper").results["paper"]["ok"]
    let_go.set()

    (visit,) = ledger(store, "paper")
    assert stored(store, visit).said[:2] == ["Empty shell", "at first"]


@needs_browser
def test_a_browser_that_dies_costs_its_page_alone(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    def kill(request: Request) -> Answer:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if child.name() == "chromium":
                    child.kill()
        return Answer(200, HTML, b"late")

    sites.pages[f"{PAPER}/kill"] = kill
    sites.feed(FEED, put_shell(sites, "one", "fetch('/kill')"), put_shell(sites, "two", "say(2)"))
    crawl.constants = PATIENT
    crawl.source("paper", feeds=[FEED], render=True)
    process = crawl.start("paper")

    outcome = crawl.finish(process)

    assert outcome.results["paper"]["ok"], outcome.errors
    one, two = ledger(store, "paper")
    assert (one.outcome, (one.detail or "")[:12]) == (State.FAILED_NETWORK, "the browser:")
    assert stored(store, two).said == ["Empty shell", "2"]


@needs_browser
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_browser_ends_with_the_crawl(
    crawl: CrawlRunner, sites: Sites, store: Store, number: int
) -> None:
    reached, let_go = threading.Event(), threading.Event()

    def slow(request: Request) -> Answer:
        reached.set()
        let_go.wait(60)
        return Answer(200, HTML, b"late")

    sites.pages[f"{PAPER}/slow"] = slow
    sites.feed(FEED, put_shell(sites, "one", "fetch('/slow')"))
    crawl.source("paper", feeds=[FEED], render=True)
    process = crawl.start("paper")
    assert reached.wait(60)
    assert process.pid is not None
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("chromium" in child.name() for child in family)

    os.kill(process.pid, number)
    outcome = crawl.finish(process)
    let_go.set()

    if number == signal.SIGTERM:
        assert outcome.results["paper"]["finish_reason"] == "shutdown"
    _, alive = psutil.wait_procs(family, timeout=30)
    left = []
    for child in alive:
        with suppress(psutil.Error):
            if child.status() != psutil.STATUS_ZOMBIE:
                left.append(child.cmdline())
    assert left == []
