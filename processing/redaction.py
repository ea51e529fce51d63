"""Records taken out of a WARC file in place: what lies behind them keeps its offset.

A page is two gzip members (``crawlers.warc``): a metadata record with what its listing said, and
the response. Each is replaced by a member of the same length that holds one empty metadata
record, padded with spaces, so that other readers of WARC files go on past it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from zlib import crc32

from processing.urls import address_id

MINIMUM = 20
"""The fewest bytes a gzip member takes: header, an empty block, checksum and size (RFC 1952)."""

_GZIP = b"\x1f\x8b\x08"
_HEADER = _GZIP + b"\x00\x00\x00\x00\x00\x00\xff"
_COMMENTED = _GZIP + b"\x10\x00\x00\x00\x00\x00\xff"
_EMPTY = b"\x03\x00"
_BLOCK = 65_535  # the most bytes a stored block holds (RFC 1951, 3.2.4)
_FRAMES = len(_HEADER) + 8  # bytes of a member besides its blocks
_CHUNK = 1 << 16
_RECORD = (
    b"WARC/1.1\r\nWARC-Type: metadata\r\n"
    b"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000000>\r\n"
    b"WARC-Date: 1970-01-01T00:00:00Z\r\nContent-Type: application/json\r\n"
    b"Content-Length: %010d\r\n\r\n%s\r\n\r\n"
)
_STATEMENT = b'{"forgotten": true}'
_TARGET = re.compile(rb"^WARC-Target-URI:[ \t]*<?([^\s<>][^\r\n>]*)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Trail:
    """A page in a WARC file by the ids of its addresses: read from, and discovered under.

    They are equal where no redirect lay between, or the file does not say.
    """

    target: str
    discovered: str


@dataclass(frozen=True, slots=True)
class _Member:
    """A gzip member: where it lies, and the ids of its record's addresses."""

    offset: int
    length: int
    target: str | None = None
    discovered: str | None = None


def trails(data: bytes) -> list[Trail]:
    """The pages of a WARC file of ours; damaged records are passed over."""
    found = []
    discovered: str | None = None
    for member in _members(data):
        if member.discovered is None and member.target is not None:
            found.append(Trail(member.target, discovered or member.target))
        discovered = member.discovered
    return found


def redact(data: bytes, ids: Collection[str]) -> bytes:
    """The WARC file without the records of these addresses, by their URL keys' ids.

    A response goes when its own address is named, a metadata record also when it was the
    discovered one. Same length, and every other byte the same.
    """
    clean = bytearray(data)
    for member in _members(data):
        if member.target in ids or member.discovered in ids:
            clean[member.offset : member.offset + member.length] = blank_member(member.length)
    return bytes(clean)


def blank_member(length: int) -> bytes:
    """A gzip member of exactly ``length`` bytes that says nothing of what was there.

    Raises ValueError below MINIMUM.
    """
    if length < MINIMUM:
        raise ValueError(f"no gzip member has {length} bytes; the least is {MINIMUM}")
    room = length - _FRAMES
    blocks = -(-room // (_BLOCK + 5))
    size = room - 5 * blocks - len(_RECORD % (0, b""))
    if size < len(_STATEMENT):
        return _small_member(length)
    statement = _STATEMENT.ljust(size)
    content = _RECORD % (size, statement)
    parts = [content[n * _BLOCK : (n + 1) * _BLOCK] for n in range(blocks)]
    stored = b"".join(_block(part, n == blocks - 1) for n, part in enumerate(parts))
    return _HEADER + stored + _trailer(content)


def _small_member(length: int) -> bytes:
    """A member without room for a record as it stands: deflated, or else of nothing.

    A comment in its header takes the bytes left over.
    """
    content = _RECORD % (len(_STATEMENT), _STATEMENT)
    packer = zlib.compressobj(9, wbits=-15)
    blocks = packer.compress(content) + packer.flush()
    if length < _FRAMES + len(blocks):
        content, blocks = b"", _EMPTY
    room = length - _FRAMES - len(blocks)
    header = _COMMENTED + b" " * (room - 1) + b"\x00" if room else _HEADER
    return header + blocks + _trailer(content)


def _block(part: bytes, final: bool) -> bytes:
    size = len(part)
    return (
        bytes([final]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + part
    )


def _trailer(content: bytes) -> bytes:
    return crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")


def _members(data: bytes) -> Iterator[_Member]:
    offset = data.find(_GZIP)
    while offset >= 0:
        content, length = _unpacked(data, offset)
        if content is None:
            offset = data.find(_GZIP, offset + 1)
            continue
        yield _Member(offset, length, *_addresses(content))
        offset = data.find(_GZIP, offset + length)


def _unpacked(data: bytes, offset: int) -> tuple[bytes | None, int]:
    unpacker = zlib.decompressobj(31)
    parts: list[bytes] = []
    at = offset
    try:
        while not unpacker.eof:
            piece = data[at : at + _CHUNK]
            if not piece:
                return None, 0
            at += len(piece)
            parts.append(unpacker.decompress(piece))
    except zlib.error:
        return None, 0
    return b"".join(parts), at - len(unpacker.unused_data) - offset


def _addresses(content: bytes) -> tuple[str | None, str | None]:
    """Ids of a record's own address and, of a metadata record, of the one discovered."""
    head, _, block = content.partition(b"\r\n\r\n")
    found = _TARGET.search(head)
    target = address_id(found[1].decode(errors="surrogateescape")) if found else None
    if b"WARC-Type: metadata" not in head:
        return target, None
    try:
        url = json.loads(block)["url"]
    except (ValueError, KeyError, TypeError):
        return target, target
    return target, address_id(str(url))
