"""Reading WARC files (ISO 28500): ours, and those that others made.

Ours hold one gzip member per record, so a page is a range read; a metadata record right before
a response says which listing led to it, and what its site said of its rights. Foreign files
(CC-NEWS, wget, warcio) are read the same way, compressed or not, whatever their content and
transfer encodings. One damaged record costs that record: reading goes on at the next one.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from backports import zstd
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from processing.exceptions import ObjectNotFound
from processing.records import Hints, Page, WarcPointer

if TYPE_CHECKING:
    from mmap import mmap

    from _typeshed import WriteableBuffer

    from processing.storage import Store

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_WARC = b"WARC/1"
_CHUNK = 1 << 16
_STATEMENT_BYTES = 16_384  # a metadata record is some hundred bytes; hundreds of tags fit in
_MAX_RECORD = 256 << 20  # bytes of one record unpacked; beyond it is no page but a bomb
_KINDS = WarcRecordType.response | WarcRecordType.metadata
_REPEATED = ("content-signal", "link", "x-robots-tag")  # headers whose every line counts
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
    ``truncated`` is why only the page's beginning was kept (ISO 28500, ``WARC-Truncated``).
    """

    page: Page
    pointer: WarcPointer | None
    discovered_url: str
    discovered_via: str | None
    truncated: str | None = None


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
                page,
                pointer,
                discovered_url=str(said.get("url") or page.url),
                discovered_via=str(via) if via else None,
                truncated=record.headers.get("WARC-Truncated"),
            )
        said = {}


def read_listed_page(store: Store, pointer: WarcPointer, *, source: str) -> StoredPage | None:
    """The page that a pointer into our own raw zone names, with what was said of it.

    That lies in the member right before the page's. None when the page is gone or damaged;
    raises StoreError when the store does not answer.
    """
    start = max(0, pointer.offset - _STATEMENT_BYTES)
    before = pointer.offset - start
    try:
        data = store.get_range(pointer.key, start, before + pointer.length)
    except ObjectNotFound:
        return None
    stored = list(read_pages(data[_member_before(data, before) :], pointer.key, source=source))
    return replace(stored[0], pointer=pointer) if len(stored) == 1 else None


def read_member(
    data: bytes,
    *,
    hints: Hints | None = None,
    rights: Mapping[str, object] | None = None,
    source: str | None = None,
) -> Page | None:
    """The page in one record's bytes, as a pointer cuts them; None when it is damaged."""
    said: dict[str, object] = {"hints": hints, "rights": rights}
    for record, _ in _records(data, "", Damage()):
        try:
            return _page(record, said, source)
        except (OSError, ValueError, KeyError, UnicodeError):
            return None
    return None


def _member_before(data: bytes, end: int) -> int:
    """Where the gzip member that ends at ``end`` begins; ``end`` itself when none does."""
    begin = data.rfind(_GZIP, 0, end)
    while begin >= 0:
        unpacker = zlib.decompressobj(31)
        try:
            unpacker.decompress(data[begin:end])
        except zlib.error:
            pass
        else:
            if unpacker.eof and not unpacker.unused_data:
                return begin
        begin = data.rfind(_GZIP, 0, begin)
    return end


def _records(
    data: bytes | mmap, key: str, damage: Damage
) -> Iterator[tuple[WarcRecord, WarcPointer | None]]:
    if data[:3] == _GZIP:
        yield from _gzip_records(data, key, damage)
    elif data[:6] == _WARC:
        yield from _plain_records(data, key, damage)
    elif data[:4] == _ZSTD:
        yield from _zstd_records(data, key, damage)
    else:  # lz4, and what fastwarc may know besides
        yield from _streamed(data, 0, len(data), damage)


def _gzip_records(
    data: bytes | mmap, key: str, damage: Damage
) -> Iterator[tuple[WarcRecord, WarcPointer | None]]:
    offset, size = 0, len(data)
    while 0 <= offset < size:
        try:
            content, length = _member(data, offset)
        except _TooLarge:  # a file packed as one: never hold it unpacked
            yield from _streamed(data, offset, size, damage)
            return
        if content is None:
            damage.records += 1
            offset = data.find(_GZIP, offset + 1)
            continue
        single = content.count(b"\r\nWARC-Record-ID:") < 2
        pointer = WarcPointer(key, offset, length) if single else None
        for record in _parsed(io.BytesIO(content), damage):
            yield record, pointer
        offset += length
        if data[offset : offset + 3] != _GZIP:
            offset = data.find(_GZIP, offset)


