"""robots.txt by RFC 9309, one pace per host, and no more for a host that cannot or will not.

Scrapy's own middlewares take a robots.txt that fails for permission, know neither Crawl-delay nor
Retry-After, and throttle below the delay that was asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.http import Response
from scrapy.utils.httpobj import urlparse_cached

from crawlers.refusals import Refusal, Refused, refusal_of
from crawlers.source_crawl import SourceCrawl
from crawlers.state import KnownOrigin
from processing.records import State
from processing.rights import RobotsTxt, Statement, of_tdmrep, reserved, together

MAX_CRAWL_DELAY = 60.0
"""Seconds; a longer Crawl-delay counts as this much, or a site would never be read through."""

MAX_ROBOTS_BYTES = 500 * 1024
"""RFC 9309 §2.5: at least 500 KiB must be read; as much of a tdmrep.json."""

ROBOTS_LIFETIME = timedelta(hours=24)
"""RFC 9309 §2.4: no copy of a robots.txt is used for longer; nor one of a tdmrep.json."""

MAX_PAUSE = 60.0
"""Seconds that a Retry-After is waited for; a longer one ends the host's part of the run."""

LONGEST_CLOSURE = timedelta(days=1)
"""The most that a Retry-After keeps later runs away."""

FAILURES_TO_OPEN = 6
"""Failures of a host in a row, a retry counting as one, after which it is left alone."""

MAX_THROTTLED_DELAY = 10.0
"""Seconds; the slowest pace that slow answers alone bring about."""

_TROUBLE = (State.FAILED_NETWORK, State.FAILED_TIMEOUT)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an origin's robots.txt says: the parsed file, or why nothing may be fetched.

    Neither: everything may. ``known`` is what a source keeps of it for later runs.
    """

    parsed: RobotsTxt | None = None
    refusal: Refusal | None = None
    known: KnownOrigin | None = None

    @property
    def crawl_delay(self) -> float:
        """Seconds between requests that are asked of us, 0 when nothing is said."""
        delay = self.parsed.crawl_delay if self.parsed else None
        return min(max(delay or 0.0, 0.0), MAX_CRAWL_DELAY)


@dataclass(slots=True)
class _Host:
    """A host's pace, and how it has answered in this process."""

    delay: float
    concurrency: int
    not_before: float = 0.0  # the event loop's time
    failures: int = 0
    refusal: Refusal | None = None


