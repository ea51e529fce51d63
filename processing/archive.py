"""Reading WARC files (ISO 28500): ours, and those that others made.

Ours hold one gzip member per record, so a page is a range read; a metadata record right before
a response says which listing led to it. Foreign files (CC-NEWS, wget, warcio) are read the same
way, compressed or not, whatever their content and transfer encodings. One damaged record costs
that record: reading goes on at the next one.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from processing.exceptions import ObjectNotFound
from processing.records import Hints, Page, WarcPointer

if TYPE_CHECKING:
    from mmap import mmap

    from processing.storage import Store

_GZIP = b"\x1f\x8b\x08"
_WARC = b"WARC/1"
_CHUNK = 1 << 16
_MAX_MEMBER = 256 << 20  # bytes of one member unpacked; beyond it is no page but a bomb
_KINDS = WarcRecordType.response | WarcRecordType.metadata
_DECODINGS: tuple[Literal["all", "transfer", "content", "none"], ...] = (
    "all",
    "transfer",
    "content",
    "none",
)


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page out of a WARC file.

    ``pointer`` is None where the file's packing allows no reading of one record alone;
    ``discovered_url`` and ``discovered_via`` are the page's own URL and None in foreign files.
    """

    page: Page
    pointer: WarcPointer | None
    discovered_url: str
    discovered_via: str | None


@dataclass(slots=True)
class Damage:
    """How many records of a file could not be read."""

    records: int = 0


def read_pages(
    data: bytes | mmap, key: str, *, source: str | None = None, damage: Damage | None = None
) -> Iterator[StoredPage]:
    """The pages of a whole WARC file, in its order.

    ``key`` is the file's name as pointers shall carry it. Records that cannot be read are
    counted in ``damage`` and passed over; never raises for what a file contains.
    """
    damage = damage if damage is not None else Damage()
    said: dict[str, object] = {}
    for record, pointer in _records(data, key, damage):
        try:
            if record.record_type == WarcRecordType.metadata:
                said = _statement(record)
                continue
            page = _page(record, said, source)
        except (OSError, ValueError, KeyError, UnicodeError):
            damage.records += 1
            said = {}
            continue
        if page:
            via = said.get("discovered_via")
            yield StoredPage(
                page, pointer, str(said.get("url") or page.url), str(via) if via else None
            )
        said = {}


def read_page(
    store: Store, pointer: WarcPointer, *, hints: Hints | None = None, source: str | None = None
) -> Page | None:
    """The page that a pointer names, by one range read; None when it is gone or damaged.

    Raises StoreError when the store does not answer.
    """
    try:
        data = store.get_range(pointer.key, pointer.offset, pointer.length)
    except ObjectNotFound:
        return None
    return read_member(data, hints=hints, source=source)


def read_member(
    data: bytes, *, hints: Hints | None = None, source: str | None = None
) -> Page | None:
    """The page in one record's bytes, as a pointer cuts them; None when it is damaged."""
    said: dict[str, object] = {"hints": hints}
    for record, _ in _records(data, "", Damage()):
        try:
            return _page(record, said, source)
        except (OSError, ValueError, KeyError, UnicodeError):
            return None
    return None


def _records(
    data: bytes | mmap, key: str, damage: Damage
) -> Iterator[tuple[WarcRecord, WarcPointer | None]]:
    if data[:3] == _GZIP:
        yield from _gzip_records(data, key, damage)
    elif data[:6] == _WARC:
        yield from _plain_records(data, key, damage)
    else:  # zstd, lz4: no pointers, since their frames need not be records
        for record in _parsed(data[:], damage):
            yield record, None


def _gzip_records(
    data: bytes | mmap, key: str, damage: Damage
) -> Iterator[tuple[WarcRecord, WarcPointer | None]]:
    offset, size = 0, len(data)
    while 0 <= offset < size:
        content, length = _member(data, offset)
        if content is None:
            damage.records += 1
            offset = data.find(_GZIP, offset + 1)
            continue
        single = content.count(b"\r\nWARC-Record-ID:") < 2
        pointer = WarcPointer(key, offset, length) if single else None
        for record in _parsed(content, damage):
            yield record, pointer
        offset += length
        if data[offset : offset + 3] != _GZIP:
            offset = data.find(_GZIP, offset)


