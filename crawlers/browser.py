"""Renders pages in headless Chromium, which itself has no network.

A page comes as the crawl fetched it, and what its scripts ask for the crawl's own downloader
fetches too: so every request passes the same guards, redirects included, names are resolved in
one place, and the operator's proxy is used.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import suppress
from dataclasses import replace

from playwright.async_api import Browser as Chromium
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Route
from playwright.async_api import Request as BrowserRequest
from playwright.async_api import TimeoutError as PlaywrightTimeout
from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.headers import Headers
from scrapy_playwright.handler import ScrapyPlaywrightDownloadHandler
from scrapy_playwright.provider import PlaywrightBrowserProvider

from crawlers.middlewares import http_head
from crawlers.refusals import Refusal, Refused
from crawlers.rendering import SLOT
from processing.exceptions import CrawlError
from processing.records import State

PAGES_AT_ONCE = 4
"""Pages of a batch that are rendered side by side."""

SETTLE_SECONDS = 10
"""How long a page may go on asking for things; then it is taken as it stands."""

ANSWER_SECONDS = 5
"""How long a page's request may take."""

RENDER_SECONDS = 20
"""How long rendering may take in all; a script that never returns is ended then."""

MAX_REQUESTS = 100
"""The most requests of one page."""

MAX_REQUESTED_BYTES = 30 * 1024 * 1024
"""A page that has received this much gets nothing more."""

MAX_KEPT_BYTES = 30 * 1024 * 1024
"""How much of the scripts is kept, so that each is asked for once in a crawl."""

_ASKED_FOR = ("script", "xhr", "fetch")
_METHODS = ("GET", "HEAD", "POST")
_NOT_PASSED_ON = ("accept-encoding", "cookie", "referer", "user-agent")
_NOT_GIVEN = ("content-disposition", "content-length", "set-cookie", "transfer-encoding")
_ENTITY = (b"content-encoding", b"content-length", b"content-type", b"transfer-encoding")
_TOO_LARGE = Refusal(State.FAILED_TOO_LARGE, "larger than the limit when rendered", 200, final=True)

# A page that fails is a line of the ledger, not a traceback in the log.
logging.getLogger("scrapy-playwright").setLevel(logging.ERROR)


class Launcher(PlaywrightBrowserProvider):
    """scrapy-playwright's, but a browser that does not start says so in one sentence."""

    async def launch_browser(self) -> Chromium:
        """Raises CrawlError."""
        try:
            return await super().launch_browser()
        except (PlaywrightError, RuntimeError) as error:  # the latter: nor did its driver
            raise CrawlError(
                f"the browser did not start ({_line(error)}); see 'Rendering' in docs/operating.md"
            ) from error


class Browser(ScrapyPlaywrightDownloadHandler):
    """One browser for all the pages of a crawl, each in a profile of its own.

    Not among Scrapy's download handlers: there it would be made twice, for http and for https,
    and every other request would go through it. It is made before the engine starts, and ends
    with the spider.
    """

    def __init__(self, crawler: Crawler):
        super().__init__(crawler)
        crawler.signals.connect(self.close, signals.spider_closed)
        self._user_agent = crawler.settings["USER_AGENT"]
        self._max_bytes = crawler.settings.getint("DOWNLOAD_MAXSIZE")
        self._places = asyncio.Semaphore(PAGES_AT_ONCE)
        self._profiles = itertools.count()
        self._scripts: dict[tuple[str, str], Response] = {}
        self._under_way: set[asyncio.Task[Response | None]] = set()

    async def render(self, page: Response) -> Response:
        """The page as its scripts leave it, as HTML in UTF-8 under its own URL and headers.

        Raises Refused with ``failed-timeout``, ``failed-too-large`` or ``failed-network``, and
        CrawlError when the browser does not start.
        """
        visit = _Visit(self, page, self._max_bytes)
        profile = str(next(self._profiles))
        request = Request(
            page.url,
            meta={
                "playwright": True,
                "playwright_include_page": True,  # to wait for it, and to close it, here
                "playwright_context": profile,
                "playwright_context_kwargs": {
                    "user_agent": self._user_agent,
                    "accept_downloads": False,
                    "service_workers": "block",
                    "timezone_id": "UTC",
                },
                "playwright_page_init_callback": visit.begin,
                "playwright_page_goto_kwargs": {"wait_until": "commit"},
            },
        )
        async with self._places:
            try:
                async with asyncio.timeout(RENDER_SECONDS):
                    await self.download_request(request)
                    html = await visit.settle(request.meta["playwright_page"])
            except TimeoutError as error:
                detail = f"not rendered in {RENDER_SECONDS} s"
                raise Refused(Refusal(State.FAILED_TIMEOUT, detail, 200)) from error
            except PlaywrightError as error:
                detail = f"the browser: {_line(error)}"
                raise Refused(Refusal(State.FAILED_NETWORK, detail, 200)) from error
            finally:
                await self._close_profile(profile)
        body = html.encode("utf-8", "replace")
        if len(body) > self._max_bytes:
            raise Refused(_TOO_LARGE)
        result = _as_html(page, body, "text/html; charset=utf-8")
        wire = page.meta["wire"]
        result.meta["wire"] = replace(wire, head=http_head(result), body=body, rendered=True)
        return result

    def fetch(self, asked: BrowserRequest, page: Response) -> asyncio.Task[Response | None]:
        """What a page asked for, as the crawl gets it; None when it does not."""
        task = asyncio.ensure_future(self._fetch(asked, page))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def give_up(self) -> None:
        """Ask for nothing more: the crawl ends."""
        for task in self._under_way:
            task.cancel()

    async def _fetch(self, asked: BrowserRequest, page: Response) -> Response | None:
        key = (page.meta["source"].id, asked.url)
        if asked.resource_type == "script" and key in self._scripts:
            return self._scripts[key]
        sent = {n: v for n, v in asked.headers.items() if n.lower() not in _NOT_PASSED_ON}
        about = {name: page.meta[name] for name in ("source", "crawl", "forgotten")}
        try:
            answer = await self._crawler.engine.download_async(
                Request(
                    asked.url,
                    method=asked.method,
                    headers=sent,
                    body=asked.post_data_buffer or b"",
                    meta={
                        **about,
                        "kind": "subresource",
                        "download_slot": SLOT,
                        "download_timeout": ANSWER_SECONDS,
                        "dont_retry": True,
                    },
                )
            )
        except Exception:  # whatever it is, the page has to do without
            return None
        kept = sum(len(script.body) for script in self._scripts.values())
        if asked.resource_type == "script" and kept + len(answer.body) <= MAX_KEPT_BYTES:
            self._scripts[key] = answer
        return answer

    async def _close_profile(self, name: str) -> None:
        """With its pages and pop-ups, whatever state they are in."""
        opened = self.context_wrappers.get(name)
        if opened is not None:
            with suppress(PlaywrightError):
                await opened.context.close()


