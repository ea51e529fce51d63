"""Records replaced in place: the length stays, the neighbours stay, nothing is left of them."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from io import BytesIO

import pytest
from fastwarc.warc import ArchiveIterator
from hypothesis import given, settings
from hypothesis import strategies as st
from warc_files import packed, record, response, statement

from processing.archive import Damage, read_member, read_pages
from processing.redaction import MINIMUM, Trail, blank_member, redact, trails
from processing.urls import address_id

AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
SITE = "https://courier.example"
BODY = b"<html><body><p>Words of page %d, told in a sentence of its own.</p></body></html>"


def archive() -> bytes:
    """Four pages; the last was listed under an address that redirected to it."""
    records = [record("warcinfo", b"software: x\r\n", "", AT, "application/warc-fields")]
    for n in range(4):
        listed = f"{SITE}/moved" if n == 3 else f"{SITE}/{n}"
        records.append(statement(f"{SITE}/{n}", AT, {"url": listed, "hints": {"title": f"T {n}"}}))
        records.append(response(f"{SITE}/{n}", BODY % n, AT))
    return packed(*records)


def ids(*paths: str) -> set[str]:
    return {address_id(SITE + path) for path in paths}


@settings(deadline=None)
@given(
    st.one_of(
        st.integers(MINIMUM, 2_000),
        st.integers(65_400, 66_200),
        st.integers(130_900, 131_700),
        st.integers(MINIMUM, 300_000),
    )
)
def test_a_blank_member_has_any_length_asked_for_and_unpacks(length):
    member = blank_member(length)
    assert len(member) == length
    unpacker = zlib.decompressobj(31)
    content = unpacker.decompress(member)
    assert unpacker.eof and not unpacker.unused_data
    assert set(content.partition(b"true}")[2]) <= set(b" \r\n")


def test_no_member_is_shorter_than_gzip_allows():
    with pytest.raises(ValueError, match="20"):
        blank_member(MINIMUM - 1)


def test_the_other_records_keep_their_bytes_and_offsets():
    before = archive()
    after = redact(before, ids("/1"))
    assert len(after) == len(before)
    kept = {s.page.url: s.pointer for s in read_pages(before, "k") if s.page.url != f"{SITE}/1"}
    damage = Damage()
    left = list(read_pages(after, "k", damage=damage))
    assert {s.page.url: s.pointer for s in left} == kept
    assert damage.records == 0
    for stored in left:
        assert stored.pointer is not None
        span = slice(stored.pointer.offset, stored.pointer.offset + stored.pointer.length)
        assert before[span] == after[span]
    gone = next(s.pointer for s in read_pages(before, "k") if s.page.url == f"{SITE}/1")
    assert gone is not None
    assert read_member(after[gone.offset : gone.offset + gone.length]) is None


def test_other_readers_go_on_past_what_was_taken_out():
    after = redact(archive(), ids("/0", "/2"))
    found = [r.headers.get("WARC-Target-URI") for r in ArchiveIterator(BytesIO(after))]
    assert [url for url in found if url] == [f"{SITE}/1"] * 2 + [f"{SITE}/3"] * 2


def test_an_address_that_led_to_a_page_is_told_and_taken_out_alone():
    data = archive()
    (moved,) = (t for t in trails(data) if t.discovered != t.target)
    assert moved == Trail(*(address_id(SITE + path) for path in ("/3", "/moved")))
    after = redact(data, ids("/moved"))
    assert [s.page.url for s in read_pages(after, "k")] == [f"{SITE}/{n}" for n in range(4)]
    assert [t.discovered for t in trails(after)][-1] == address_id(f"{SITE}/3")
    assert trails(redact(data, ids("/3"))) == trails(data)[:3]


def test_damage_before_a_page_hides_it_from_nobody():
    data = bytearray(archive())
    data[200:220] = b"\x00" * 20
    assert trails(redact(bytes(data), ids("/2")))[-1].target == address_id(f"{SITE}/3")
    assert address_id(f"{SITE}/2") not in {t.target for t in trails(redact(bytes(data), ids("/2")))}
