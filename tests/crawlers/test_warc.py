"""WARC files: each page is one range read, and any reader reads them whole."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.warc import WarcFiles, WireResponse
from processing.records import WarcPointer

AT = datetime(2026, 3, 10, 8, 0, 0, 250_000, tzinfo=UTC)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def files_in(directory: Path, roll_bytes: int = 1 << 20) -> WarcFiles:
    prefix = "raw/date=2026-03-10/source=paper/RUN-1"
    return WarcFiles(directory, prefix, {"software": "newslake"}, roll_bytes)


def read(files: WarcFiles, pointer: WarcPointer) -> bytes:
    data = files.files[pointer.key].read_bytes()
    member = data[pointer.offset : pointer.offset + pointer.length]
    record = next(iter(ArchiveIterator(BytesIO(member), parse_http=False)))
    assert record.record_type == WarcRecordType.response
    return record.reader.read()


def test_a_page_is_metadata_and_response_each_a_member(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    body = gzip.compress(b"<p>hello</p>")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    said = {"url": "http://paper.example/ä", "hints": {"title": "Grün"}}

    pointer = files.write("http://paper.example/a", AT, WireResponse(head, body, "192.0.2.1"), said)

    assert read(files, pointer) == head + body
    (path,) = files.files.values()
    seen = []
    for record in ArchiveIterator(BytesIO(path.read_bytes()), verify_digests=True):
        seen.append((record.record_type, dict(record.headers.items()), record.reader.read()))
    (info, about, _), (meta, linked, told), (page, headers, _) = seen
    assert [info, meta, page] == [
        WarcRecordType.warcinfo,
        WarcRecordType.metadata,
        WarcRecordType.response,
    ]
    assert about["WARC-Filename"] == "RUN-1-000.warc.gz"
    assert json.loads(told) == said
    assert linked["WARC-Concurrent-To"] == headers["WARC-Record-ID"]
    assert linked["WARC-Target-URI"] == headers["WARC-Target-URI"] == "http://paper.example/a"
    assert headers["WARC-IP-Address"] == "192.0.2.1"
    assert datetime.fromisoformat(headers["WARC-Date"]) == AT


def test_files_roll_and_none_is_made_without_a_page(tmp_path: Path) -> None:
    files = files_in(tmp_path, roll_bytes=1)
    assert not files.files
    pointers = [files.write("http://x.example/", AT, WireResponse(HEAD, b"x"), {}) for _ in "ab"]
    assert [p.key.rpartition("-")[2] for p in pointers] == ["000.warc.gz", "001.warc.gz"]
    assert all(read(files, p) == HEAD + b"x" for p in pointers)


@settings(deadline=None)
@given(bodies=st.lists(st.binary(max_size=2000), min_size=1, max_size=8), packed=st.booleans())
def test_every_page_reads_back_by_its_pointer(
    tmp_path_factory, bodies: list[bytes], packed: bool
) -> None:
    files = files_in(tmp_path_factory.mktemp("warc"), roll_bytes=3000)
    head = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: br\r\n\r\n") if packed else HEAD
    pointers = [files.write("http://x.example/", AT, WireResponse(head, b), {}) for b in bodies]
    assert [read(files, p) for p in pointers] == [head + b for b in bodies]
