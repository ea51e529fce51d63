"""Reading WARC: ours, foreign, and damaged."""

from __future__ import annotations

import gzip
import mmap
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from warc_files import packed, record, response, statement

from processing import archive
from processing.archive import Damage, read_listed_page, read_member, read_pages
from processing.records import Hints, WarcPointer
from processing.storage import Store

AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
BODY = b"<html><body><p>Words of a page.</p></body></html>"
URLS = [f"https://courier.example/{n}" for n in range(4)]
RIGHTS = {"ai": "denied", "evidence": ["robots.txt: User-agent: GPTBot / Disallow: /"]}
INFO = record("warcinfo", b"software: x\r\n", "", AT, "application/warc-fields")


def ours() -> bytes:
    records = [INFO]
    for url in URLS:
        hints = {"title": "T", "published": "2026-11-19"}
        said = {
            "url": url + "?listed",
            "discovered_via": "https://courier.example/rss",
            "hints": hints,
            "rights": RIGHTS,
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
    assert first.page.rights == RIGHTS
    assert (first.page.body, first.page.fetched_at, first.page.source) == (BODY, AT, "courier")
    assert first.page.headers["content-type"] == "text/html"


def test_a_pointer_cuts_out_its_page_alone() -> None:
    data = ours()
    for stored in read_pages(data, "k"):
        assert stored.pointer is not None
        member = data[stored.pointer.offset : stored.pointer.offset + stored.pointer.length]
        hints = Hints.of(stored.page.hints)
        assert read_member(member, hints=hints, rights=RIGHTS) == stored.page
    assert read_member(data[5:55]) is None


def test_what_is_no_statement_of_rights_is_left_aside() -> None:
    said: dict[str, object] = {"url": URLS[0], "rights": "all reserved"}
    (stored,) = read_pages(packed(statement(URLS[0], AT, said), response(URLS[0], BODY, AT)), "k")
    assert stored.page.rights is None


def test_each_line_of_a_header_that_may_repeat_counts() -> None:
    headers = "X-Robots-Tag: noai\r\nx-robots-tag: noindex\r\nContent-Type: text/plain\r\n"
    (stored,) = read_pages(packed(response(URLS[0], BODY, AT, headers)), "k")
    assert stored.page.headers == {"content-type": "text/html", "x-robots-tag": "noai, noindex"}


def test_a_page_of_ours_is_read_with_what_its_listing_said(store: Store) -> None:
    store.put("raw/a.warc.gz", ours())
    pointers = []
    for stored in read_pages(ours(), "raw/a.warc.gz", source="courier"):
        assert stored.pointer is not None
        assert read_listed_page(store, stored.pointer, source="courier") == stored
        pointers.append(stored.pointer)
    beside = replace(pointers[-1], offset=pointers[-1].offset + 1)
    assert read_listed_page(store, beside, source="courier") is None
    assert read_listed_page(store, WarcPointer("raw/none.warc.gz", 0, 10), source="c") is None


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


def test_a_page_cut_off_by_the_end_of_the_file_is_none() -> None:
    damage = Damage()
    data = response(URLS[0], BODY, AT) + response(URLS[1], BODY, AT)
    stored = list(read_pages(data[:-20], "k", damage=damage))
    assert ([s.page.url for s in stored], damage.records) == ([URLS[0]], 1)


def test_a_file_packed_as_one_is_read_without_pointers() -> None:
    data = gzip.compress(b"".join(response(url, BODY, AT) for url in URLS))
    assert [(s.page.url, s.pointer) for s in read_pages(data, "k")] == [(u, None) for u in URLS]


def test_a_moment_without_a_zone_is_in_utc() -> None:
    data = response(URLS[0], BODY, AT).replace(b"06:30:00Z", b"06:30:00")
    assert [s.page.fetched_at for s in read_pages(data, "k")] == [AT]


def test_a_page_of_which_only_the_beginning_was_kept_says_so() -> None:
    cut = response(URLS[0], BODY, AT).replace(b"\r\n", b"\r\nWARC-Truncated: length\r\n", 1)
    data = packed(cut, response(URLS[1], BODY, AT))
    assert [s.truncated for s in read_pages(data, "k")] == ["length", None]


def test_zstd_frames_of_one_record_have_pointers() -> None:
    frames = [zstd.compress(INFO), *(zstd.compress(response(url, BODY, AT)) for url in URLS)]
    data = b"".join(frames)
    stored = list(read_pages(data, "k"))
    assert [(s.page.url, s.page.body) for s in stored] == [(url, BODY) for url in URLS]
    for s in stored:
        assert s.pointer is not None
        cut = data[s.pointer.offset : s.pointer.offset + s.pointer.length]
        assert cut in frames
        assert read_member(cut) == s.page


@pytest.mark.parametrize("pack", [zstd.compress, gzip.compress], ids=["zstd", "gzip"])
def test_a_mapped_file_of_one_piece_is_read_as_far_as_it_goes(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_MAX_RECORD", 1 << 20)  # less than the whole file unpacked
    urls = [f"https://courier.example/{n}" for n in range(40)]
    random = Random(7)  # so that the packed file has many blocks
    bodies = [random.randbytes(60_000) for _ in urls]
    whole = pack(b"".join(response(url, body, AT) for url, body in zip(urls, bodies, strict=True)))
    file, damage = tmp_path / "whole.warc", Damage()
    file.write_bytes(whole + whole[: len(whole) // 2])
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        stored = list(read_pages(data, "k", damage=damage))
    assert [s.page.url for s in stored[:40]] == urls
    assert [s.page.body for s in stored[:40]] == bodies
    assert 15 <= len(stored[40:]) <= 20
    assert [s.pointer for s in stored] == [None] * len(stored)
    assert damage.records == 1


def test_a_record_beyond_all_measure_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_RECORD", 10_000)
    damage = Damage()
    records = [response(URLS[0], bytes(20_000), AT), response(URLS[1], BODY, AT)]
    for data in (b"".join(map(zstd.compress, records)), packed(*records)):
        assert [s.page.url for s in read_pages(data, "k", damage=damage)] == [URLS[1]]
    assert damage.records == 2


def test_a_damaged_zstd_frame_costs_itself_alone() -> None:
    good = [zstd.compress(response(url, BODY * 50, AT)) for url in URLS]
    broken = bytearray(good[1])
    broken[30:60] = bytes(30)
    damage = Damage()
    data = good[0] + bytes(broken) + good[2] + b"junk between" + good[3] + good[0][:40]
    stored = list(read_pages(data, "k", damage=damage))
    assert [s.page.url for s in stored] == [URLS[0], URLS[2], URLS[3]]
    assert damage.records >= 2


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
    frames = b"".join(zstd.compress(response(url, BODY, AT)) for url in URLS)
    whole = INFO + response(URLS[0], BODY, AT)
    body = bytearray(data.draw(st.sampled_from([ours(), whole, frames, zstd.compress(whole)])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 200))] = data.draw(st.binary(max_size=20))
    for stored in read_pages(bytes(body), "k"):
        assert stored.page.url
