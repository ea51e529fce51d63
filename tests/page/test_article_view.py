"""The *Article* view inside Airflow, as users of three roles meet it, and in headless Chromium."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import httpx
import kept_articles as kept
import pytest
from hostile_markup import page as hostile_page
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright
from served_page import ServedPage, serving

from newslake import stack
from newslake.page import stored_page
from newslake.reader import open_lake
from processing.archive import read_member
from processing.storage import Store
from processing.urls import address_id

CHROMIUM = shutil.which("chromium")
PATIENCE = 60_000.0  # ms, for a busy machine
pytestmark = pytest.mark.timeout(600)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
USERS = "ada:admin,ursula:user,vera:viewer"
STORY = f"articles/{address_id(kept.STORY)}"


class Elsewhere:
    """A site of somebody else: what it was asked for, and what it answers by path."""

    def __init__(self, server: ThreadingHTTPServer):
        self.port = server.server_port
        self.asked: list[str] = []
        self.pages: dict[str, tuple[bytes, dict[str, str]]] = {}

    def at(self, host: str) -> str:
        return f"http://{host}:{self.port}"


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            body, headers = site.pages.get(self.path, (b"", {}))
            self.send_response(200 if body else 404)
            for name, value in {"Content-Type": "text/html", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Elsewhere(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield site
        server.shutdown()


@pytest.fixture(scope="module")
def site() -> Iterator[Elsewhere]:
    with elsewhere() as other:
        yield other


@pytest.fixture(scope="module")
def environ(object_store: dict[str, str], site: Elsewhere) -> dict[str, str]:
    """A whole environment with a lake that has an article of each kind."""
    kept_ones = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "NEWSLAKE_", "AIRFLOW"))
    }
    whole = {**kept_ones, **object_store, "NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}"}
    store = Store.from_environment(whole)
    store.ensure_bucket()
    kept.fill(store, site.at("127.0.0.1"))
    return whole


@pytest.fixture(scope="module")
def served(
    environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedPage]:
    """Airflow with the page over that lake, and newslake's DAGs."""
    folder = tmp_path_factory.mktemp("page")
    with serving(folder, environ, users=USERS, dags=stack.dags_folder()) as page:
        yield page


def client(served: ServedPage, user: str | None = None) -> httpx.Client:
    """A client of the page, logged in or not."""
    cookies = {"_token": served.token(user)} if user else {}
    return httpx.Client(base_url=f"{served.address}/newslake", cookies=cookies, timeout=60)


@pytest.fixture(scope="module")
def viewer(served: ServedPage) -> Iterator[httpx.Client]:
    with client(served, "vera") as logged_in:
        yield logged_in


def runs(served: ServedPage, dag_id: str) -> list[dict[str, Any]]:
    """The runs of a DAG, as Airflow's own API tells them."""
    with client(served, "ada") as admin:
        answer = admin.get(f"{served.address}/api/v2/dags/{dag_id}/dagRuns")
    found: list[dict[str, Any]] = answer.json()["dag_runs"]
    return found


def said(answer: httpx.Response, status: int = 200) -> str:
    """What an answer says, without markup and doubled space."""
    assert answer.status_code == status, answer.text
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


# --- what it shows ----------------------------------------------------------------------------


def test_nobody_sees_anything_without_a_login(served: ServedPage):
    with client(served) as stranger:
        for path in ("articles", STORY, f"{STORY}/page", f"{STORY}/record"):
            assert stranger.get(path).status_code == 401
            for_a_person = stranger.get(path, headers={"Accept": "text/html"})
            assert for_a_person.status_code == 303
            assert "/auth/login" in for_a_person.headers["Location"]


