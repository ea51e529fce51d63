"""What strangers sent is read in a process of its own, which has bounds that no parser can break.

What some bytes make of a parser is never known beforehand: a few of them may take hours, or all
memory there is. That then ends this process and not the crawl.
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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Concatenate, ParamSpec, TypeVar

READ_SECONDS = 30
"""How long one reading may take; a listing of 50,000 entries takes one or two."""

READ_MEMORY = 384 * 1024 * 1024
"""The most memory, in bytes, that reading may take; a sitemap of 64 MB takes half of it."""

_NEAR = 0.8  # of that memory
_SMALL = 64 * 1024
_GZIP = b"\x1f\x8b"

P = ParamSpec("P")
T = TypeVar("T")
Job = tuple[Callable[..., T], bytes, tuple[object, ...], dict[str, object]]


class Reader:
    """Calls readers of bodies in another process, one at a time.

    It starts with the first body that needs it: a small one is done with soon whatever it holds,
    and is read in a thread.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    async def read(
        self,
        reader: Callable[Concatenate[bytes, P], T],
        body: bytes,
        *args: P.args,
        **more: P.kwargs,
    ) -> T | None:
        """``reader(body, *args, **more)``; None when it took too much time or memory.

        ``reader`` must be importable by name in another process, and no more than that: it ends
        the process by raising.
        """
        if len(body) <= _SMALL and not body.startswith(_GZIP):
            return await asyncio.to_thread(reader, body, *args, **more)
        async with self._turn:
            return await asyncio.to_thread(self._ask, (reader, body, args, more))

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _ask(self, job: Job[T]) -> T | None:
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
            answer: T = pickle.load(process.stdout)  # noqa: S301 from our own process
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            return None
        return answer


def _serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """Read what is asked for until there is no one to ask; the alarm ends the process."""
    resource.setrlimit(resource.RLIMIT_DATA, (READ_MEMORY, READ_MEMORY))
    with suppress(EOFError):
        while True:
            reader, body, args, more = pickle.load(asked)  # noqa: S301 from the crawl
            signal.alarm(READ_SECONDS)
            answer = reader(body, *args, **more)
            signal.alarm(0)
            if _peak() > _NEAR * READ_MEMORY:
                return  # parsers that find no more memory stop, and say nothing of it
            pickle.dump(answer, answers)
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