class Politeness:
    """Downloader middleware: asks robots.txt first, keeps each host's pace, and knows when to stop.

    robots.txt is asked once a day and origin. The pace of a host is the slowest that any of its
    sources or its Crawl-delay asks for, slower still where answers take long. A Retry-After on
    429 or 503 pauses the host; a host that fails time after time is asked nothing more in this
    run. Stands below Scrapy's retries, to see every attempt.
    """

    def __init__(self, crawler: Crawler):
        self._crawler = crawler
        self._rules: dict[str, asyncio.Task[Rules]] = {}
        self._tdmreps: dict[str, asyncio.Task[KnownOrigin]] = {}
        self._hosts: dict[str, _Host] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way to make one."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Raises Refused when robots.txt forbids, or forbids by failing, or the host is closed.

        Also when a reservation forbids that the source honours. Puts what robots.txt and
        tdmrep.json say of an article into ``meta["statement"]``.
        """
        host = self._host(request)
        if request.meta["kind"] != "robots":
            await self._obey(request, host)
        await self._wait(host)

    def process_response(self, request: Request, response: Response) -> Request | Response:
        """Takes note of pauses, failures and slowness; a 429 that says when is asked again."""
        host = self._host(request)
        pause = _retry_after(response) if response.status in (429, 503) else None
        if pause is not None and pause > MAX_PAUSE:
            self._close(request, host, pause)
        elif pause is not None:
            host.not_before = max(host.not_before, _now() + pause)
            if response.status == 429 and not _of_page(request):
                spider: Any = self._crawler.spider
                again = get_retry_request(request, reason="429", spider=spider, max_retry_times=1)
                return again or self._failed(request, host, response)
        if _of_page(request):
            return response
        if response.status >= 500 or response.status == 429:
            return self._failed(request, host, response)
        host.failures = 0
        self._throttle(request, host, response)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Counts what speaks of the host's trouble and not of the page."""
        refusal = refusal_of(exception)
        if refusal.state in _TROUBLE:
            host = self._host(request)
            self._judge(request, host, refusal.detail)

    # --- robots.txt ---

    async def _obey(self, request: Request, host: _Host) -> None:
        source, crawl = request.meta["source"], request.meta["crawl"]
        parts = urlparse_cached(request)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._rules:
            self._rules[origin] = asyncio.ensure_future(self._ask(origin, request))
        rules = await self._rules[origin]
        if rules.known is not None:
            _remember(crawl, rules.known)
        if rules.refusal is not None:
            raise Refused(rules.refusal)
        self._slow_down(parts.hostname or "", host, rules.crawl_delay, source.concurrency)
        if rules.parsed is not None and not rules.parsed.allows(request.url):
            raise Refused(Refusal(State.SKIPPED_ROBOTS, "robots.txt forbids it", final=True))
        if request.meta["kind"] == "article":
            statement = await self._statement(origin, rules, request)
            request.meta["statement"] = statement
            reason = reserved(statement, source.honour)
            if reason is not None:
                raise Refused(Refusal(State.SKIPPED_RIGHTS, reason, final=True))

    # --- reservations ---

    async def _statement(self, origin: str, rules: Rules, request: Request) -> Statement:
        if origin not in self._tdmreps:
            self._tdmreps[origin] = asyncio.ensure_future(self._ask_tdmrep(origin, rules, request))
        known = await self._tdmreps[origin]
        _remember(request.meta["crawl"], known)
        robots = rules.parsed.says(request.url) if rules.parsed else Statement(robots="allowed")
        return together(of_tdmrep((known.tdmrep or "").encode(), request.url), robots)

    async def _ask_tdmrep(self, origin: str, rules: Rules, request: Request) -> KnownOrigin:
        """What an origin reserves (TDMRep, /.well-known/tdmrep.json), asked once a day."""
        crawl: SourceCrawl = request.meta["crawl"]
        known, now = crawl.known_origin(origin) or KnownOrigin(origin), crawl.clock()
        if known.tdmrep_asked_at > (now - ROBOTS_LIFETIME).isoformat():
            return known
        url = f"{origin}/.well-known/tdmrep.json"
        said = None
        if rules.parsed is None or rules.parsed.allows(url):
            try:
                answer = await self._crawler.engine.download_async(_about_site(url, request))
            except Exception:  # the pages say what they reserve as well; the next run asks again
                return known
            if answer.status >= 500 or answer.status == 429:
                return known
            if answer.status == 200:
                said = answer.body[:MAX_ROBOTS_BYTES].decode("utf-8", "replace")
        return replace(known, tdmrep=said, tdmrep_asked_at=now.isoformat())

    async def _ask(self, origin: str, request: Request) -> Rules:
        crawl: SourceCrawl = request.meta["crawl"]
        known = crawl.known_origin(origin)
        now = crawl.clock()
        if known is not None and known.closed_until > now.isoformat():
            return Rules(refusal=_closed(f"asked for no request before {known.closed_until}"))
        if known is not None and known.asked_at > (now - ROBOTS_LIFETIME).isoformat():
            return _rules(known)
        ask = _about_site(f"{origin}/robots.txt", request)
        try:
            answer = await self._crawler.engine.download_async(ask)
        except Exception as error:  # whatever fails here, no page of the host may be fetched
            return _unanswered(refusal_of(error))
        if answer.status >= 500 or answer.status == 429:
            detail = f"robots.txt answered {answer.status}, which forbids all (RFC 9309 §2.3.1.4)"
            return Rules(refusal=Refusal(State.SKIPPED_ROBOTS, detail))
        said = answer.body[:MAX_ROBOTS_BYTES].decode("utf-8", "replace")
        row = replace(known or KnownOrigin(origin), asked_at=now.isoformat(), closed_until="")
        return _rules(replace(row, robots=said if answer.status == 200 else None))

    # --- the host ---

    def _host(self, request: Request) -> _Host:
        source, name = request.meta["source"], urlparse_cached(request).hostname or ""
        host = self._hosts.setdefault(name, _Host(source.delay, source.concurrency))
        self._slow_down(name, host, source.delay, source.concurrency)
        return host

    async def _wait(self, host: _Host) -> None:
        if host.refusal is not None:
            raise Refused(host.refusal)
        while (seconds := host.not_before - _now()) > 0:
            await asyncio.sleep(seconds)
            if host.refusal is not None:
                raise Refused(host.refusal)

    def _close(self, request: Request, host: _Host, pause: float) -> None:
        crawl: SourceCrawl = request.meta["crawl"]
        until = crawl.clock() + min(timedelta(seconds=pause), LONGEST_CLOSURE)
        host.refusal = _closed(f"asked for a pause of {pause:.0f} s (Retry-After)")
        request.meta["dont_retry"] = True  # what was answered stays the page's own end
        parts = urlparse_cached(request)
        origin = f"{parts.scheme}://{parts.netloc}"
        known = crawl.known_origin(origin) or KnownOrigin(origin)
        crawl.remember_origin(replace(known, closed_until=until.isoformat()))

    def _failed(self, request: Request, host: _Host, response: Response) -> Response:
        self._judge(request, host, f"answered {response.status}")
        return response

    def _judge(self, request: Request, host: _Host, detail: str) -> None:
        host.failures += 1
        if host.failures >= FAILURES_TO_OPEN:
            request.meta["dont_retry"] = True
            if host.refusal is None:
                host.refusal = _closed(f"its host failed {host.failures} times in a row: {detail}")

    def _slow_down(self, name: str, host: _Host, delay: float, concurrency: int) -> None:
        host.delay = max(host.delay, delay)
        host.concurrency = min(host.concurrency, concurrency)
        downloader = self._crawler.engine.downloader
        downloader.per_slot_settings[name] = {"delay": host.delay, "concurrency": host.concurrency}
        if name in downloader.slots:
            slot = downloader.slots[name]
            slot.delay = max(slot.delay, host.delay)
            slot.concurrency = host.concurrency

    def _throttle(self, request: Request, host: _Host, response: Response) -> None:
        """Scrapy's AutoThrottle rule, but never faster than the pace that is asked for."""
        slot = self._crawler.engine.downloader.slots.get(request.meta.get("download_slot", ""))
        latency = request.meta.get("download_latency")
        if slot is None or latency is None:
            return
        target = latency / host.concurrency
        delay = max(host.delay, min(max(target, (slot.delay + target) / 2), MAX_THROTTLED_DELAY))
        if response.status == 200 or delay > slot.delay:
            slot.delay = delay