def test_an_article_is_shown_with_where_its_fields_come_from(viewer: httpx.Client):
    answer = viewer.get(STORY)
    shown = said(answer)
    assert '<h1 dir="auto" lang="en">Wall of the harbour, heard</h1>' in answer.text
    assert '<p dir="auto">On day 0 the council of ward 0 heard 3 speakers' in answer.text
    assert "Authors Ada Quill · the page, best effort" in shown
    assert "stated by the address (read by a heuristic)" in shown
    assert "listed by https://courier.example/feed.xml" in shown
    assert "crawling (robots.txt) unknown" in shown
    assert "Evidence today" in shown and "student" in shown
    assert "Earlier texts 1" in shown and "title, text" in shown
    assert "WARC-Record-ID <urn:uuid:" in shown
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_its_copies_stand_in_time_order_with_links(viewer: httpx.Client):
    listed = viewer.get(STORY).text.partition('id="copies-title"')[2].partition("</section>")[0]
    assert re.findall(r"<td>(same-url|exact|near|contained)</td>", listed) == ["same-url", "near"]
    links = re.findall(r'href="/newslake/(articles/[^"#]+)"', listed)
    same_url, near = (unescape(link) for link in links)
    shown = said(viewer.get(same_url))
    assert "copy same-url of Wall of the harbour, heard from courier" in shown
    assert "title Wall of the harbour, heard Wall, again" in shown
    assert "The texts are the same, word by word." in shown
    edited = viewer.get(near)
    assert "<ins>Our own reporter adds this.</ins>" in edited.text
    assert "<del>On day 5 the council" in edited.text


def test_an_earlier_text_is_held_against_the_next(viewer: httpx.Client):
    answer = viewer.get(STORY, params={"revision": 0})
    shown = said(answer)
    assert "earlier text number 0, replaced 10 Nov 2026, 12:00 UTC" in shown
    assert "wall of <del>haven</del> <ins>harbour</ins>" in answer.text
    assert "title Wall of the harbour Wall of the harbour, heard" in shown
    assert "haven 3" in said(viewer.get(f"{STORY}/page", params={"revision": 0}))
    assert "no earlier text with the number 7" in said(viewer.get(f"{STORY}?revision=7"), 404)
    assert viewer.get(f"{STORY}?revision={2**63}").status_code == 400


def test_the_stored_page_is_read_in_its_charset_and_direction(viewer: httpx.Client):
    answer = viewer.get(f"articles/{address_id(kept.ARABIC)}/page")
    assert "<h1>المياه ترتفع في الميناء</h1>" in answer.text
    assert '<html lang="ar">' in answer.text and '<body dir="rtl">' in answer.text
    assert answer.headers["Content-Security-Policy"] == stored_page.POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_the_record_is_saved_as_it_lies_in_the_lake(viewer: httpx.Client, environ: dict[str, str]):
    answer = viewer.get(f"{STORY}/record")
    with open_lake(environ=environ) as lake:
        row = lake.article(kept.STORY)
        where = row["warc_key"], row["warc_offset"], row["warc_length"]
        assert answer.content == lake.store.get_range(*where)
    assert b"<h1>Wall of the harbour, heard</h1>" in read_member(answer.content).body
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert re.fullmatch(
        r'attachment; filename="courier-[0-9a-f]{12}-1.warc.gz"',
        answer.headers["Content-Disposition"],
    )


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (kept.EXPIRED, "stored page has expired: raw pages are kept for NEWSLAKE_RAW_DAYS"),
        (kept.ELSEWHERE, "imported from a WARC file outside this lake, s3://crawls/CC-NEWS-2026"),
        (kept.DAMAGED, "herald/broken.warc.gz at byte 2 is gone or damaged"),
    ],
)
def test_why_there_is_no_stored_page_is_told(viewer: httpx.Client, url: str, sentence: str):
    path = f"articles/{address_id(url)}"
    answer = viewer.get(path)
    assert sentence in said(answer) and "<iframe" not in answer.text
    assert sentence in said(viewer.get(f"{path}/page"), 404)
    if url != kept.DAMAGED:
        assert sentence in said(viewer.get(f"{path}/record"), 404)


def test_an_article_is_looked_up_by_any_form_of_its_address(viewer: httpx.Client):
    asked = f"http://www.{kept.STORY.removeprefix('https://')}/?utm_source=feed"
    answer = viewer.get("articles", params={"url": f" {asked} "}, follow_redirects=True)
    assert "Wall of the harbour, heard" in said(answer)
    assert str(answer.url.copy_with(query=None)).endswith(STORY)
    assert "Article by address or id" in said(viewer.get("articles"))


