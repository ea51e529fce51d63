"""The barest crawl there is: a feed's links fetched by aiohttp, bodies saved to files.

python plain_loop.py FEED FOLDER
"""

from __future__ import annotations

import asyncio
import re
import sys
from hashlib import sha256
from pathlib import Path

import aiohttp

AT_ONCE = 16


async def crawl(feed: str, folder: Path) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(trust_env=True) as session:

        async def save(link: str) -> None:
            async with places, session.get(link) as answer:
                body = await answer.read()
            (folder / sha256(link.encode()).hexdigest()).write_bytes(body)

        async with session.get(feed) as answer:
            links = re.findall(r"<link>([^<]+)</link>", await answer.text())
        await asyncio.gather(*map(save, links))


if __name__ == "__main__":
    asyncio.run(crawl(sys.argv[1], Path(sys.argv[2])))