def _of_page(request: Request) -> bool:
    """Whether a rendered page asks: at its own pace, and it may well ask for what fails."""
    return bool(request.meta["kind"] == "subresource")


def _rules(known: KnownOrigin) -> Rules:
    return Rules(RobotsTxt(known.robots) if known.robots else None, known=known)


def _about_site(url: str, request: Request) -> Request:
    """A request for what a site says to crawlers, on behalf of another."""
    asked_for = {name: request.meta[name] for name in ("source", "crawl")}
    return Request(url, meta={**asked_for, "kind": "robots"})


def _remember(crawl: SourceCrawl, known: KnownOrigin) -> None:
    """Keep what an origin said, whichever source of the batch it was asked for."""
    before = crawl.known_origin(known.key) or KnownOrigin(known.key)
    after = before
    if after.asked_at < known.asked_at:
        after = replace(after, robots=known.robots, asked_at=known.asked_at)
    if after.tdmrep_asked_at < known.tdmrep_asked_at:
        after = replace(after, tdmrep=known.tdmrep, tdmrep_asked_at=known.tdmrep_asked_at)
    if after != before:
        crawl.remember_origin(after)


def _unanswered(refusal: Refusal) -> Rules:
    if refusal.state is State.FAILED_REDIRECT:
        return Rules()  # RFC 9309 §2.3.1.2: more than five redirects count as no robots.txt
    if refusal.state in (State.SKIPPED_UNSAFE, State.SKIPPED_UNAVAILABLE):
        return Rules(refusal=refusal)
    return Rules(refusal=Refusal(refusal.state, f"robots.txt: {refusal.detail}"))


def _closed(detail: str) -> Refusal:
    return Refusal(State.SKIPPED_UNAVAILABLE, detail)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _retry_after(response: Response) -> float | None:
    """Seconds that a Retry-After (RFC 9110 §10.2.3) asks for, None when it asks for nothing."""
    said = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if said.isdigit():
        return float(said)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    # Both moments are the server's own, where it states the second.
    stated = (response.headers.get("Date") or b"").decode("latin-1")
    try:
        now = parsedate_to_datetime(stated)
    except ValueError:
        now = datetime.now(UTC)
    return max(0.0, (_aware(until) - _aware(now)).total_seconds())


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
