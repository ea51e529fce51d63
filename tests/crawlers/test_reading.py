"""What reading a listing may take, and that the process it takes too much of is replaced."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crawlers.discovery import Kind, read_listing
from crawlers.reading import Reader

LARGE = b"<urlset>" + b"".join(b"<url><loc>/%d</loc></url>" % n for n in range(5000))


def endless(body: bytes) -> object:
    return re.match("(a|a)*b", "a" * 99)


def hungry(body: bytes) -> object:
    try:
        return [b"x" * (1 << 24) for _ in range(999)]
    except MemoryError:
        return "what was found so far"


def serve(reader: Callable[[bytes], object]) -> subprocess.CompletedProcess[bytes]:
    """The reading process with one job, which gets a second for it."""
    program = """
import sys
import crawlers.reading as reading
reading.READ_SECONDS = 1
reading._serve(sys.stdin.buffer, sys.stdout.buffer)
"""
    return subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps((reader, b"", (), {})),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        check=False,
    )


def test_a_reader_that_does_not_return_is_ended() -> None:
    done = serve(endless)

    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS bounds no memory")
def test_what_a_reader_without_memory_found_is_not_taken() -> None:
    done = serve(hungry)

    assert (done.returncode, done.stdout) == (0, b"")


def test_a_process_that_died_is_replaced() -> None:
    async def read_three() -> list[int | None]:
        reader = Reader()
        found = []
        for dies in (False, True, False):
            if dies:
                assert reader._process is not None
                os.kill(reader._process.pid, signal.SIGKILL)
            listing = await reader.read(read_listing, LARGE, "http://paper.example/map", {})
            found.append(len(listing.entries) if listing else None)
        reader.close()
        return found

    assert asyncio.run(read_three()) == [5000, None, 5000]


def test_what_is_small_needs_no_process() -> None:
    async def read_one() -> Kind | None:
        reader = Reader()
        listing = await reader.read(read_listing, LARGE[:2000], "http://paper.example/map", {})
        assert reader._process is None
        return listing.kind if listing else None

    assert asyncio.run(read_one()) is Kind.SITEMAP
