"""Reading WARC: ours, foreign, and damaged."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, date, datetime

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warc_files import packed, record, response, statement

from processing.archive import Damage, read_member, read_page, read_pages
from processing.records import Hints, WarcPointer
from processing.storage import Store

AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
BODY = b"<html><body><p>Words of a page.</p></body></html>"
URLS = [f"https://courier.example/{n}" for n in range(4)]
INFO = record("warcinfo", b"software: x\r\n", "", AT, "application/warc-fields")


def ours() -> bytes:
    records = [INFO]
    for url in URLS:
        hints = {"title": "T", "published": "2026-11-19"}
        said = {
            "url": url + "?listed",
            "discovered_via": "https://courier.example/rss",
            "hints": hints,
        }
        records += [statement(url, AT, said), response(url, BODY, AT)]
    return packed(*records)


def test_pages_come_with_what_their_listing_said() -> None:
    stored = list(read_pages(ours(), "k", source="courier"))
    assert [s.page.url for s in stored] == URLS
    assert [s.discovered_url for s in stored] == [url + "?listed" for url in URLS]
    first = stored[0]
    assert first.discovered_via == "https://courier.example/rss"
    assert first.page.hints == Hints(title="T", published=date(2026, 11, 19))
    assert (first.page.body, first.page.fetched_at, first.page.source) == (BODY, AT, "courier")
    assert first.page.headers["content-type"] == "text/html"


def test_a_pointer_reads_its_page_alone(store: Store) -> None:
    store.put("raw/a.warc.gz", ours())
    for stored in read_pages(ours(), "raw/a.warc.gz"):
        assert stored.pointer is not None
        again = read_page(store, stored.pointer, hints=Hints.of(stored.page.hints))
        assert again == stored.page
    assert read_page(store, WarcPointer("raw/none.warc.gz", 0, 10)) is None
    assert read_page(store, WarcPointer("raw/a.warc.gz", 5, 50)) is None


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("", BODY),
        ("Content-Encoding: gzip\r\n", gzip.compress(BODY)),
        ("Content-Encoding: deflate\r\n", zlib.compress(BODY)),
        ("Content-Encoding: deflate\r\n", zlib.compress(BODY)[2:-4]),
        ("Content-Encoding: br\r\n", brotli.compress(BODY)),
        ("Content-Encoding: gzip\r\n", BODY),
        (
            "Transfer-Encoding: chunked\r\n",
            b"5\r\n<html\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY) - 5, BODY[5:]),
        ),
        ("Transfer-Encoding: chunked\r\n", BODY),
    ],
    ids=["plain", "gzip", "zlib", "raw-deflate", "br", "not-gzip", "chunked", "not-chunked"],
)
def test_encodings_are_undone_and_lies_forgiven(headers: str, body: bytes) -> None:
    (stored,) = read_pages(packed(response(URLS[0], body, AT, headers)), "k")
    assert stored.page.body == BODY


def test_an_uncompressed_file_has_pointers_too() -> None:
    data = INFO + b"".join(response(url, BODY, AT) for url in URLS)
    stored = list(read_pages(data, "k"))
    assert [s.page.url for s in stored] == URLS
    for s in stored:
        assert s.pointer is not None
        cut = data[s.pointer.offset : s.pointer.offset + s.pointer.length]
        assert read_member(cut) == s.page


def test_a_file_packed_as_one_is_read_without_pointers() -> None:
    data = gzip.compress(b"".join(response(url, BODY, AT) for url in URLS))
    assert [(s.page.url, s.pointer) for s in read_pages(data, "k")] == [(u, None) for u in URLS]


def test_a_damaged_record_costs_itself_alone() -> None:
    good = [packed(response(url, BODY, AT)) for url in URLS]
    broken = bytearray(good[1])
    broken[20:40] = bytes(20)
    damage = Damage()
    data = good[0] + bytes(broken) + good[2] + b"junk between" + good[3] + good[0][:30]
    stored = list(read_pages(data, "k", damage=damage))
    assert [s.page.url for s in stored] == [URLS[0], URLS[2], URLS[3]]
    assert damage.records >= 2


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_damage_raises(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([ours(), INFO + response(URLS[0], BODY, AT)])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 200))] = data.draw(st.binary(max_size=20))
    for stored in read_pages(bytes(body), "k"):
        assert stored.page.url
