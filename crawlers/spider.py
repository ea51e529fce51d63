"""The one spider: reads each source's listings, then fetches the articles they name.

A source is one coroutine, so every URL's end is an ordinary return or exception; Scrapy's
downloader keeps the pace of each host and its middlewares see every request.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import scrapy
from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response

from crawlers import log_lines
from crawlers.discovery import MAX_LISTING_BYTES, Kind, read_listing
from crawlers.reading import Reader
from crawlers.refusals import Refusal, refusal_of, refusal_of_status
from crawlers.source_crawl import Candidate, SourceCrawl, Validators
from crawlers.state import KnownListing, KnownUrl
from processing.exceptions import CrawlError, NewslakeError
from processing.records import State
from processing.rights import of_headers, of_html, reserved, together

SOURCES_AT_ONCE = 64
"""Sources of a batch that are crawled side by side; the others wait."""

MAX_LISTINGS = 200
"""The most listings of one source that are asked in a run, sitemaps of indexes included."""

MAX_DEPTH = 2
"""How deep sitemap indexes may name indexes."""

MAX_URLS = 100_000
"""How many addresses one source may have named in a run before its further listings are left."""

MAX_SECONDS = 3600
"""How long one source is asked in a run; what is left then, the next run asks for."""

if TYPE_CHECKING:
    from crawlers.browser import Browser

log = logging.getLogger("newslake.crawl")


class NewsSpider(scrapy.Spider):
    """Crawls declared sources, side by side.

    ``cannot_render`` is why sources with ``render: true`` fail, None when there is a browser.
    """

    name = "news"

    def __init__(
        self,
        crawls: Sequence[SourceCrawl] = (),
        cannot_render: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.crawls = crawls
        self.cannot_render = cannot_render
        self.finish_reason = "not started"
        self._browser: Browser | None = None
        self._reader = Reader()
        self._large = asyncio.Lock()

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Scrapy's way to make one."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider._open_browser, signals.spider_opened)
        return spider

    def _open_browser(self) -> None:
        if self.cannot_render is None and any(crawl.source.render for crawl in self.crawls):
            from crawlers.browser import Browser  # here, for it takes a second to load

            self._browser = Browser(self.crawler)

    async def start(self) -> AsyncIterator[Any]:
        """Runs to the end of the last source; yields nothing, for downloads are awaited."""
        places = asyncio.Semaphore(SOURCES_AT_ONCE)
        try:
            await asyncio.gather(*(self._crawl(crawl, places) for crawl in self.crawls))
        finally:
            self._reader.close()
            if self._browser is not None:
                self._browser.give_up()
        return
        yield

    def closed(self, reason: str) -> None:
        """Scrapy's word on how the crawl ended: ``finished``, ``shutdown`` or another."""
        self.finish_reason = reason

    async def _crawl(self, crawl: SourceCrawl, places: asyncio.Semaphore) -> None:
        async with places:
            log_lines.SOURCE.set(crawl.source.id)
            try:
                await asyncio.to_thread(crawl.begin)
                if crawl.source.render and self.cannot_render is not None:
                    raise CrawlError(
                        f"source {crawl.source.id} has render: true and {self.cannot_render},"
                        " or set render: false"
                    )
                ends = _now() + MAX_SECONDS
                await self._read_listings(crawl, ends)
                await self._fetch_articles(crawl, ends)
                crawl.complete = True
            except Exception as raised:  # one source's trouble is never another's
                error = raised.exceptions[0] if isinstance(raised, ExceptionGroup) else raised
                ours = isinstance(error, NewslakeError)
                log.error("%s: %s", crawl.source.id, error, exc_info=None if ours else error)
                crawl.error = error
            await asyncio.to_thread(crawl.finish)

    async def _read_listings(self, crawl: SourceCrawl, ends: float) -> None:
        waiting = deque(crawl.listings)
        seen = {url for url, _ in waiting}
        while waiting:
            url, depth = waiting.popleft()
            if crawl.has_enough:
                crawl.unread += 1
                continue
            over = _TIME_IS_UP if _now() >= ends else _enough(crawl)
            if over:
                crawl.unread += 1
                crawl.listing_failed(url, over)
                continue
            kind = await self._read_listing(crawl, url)
            if kind is not Kind.SITEMAP_INDEX or depth == MAX_DEPTH:
                continue
            for child in crawl.children(url):
                if child not in seen and len(seen) >= MAX_LISTINGS:
                    crawl.unread += 1
                elif child not in seen:
                    seen.add(child)
                    waiting.append((child, depth + 1))

    async def _read_listing(self, crawl: SourceCrawl, url: str) -> Kind | None:
        known = crawl.known_listing(url)
        if known is not None and crawl.rests(url):
            crawl.listing_rested()
            return Kind(known.kind)
        answer = await self._download(crawl, url, "listing", known)
        if isinstance(answer, Refusal) and answer.state is State.FAILED_TOO_LARGE:
            # One at a time: else there were no bound to what a batch holds in memory.
            async with self._large:
                answer = await self._download(
                    crawl, url, "listing", known, download_maxsize=MAX_LISTING_BYTES
                )
                return await self._take_listing(crawl, url, known, answer)
        return await self._take_listing(crawl, url, known, answer)

    async def _take_listing(
        self, crawl: SourceCrawl, url: str, known: KnownListing | None, answer: Response | Refusal
    ) -> Kind | None:
        if isinstance(answer, Refusal):
            crawl.listing_failed(url, answer.detail)
            return None
        if known is not None and (
            answer.status == 304
            or (answer.status == 200 and sha256(answer.body).hexdigest() == known.body_hash)
        ):
            crawl.listing_unchanged(url)
            return Kind(known.kind)
        if answer.status != 200:
            crawl.listing_failed(url, refusal_of_status(answer.status).detail)
            return None
        headers = _headers(answer)
        usual = known.entries if known is not None else 0
        listing = await self._reader.read(
            read_listing, answer.body, answer.url, headers, usual=usual
        )
        if listing is None:
            crawl.listing_failed(url, _TOO_HARD)
            return None
        if listing.kind is Kind.UNKNOWN or (
            listing.kind is Kind.SECTION and url not in crawl.source.sections
        ):
            found = "an HTML page" if listing.kind is Kind.SECTION else "something else"
            crawl.listing_failed(url, f"is no feed or sitemap but {found}")
            return None
        crawl.listing_read(url, listing.kind, listing.entries, Validators.of(headers, answer.body))
        return listing.kind

    async def _fetch_articles(self, crawl: SourceCrawl, ends: float) -> None:
        waiting = deque(crawl.decide())
        places = crawl.source.max_articles

        async def work() -> None:
            nonlocal places
            while waiting and places and _now() < ends:
                places -= 1
                candidate = waiting.popleft()
                refusal = await self._fetch(crawl, candidate)
                if refusal is not None and refusal.state in _NOT_ASKED:
                    places += 1

        async with asyncio.TaskGroup() as workers:
            for _ in range(crawl.source.concurrency):
                workers.create_task(work())
        detail = _TIME_IS_UP if places else f"max_articles is {crawl.source.max_articles}"
        for candidate in waiting:
            crawl.over_limit(candidate, detail)

    async def _fetch(self, crawl: SourceCrawl, candidate: Candidate) -> Refusal | None:
        # A page may stay as it is while what its scripts fetch does not.
        known = None if crawl.source.render else candidate.known
        answer = await self._download(crawl, candidate.url, "article", known)
        refusal = answer if isinstance(answer, Refusal) else _unfit(answer, known)
        if refusal is None and isinstance(answer, Response):
            refusal = await self._reserved(crawl.source.honour, answer)
        if refusal is None and isinstance(answer, Response) and crawl.source.render:
            answer = await self._render(answer)
            refusal = (
                answer
                if isinstance(answer, Refusal)
                else await self._reserved(crawl.source.honour, answer)  # scripts may say so, too
            )
        if refusal is not None:
            crawl.refused(candidate, refusal)
        elif isinstance(answer, Response) and answer.status == 304:
            crawl.unchanged(candidate, 304)
        elif isinstance(answer, Response):
            wire, statement = answer.meta.pop("wire"), answer.meta["statement"]
            validators = Validators.of(_headers(answer), answer.body)
            crawl.fetched(candidate, answer.url, wire, validators, statement)
        return refusal

    async def _reserved(self, honour: Sequence[str], answer: Response) -> Refusal | None:
        """A refusal where headers or page reserve what the source honours."""
        if not honour or answer.status != 200:
            return None
        of_page = await self._reader.read(of_html, answer.body, answer.url)
        if of_page is None:
            return Refusal(State.FAILED_TOO_LARGE, _TOO_HARD, 200, final=True)
        reason = reserved(together(of_page, of_headers(_headers(answer))), honour)
        return Refusal(State.SKIPPED_RIGHTS, reason, 200, final=True) if reason else None

    async def _render(self, page: Response) -> Response | Refusal:
        if self._browser is None:
            raise CrawlError("playwright did not start; the log above says why")
        try:
            return await self._browser.render(page)
        except NewslakeError:  # there is no browser for the next page either
            raise
        except Exception as error:
            return refusal_of(error)

    async def _download(
        self,
        crawl: SourceCrawl,
        url: str,
        kind: str,
        known: KnownUrl | KnownListing | None,
        **meta: Any,
    ) -> Response | Refusal:
        headers = {}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        if known is not None and known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        try:
            about = {"source": crawl.source, "kind": kind, "forgotten": crawl.forgotten}
            request = Request(url, headers=headers, meta={**about, "crawl": crawl, **meta})
            answer = await self.crawler.engine.download_async(request)
        except Exception as error:  # every failure of a download is a state, none ends the crawl
            return refusal_of(error)
        crawl.received(len(answer.body))
        return answer