class _Visit:
    """One page in the browser: what it is given, and how it is waited for."""

    def __init__(self, browser: Browser, page: Response, max_bytes: int):
        self._browser = browser
        self._page = page
        self._max_bytes = max_bytes

    async def begin(self, page: Page, request: Request) -> None:
        """Take over the page's requests; again when the browser has died over it."""
        self._opened = False
        self._settled = asyncio.Event()
        self._requests = MAX_REQUESTS
        self._bytes = MAX_REQUESTED_BYTES
        await page.route("**", self._answer)

    async def settle(self, page: Page) -> str:
        """The page as HTML, once it asks for nothing more or its time is up.

        Raises Refused with ``failed-too-large``.
        """
        with suppress(PlaywrightTimeout):
            await page.wait_for_load_state("networkidle", timeout=SETTLE_SECONDS * 1000)
        self._settled.set()
        # Asked in the browser first, so that a giant need not be carried out of it.
        if await page.evaluate(f"document.documentElement?.outerHTML.length > {self._max_bytes}"):
            raise Refused(_TOO_LARGE)
        return await page.content()

    async def _answer(self, route: Route) -> None:
        given = await self._given(route.request)
        with suppress(PlaywrightError):  # the page is closed
            if given is None:
                # Any other error would put an error page in the place of this one.
                await route.abort("aborted")
                return
            headers = {
                str(name): str(value)
                for name, value in given.headers.to_unicode_dict().items()
                if str(name).lower() not in _NOT_GIVEN
            }
            await route.fulfill(status=given.status, headers=headers, body=given.body)

    async def _given(self, asked: BrowserRequest) -> Response | None:
        if not self._opened and asked.is_navigation_request():
            self._opened = True
            declared = self._page.headers.get("Content-Type") or b""
            _, semicolon, charset = declared.decode("latin-1").partition(";")
            return _as_html(self._page, self._page.body, f"text/html{semicolon}{charset}")
        wanted = asked.resource_type in _ASKED_FOR and asked.method in _METHODS
        if not wanted or self._requests <= 0 or self._bytes <= 0 or self._settled.is_set():
            return None
        self._requests -= 1
        answer = self._browser.fetch(asked, self._page)
        settled = asyncio.ensure_future(self._settled.wait())
        await asyncio.wait({answer, settled}, return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        if not answer.done() or answer.cancelled():
            return None
        given = answer.result()
        self._bytes -= len(given.body) if given else 0
        return given


def _as_html(page: Response, body: bytes, content_type: str) -> Response:
    """``page`` with another body, and no headers that spoke of the one before."""
    headers = Headers({n: v for n, v in page.headers.items() if n.lower() not in _ENTITY})
    headers["Content-Type"] = content_type
    return page.replace(headers=headers, body=body)


def _line(error: Exception) -> str:
    """The first line of what playwright says, which a log and a drawing follow."""
    return (str(error).strip().splitlines() or ["no message"])[0][:200]
