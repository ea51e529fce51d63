"""A folder of the lake as Arrow's filesystem, which has let go of its files when Python ends.

Arrow drops a file in one of its own threads, sometime after a read has returned. Where Python is
ending by then, dropping a Python object aborts the process, whatever its exit status was to be
(https://github.com/apache/arrow/issues/34314). So the end waits for what is still open, and a
moment more: that a thread is done with letting go cannot be seen. ``newslake.__main__`` spares
its process the end.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Mapping
from typing import Any
from weakref import ref

import pyarrow as pa
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

_LONGEST_WAIT = 2.0  # seconds; a dataset that is still held keeps its files, and harms nothing
_PAUSE = 0.002  # seconds
_LETTING_GO = 0.05  # seconds


class _OpenFile:
    """A file as Arrow reads it; gone when Arrow has let go of it."""

    __slots__ = ("__weakref__", "_file")

    def __init__(self, file: Any):
        self._file = file
        # No WeakSet: it runs Python as a file goes, and there the end could overtake it.
        _opened[id(self)] = ref(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


_opened: dict[int, ref[_OpenFile]] = {}


class _Files(DeltaStorageHandler):
    """deltalake's, but it knows which of its files are open."""

    def open_input_file(self, path: str) -> pa.PythonFile:
        file: Any = _OpenFile(self._handler.open_input_file(path))
        return pa.PythonFile(file)

    open_input_stream = open_input_file


def filesystem(
    url: str, options: dict[str, str], sizes: Mapping[str, int] | None = None
) -> PyFileSystem:
    """The folder at ``url`` (s3://) for Arrow to read.

    ``options`` are what deltalake's object store needs; ``sizes`` in bytes of the files by their
    paths, where known, spare a request for each.
    """
    return PyFileSystem(_Files(url, options, dict(sizes or {})))


@atexit.register
def _wait_for_arrow() -> None:
    until = time.monotonic() + _LONGEST_WAIT
    while any(file() for file in list(_opened.values())) and time.monotonic() < until:
        time.sleep(_PAUSE)
    if _opened:
        time.sleep(_LETTING_GO)