_TOO_HARD = "takes too much time or memory to read"
_TIME_IS_UP = "the crawl's time was up"
_NOT_ASKED = (
    State.SKIPPED_ROBOTS,
    State.SKIPPED_RIGHTS,
    State.SKIPPED_UNSAFE,
    State.SKIPPED_UNAVAILABLE,
    State.FORGOTTEN,
)
_MARKUP = re.compile(rb"<(?:!doctype\s+html|html|head|body|article|p|div|meta|title)\b", re.I)


def _enough(crawl: SourceCrawl) -> str | None:
    if crawl.discovered < MAX_URLS:
        return None
    return f"left, since the others named {crawl.discovered} addresses; {MAX_URLS} are enough"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _unfit(answer: Response, known: KnownUrl | None) -> Refusal | None:
    """Why an answer is no article page to keep, or None."""
    if answer.status == 304 and known is not None and known.body_hash:
        return None
    if answer.status != 200:
        return refusal_of_status(answer.status)
    declared = _headers(answer).get("content-type", "").partition(";")[0].strip().lower()
    if "html" in declared or (not declared and _MARKUP.search(answer.body[:4096])):
        return None
    detail = f"content type {declared or 'not given'}"
    return Refusal(State.REJECTED_NOT_HTML, detail, 200, final=True)


def _headers(answer: Response) -> dict[str, str]:
    """The headers with names in lower case; what is repeated, as one list (RFC 9110 §5.3)."""
    named = answer.headers.items()
    return {k.decode("latin-1").lower(): b", ".join(v).decode("latin-1") for k, v in named if v}
