"""WARC files (ISO 28500, WARC/1.1) of article pages: one gzip member per record.

A page is a metadata record with what the listing said, followed by its response record as it
came over the wire; a pointer to the response's member makes the page one range read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType

from processing.records import WarcPointer

ROLL_BYTES = 64 * 1024 * 1024
"""A file that has reached this size is followed by the next."""


@dataclass(frozen=True, slots=True)
class WireResponse:
    """An HTTP response as it came over the wire: status line and headers, body still encoded.

    Of a ``rendered`` page the body is what its scripts made of it.
    """

    head: bytes
    body: bytes
    address: str | None = None
    rendered: bool = False

    @property
    def compressed(self) -> bool:
        """Whether the body came with a content encoding."""
        return b"\r\ncontent-encoding:" in self.head.lower()


class WarcFiles:
    """Writes the pages of one source, run and attempt into files of about ROLL_BYTES.

    ``prefix`` is the key in the lake up to the file's number: the files are
    ``<prefix>-000.warc.gz`` and on, the same names under ``directory``. None is made before the
    first page.
    """

    def __init__(
        self,
        directory: Path,
        prefix: str,
        described: Mapping[str, str],
        roll_bytes: int = ROLL_BYTES,
    ):
        self.files: dict[str, Path] = {}
        """The files by their keys, in order."""
        self._directory = directory
        self._prefix = prefix
        self._described = described
        self._roll_bytes = roll_bytes
        self._key = ""
        self._size = 0

    def write(
        self, url: str, fetched_at: datetime, response: WireResponse, said: Mapping[str, Any]
    ) -> WarcPointer:
        """Append a page read from ``url``; where its response record lies.

        ``said`` is the JSON body of its metadata record. The bytes are with the operating
        system when this returns.
        """
        if not self._key or self._size >= self._roll_bytes:
            self._next_file(fetched_at)
        page = _record(
            WarcRecordType.response,
            "application/http; msgtype=response",
            response.head + response.body,
            fetched_at,
        )
        page.headers["WARC-Target-URI"] = url
        if response.address:
            page.headers["WARC-IP-Address"] = response.address
        metadata = _record(
            WarcRecordType.metadata,
            "application/json",
            json.dumps(said, ensure_ascii=False).encode(),
            fetched_at,
        )
        metadata.headers["WARC-Target-URI"] = url
        metadata.headers["WARC-Concurrent-To"] = str(page.record_id)
        metadata.headers["WARC-Refers-To"] = str(page.record_id)
        # Level 6 on what is compressed already costs ten times level 1 and gains nothing.
        self._append(_member(metadata, 6))
        return self._append(_member(page, 1 if response.compressed else 6))

    def _next_file(self, moment: datetime) -> None:
        self._key = f"{self._prefix}-{len(self.files):03}.warc.gz"
        self._size = 0
        name = self._key.rpartition("/")[2]
        self.files[self._key] = self._directory / name
        fields = "".join(f"{field}: {value}\r\n" for field, value in self._described.items())
        about = _record(WarcRecordType.warcinfo, "application/warc-fields", fields.encode(), moment)
        about.headers["WARC-Filename"] = name
        self._append(_member(about, 6))

    def _append(self, member: bytes) -> WarcPointer:
        with self.files[self._key].open("ab") as file:
            file.write(member)
        pointer = WarcPointer(self._key, self._size, len(member))
        self._size += len(member)
        return pointer


def _record(kind: WarcRecordType, content_type: str, content: bytes, at: datetime) -> WarcRecord:
    record = WarcRecord()
    record.init_headers(kind)
    record.record_date = at
    record.headers["Content-Type"] = content_type
    record.set_bytes_content(content)
    return record


def _member(record: WarcRecord, level: int) -> bytes:
    """The record as a gzip member of its own."""
    buffer = BytesIO()
    writer = GzipWriter(buffer, compression_level=level)
    record.write(writer, checksum_data=True)
    # Without it fastwarc 2 goes on with the same member, and nothing is seekable.
    writer.finish()
    return buffer.getvalue()
