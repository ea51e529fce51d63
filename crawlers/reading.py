"""Listings are read in a process of their own, which has bounds that no parser can break.

What a stranger's bytes make of a parser is never known beforehand: a few of them may take hours,
or all memory there is. That then ends this process and not the crawl.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from crawlers.discovery import Listing, read_listing

READ_SECONDS = 30
"""How long the reading of one listing may take; 50,000 entries take one or two."""

READ_MEMORY = 384 * 1024 * 1024
"""The most memory, in bytes, that reading may take; a sitemap of 64 MB takes half of it."""

_NEAR = 0.8  # of that memory
_SMALL = 64 * 1024
_GZIP = b"\x1f\x8b"


class ListingReader:
    """``read_listing`` in another process, one listing at a time.

    It starts with the first listing that needs it: a small one ends soon whatever it holds, and
    is read in a thread.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    async def read(
        self, body: bytes, url: str, headers: Mapping[str, str], *, usual: int = 0
    ) -> Listing | None:
        """As ``read_listing``; None when it took too long or too much memory."""
        if len(body) <= _SMALL and not body.startswith(_GZIP):
            return await asyncio.to_thread(read_listing, body, url, headers, usual=usual)
        async with self._turn:
            return await asyncio.to_thread(self._ask, (body, url, headers, usual))

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _ask(self, job: tuple[bytes, str, Mapping[str, str], int]) -> Listing | None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "crawlers.reading"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise ValueError("the process was started without its pipes")
        try:
            pickle.dump(job, process.stdin)
            process.stdin.flush()
            listing: Listing = pickle.load(process.stdout)  # noqa: S301 from our own process
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            return None
        return listing


def _serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """Read what is asked for until there is no one to ask; the alarm ends the process."""
    resource.setrlimit(resource.RLIMIT_DATA, (READ_MEMORY, READ_MEMORY))
    with suppress(EOFError):
        while True:
            body, url, headers, usual = pickle.load(asked)  # noqa: S301 from the crawl
            signal.alarm(READ_SECONDS)
            listing = read_listing(body, url, headers, usual=usual)
            signal.alarm(0)
            if _peak() > _NEAR * READ_MEMORY:
                return  # parsers that find no more memory stop, and say nothing of it
            pickle.dump(listing, answers)
            answers.flush()


def _peak() -> int:
    """The most memory, in bytes, that this process has held; 0 where the system does not say."""
    # Not getrusage's: that begins with the memory of the process which started this one.
    with suppress(OSError):
        told = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        return int(told[1]) * 1024 if told else 0
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the crawl, which ends this
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a parser prints is no answer
        _serve(sys.stdin.buffer, answers)