class _TooLarge(Exception):
    """A gzip member unpacks to more than one record may hold."""


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
            parts.append(unpacker.decompress(piece, _MAX_RECORD - unpacked))
            unpacked += len(parts[-1])
            if unpacker.unconsumed_tail:
                raise _TooLarge
    except zlib.error:
        return None, 0
    return b"".join(parts), at - len(unpacker.unused_data) - offset


def _zstd_records(
    data: bytes | mmap, key: str, damage: Damage
) -> Iterator[tuple[WarcRecord, WarcPointer | None]]:
    """Records of zstd frames (RFC 8878); a frame with one of them can be read alone."""
    offset = 0
    while offset >= 0:
        length = _frame_length(data, offset)
        follows = data.find(_ZSTD, offset + (length or 1))
        end = offset + length if length else (follows if follows >= 0 else len(data))
        records = _parsed(_Window(data, offset, end), damage)
        first, second = next(records, None), next(records, None)
        if first and second is None:
            yield first, WarcPointer(key, offset, end - offset)
        elif first and second:
            yield from ((record, None) for record in chain((first, second), records))
        offset = follows


def _frame_length(data: bytes | mmap, offset: int) -> int | None:
    """The length of the zstd frame that begins there; None when it is cut or damaged."""
    with memoryview(data) as view, view[offset:] as rest:
        try:
            return zstd.get_frame_size(rest)
        except zstd.ZstdError:
            return None


def _streamed(
    data: bytes | mmap, begin: int, end: int, damage: Damage
) -> Iterator[tuple[WarcRecord, None]]:
    for record in _parsed(_Window(data, begin, end), damage):
        yield record, None


class _Window(io.RawIOBase):
    """A part of a file as a file of its own; copies only what is read."""

    def __init__(self, data: bytes | mmap, begin: int, end: int):
        self._data = data
        self._begin = begin
        self._end = end
        self._at = begin

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        bases = {io.SEEK_SET: self._begin, io.SEEK_CUR: self._at, io.SEEK_END: self._end}
        self._at = max(self._begin, bases[whence] + offset)
        return self._at - self._begin

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as room:
            piece = self._data[self._at : max(self._at, min(self._at + len(room), self._end))]
            room[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


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
        content = data[offset : offset + whole] + b"\r\n\r\n"
        for record in _parsed(io.BytesIO(content), damage):
            yield record, WarcPointer(key, offset, whole)
        offset = data.find(_WARC, offset + whole)


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None


def _parsed(content: io.RawIOBase | io.BytesIO, damage: Damage) -> Iterator[WarcRecord]:
    try:
        for record in ArchiveIterator(
            cast("BinaryIO", content), record_types=_KINDS, parse_http=False, fsspec_args=False
        ):
            stated = record.content_length
            if stated <= _MAX_RECORD:
                record.freeze()
            if record.is_frozen and record.content_length == stated:
                yield record
            else:  # a bomb, or cut off by the end of the file
                damage.records += 1
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
    hints, rights = said.get("hints"), said.get("rights")
    return Page(
        url=url,
        body=body,
        fetched_at=_moment(record),
        headers=headers,
        status=status,
        source=source,
        hints=hints if isinstance(hints, Hints | dict) else None,
        rights=rights if isinstance(rights, Mapping) else None,
    )


def _moment(record: WarcRecord) -> datetime:
    moment = datetime.fromisoformat(record.headers["WARC-Date"])
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # ISO 28500: always in UTC


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
        headers = _joined(record.http_headers)
        if decoding != "all" and headers.get("content-encoding", "").lower() == "deflate":
            body = _raw_deflate(body)
        return record.http_headers.status_code or 200, headers, body
    raise failure


def _joined(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name; of one that may only come once, the first line counts."""
    headers: dict[str, str] = {}
    for name, value in ((name.lower(), value) for name, value in lines):
        if name in headers and name in _REPEATED:
            headers[name] += f", {value}"
        else:
            headers.setdefault(name, value)
    return headers


def _raw_deflate(body: bytes) -> bytes:
    """Some servers send deflate without its zlib wrapping (RFC 9110, 8.4.1.2, note)."""
    try:
        return zlib.decompressobj(-15).decompress(body, _MAX_RECORD)
    except zlib.error:
        return body
