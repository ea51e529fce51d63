"""What a crawl costs at least: a Scrapy spider that saves what a feed names, and nothing more.

python plain_spider.py FEED FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response


class PlainSpider(scrapy.Spider):
    name = "plain"

    def __init__(self, feed: str, folder: str, **more: Any):
        super().__init__(**more)
        self._feed = feed
        self._folder = Path(folder)

    async def start(self) -> AsyncIterator[scrapy.Request]:
        yield scrapy.Request(self._feed)

    def parse(self, response: Response) -> Iterator[scrapy.Request]:
        for link in response.xpath("//item/link/text()").getall():
            yield scrapy.Request(link, callback=self.save)

    def save(self, response: Response) -> None:
        name = sha256(response.url.encode()).hexdigest()[:32]
        (self._folder / f"{name}.html").write_bytes(response.body)


if __name__ == "__main__":
    process = CrawlerProcess(
        {
            "CONCURRENT_REQUESTS": 16,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
            "DOWNLOAD_DELAY": 0,
            "LOG_LEVEL": "INFO",
            "TELNETCONSOLE_ENABLED": False,
        }
    )
    process.crawl(PlainSpider, feed=sys.argv[1], folder=sys.argv[2])
    process.start()
