"""The page in real headless Chromium, inside Airflow: log in, look, and go by keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from served_page import TODAY, YESTERDAY, ServedPage

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.timeout(600),
]
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
PATIENCE = 60_000.0  # ms, for a busy machine
CONTRAST = """
element => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const light = colour => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = at => {
    const colour = getComputedStyle(at).backgroundColor;
    return colour === 'rgba(0, 0, 0, 0)' ? behind(at.parentElement) : colour;
  };
  const sides = [light(getComputedStyle(element).color), light(behind(element))];
  return (Math.max(...sides) + 0.05) / (Math.min(...sides) + 0.05);
}
"""
"""WCAG 2.2's contrast ratio of an element's text against what lies behind it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.getuid() == 0 else []
        with playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *root]) as launched:
            yield launched


class Window:
    """A browser's window that notes what it complains of, and what it asks of others."""

    def __init__(self, browser: Browser, served: ServedPage, **options: object):
        self.served = served
        self.context: BrowserContext = browser.new_context(base_url=served.address, **options)
        self.context.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda said: self.errors.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        self.context.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.served.address}/", "blob:", "data:")):
            self.outside.append(url)

    def log_in(self) -> None:
        self.page.goto("/newslake/")
        self.page.get_by_label("Username").fill("admin")
        self.page.get_by_label("Password").fill(self.served.password())
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/newslake/")

    def complaints(self) -> list[str]:
        return [error for error in self.errors if error.startswith("error")] + self.outside


@pytest.fixture
def window(browser: Browser, page: ServedPage) -> Iterator[Window]:
    """A window of somebody who is logged in."""
    opened = Window(browser, page, viewport={"width": 1400, "height": 900})
    opened.log_in()
    opened.errors.clear()  # Airflow's own login page has some
    yield opened
    opened.context.close()


@pytest.fixture(autouse=True)
def patient() -> None:
    expect.set_options(timeout=PATIENCE)


def test_it_is_in_airflows_navigation_and_works_inside(window: Window):
    window.page.goto("/")
    window.page.get_by_role("link", name="newslake").click()
    inside = window.page.frame_locator("iframe[title=newslake]")
    expect(inside.get_by_role("heading", name="Dataset")).to_be_visible()
    inside.get_by_role("link", name="Sources").click()
    expect(inside.get_by_role("heading", name="Sources", exact=True)).to_be_visible()
    expect(window.page).to_have_url(f"{window.served.address}/plugin/newslake/newslake/sources")
    window.page.reload()
    expect(inside.get_by_role("heading", name="Sources", exact=True)).to_be_visible()
    inside.get_by_role("link", name="The herald").click()
    expect(inside.get_by_role("heading", name="The herald")).to_be_visible()
    assert window.complaints() == []


def test_no_view_complains_or_asks_anything_of_others(window: Window):
    views = ["/", "/sources", "/sources/herald", "/sources/gale", f"/days/{TODAY}"]
    for path in views:
        window.page.goto(f"/newslake{path}")
        expect(window.page.locator("h1")).to_be_visible()
    assert window.complaints() == []


def test_the_keyboard_reaches_a_cell_and_opens_it(window: Window):
    page = window.page
    page.goto("/newslake/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    stops = 0
    while not page.evaluate("document.activeElement.matches('a.cell')"):
        page.keyboard.press("Tab")
        stops += 1
        assert stops < 40, "the heat map is reached past the days above it"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "focus is seen"
    newest = page.evaluate("document.activeElement.getAttribute('href')")
    assert newest.startswith(f"/newslake/days/{TODAY}/")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('href')") == newest.replace(
        str(TODAY), str(YESTERDAY)
    )
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.matches('a.cell')"), "one stop, not hundreds"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"{YESTERDAY.day} ")
    expect(page.get_by_role("link", name=f"The flood is over on {YESTERDAY}")).to_be_visible()


def test_the_heat_map_is_a_table_to_those_who_hear_it(window: Window):
    window.page.goto("/newslake/")
    table = window.page.get_by_role("table", name="Articles by topic and date")
    expect(table.get_by_role("rowheader", name="sport", exact=True)).to_be_visible()
    expect(table.get_by_role("columnheader")).to_have_count(30)
    expect(table.get_by_role("link", name=f"{TODAY:%-d %B}: ")).not_to_have_count(0)


def test_code_is_copied(window: Window):
    window.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.page.goto("/newslake/")
    window.page.get_by_text("Polars", exact=True).click()
    window.page.locator("details[open]").get_by_role("button", name="Copy").click()
    expect(window.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = window.page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[2] == "import polars as pl"
    assert copied == window.page.locator("details[open] pre code").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_readable_in_light_and_dark(window: Window, scheme: str):
    window.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in ("/", "/sources", f"/days/{TODAY}"):
        window.page.goto(f"/newslake{path}")
        spoken = "h1, h2, p, a, th, td, dt, dd, summary, button, .cell, .badge, pre code, .quiet"
        elements = window.page.locator(spoken).filter(visible=True)
        ratios = elements.evaluate_all(f"all => all.map({CONTRAST})")
        assert len(ratios) > 20
        assert min(ratios) >= 4.5, path
    behind = window.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(behind.strip("rgb()").split(",")[0]) < 128) == (scheme == "dark")


def test_every_shade_of_the_heat_map_is_readable(window: Window):
    window.page.goto("/newslake/")
    for scheme in ("light", "dark"):
        window.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        shades = window.page.locator(".scale .cell")
        expect(shades).to_have_count(7)
        assert min(shades.evaluate_all(f"all => all.map({CONTRAST})")) >= 4.5, scheme


def test_it_follows_the_theme_that_is_chosen_in_airflow(window: Window):
    window.page.emulate_media(color_scheme="light")
    window.page.goto("/plugin/newslake")
    inside = window.page.frame_locator("iframe[title=newslake]")
    body = inside.locator("body")
    expect(body).to_have_css("color-scheme", "light dark")
    window.page.evaluate("localStorage.setItem('theme', 'dark')")
    expect(body).to_have_css("color-scheme", "dark")
    expect(body).to_have_css("background-color", "rgb(17, 19, 22)")


def test_nothing_is_wider_than_a_telephone(window: Window):
    window.page.set_viewport_size({"width": 390, "height": 800})
    for path in ("/", "/sources", "/sources/herald", f"/days/{TODAY}"):
        window.page.goto(f"/newslake{path}")
        assert window.page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_a_login_that_has_ended_leads_to_the_login_page(browser: Browser, page: ServedPage):
    stranger = Window(browser, page)
    stranger.page.goto(f"/newslake/days/{TODAY}")
    expect(stranger.page.get_by_label("Username")).to_be_visible()
    assert "herald" not in stranger.page.content()
    stranger.context.close()
