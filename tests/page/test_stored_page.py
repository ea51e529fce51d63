"""Whatever a stored page holds, nothing of it runs or loads: by its markup, and in a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser

import hostile_markup
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page as Tab
from playwright.sync_api import sync_playwright

from newslake.page import stored_page
from newslake.page.sanitising import sanitised
from newslake.page.stored_page import document, notice
from processing.records import Page

CHROMIUM = shutil.which("chromium")
OUT = "http://127.0.0.1:9"
HARMLESS = {
    "alt", "colspan", "datetime", "dir", "lang", "reversed", "rowspan", "scope", "start"
}  # fmt: skip
"""Attributes of HTML that neither run nor load anything, whatever they hold."""
RUNNING = {
    "applet", "audio", "base", "body", "button", "embed", "form", "frame", "frameset", "head",
    "html", "iframe", "image", "input", "link", "math", "meta", "noscript", "object", "portal",
    "script", "select", "source", "style", "svg", "template", "textarea", "title", "track", "video",
}  # fmt: skip
"""Elements that run or load something, or are read in a way of their own."""

PIECES = [
    *("<", ">", "/", "=", '"', "'", "`", " ", "\n", "\0", "&", "&lt;", "&#106;", "--", "<!--"),
    *("-->", "--!>", "<![CDATA[", "]]>", "<?", "</", "x", "javascript:", "url(", "\ufeff"),
    *("<svg>", "</svg>", "<math>", "<mtext>", "<mglyph>", "<annotation-xml encoding=text/html>"),
    *("<foreignObject>", "<desc>", "<title>", "</title>", "<style>", "</style>", "<script>"),
    *("</script>", "<textarea>", "</textarea>", "<noscript>", "</noscript>", "<xmp>", "</xmp>"),
    *("<template>", "</template>", "<iframe>", "<noembed>", "<plaintext>", "<select>", "<option>"),
    *("<table>", "<tr>", "<td>", "<caption>", "<col>", "</table>", "<form>", "</form>", "<p>"),
    *("</p>", "<a href=x>", "</a>", "<b>", "</b>", "<img src=x onerror=x>", "<br>", "</br>"),
    *("<details open ontoggle=x>", "<li>", "<div style='x' id=x>", "<math><mi//xlink:href='x'>"),
    *(" onerror=x", " href=x", " src=x", " style=x", " srcset=x", " xlink:href=x", " formaction=x"),
]
MARKUP = st.one_of(
    st.text(max_size=300),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=40).map("".join),
)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


class Seen(HTMLParser):
    """The elements and attributes of a text, as a reader other than a browser sees them."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.others: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def assert_harmless(elements: set[str], attributes: set[str]) -> None:
    assert not elements & RUNNING
    assert attributes <= HARMLESS


@settings(max_examples=1500, deadline=None)
@given(MARKUP)
def test_nothing_that_runs_or_loads_is_left_of_any_markup(html: str):
    seen = Seen(sanitised(html))
    assert_harmless(seen.elements, seen.attributes)
    assert seen.others == []


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.getuid() == 0 else []
        with playwright.chromium.launch(executable_path=CHROMIUM, args=root) as browser:
            yield browser.new_page()


READ = """html => {
  const found = [[], []];
  const read = root => { for (const e of root.querySelectorAll('body *')) {
    found[0].push(e.localName); found[1].push(...e.getAttributeNames());
    if (e.namespaceURI !== 'http://www.w3.org/1999/xhtml') found[0].push('svg'); } };
  read(new DOMParser().parseFromString(`<!doctype html><body>${html}</body>`, 'text/html'));
  return found; }"""


@needs_browser
@settings(max_examples=500, deadline=None)
@given(MARKUP)
def test_a_browser_finds_no_more_in_it(tab: Tab, html: str):
    elements, attributes = tab.evaluate(READ, sanitised(html))
    assert_harmless(set(elements), set(attributes))


def test_a_hostile_page_keeps_its_words_alone():
    html = hostile_markup.page(OUT, "<p dir=rtl lang=ar>The words.</p>").decode()
    left = sanitised(html)
    seen = Seen(left)
    assert_harmless(seen.elements, seen.attributes)
    assert '<p dir="rtl" lang="ar">The words.</p>' in left
    assert '<img alt="A picture">' in left and "<a>a link</a>" in left
    assert "styled" in left and "quoted" in left
    for hidden in ("@import", "font-face", "speculationrules", "A hostile page"):
        assert hidden not in left


def page(html: str, content_type: str = "text/html") -> Page:
    moment = datetime(2026, 11, 10, tzinfo=UTC)
    body = html.encode("windows-1256", "xmlcharrefreplace")
    return Page("https://a.example/", body, moment, {"Content-Type": content_type})


def test_a_document_states_its_language_and_direction():
    said = document(page("<html dir='rtl' lang=ar><p>نص</p>", "text/html; charset=cp1256"), "ar")
    assert '<html lang="ar">' in said and '<body dir="rtl"><p>نص</p></body>' in said
    assert 'dir="auto"' in document(page("<p>text</p>"), None)
    assert '<html lang="&quot;&gt;&lt;script&gt;">' in document(page(""), '"><script>')


def test_a_sentence_stands_in_for_a_page():
    assert "<p>It is gone &lt;b&gt;.</p>" in notice("it is gone <b>")


def test_a_page_that_is_too_large_or_takes_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(stored_page, "_SECONDS", 5.0)
    assert document(page("<div>" * 300_000), None) is None
    assert "<b>" in document(page("<b>" * 300_000), None)
    monkeypatch.setattr(stored_page, "LARGEST", 10)
    assert document(page("0123456789"), None) is not None
    assert document(page("01234567890"), None) is None


def test_the_process_of_its_own_writes_what_the_function_gives():
    html = "<p onclick=x>\u00e9\ud83d\ude00</p>".encode("utf-16", "surrogatepass").decode("utf-16")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "newslake.page.sanitising"],
        input=html.encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == sanitised(html) == "<p>\u00e9\U0001f600</p>"
