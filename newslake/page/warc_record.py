"""The WARC record of a text: where it lies, what it says of itself, and the page in it."""

from __future__ import annotations

import io
from typing import Any

from fastwarc.warc import ArchiveIterator

from processing.archive import StoredPage, read_listed_page
from processing.exceptions import ObjectNotFound
from processing.records import WarcPointer
from processing.storage import Store

Row = dict[str, Any]


def pointer_of(row: Row) -> WarcPointer:
    """Where the record behind a row lies in this lake.

    Raises ObjectNotFound when it has expired, or lies in somebody else's file.
    """
    key = row["warc_key"]
    if key is None:
        raise ObjectNotFound(
            "the stored page has expired: raw pages are kept for NEWSLAKE_RAW_DAYS days"
        )
    if not key.startswith("raw/"):
        raise ObjectNotFound(
            f"the page was imported from a WARC file outside this lake, {key}; read it there"
        )
    return WarcPointer(key, row["warc_offset"], row["warc_length"])


def page_of(store: Store, row: Row) -> StoredPage:
    """The stored page behind a row. Raises ObjectNotFound as ``pointer_of``, or when damaged."""
    pointer = pointer_of(row)
    stored = read_listed_page(store, pointer, source=row["source"])
    if stored is None:
        raise ObjectNotFound(
            f"the page in {pointer.key} at byte {pointer.offset} is gone or damaged;"
            " 'newslake dataset verify' tells whether others are"
        )
    return stored


def member_of(store: Store, row: Row) -> bytes:
    """The record as it lies there, a gzip member. Raises ObjectNotFound as ``pointer_of``."""
    pointer = pointer_of(row)
    return store.get_range(pointer.key, pointer.offset, pointer.length)


def headers_of(member: bytes) -> list[tuple[str, str]]:
    """The WARC headers (ISO 28500, 5) of a record; none of one that is damaged."""
    try:
        for record in ArchiveIterator(io.BytesIO(member), parse_http=False, fsspec_args=False):
            return list(record.headers)
    except (OSError, ValueError):
        pass
    return []
