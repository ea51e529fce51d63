"""Extraction in several processes, any of which may hang or die without harm to the others."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as PageTimeout
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from processing.cleaning import SiteTemplate
from processing.extraction import Reading, read_page
from processing.language import detect_language
from processing.records import Article, Page, Rejection, State

Outcome = Article | Rejection
Extractor = Callable[[Page, SiteTemplate | None], Reading]
TemplateOf = Callable[[str], SiteTemplate | None]
"""The template for a page, by the page's URL."""

_WAITING_PER_WORKER = 4  # pages on their way to each worker: enough to keep it busy


class ExtractionPool:
    """Worker processes for ``outcomes``; a context manager, since they must be ended.

    A page that takes longer than ``page_timeout`` seconds, or kills its process, is
    ``failed-extraction`` and its process is replaced. ``extractor`` must be importable by name
    in another process.
    """

    def __init__(
        self, *, workers: int = 2, page_timeout: float = 20.0, extractor: Extractor = read_page
    ):
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
        return self._pool.schedule(
            self._extractor, args=(page, template), timeout=self._page_timeout
        )

    def _result(self, future: ProcessFuture[Reading] | None) -> Reading:
        if future is None:
            return _failed("the stored page is missing or damaged")
        try:
            reading: Reading = future.result()
        except PageTimeout:
            detail = f"the page took longer than {self._page_timeout:g} s"
        except ProcessExpired as error:
            detail = f"the page killed its process (exit code {error.exitcode})"
        except Exception as error:  # what the process could neither finish nor send back
            detail = f"the extractor failed with {type(error).__name__}: {error}"[:200]
        else:
            return reading
        return _failed(detail)


def _failed(detail: str) -> Reading:
    return Reading(Rejection(State.FAILED_EXTRACTION, detail))


def _warm_up() -> None:
    """Load the language model before the first page, so that no page's time pays for it."""
    detect_language("a language model is loaded once in each process")
