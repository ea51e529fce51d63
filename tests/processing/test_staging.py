"""Staging against a real store: attempts merged, pages extracted, none lost."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
from staging_pages import misbehaving
from warc_files import packed, response, statement

from processing import tables
from processing.archive import read_pages
from processing.pool import ExtractionPool
from processing.records import FETCHED, KNOWN, Hints, State, Visit, WarcPointer
from processing.staging import StageResult, stage
from processing.storage import Store

RUN = "20261120T063000Z-abcdef"
AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
SITE = "https://courier.example/2026/11/20"
VIA = "https://courier.example/rss"
FOLDER = f"staged/run={RUN}/source=courier"


def html(words: str) -> bytes:
    text = (
        f"<p>{words} was all that the spokeswoman of the harbour would say on Friday morning, after"
        " a night in which the tide had risen higher than at any time since the great flood.</p>"
    )
    title = f"{words} in the harbour"
    return (
        f"<html lang=en><head><title>{title}</title></head><body>"
        f"<article><h1>{title}</h1>{text * 3}</article>"
    ).encode()


def put_raw(store: Store, attempt: int, *pages: tuple[str, bytes], run: str = RUN) -> list[Visit]:
    """A raw file of these pages, and the ledger's lines for them."""
    records = []
    for url, body in pages:
        said: dict[str, object] = {
            "url": url,
            "discovered_via": VIA,
            "at": AT.isoformat(),
            "hints": {"section": "City"},
            "rights": {"robots": "allowed", "tdm": "denied", "evidence": ["tdmrep.json"]},
        }
        records += [statement(url, AT, said), response(url, body, AT)]
    data = packed(*records)
    key = f"raw/date=2026-11-20/source=courier/{run}-{attempt}-000.warc.gz"
    store.put(key, data)
    return [
        Visit(s.discovered_url, FETCHED, VIA, AT, None, 200, s.pointer, Hints(section="City"))
        for s in read_pages(data, key)
    ]


def put_ledger(store: Store, attempt: int, *visits: Visit) -> None:
    lines = "".join(json.dumps(visit.to_json()) + "\n" for visit in visits)
    store.put(f"{FOLDER}/crawl-{attempt}.jsonl.gz", gzip.compress(lines.encode()))


def failed(url: str, state: State, detail: str = "") -> Visit:
    return Visit(url, state, VIA, AT, detail or None)


def run_stage(store: Store, **options: Any) -> StageResult:
    with ExtractionPool(**options) as pool:
        return stage(store, RUN, "courier", pool)


def rows(store: Store, name: str) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(store.get(f"{FOLDER}/{name}.parquet").data)).to_pylist()


def states(store: Store) -> dict[str, str]:
    return {row["url"].rpartition("/")[2]: row["state"] for row in rows(store, "coverage")}


def test_articles_and_coverage(store: Store) -> None:
    visits = put_raw(store, 1, (f"{SITE}/b", html("Water")), (f"{SITE}/a", b"%PDF-1.4"))
    put_ledger(
        store,
        1,
        *visits,
        failed(f"{SITE}/c", State.SKIPPED_ROBOTS, "Disallow: /"),
        Visit(f"{SITE}/d", KNOWN, VIA, AT),
    )
    result = run_stage(store)
    assert result.counts == {
        "extracted": 1,
        "known": 1,
        "rejected-not-html": 1,
        "skipped-robots": 1,
    }
    assert states(store) == {
        "a": "rejected-not-html",
        "b": tables.EXTRACTED,
        "c": "skipped-robots",
        "d": "known",
    }
    (article,) = rows(store, "articles")
    pointer = visits[0].warc
    assert pointer is not None
    assert article["listed_url"] == f"{SITE}/b"
    assert (article["source"], article["run_id"], article["section"]) == ("courier", RUN, "City")
    assert (article["warc_key"], article["warc_offset"]) == (pointer.key, pointer.offset)
    covered = {row["url"]: row for row in rows(store, "coverage")}
    assert covered[f"{SITE}/b"]["article_id"] == article["id"]
    assert covered[f"{SITE}/b"]["discovered_via"] == VIA
    assert covered[f"{SITE}/c"]["detail"] == "Disallow: /"