def _member(data: bytes | mmap, offset: int) -> tuple[bytes | None, int]:
    """One gzip member unpacked, and its length packed; None when it is damaged."""
    unpacker = zlib.decompressobj(31)
    parts: list[bytes] = []
    unpacked, at = 0, offset
    try:
        while not unpacker.eof:
            piece = data[at : at + _CHUNK]
            if not piece:
                return None, 0
            at += len(piece)
            parts.append(unpacker.decompress(piece, _MAX_MEMBER - unpacked))
            unpacked += len(parts[-1])
            if unpacker.unconsumed_tail:
                return None, 0
    except zlib.error:
        return None, 0
    return b"".join(parts), at - len(unpacker.unused_data) - offset


def _plain_records(
    data: bytes | mmap, key: str, damage: Damage
) -> Iterator[tuple[WarcRecord, WarcPointer | None]]:
    offset = 0
    while offset >= 0:
        head = data[offset : offset + _CHUNK].partition(b"\r\n\r\n")[0]
        length = _content_length(head)
        if length is None:
            damage.records += 1
            offset = data.find(_WARC, offset + 1)
            continue
        whole = len(head) + 4 + length
        for record in _parsed(data[offset : offset + whole] + b"\r\n\r\n", damage):
            yield record, WarcPointer(key, offset, whole)
        offset = data.find(_WARC, offset + whole)


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None


def _parsed(content: bytes, damage: Damage) -> Iterator[WarcRecord]:
    try:
        for record in ArchiveIterator(
            io.BytesIO(content), record_types=_KINDS, parse_http=False, fsspec_args=False
        ):
            record.freeze()
            yield record
    except (OSError, ValueError):
        damage.records += 1


def _statement(record: WarcRecord) -> dict[str, object]:
    said = json.loads(record.reader.read())
    return said if isinstance(said, dict) else {}


def _page(record: WarcRecord, said: dict[str, object], source: str | None) -> Page | None:
    url = record.headers["WARC-Target-URI"].strip("<>")
    if not url.startswith(("http://", "https://")):
        return None
    content = record.reader.read()
    status, headers, body = _http(content)
    hints = said.get("hints")
    return Page(
        url=url,
        body=body,
        fetched_at=_moment(record),
        headers=headers,
        status=status,
        source=source,
        hints=hints if isinstance(hints, Hints | dict) else None,
    )


def _moment(record: WarcRecord) -> datetime:
    return datetime.fromisoformat(record.headers["WARC-Date"])


def _http(content: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and decoded body of an HTTP response.

    Headers lie: archives often store a body decoded and keep the header that says otherwise,
    so what cannot be decoded as stated is taken as it is. Raises OSError on no HTTP at all.
    """
    failure: OSError | ValueError = ValueError("no HTTP response")
    for decoding in _DECODINGS:
        record = WarcRecord()
        record.init_headers(WarcRecordType.response)
        record.headers["Content-Type"] = "application/http; msgtype=response"
        record.set_bytes_content(content)
        record.is_http = True
        try:
            record.parse_http(auto_decode=decoding)
            body = record.reader.read()
        except (OSError, ValueError) as error:
            failure = error
            continue
        headers = dict(record.http_headers)
        if decoding != "all" and headers.get("Content-Encoding", "").lower() == "deflate":
            body = _raw_deflate(body)
        return record.http_headers.status_code or 200, headers, body
    raise failure


def _raw_deflate(body: bytes) -> bytes:
    """Some servers send deflate without its zlib wrapping (RFC 9110, 8.4.1.2, note)."""
    try:
        return zlib.decompressobj(-15).decompress(body, _MAX_MEMBER)
    except zlib.error:
        return body
