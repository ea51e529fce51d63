"""Extraction in several processes, any of which may hang or die without harm to the others.

What a few bytes make of a parser is never known beforehand; time and memory of each page are
bounded here, where no parser can lift the bounds.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as PageTimeout
from multiprocessing import process
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from processing.cleaning import SiteTemplate
from processing.exceptions import ConfigurationError
from processing.extraction import Reading, read_page
from processing.language import detect_language
from processing.records import Article, Page, Rejection, State

Outcome = Article | Rejection
Extractor = Callable[[Page, SiteTemplate | None], Reading]
TemplateOf = Callable[[str], SiteTemplate | None]
"""The template for a page, by the page's URL."""

PAGE_MEMORY = 1024 * 1024 * 1024
"""The most memory, in bytes, that a process may hold; reading 8 MB of HTML takes some 600 MB."""

_NEAR = 0.8  # of that memory: parsers that find no more of it stop, and say nothing of it
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024  # of getrusage
_TOO_MUCH_MEMORY = 77  # the status of a process that ended itself for this
_LONGEST_TEMPDIR = 107 - len("/pymp-12345678/listener-12345678")  # of a socket's path, in bytes
_WAITING_PER_WORKER = 4  # pages on their way to each worker: enough to keep it busy


class ExtractionPool:
    """Worker processes for ``outcomes``; a context manager, since they must be ended.

    A page that takes longer than ``page_timeout`` seconds, takes more than ``PAGE_MEMORY``, or
    kills its process, is ``failed-extraction`` and its process is replaced. ``extractor`` must be
    importable by name in another process. Raises ConfigurationError where the temporary folder has
    too long a path for the sockets by which the processes are spoken to.
    """

    def __init__(
        self, *, workers: int = 2, page_timeout: float = 20.0, extractor: Extractor = read_page
    ):
        _require_room_for_sockets(tempfile.gettempdir())
        _leave_foreign_pool()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["processing.extraction"])
        self._pool = ProcessPool(max_workers=workers, context=context, initializer=_warm_up)
        self._most_waiting = workers * _WAITING_PER_WORKER
        self._page_timeout = page_timeout
        self._extractor = extractor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # At once: whoever wanted an outcome has it by now.
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def outcomes(
        self, pages: Iterable[Page | None], template_of: TemplateOf = lambda url: None
    ) -> Iterator[Outcome]:
        """As ``readings``, the outcomes alone."""
        return (reading.outcome for reading in self.readings(pages, template_of))

    def readings(
        self, pages: Iterable[Page | None], template_of: TemplateOf = lambda url: None
    ) -> Iterator[Reading]:
        """What becomes of each page, in the order given; takes only a few pages ahead.

        None, a page that could not be read, is ``failed-extraction``.
        """
        waiting: deque[ProcessFuture[Reading] | None] = deque()
        for page in pages:
            waiting.append(self._schedule(page, template_of(page.url)) if page else None)
            if len(waiting) >= self._most_waiting:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def _schedule(self, page: Page, template: SiteTemplate | None) -> ProcessFuture[Reading]:
        asked = (self._extractor, page, template)
        return self._pool.schedule(_read_in_bounds, args=asked, timeout=self._page_timeout)

    def _result(self, future: ProcessFuture[Reading] | None) -> Reading:
        if future is None:
            return _failed("the stored page is missing or damaged")
        try:
            reading: Reading = future.result()
        except PageTimeout:
            detail = f"the page took longer than {self._page_timeout:g} s"
        except ProcessExpired as error:
            detail = f"the page killed its process (exit code {error.exitcode})"
            if error.exitcode == _TOO_MUCH_MEMORY:
                detail = f"the page took more than {PAGE_MEMORY >> 20} MB of memory"
        except Exception as error:  # what the process could neither finish nor send back
            detail = f"the extractor failed with {type(error).__name__}: {error}"[:200]
        else:
            return reading
        return _failed(detail)


def _require_room_for_sockets(folder: str) -> None:
    if len(os.fsencode(folder)) > _LONGEST_TEMPDIR:
        raise ConfigurationError(
            f"TMPDIR is {folder}, which is too long: sockets lie below it, and their paths may have"
            f" 107 bytes; set TMPDIR to a folder of at most {_LONGEST_TEMPDIR} bytes"
        )


def _leave_foreign_pool() -> None:
    """Have multiprocessing take a process that was forked from a worker of Celery's for its own.

    To it that would be the worker still: a daemon, which may have no children, of a kind that
    cannot be made known to a child.
    """
    if not isinstance(multiprocessing.current_process(), process.BaseProcess):
        own = process.BaseProcess(daemon=False)
        own.authkey = os.urandom(32)
        process._current_process = own  # type: ignore[attr-defined]


def _failed(detail: str) -> Reading:
    return Reading(Rejection(State.FAILED_EXTRACTION, detail))


def _read_in_bounds(extractor: Extractor, page: Page, template: SiteTemplate | None) -> Reading:
    """What becomes of a page; a process that came near its bound of memory ends with it."""
    try:
        return extractor(page, template)
    finally:
        if _peak() > _NEAR * PAGE_MEMORY:
            os._exit(_TOO_MUCH_MEMORY)


def _peak() -> int:
    """The most memory, in bytes, that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MEMORY_UNIT


def _warm_up() -> None:
    """Bound the process, and load the language model, so that no page's time pays for it."""
    resource.setrlimit(resource.RLIMIT_DATA, (PAGE_MEMORY, PAGE_MEMORY))
    detect_language("a language model is loaded once in each process")