def test_attempts_are_merged(store: Store) -> None:
    first = put_raw(store, 1, (f"{SITE}/a", html("Early")), (f"{SITE}/b", html("Only")))
    second = put_raw(store, 2, (f"{SITE}/a?utm_source=x", html("Late")))
    put_ledger(
        store,
        1,
        *first,
        failed(f"{SITE}/c", State.FAILED_TIMEOUT),
        failed(f"{SITE}/d", State.FAILED_HTTP),
        failed(f"{SITE}/e", State.FAILED_HTTP),
    )
    put_ledger(
        store,
        2,
        *second,
        failed(f"{SITE}/b", State.FAILED_NETWORK),
        failed(f"{SITE}/c", State.FAILED_HTTP),
        Visit(f"{SITE}/d", KNOWN, VIA, AT),
    )
    run_stage(store)
    titles = {row["listed_url"]: row["title"] for row in rows(store, "articles")}
    assert sorted(titles.values()) == ["Late in the harbour", "Only in the harbour"]
    assert [row["state"] for row in rows(store, "coverage")] == [
        tables.EXTRACTED,
        tables.EXTRACTED,
        "failed-http",
        "failed-http",
        "failed-http",
    ]


def test_an_attempt_that_died_before_its_ledger_counts(store: Store) -> None:
    put_raw(store, 1, (f"{SITE}/a", html("Water")))
    run_stage(store)
    assert states(store) == {"a": tables.EXTRACTED}


def test_pages_of_a_dead_run_are_read_where_they_lie(store: Store) -> None:
    recovered = put_raw(store, 1, (f"{SITE}/a", html("Water")), run="20261119T063000Z-fedcba")
    gone = Visit(f"{SITE}/b", FETCHED, VIA, AT, warc=WarcPointer("raw/gone.warc.gz", 0, 9))
    put_ledger(store, 1, *recovered, gone)
    run_stage(store)
    assert states(store) == {"a": tables.EXTRACTED, "b": "failed-extraction"}
    assert rows(store, "articles")[0]["warc_key"].endswith("20261119T063000Z-fedcba-1-000.warc.gz")


def test_rights_arrive_from_where_the_page_lies(store: Store) -> None:
    before = put_raw(store, 1, (f"{SITE}/a", html("Water")), run="20261119T063000Z-fedcba")
    now = put_raw(store, 1, (f"{SITE}/b", html("Fire")), (f"{SITE}/c", html("Wind")))
    put_ledger(store, 1, *before, *now[:1])  # an attempt may die before its ledger names a page
    run_stage(store)
    stated = {"robots": "allowed", "tdm": "denied", "ai": "unknown", "licence": None}
    found = {row["url"].rpartition("/")[2]: row["rights"] for row in rows(store, "articles")}
    assert found == {name: stated | {"evidence": "tdmrep.json"} for name in "abc"}


def test_a_page_that_hangs_dies_or_raises_costs_itself_alone(store: Store) -> None:
    names = ["a", "b-hangs", "c", "d-dies", "e-raises", "f", "g-dies", "h"]
    put_ledger(store, 1, *put_raw(store, 1, *((f"{SITE}/{n}", html(n)) for n in names)))
    run_stage(store, page_timeout=10.0, extractor=misbehaving)
    bad = {
        row["url"].rpartition("/")[2]: row["detail"]
        for row in rows(store, "coverage")
        if row["state"] == "failed-extraction"
    }
    assert set(bad) == {"b-hangs", "d-dies", "e-raises", "g-dies"}
    assert bad["b-hangs"] == "the page took longer than 10 s"
    assert bad["d-dies"].startswith("the page killed its process")
    assert [name for name, state in states(store).items() if state == tables.EXTRACTED] == [
        "a",
        "c",
        "f",
        "h",
    ]


def test_the_same_run_stages_the_same_bytes(store: Store) -> None:
    names = [f"{n:02}" for n in range(10)]
    put_ledger(store, 1, *put_raw(store, 1, *((f"{SITE}/{n}", html(n)) for n in reversed(names))))
    run_stage(store)
    once = [store.get(f"{FOLDER}/{name}.parquet").data for name in ("articles", "coverage")]
    run_stage(store)
    assert once == [store.get(f"{FOLDER}/{name}.parquet").data for name in ("articles", "coverage")]
    assert [row["listed_url"] for row in rows(store, "articles")] == [f"{SITE}/{n}" for n in names]


def test_nothing_to_stage_is_two_empty_tables(store: Store) -> None:
    assert run_stage(store).counts == {}
    assert rows(store, "articles") == rows(store, "coverage") == []
    schema = pq.read_schema(io.BytesIO(store.get(f"{FOLDER}/articles.parquet").data))
    assert schema.equals(tables.STAGED_ARTICLES)
