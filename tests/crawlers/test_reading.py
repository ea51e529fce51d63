"""What reading a listing may take, and that the process it takes too much of is replaced."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys

import pytest

from crawlers.discovery import Kind
from crawlers.reading import ListingReader

JOB = pickle.dumps((b"", "http://paper.example/feed", {}, 0))
LARGE = b"<urlset>" + b"".join(b"<url><loc>/%d</loc></url>" % n for n in range(5000))


ENDLESS = """
def read_listing(*args, **more):
    return re.match("(a|a)*b", "a" * 99)
"""
HUNGRY = """
def read_listing(*args, **more):
    try:
        return [b"x" * (1 << 24) for _ in range(999)]
    except MemoryError:
        return "what was found so far"
"""


def serve(worse_reader: str) -> subprocess.CompletedProcess[bytes]:
    """The reading process, with a reader that is worse than any we know."""
    changed = f"""
import re, sys
import crawlers.reading as reading
{worse_reader}
reading.read_listing = read_listing
reading.READ_SECONDS = 1
reading._serve(sys.stdin.buffer, sys.stdout.buffer)
"""
    command = [sys.executable, "-c", changed]
    return subprocess.run(command, input=JOB, capture_output=True, check=False)


def test_a_reader_that_does_not_return_is_ended() -> None:
    done = serve(ENDLESS)

    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS bounds no memory")
def test_what_a_reader_without_memory_found_is_not_taken() -> None:
    done = serve(HUNGRY)

    assert (done.returncode, done.stdout) == (0, b"")


def test_a_process_that_died_is_replaced() -> None:
    async def read_three() -> list[int | None]:
        reader = ListingReader()
        found = []
        for dies in (False, True, False):
            if dies:
                assert reader._process is not None
                os.kill(reader._process.pid, signal.SIGKILL)
            listing = await reader.read(LARGE, "http://paper.example/map", {})
            found.append(len(listing.entries) if listing else None)
        reader.close()
        return found

    assert asyncio.run(read_three()) == [5000, None, 5000]


def test_what_is_small_needs_no_process() -> None:
    async def read_one() -> Kind | None:
        reader = ListingReader()
        listing = await reader.read(LARGE[:2000], "http://paper.example/map", {})
        assert reader._process is None
        return listing.kind if listing else None

    assert asyncio.run(read_one()) is Kind.SITEMAP