def test_what_is_not_there_is_told_in_a_sentence(viewer: httpx.Client):
    for asked in (kept.GONE, address_id(kept.GONE)):
        answer = viewer.get("articles", params={"url": asked})
        assert "This was forgotten on " in said(answer, 410)
    assert "for good" in said(viewer.get(f"articles/{address_id(kept.GONE)}"), 410)
    never = "https://courier.example/never"
    assert f"Nothing is published under {never}." in said(
        viewer.get("articles", params={"url": never}), 404
    )
    assert "Nothing is published" in said(viewer.get(f"articles/{'0' * 32}"), 404)
    assert "Nothing is published" in said(viewer.get(f"articles/{'0' * 32}/page"), 404)
    assert said(viewer.get(f"articles/{'0' * 32}/record"), 404)
    assert "is neither an id" in said(viewer.get("articles/nonsense"), 400)


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.getuid() == 0 else []
        expect.set_options(timeout=PATIENCE)
        with playwright.chromium.launch(executable_path=CHROMIUM, args=root) as started:
            yield started


def logged_in(browser: Browser, served: ServedPage, user: str) -> BrowserContext:
    """A browser of a user's own, with Airflow's cookie as Airflow sets it."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    cookie = {"name": "_token", "value": served.token(user), "url": served.address}
    context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])
    return context


def watched(context: BrowserContext) -> tuple[Page, list[str], list[str]]:
    """A tab, the addresses that it asks for, and what it complains of."""
    tab = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))

    def note(dialog: Dialog) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    tab.on("dialog", note)
    return tab, asked, complaints


@needs_browser
def test_a_hostile_page_neither_runs_nor_asks_for_anything(
    browser: Browser, served: ServedPage, site: Elsewhere
):
    path = f"{served.address}/newslake/articles/{address_id(kept.HOSTILE)}"
    with logged_in(browser, served, "ursula") as context:
        tab, asked, complaints = watched(context)
        tab.goto(path)
        frame = tab.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="Low tide")).to_be_visible()
        expect(frame.get_by_text("a link", exact=True)).to_be_visible()
        for element in frame.locator("a, summary, h1").all():
            element.click(force=True)
        tab.goto(f"{path}/page")
        for element in tab.locator("a, summary, h1").all():
            element.click(force=True)
        assert tab.url == f"{path}/page"
        assert tab.evaluate("window.owned") is None
    assert {httpx.URL(url).copy_with(raw_path=b"/") for url in asked} == {
        httpx.URL(served.address).copy_with(raw_path=b"/")
    }
    assert site.asked == []
    assert complaints == []


@needs_browser
def test_the_policy_alone_holds_what_the_markup_would_do(browser: Browser):
    with elsewhere() as target, elsewhere() as host, browser.new_context() as context:
        body = hostile_page(target.at("127.0.0.1"), "The words.")
        # A policy is no word on connections made ahead of need: the markup's wall alone is.
        body = body.replace(b'rel="preconnect"', b"").replace(b'rel="dns-prefetch"', b"")
        target.pages["/refresh"] = b"It went out.", {}
        host.pages["/free"] = body, {}
        host.pages["/held"] = body, {"Content-Security-Policy": stored_page.POLICY}
        tab, _, complaints = watched(context)
        tab.goto(f"{host.at('127.0.0.1')}/held", wait_until="load")
        expect(tab.get_by_text("The words.")).to_be_visible()
        assert target.asked == []
        assert not any(line.startswith("dialog") for line in complaints)
        tab.goto(f"{host.at('127.0.0.1')}/free", wait_until="commit")
        tab.wait_for_url("**/refresh")
        assert target.asked, "without the policy the page would have gone out"


@needs_browser
def test_a_run_is_started_after_consent_and_by_keyboard(browser: Browser, served: ServedPage):
    with logged_in(browser, served, "ursula") as context:
        tab, _, complaints = watched(context)
        tab.goto(f"{served.address}/newslake/{STORY}")
        dialog = tab.get_by_role("dialog", name="Forget")
        tab.get_by_role("button", name="Forget…").press("Enter")
        expect(dialog).to_contain_text("Wall of the harbour, heard")
        tab.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        tab.get_by_role("button", name="Forget…").press("Enter")
        dialog.get_by_role("button", name="Forget for good").press("Enter")
        expect(dialog.get_by_role("status")).to_be_empty()
        dialog.get_by_label("I know that this cannot be undone").press("Space")
        dialog.get_by_role("button", name="Forget for good").press("Enter")
        expect(dialog.get_by_role("status")).to_contain_text("Started")
        link = dialog.get_by_role("link").get_attribute("href")
        (run,) = runs(served, "news_forget")
        assert run["conf"] == {
            "target": address_id(kept.STORY),
            "with_copies": False,
            "confirm": True,
        }
        assert run["triggering_user_name"] == "ursula"
        assert link == f"/dags/news_forget/runs/{quote(run['dag_run_id'], safe='')}"
        assert complaints == []


@needs_browser
def test_reprocessing_is_a_preview_unless_asked_otherwise(browser: Browser, served: ServedPage):
    with logged_in(browser, served, "ada") as context:
        tab, _, complaints = watched(context)
        tab.goto(f"{served.address}/newslake/{STORY}")
        tab.get_by_role("button", name="Reprocess…").click()
        dialog = tab.get_by_role("dialog", name="Reprocess")
        expect(dialog).to_contain_text("every page of that day and source")
        dialog.get_by_role("button", name="Start").click()
        expect(dialog.get_by_role("status")).to_contain_text("Started")
        run, *_ = runs(served, "news_reprocess")
        assert run["conf"] == {
            "from": "2026-11-10",
            "to": "2026-11-10",
            "sources": ["courier"],
            "commit": False,
        }
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_be_hidden()
        assert complaints == []


@needs_browser
def test_inside_airflows_frame_links_lead_out_of_it(browser: Browser, served: ServedPage):
    with logged_in(browser, served, "ada") as context:
        tab = context.new_page()
        tab.goto(f"{served.address}/plugin/newslake")
        expect(tab.frame_locator("iframe").get_by_role("banner")).to_be_visible()
        frame = tab.main_frame.child_frames[0]
        frame.goto(f"{served.address}/newslake/{STORY}")
        stored = frame.frame_locator("iframe")
        expect(stored.get_by_role("heading", name="Wall of the harbour, heard")).to_be_visible()
        with tab.expect_download() as saved:
            frame.get_by_role("link", name="Download").click()
        assert saved.value.suggested_filename.endswith(".warc.gz")
        frame.get_by_role("button", name="Reprocess…").click()
        frame.get_by_role("button", name="Start").click()
        frame.get_by_role("link", name="see the run in Airflow").click()
        tab.wait_for_url("**/dags/news_reprocess/runs/*")
        assert "/plugin/" not in tab.url


TRIGGER = """([dag, conf]) => fetch(`/api/v2/dags/${dag}/dagRuns`, {method: 'POST',
  headers: {'Content-Type': 'application/json'},
  body: JSON.stringify({logical_date: null, conf})}).then(answer => answer.status)"""


@needs_browser
def test_a_viewer_has_no_button_and_airflow_refuses_the_request(
    browser: Browser, served: ServedPage
):
    with logged_in(browser, served, "vera") as context:
        tab = context.new_page()
        tab.goto(f"{served.address}/newslake/{STORY}")
        expect(tab.get_by_role("heading", name="WARC record")).to_be_visible()
        expect(tab.locator("[data-opens], dialog")).to_have_count(0)
        before = len(runs(served, "news_forget"))
        conf = {"target": address_id(kept.STORY), "confirm": True}
        assert tab.evaluate(TRIGGER, ["news_forget", conf]) == 403
        assert len(runs(served, "news_forget")) == before


@needs_browser
def test_a_page_whose_user_has_lost_the_right_says_so(browser: Browser, served: ServedPage):
    with logged_in(browser, served, "ursula") as context:
        tab = context.new_page()
        tab.goto(f"{served.address}/newslake/{STORY}")
        vera = {"name": "_token", "value": served.token("vera"), "url": served.address}
        context.add_cookies([vera])
        tab.get_by_role("button", name="Reprocess…").click()
        dialog = tab.get_by_role("dialog", name="Reprocess")
        dialog.get_by_role("button", name="Start").click()
        expect(dialog.get_by_role("status")).to_contain_text("your role in Airflow may not")
        context.clear_cookies()
        dialog.get_by_role("button", name="Start").click()
        expect(dialog.get_by_role("status")).to_contain_text("you are no longer logged in")


ATTACK = """<form method=post enctype=text/plain action="{action}">
<input name='{{"logical_date": null, "conf": {{"target": "x", "confirm": true}}, "note": "='
 value='"}}'></form><script>
