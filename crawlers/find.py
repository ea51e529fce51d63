"""Find where a site lists its articles, in a Scrapy process: ``python -m crawlers.find``.

As polite and as guarded as a crawl, for it is one: the same middlewares see every request.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response, TextResponse
from scrapy.settings import Settings

from crawlers.catalogue import Source
from crawlers.discovery import MAX_LISTING_BYTES, Kind, Listing, read_listing
from crawlers.finding import (
    LEAST_LINKS,
    Findings,
    Found,
    FrontPage,
    LeftOut,
    Place,
    addresses,
    child_places,
    choose,
    cover,
    front_page,
    home_of,
    judge,
    looks_like_feed,
    named_news,
    pointless,
    site_of,
    sitemap_places,
    usual_places,
)
from crawlers.refusals import Refusal, refusal_of_status
from crawlers.source_crawl import SourceCrawl
from crawlers.spider import NewsSpider
from processing.exceptions import CrawlError, NewslakeError
from processing.records import State, run_id_of

MAX_REQUESTS = 25
"""The most pages that are asked of a site; robots.txt and redirects come on top."""

MAX_CHILDREN = 3
"""The most sitemaps of an index that are read to judge it."""

MAX_SECTIONS = 8
"""The most section pages that are tried where a site has neither feed nor sitemap."""


class FindSpider(NewsSpider):
    """Asks one site for its listings, a request at a time."""

    name = "find"

    def __init__(self, crawl: SourceCrawl, urls: Sequence[str], **kwargs: Any):
        super().__init__(crawls=[crawl], **kwargs)
        self.findings: Findings | None = None
        self.error: CrawlError | None = None
        self._urls = urls
        self._site: str | None = None
        self._requests = MAX_REQUESTS
        self._seen: set[str] = set()
        self._found: list[Found] = []
        self._left_out: list[LeftOut] = []

    async def start(self) -> AsyncIterator[Any]:
        """Runs to the end of the search; yields nothing, for downloads are awaited."""
        try:
            self.findings = await self._find()
        except CrawlError as error:
            self.error = error
        return
        yield

    async def _find(self) -> Findings:
        """Raises CrawlError with one sentence when the site cannot be read, or lists nothing."""
        given, listing = await self._first()
        if listing.kind is Kind.SECTION:
            self._site = site_of(given.url)
            return await self._search(given.url, _text(given), listing)
        homepage = home_of(listing) or urljoin(given.url, "/")
        self._site = site_of(homepage)
        await self._consider(Place(given.url, "given"), given, listing)
        front = await self._ask(homepage)
        text = _text(front) if isinstance(front, Response) else ""
        return self._findings(homepage, front_page(text, homepage), *choose(self._found))

    async def _first(self) -> tuple[Response, Listing]:
        """The first of the addresses that answers, and what it is."""
        refused = ""
        for url in self._urls:
            answer = await self._ask(url)
            if isinstance(answer, Response):
                self._seen.add(answer.url)
                return answer, _listing(answer)
            unsafe = answer.state is State.SKIPPED_UNSAFE
            mend = "write its file by hand" if unsafe else "look at it and its robots.txt yourself"
            refused = refused or f"{url} cannot be read: {answer.detail}; {mend}"
            if answer.state not in (State.FAILED_NETWORK, State.FAILED_TIMEOUT):
                break
        raise CrawlError(refused)

    async def _search(self, homepage: str, text: str, listing: Listing) -> Findings:
        front = front_page(text, homepage)
        sitemaps = sitemap_places(homepage, self._robots(homepage))
        await self._look(front.declared[: MAX_REQUESTS // 2])
        await self._look(filter(named_news, sitemaps))
        if not any(found.news for found in self._found):
            await self._look(sitemaps)
        for places in (front.linked, *([place] for place in usual_places(homepage))):
            if not any(found.kind is Kind.FEED or found.news for found in self._found):
                await self._look(places)
        kept, left_out = choose(self._found)
        if not kept:
            kept, left_out = cover(await self._sections(homepage, front, listing))
        return self._findings(homepage, front, kept, left_out)

    def _findings(
        self, homepage: str, front: FrontPage, kept: list[Found], left_out: list[LeftOut]
    ) -> Findings:
        left_out = [*self._left_out, *left_out]
        if not kept:
            why = f" ({left_out[0].url}: {left_out[0].reason})" if left_out else ""
            raise CrawlError(
                f"{homepage} has no feed, sitemap or section page that could be found{why};"
                " look for one in a browser, and give its address in place of the front page's"
            )
        return Findings(homepage, front.name, tuple(kept), tuple(left_out))

    async def _look(self, places: Iterable[Place]) -> None:
        for place in places:
            if place.url not in self._seen:
                self._seen.add(place.url)
                await self._look_at(place)

    async def _look_at(self, place: Place) -> None:
        reason = pointless(place)
        if reason is not None:
            self._leave_out(place, reason)
            return
        answer = await self._ask(place.url)
        if isinstance(answer, Refusal):
            if place.via != "usual place" or answer.state is not State.FAILED_HTTP:
                self._leave_out(place, answer.detail)
            return
        if answer.url != place.url and answer.url in self._seen:
            return
        self._seen.add(answer.url)
        await self._consider(replace(place, url=answer.url), answer, _listing(answer))

    async def _consider(self, place: Place, answer: Response, listing: Listing) -> None:
        if listing.kind is Kind.SITEMAP_INDEX:
            await self._look_into(place, listing)
            return
        if listing.kind is Kind.SECTION:
            await self._look_through(place, _text(answer))
            return
        judged = judge(place, listing, answer.body, self._site)
        if isinstance(judged, Found):
            self._found.append(judged)
        else:
            self._left_out.append(judged)

    async def _look_into(self, index: Place, listing: Listing) -> None:
        """Read some sitemaps of an index: news sitemaps stand for themselves, the others for it."""
        before = self._found
        self._found = []
        await self._look(child_places(index, listing)[:MAX_CHILDREN])
        entries = tuple(e for found in self._found if not found.news for e in found.entries)
        self._found = [*before, *(found for found in self._found if found.news)]
        if entries:
            self._found.append(Found(index.url, index.via, Kind.SITEMAP_INDEX, entries))

    async def _look_through(self, place: Place, text: str) -> None:
        """Follow the feeds that a page about feeds links."""
        linked = front_page(text, place.url).linked if looks_like_feed(place) else ()
        if not linked and place.via != "usual place":
            self._leave_out(place, "is an HTML page")
        await self._look(linked)

    async def _sections(self, homepage: str, front: FrontPage, listing: Listing) -> list[Found]:
        """The front page and its sections, as far as they link articles."""
        found = [Found(homepage, "front page", Kind.SECTION, listing.entries)]
        for place in front.sections[:MAX_SECTIONS]:
            answer = await self._ask(place.url)
            if isinstance(answer, Response):
                read = _listing(answer)
                if read.kind is Kind.SECTION:
                    found.append(Found(answer.url, place.via, read.kind, read.entries))
        return [each for each in found if len(each.entries) >= LEAST_LINKS]

    def _leave_out(self, place: Place, reason: str) -> None:
        self._left_out.append(LeftOut(place.url, place.via, reason))

    def _robots(self, homepage: str) -> str:
        parts = urlsplit(homepage)
        known = self.crawls[0].known_origin(f"{parts.scheme}://{parts.netloc}")
        return (known and known.robots) or ""

    async def _ask(self, url: str) -> Response | Refusal:
        if not self._requests:
            return Refusal(State.SKIPPED_LIMIT, f"not asked, as {MAX_REQUESTS} pages were")
        self._requests -= 1
        answer = await self._download(
            self.crawls[0], url, "listing", None, download_maxsize=MAX_LISTING_BYTES
        )
        if isinstance(answer, Response) and answer.status != 200:
            return refusal_of_status(answer.status)
        return answer


def find(url: str, *, delay: float, workdir: Path, now: datetime) -> Findings:
    """What is found of the site at ``url``, with ``delay`` seconds between two requests.

    Once per process. Raises ConfigurationError when it is no web address, CrawlError when the
    site cannot be read, or lists nothing.
    """
    urls = addresses(url)
    host = urlsplit(urls[0]).hostname or ""
    source = Source.model_validate(
        {"id": "find", "name": host, "homepage": urls[0], "sections": list(urls), "delay": delay}
    )
    crawl = SourceCrawl(
        source,
        run_id=run_id_of("find", host, now),
        attempt=1,
        directory=workdir,
        store=None,
        clock=lambda: datetime.now(UTC),
    )
    settings = Settings()
    settings.setmodule("crawlers.settings")
    process = AsyncCrawlerProcess(settings)
    crawler = process.create_crawler(FindSpider)
    process.crawl(crawler, crawl=crawl, urls=urls)
    process.start()
    if process.bootstrap_failed or not isinstance(crawler.spider, FindSpider):
        raise CrawlError("Scrapy did not start; its log above says why")
    if crawler.spider.error is not None:
        raise crawler.spider.error
    if crawler.spider.findings is None:
        raise CrawlError(f"the search of {url} broke off; the log above says why")
    return crawler.spider.findings


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m crawlers.find", description=__doc__)
    parser.add_argument("url", help="the site's front page")
    parser.add_argument("--delay", type=float, default=1.0, help="seconds between two requests")
    parser.add_argument("--result", type=Path, required=True, help="JSON: what was found")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="newslake-find-") as workdir:
            now = datetime.now(UTC)
            found = find(options.url, delay=options.delay, workdir=Path(workdir), now=now)
    except NewslakeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    options.result.write_text(json.dumps(found.to_json(), ensure_ascii=False), encoding="utf-8")
    return 0


def _text(answer: Response) -> str:
    if isinstance(answer, TextResponse):
        return answer.text
    return answer.body.decode("utf-8", "replace")


def _listing(answer: Response) -> Listing:
    kind = answer.headers.get("Content-Type") or b""
    return read_listing(answer.body, answer.url, {"content-type": kind.decode("latin-1")})


if __name__ == "__main__":
    raise SystemExit(main())
