"""Crawl a batch of sources in one Scrapy process: ``python -m crawlers.crawl``.

A process of its own, since a reactor starts but once and a hung crawl must be killable. Its
exit status is 0 when it did its work, even where single sources failed: the caller judges by
the result file, for Scrapy's own status says nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from time import sleep

from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings

from crawlers import catalogue, rendering
from crawlers.backfill import Days
from crawlers.catalogue import Source
from crawlers.log_lines import JsonLines
from crawlers.source_crawl import Clock, SourceCrawl, SourceResult
from crawlers.spider import NewsSpider
from processing.exceptions import ConfigurationError, CrawlError, NewslakeError
from processing.storage import Store
from processing.urls import TOMBSTONES, forgotten_ids


def crawl(
    store: Store | None,
    sources: Sequence[Source],
    *,
    run_id: str,
    attempt: int,
    workdir: Path,
    clock: Clock,
    scheduled: bool = False,
    days: Days | None = None,
) -> list[SourceResult]:
    """Crawl the sources side by side and write WARC files, ledgers and states to the store.

    Once per process. SIGTERM or SIGINT end it within seconds; what was fetched is written all
    the same. Without a store everything stays under ``workdir/<source id>``. Only in a
    ``scheduled`` run do listings rest; with ``days`` it is a backfill of these. Raises StoreError
    when the store does not answer at the start, CrawlError when Scrapy does not start; what
    befalls a single source is in its result.
    """
    forgotten: frozenset[str] = frozenset()
    if store is not None:
        # Asked once before any page is: else each source would wait for the store by itself.
        forgotten = forgotten_ids(found.key for found in store.objects(TOMBSTONES))
    crawls = [
        SourceCrawl(
            source,
            run_id=run_id,
            attempt=attempt,
            directory=workdir / source.id,
            store=store,
            clock=clock,
            forgotten=forgotten,
            scheduled=scheduled,
            days=days,
        )
        for source in sources
    ]
    settings = Settings()
    settings.setmodule("crawlers.settings")
    cannot_render = rendering.missing(os.environ)
    if cannot_render is None and any(source.render for source in sources):
        settings.setdict(rendering.settings(os.environ, os.geteuid()))
    process = AsyncCrawlerProcess(settings)
    crawler = process.create_crawler(NewsSpider)
    process.crawl(crawler, crawls=crawls, cannot_render=cannot_render)
    process.start()
    if process.bootstrap_failed or not isinstance(crawler.spider, NewsSpider):
        raise CrawlError("Scrapy did not start; its log above says why")
    for each in crawls:
        each.finish()
    return [each.result(crawler.spider.finish_reason) for each in crawls]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    options = _parser().parse_args(arguments)
    _stop_with_parent()
    _log_lines()
    try:
        if not re.fullmatch(r"\d{8}T\d{6}Z-\w+", options.run_id):
            raise ConfigurationError(
                f"--run-id is {options.run_id!r}; write it as 20260131T120000Z-0a1b2c"
            )
        sources = catalogue.load(options.sources_dir).select(dict.fromkeys(options.source))
        with tempfile.TemporaryDirectory(prefix="newslake-crawl-") as workdir:
            results = crawl(
                Store.from_environment(os.environ),
                sources,
                run_id=options.run_id,
                attempt=options.attempt,
                workdir=Path(workdir),
                clock=lambda: datetime.now(UTC),
                scheduled=options.scheduled,
                days=Days(*options.days) if options.days else None,
            )
    except NewslakeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    told = json.dumps([result.to_json() for result in results], indent=1, ensure_ascii=False)
    options.result.write_text(told, encoding="utf-8")
    broken = [result.reason for result in results if result.store_failed]
    if broken:
        sys.stderr.write(f"{broken[0]}\n")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crawlers.crawl", description=__doc__)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--attempt", type=int, default=1, help="counts a task's tries from 1")
    parser.add_argument("--sources-dir", type=Path, required=True)
    parser.add_argument("--source", action="append", required=True, metavar="ID")
    parser.add_argument(
        "--scheduled", action="store_true", help="listings that seldom have news may rest"
    )
    parser.add_argument(
        "--days",
        nargs=2,
        type=date.fromisoformat,
        metavar=("FIRST", "LAST"),
        help="a backfill: the pages of these days, both included, are wanted",
    )
    parser.add_argument("--result", type=Path, required=True, help="JSON: one object per source")
    return parser


def _log_lines() -> None:
    handler = logging.StreamHandler()
    handler.setLevel(logging.INFO)  # Scrapy's own loggers let DEBUG pass: a line per request
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _stop_with_parent() -> None:
    """End as by SIGTERM when the process that started this one is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


if __name__ == "__main__":
    raise SystemExit(main())