const body = '{{"logical_date": null, "conf": {{"target": "x", "confirm": true}}}}';
const sent = (mode, type) => fetch('{action}', {{method: 'POST', credentials: 'include',
  mode, headers: {{'Content-Type': type}}, body}}).then(a => a.type, () => 'refused');
window.tried = Promise.all([sent('no-cors', 'text/plain'), sent('cors', 'application/json')]);
</script>"""


@needs_browser
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["other-site", "other-port"])
def test_another_site_can_neither_start_a_run_nor_frame_the_page(
    browser: Browser, served: ServedPage, host: str
):
    before = len(runs(served, "news_forget"))
    with elsewhere() as other, logged_in(browser, served, "ada") as context:
        action = f"{served.address}/api/v2/dags/news_forget/dagRuns"
        other.pages["/attack"] = ATTACK.format(action=action).encode(), {}
        frame = f'<iframe src="{served.address}/newslake/{STORY}"></iframe>'
        other.pages["/frame"] = frame.encode(), {}
        tab = context.new_page()
        tab.goto(f"{other.at(host)}/attack")
        assert tab.evaluate("window.tried") == ["opaque", "refused"]
        with tab.expect_navigation():
            tab.evaluate("document.forms[0].submit()")
        assert tab.url == action
        assert len(runs(served, "news_forget")) == before
        tab.goto(f"{other.at(host)}/frame")
        (framed,) = tab.main_frame.child_frames
        assert "harbour" not in framed.content()


@needs_browser
def test_a_login_leads_back_to_the_article(browser: Browser, served: ServedPage):
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE)
        tab = context.new_page()
        tab.goto(f"{served.address}/newslake/{STORY}")
        tab.locator("[name=username]").fill("ursula")
        tab.locator("[name=password]").fill(served.password("ursula"))
        tab.locator("[type=submit]").click()
        expect(tab.get_by_role("heading", name="Wall of the harbour, heard").first).to_be_visible()
        expect(tab.get_by_role("button", name="Forget…")).to_be_visible()


@needs_browser
@pytest.mark.parametrize("url", [kept.STORY, kept.ARABIC, kept.HOSTILE, kept.EXPIRED])
def test_it_fits_a_narrow_screen(browser: Browser, served: ServedPage, url: str):
    with logged_in(browser, served, "ada") as context:
        tab, _, complaints = watched(context)
        tab.set_viewport_size({"width": 360, "height": 700})
        tab.goto(f"{served.address}/newslake/articles/{address_id(url)}")
        wide = tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360
        assert complaints == []


@needs_browser
def test_an_arabic_article_is_written_from_right_to_left(browser: Browser, served: ServedPage):
    with logged_in(browser, served, "vera") as context:
        tab = context.new_page()
        tab.goto(f"{served.address}/newslake/articles/{address_id(kept.ARABIC)}")
        for paragraph in (
            tab.locator(".text p").first,
            tab.locator("h1"),
            tab.frame_locator("iframe").locator("p").first,
        ):
            assert paragraph.evaluate("e => getComputedStyle(e).direction") == "rtl"
