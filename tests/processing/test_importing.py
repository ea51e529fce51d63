"""Staging foreign WARC files against a real store: every record one state, whose page it is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from warc_files import packed, record, response

from processing.archive import read_member
from processing.exceptions import ArchiveError
from processing.importing import Staged, host_of, is_there, source_of, stage_archive
from processing.pool import ExtractionPool
from processing.storage import Store

RUN = "20261120T063000Z-abcdef"
AT = datetime(2019, 3, 5, 6, 30, tzinfo=UTC)
LATER = datetime(2019, 3, 6, 6, 30, tzinfo=UTC)
SITE = "https://www.courier.example.co.uk"
INFO = record("warcinfo", b"software: x\r\n", "", AT, "application/warc-fields")
REQUEST = record(
    "request", b"GET / HTTP/1.1\r\n\r\n", SITE, AT, "application/http; msgtype=request"
)


def html(words: str) -> bytes:
    text = (
        f"<p>{words} was all that the spokeswoman of the harbour would say on Tuesday morning,"
        " after a night in which the tide had risen higher than ever since the great flood.</p>"
    )
    title = f"{words} in the harbour"
    return (
        f"<html lang=en><head><title>{title}</title></head><body>"
        f"<article><h1>{title}</h1>{text * 3}</article>"
    ).encode()


@pytest.fixture(scope="module")
def pool() -> Iterator[ExtractionPool]:
    with ExtractionPool(workers=1) as pool:
        yield pool


def run_stage(store: Store, address: Any, pool: ExtractionPool, **declared: str) -> Staged:
    whose = partial(source_of, declared=declared)
    return stage_archive(store, RUN, str(address), whose, pool, lambda done, total: None)


def rows(store: Store, name: str, source: str = "example-co-uk") -> list[dict[str, Any]]:
    data = store.get(f"staged/run={RUN}/source={source}/{name}.parquet").data
    return pq.read_table(io.BytesIO(data)).to_pylist()


def covered(store: Store, source: str = "example-co-uk") -> dict[str, tuple[str, str | None]]:
    return {
        row["url"].removeprefix(SITE): (row["state"], row["detail"])
        for row in rows(store, "coverage", source)
    }


def test_every_record_ends_in_one_state(store: Store, pool, tmp_path: Path):
    cut_off = response(f"{SITE}/cut", html("Cut"), AT)
    file = tmp_path / "CC-NEWS-20190305.warc.gz"
    file.write_bytes(
        packed(
            INFO,
            REQUEST,
            response(f"{SITE}/good", html("Water"), AT),
            response(f"{SITE}/gone", b"", AT, status="410 Gone"),
            response(f"{SITE}/moved", b"", AT, f"Location: {SITE}/good\r\n", "301 Moved"),
            response(f"{SITE}/pdf", b"%PDF-1.4", AT),
            response(f"{SITE}/partial", html("Part"), AT, status="206 Partial Content"),
            cut_off.replace(b"\r\n", b"\r\nWARC-Truncated: length\r\n", 1),
            record("response", b"1.2.3.4", "dns:courier.example.co.uk", AT, "text/dns"),
        )
    )
    staged = run_stage(store, file, pool)
    assert staged == Staged(("example-co-uk",), damaged_records=0)
    said = covered(store)
    assert said.pop("/pdf")[0] == "rejected-not-html"
    assert said == {
        "/good": ("extracted", None),
        "/gone": ("failed-http", "answered 410"),
        "/moved": ("failed-redirect", f"answered 301, to {SITE}/good"),
        "/partial": ("failed-http", "answered 206"),
        "/cut": ("failed-too-large", "the archive kept only its beginning (length)"),
    }
    statuses = {row["url"]: row["http_status"] for row in rows(store, "coverage")}
    assert statuses[f"{SITE}/gone"] == 410
    (article,) = rows(store, "articles")
    assert (article["fetched_at"], article["first_seen_at"]) == (AT, AT)
    assert article["source"] == "example-co-uk"


@pytest.mark.parametrize("pack", ["gzip", "zstd", "plain", "whole"])
def test_a_row_points_at_its_record_where_the_packing_allows(store: Store, pool, tmp_path, pack):
    records = [INFO, *(response(f"{SITE}/{n}", html(f"Water {n}"), AT) for n in range(3))]
    data = {
        "gzip": packed(*records),
        "zstd": b"".join(map(zstd.compress, records)),
        "plain": b"".join(records),
        "whole": zstd.compress(b"".join(records)),
    }[pack]
    file = tmp_path / "some.warc"
    file.write_bytes(data)
    run_stage(store, file, pool)
    found = rows(store, "articles")
    assert [row["title"] for row in found] == [f"Water {n} in the harbour" for n in range(3)]
    for row in found:
        assert row["warc_key"] == str(file)
        at, length = row["warc_offset"], row["warc_length"]
        if pack == "whole":
            assert (at, length) == (None, None)
        else:
            page = read_member(data[at : at + length])
            assert page is not None and page.url == row["url"]


def test_of_a_url_that_comes_twice_the_last_good_page_counts(store: Store, pool, tmp_path: Path):
    file = tmp_path / "twice.warc.gz"
    file.write_bytes(
        packed(
            response(f"{SITE}/a", html("Early"), AT),
            response(f"{SITE}/b", b"", AT, status="503 Busy"),
            response(f"{SITE}/a/?utm_source=feed", html("Late"), LATER),
            response(f"{SITE}/a", b"", LATER, status="500 Broken"),
            response(f"{SITE}/b", b"", LATER, status="404 Not Found"),
        )
    )
    run_stage(store, file, pool)
    (article,) = rows(store, "articles")
    assert (article["title"], article["fetched_at"]) == ("Late in the harbour", LATER)
    assert covered(store) == {
        "/a/?utm_source=feed": ("extracted", None),
        "/b": ("failed-http", "answered 404"),
    }


def test_damaged_records_are_counted_and_cost_themselves_alone(store: Store, pool, tmp_path: Path):
    members = [packed(response(f"{SITE}/{n}", html(f"Water {n}"), AT)) for n in range(4)]
    broken = members[1][:40] + bytes(20) + members[1][60:]
    file = tmp_path / "damaged.warc.gz"
    file.write_bytes(members[0] + broken + members[2] + members[3][:-30])
    staged = run_stage(store, file, pool)
    assert sorted(covered(store)) == ["/0", "/2"]
    assert staged.damaged_records >= 2


@pytest.mark.parametrize(
    "data",
    [b"", b"These are my notes.\n", packed(INFO)[:20]],
    ids=["empty", "notes", "cut"],  # gzip states the second, and workers must agree on names
)
def test_a_file_of_which_nothing_can_be_read_is_refused(store: Store, pool, tmp_path, data):
    file = tmp_path / "bad.warc.gz"
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"bad\.warc\.gz cannot be read"):
        run_stage(store, file, pool)
    assert not list(store.objects("staged/"))


def test_a_file_without_pages_stages_nothing(store: Store, pool, tmp_path: Path):
    file = tmp_path / "none.warc.gz"
    file.write_bytes(packed(INFO, REQUEST))
    assert run_stage(store, file, pool) == Staged((), 0)


def test_a_file_in_another_bucket_is_read_where_it_lies(store: Store, pool):
    other = Store(f"{store.bucket}-archive", "", store.client, store.delta_options)
    other.ensure_bucket()
    other.put("2019/03/a.warc.gz", packed(response(f"{SITE}/a", html("Water"), AT)))
    address = f"s3://{other.bucket}/2019/03/a.warc.gz"
    assert is_there(store, address)
    run_stage(store, address, pool)
    assert rows(store, "articles")[0]["warc_key"] == address
    for nowhere in (f"{address}x", f"s3://{other.bucket}-x/a.warc.gz", f"s3://{other.bucket}/"):
        assert not is_there(store, nowhere)


def test_a_local_name_is_never_one_of_the_lake(store: Store, pool, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.warc").write_bytes(response(f"{SITE}/a", html("Water"), AT))
    run_stage(store, "raw/a.warc", pool)
    assert rows(store, "articles")[0]["warc_key"] == "./raw/a.warc"


def test_a_file_of_several_sites_is_staged_by_source(store: Store, pool, tmp_path: Path):
    file = tmp_path / "several.warc.gz"
    urls = [f"{SITE}/a", "https://tribune.example.org/b", "https://blog.example.org/c"]
    file.write_bytes(packed(*(response(url, html(f"W {url[-1]}"), AT) for url in urls)))
    declared = {"courier.example.co.uk": "courier", "tribune.example.org": "the-tribune"}
    whose = partial(source_of, declared=declared)
    heard: list[tuple[int, int]] = []
    staged = stage_archive(
        store, RUN, str(file), whose, pool, lambda done, total: heard.append((done, total))
    )
    assert staged.sources == ("courier", "example-org", "the-tribune")
    found = {one: rows(store, "articles", one)[0]["url"] for one in staged.sources}
    assert found == dict(zip(("courier", "the-tribune", "example-org"), urls, strict=True))
    assert heard == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://www.bbc.co.uk/news/1", "bbc-co-uk"),
        ("http://m.example.com:80/?p=1", "example-com"),
        ("https://news.bbc.co.uk/1", "the-beeb"),
        ("https://xn--mnchen-3ya.de/", "xn-mnchen-3ya-de"),
        ("http://127.0.0.1:8080/x", "127-0-0-1-8080"),
        ("http://[broken/", "unknown"),
    ],
)
def test_whose_page_it_is(url: str, source: str):
    assert source_of(url, {"news.bbc.co.uk": "the-beeb"}) == source


@given(st.from_regex(r"https?://[^/?#]{1,30}[/?#][ -~]{0,20}", fullmatch=True))
def test_every_url_has_a_source(url: str):
    made = source_of(url, {})
    assert made and set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_host_is_the_same_however_it_is_written():
    written = ("http://www.A.example", "https://a.example:443/x?y", "https://m.a.example/?q=1")
    assert {host_of(url) for url in written} == {"a.example"}
