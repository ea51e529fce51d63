"""robots.txt by RFC 9309, and one pace per host.

Scrapy's own middleware takes a robots.txt that fails for permission and knows no Crawl-delay.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

from protego import Protego
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.utils.httpobj import urlparse_cached

from crawlers.refusals import Refusal, Refused, refusal_of
from processing.records import State

AGENT = "newslake"
"""Our product token, by which robots.txt addresses us."""

MAX_CRAWL_DELAY = 60.0
"""Seconds; a longer Crawl-delay counts as this much, or a site would never be read through."""

MAX_ROBOTS_BYTES = 500 * 1024
"""RFC 9309 §2.5: at least 500 KiB must be read."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an origin's robots.txt says: the parsed file, or why nothing may be fetched.

    Neither: everything may.
    """

    parsed: Protego | None = None
    refusal: Refusal | None = None

    @property
    def crawl_delay(self) -> float:
        """Seconds between requests that are asked of us, 0 when nothing is said."""
        delay = self.parsed.crawl_delay(AGENT) if self.parsed else None
        return min(max(delay or 0.0, 0.0), MAX_CRAWL_DELAY)


class Politeness:
    """Downloader middleware: asks robots.txt first and keeps each host's pace.

    robots.txt is fetched once per origin and process. The pace of a host is the slowest that
    any of its sources or its Crawl-delay asks for.
    """

    def __init__(self, crawler: Crawler):
        self._crawler = crawler
        self._rules: dict[str, asyncio.Task[Rules]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way to make one."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Raises Refused when robots.txt forbids, or forbids by failing."""
        source = request.meta["source"]
        parts = urlparse_cached(request)
        host = parts.hostname or ""
        self._slow_down(host, source.delay, source.concurrency)
        if request.meta["kind"] == "robots":
            return
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._rules:
            self._rules[origin] = asyncio.ensure_future(self._ask(origin, request))
        rules = await self._rules[origin]
        if rules.refusal is not None:
            raise Refused(rules.refusal)
        if rules.parsed is None:
            return
        self._slow_down(host, rules.crawl_delay, source.concurrency)
        if not rules.parsed.can_fetch(request.url, AGENT):
            raise Refused(Refusal(State.SKIPPED_ROBOTS, "robots.txt forbids it", final=True))

    async def _ask(self, origin: str, request: Request) -> Rules:
        ask = Request(
            f"{origin}/robots.txt", meta={"source": request.meta["source"], "kind": "robots"}
        )
        try:
            answer = await self._crawler.engine.download_async(ask)
        except Exception as error:  # whatever fails here, no page of the host may be fetched
            refusal = refusal_of(error)
            if refusal.state is State.FAILED_REDIRECT:
                return Rules()  # §2.3.1.2: more than five redirects count as no robots.txt
            if refusal.state is State.SKIPPED_UNSAFE:
                return Rules(refusal=refusal)
            return Rules(refusal=Refusal(refusal.state, f"robots.txt: {refusal.detail}"))
        if answer.status >= 500 or answer.status == 429:
            detail = f"robots.txt answered {answer.status}, which forbids all (RFC 9309 §2.3.1.4)"
            return Rules(refusal=Refusal(State.SKIPPED_ROBOTS, detail))
        if answer.status != 200:
            return Rules()
        return Rules(Protego.parse(answer.body[:MAX_ROBOTS_BYTES].decode("utf-8", "replace")))

    def _slow_down(self, host: str, delay: float, concurrency: int) -> None:
        downloader = self._crawler.engine.downloader
        pace = downloader.per_slot_settings.setdefault(
            host, {"delay": delay, "concurrency": concurrency}
        )
        pace["delay"] = max(pace["delay"], delay)
        pace["concurrency"] = min(pace["concurrency"], concurrency)
        if host in downloader.slots:
            downloader.slots[host].delay = pace["delay"]
            downloader.slots[host].concurrency = pace["concurrency"]
