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
from typing import Any

import scrapy
from scrapy import Request
from scrapy.http import Response

from crawlers.discovery import MAX_LISTING_BYTES, Kind, read_listing
from crawlers.refusals import Refusal, refusal_of, refusal_of_status
from crawlers.source_crawl import Candidate, SourceCrawl, Validators
from crawlers.state import KnownListing, KnownUrl
from processing.exceptions import NewslakeError
from processing.records import State

SOURCES_AT_ONCE = 64
"""Sources of a batch that are crawled side by side; the others wait."""

MAX_LISTINGS = 200
"""The most listings of one source that are asked in a run, sitemaps of indexes included."""

MAX_DEPTH = 2
"""How deep sitemap indexes may name indexes."""

log = logging.getLogger("newslake.crawl")


class NewsSpider(scrapy.Spider):
    """Crawls declared sources, side by side."""

    name = "news"

    def __init__(self, crawls: Sequence[SourceCrawl] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.crawls = crawls
        self.finish_reason = "not started"

    async def start(self) -> AsyncIterator[Any]:
        """Runs to the end of the last source; yields nothing, for downloads are awaited."""
        places = asyncio.Semaphore(SOURCES_AT_ONCE)
        await asyncio.gather(*(self._crawl(crawl, places) for crawl in self.crawls))
        return
        yield

    def closed(self, reason: str) -> None:
        """Scrapy's word on how the crawl ended: ``finished``, ``shutdown`` or another."""
        self.finish_reason = reason

    async def _crawl(self, crawl: SourceCrawl, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await asyncio.to_thread(crawl.begin)
                await self._read_listings(crawl)
                await self._fetch_articles(crawl)
                crawl.complete = True
            except Exception as raised:  # one source's trouble is never another's
                error = raised.exceptions[0] if isinstance(raised, ExceptionGroup) else raised
                ours = isinstance(error, NewslakeError)
                log.error("%s: %s", crawl.source.id, error, exc_info=None if ours else error)
                crawl.error = error
            await asyncio.to_thread(crawl.finish)

    async def _read_listings(self, crawl: SourceCrawl) -> None:
        waiting = deque((url, 0) for url in crawl.source.listings)
        seen = {url for url, _ in waiting}
        while waiting:
            url, depth = waiting.popleft()
            kind = await self._read_listing(crawl, url)
            if kind is not Kind.SITEMAP_INDEX or depth == MAX_DEPTH:
                continue
            for child in crawl.children(url):
                if child not in seen and len(seen) < MAX_LISTINGS:
                    seen.add(child)
                    waiting.append((child, depth + 1))

    async def _read_listing(self, crawl: SourceCrawl, url: str) -> Kind | None:
        known = crawl.known_listing(url)
        answer = await self._download(
            crawl, url, "listing", known, download_maxsize=MAX_LISTING_BYTES
        )
        if isinstance(answer, Refusal):
            crawl.listing_failed(url, answer.detail)
            return None
        if known is not None and (
            answer.status == 304
            or (answer.status == 200 and sha256(answer.body).hexdigest() == known.body_hash)
        ):
            crawl.listing_unchanged()
            return Kind(known.kind)
        if answer.status != 200:
            crawl.listing_failed(url, refusal_of_status(answer.status).detail)
            return None
        headers = _headers(answer)
        # In a thread: a large sitemap takes a second, which other hosts need not wait for.
        listing = await asyncio.to_thread(read_listing, answer.body, answer.url, headers)
        if listing.kind is Kind.UNKNOWN or (
            listing.kind is Kind.SECTION and url not in crawl.source.sections
        ):
            found = "an HTML page" if listing.kind is Kind.SECTION else "something else"
            crawl.listing_failed(url, f"is no feed or sitemap but {found}")
            return None
        crawl.listing_read(url, listing.kind, listing.entries, Validators.of(headers, answer.body))
        return listing.kind

    async def _fetch_articles(self, crawl: SourceCrawl) -> None:
        waiting = deque(crawl.decide())
        places = crawl.source.max_articles

        async def work() -> None:
            nonlocal places
            while waiting and places:
                places -= 1
                candidate = waiting.popleft()
                refusal = await self._fetch(crawl, candidate)
                if refusal is not None and refusal.state in _NOT_ASKED:
                    places += 1

        async with asyncio.TaskGroup() as workers:
            for _ in range(crawl.source.concurrency):
                workers.create_task(work())
        for candidate in waiting:
            crawl.over_limit(candidate)

    async def _fetch(self, crawl: SourceCrawl, candidate: Candidate) -> Refusal | None:
        known = candidate.known
        answer = await self._download(crawl, candidate.url, "article", known)
        refusal = answer if isinstance(answer, Refusal) else _unfit(answer, known)
        if refusal is not None:
            crawl.refused(candidate, refusal)
        elif isinstance(answer, Response) and answer.status == 304:
            crawl.unchanged(candidate, 304)
        elif isinstance(answer, Response):
            wire = answer.meta.pop("wire")
            validators = Validators.of(_headers(answer), answer.body)
            crawl.fetched(candidate, answer.url, wire, validators)
        return refusal

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
            request = Request(url, headers=headers, meta={**about, **meta})
            answer = await self.crawler.engine.download_async(request)
        except Exception as error:  # every failure of a download is a state, none ends the crawl
            return refusal_of(error)
        crawl.received(len(answer.body))
        return answer


_NOT_ASKED = (State.SKIPPED_ROBOTS, State.SKIPPED_UNSAFE, State.FORGOTTEN)
_MARKUP = re.compile(rb"<(?:!doctype\s+html|html|head|body|article|p|div|meta|title)\b", re.I)


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
    """The headers with names in lower case, the last of each."""
    named = answer.headers.items()
    return {k.decode("latin-1").lower(): v[-1].decode("latin-1") for k, v in named if v}
