"""What the views ask of a request: the lake, opened once and read by many, and a page's number."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Query, Request

from newslake import reader
from newslake.reader import Lake
from processing.storage import Store


class SharedLake:
    """The lake that ``environ`` names, else the embedded one, opened when it is first asked for.

    Opening is tried again at the next request when it failed, so a lake that comes later is seen.
    """

    def __init__(self, environ: Mapping[str, str]):
        self.environ = environ
        self._opening = threading.Lock()
        self._first: Lake | None = None
        self._idle: list[Lake] = []

    @contextmanager
    def borrowed(self) -> Iterator[Lake]:
        """A Lake for one request, with the tables that an earlier one has opened.

        Raises NoLake when none is there yet, StoreError when the store does not answer.
        """
        lake = self._idle.pop() if self._idle else Lake(self._store())
        # A person waits: this fails within a second, Delta's own reader only after many.
        lake.store.exists("lake.json")
        yield lake
        self._idle.append(lake)  # not after an error: it may have left a table half read

    def _store(self) -> Store:
        with self._opening:
            if self._first is None:
                self._first = reader.open_lake(environ=self.environ)
            return self._first.store


def lake_of(request: Request) -> Iterator[Lake]:
    """FastAPI dependency: the lake, for the time of one request."""
    shared: SharedLake = request.app.state.lake
    with shared.borrowed() as lake:
        yield lake


OpenLake = Annotated[Lake, Depends(lake_of)]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]
