"""An article forgotten out of a lake that real crawls filled: in no byte of it, for ever."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from crawl_support import HTML, RUNS, CrawlRunner, Sites, ledger
from siteserver import Answer

from crawlers import state
from processing import dataset, forgetting
from processing.archive import read_pages
from processing.dataset import Tables
from processing.pool import ExtractionPool
from processing.publishing import RunFacts, publish
from processing.records import State
from processing.staging import stage
from processing.storage import Store
from processing.tables import SCHEMAS
from processing.tombstones import Tombstone
from processing.urls import address_id, mask
from processing.verification import verify

HERALD, TRIBUNE = "http://herald.example", "http://tribune.example"
FEEDS = {"herald": f"{HERALD}/feed", "tribune": f"{TRIBUNE}/feed"}
STORY, ALIAS, COPY = f"{HERALD}/quillfeather-affair", f"{HERALD}/go/1", f"{TRIBUNE}/borrowed"
TITLE = "Quillfeather leaves the harbour board"
OTHERS = {
    f"{HERALD}/ferry": "Ferries to the islands sail twice a day",
    f"{HERALD}/market": "The old market hall stays open",
    f"{TRIBUNE}/bridge": "A new bridge over the river Anse",
}
WORDS = (
    *("the", "a", "of", "and", "to", "in", "was", "for", "on", "that", "with", "as", "by", "at"),
    *("town", "council", "river", "people", "said", "Monday", "morning", "boats", "market"),
    *("bridge", "north", "old", "new", "years", "money", "school", "road", "weather", "summer"),
)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def put_page(sites: Sites, url: str, title: str, subject: str, more: str = "") -> None:
    """An article of about 150 words about ``subject``, none of whose lines another has."""
    words = Random(subject)
    said = [f"{subject}, {' '.join(words.choices(WORDS, k=18))}." for _ in range(8)]
    paragraphs = "".join(f"<p>{line}</p>" for line in [*said, more] if line)
    moment = "09:30" if url.startswith(HERALD) else "10:30"
    dated = f'<meta property="article:published_time" content="2026-03-10T{moment}:00Z">'
    body = (
        f"<html lang=en><head><title>{title}</title>{dated}</head><body><article>"
        f"<h1>{title}</h1>{paragraphs}</article></body></html>"
    )
    sites.pages[url] = Answer(200, HTML, body.encode())


def put_story(sites: Sites, more: str) -> None:
    put_page(sites, STORY, TITLE, "Quentin Quillfeather resigned", more)


def put_feeds(sites: Sites, changed: str = "") -> None:
    """Both feeds; ``changed`` dates the story anew."""
    listed = '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">{}</feed>'
    entry = "<entry><title>{}</title><link href='{}'/><updated>{}</updated></entry>"
    herald = {STORY: TITLE, ALIAS: TITLE, **OTHERS}
    tribune = {COPY: "Board member Quillfeather goes", **OTHERS}
    for id_, site, named in (("herald", HERALD, herald), ("tribune", TRIBUNE, tribune)):
        entries = [
            entry.format(
                title, url, changed if url == STORY and changed else "2026-03-10T09:00:00Z"
            )
            for url, title in named.items()
            if url.startswith(site)
        ]
        body = listed.format("".join(entries))
        sites.pages[FEEDS[id_]] = Answer(200, {"Content-Type": "text/xml"}, body.encode())


def finish(store: Store, run_id: str) -> None:
    """Extract and publish what was crawled."""
    with ExtractionPool(workers=1) as pool:
        for source in FEEDS:
            stage(store, run_id, source, pool)
    publish(store, RunFacts(run_id, tuple(FEEDS), NOW, {}, {}, {}))


@pytest.fixture
def declared(crawl: CrawlRunner, sites: Sites) -> None:
    """Two papers: a story, a copy of it, an address that redirects to it, and others."""
    for id_, feed in FEEDS.items():
        crawl.source(id_, feeds=[feed], max_age_days=10_000)
    for url, title in OTHERS.items():
        put_page(sites, url, title, title)
    sites.pages[ALIAS] = Answer(301, {"Location": STORY})
    put_page(sites, COPY, "Board member Quillfeather goes", "Quentin Quillfeather resigned")
    put_story(sites, "")
    put_feeds(sites)


@pytest.fixture
def lake(declared: None, crawl: CrawlRunner, sites: Sites, store: Store) -> Store:
    """The story twice fetched in its first run, revised in the second, and fetched and
    extracted once more by a run that died then."""
    for attempt in (1, 2):
        assert crawl(*FEEDS, run=RUNS[0], attempt=attempt).status == 0
    finish(store, RUNS[0])
    for run_id, day, more in (
        (RUNS[1], "2026-03-11", "Only the second text speaks of marmalade."),
        (RUNS[2], "2026-03-12", "Only the third text speaks of periwinkles."),
    ):
        put_story(sites, more)
        put_feeds(sites, f"{day}T09:00:00Z")
        assert crawl(*FEEDS, run=run_id).status == 0
        if run_id == RUNS[1]:
            finish(store, run_id)
    with ExtractionPool(workers=1) as pool:
        stage(store, RUNS[2], "herald", pool)
    return store


def forget(store: Store, target: str, *, with_copies: bool = False) -> forgetting.Tombstone:
    return forgetting.forget(
        store,
        target,
        run_id="20260313T000000Z-f0f0f0",
        with_copies=with_copies,
        software={},
        forget_state=state.forget,
    )


def everything(store: Store) -> Iterator[tuple[str, bytes]]:
    """Every object of the lake, every version of it, as it lies and unpacked."""
    listed = store.client.list_object_versions(Bucket=store.bucket)
    assert not listed["IsTruncated"]
    for each in listed["Versions"]:
        key = each["Key"]
        version = {} if each["VersionId"] == "null" else {"VersionId": each["VersionId"]}
        data = store.client.get_object(Bucket=store.bucket, Key=key, **version)["Body"].read()
        yield key, key.encode() + data
        while data[:2] == b"\x1f\x8b":
            unpacker = zlib.decompressobj(31)
            yield key, unpacker.decompress(data)
            data = unpacker.unused_data
        if key.endswith(".parquet"):
            rows = pq.read_table(io.BytesIO(data)).to_pylist()
            yield key, json.dumps(rows, default=str, ensure_ascii=False).encode()


def found(store: Store, *words: str) -> set[tuple[str, str]]:
    return {
        (key, word) for key, data in everything(store) for word in words if word.encode() in data
    }


def rows(store: Store, name: str) -> list[dict[str, object]]:
    return dataset.scan(store, name).to_table().to_pylist()


def test_the_lake_to_forget_in_is_as_rich_as_it_should_be(lake):
    assert verify(lake, full=True, workers=1).findings == []
    assert [r["url"] for r in rows(lake, "copies")] == [COPY]
    assert [r["revision"] for r in rows(lake, "revisions")] == [0]
    places = {key.partition("/")[0] for key, _ in found(lake, "quillfeather-affair", "/go/1")}
    assert places == {"articles", "revisions", "coverage", "raw", "staged", "state"}
    assert "periwinkles" in {word for _, word in found(lake, "periwinkles")}


@pytest.mark.parametrize("versioned", [False, True], ids=["plain bucket", "bucket with versions"])
def test_a_forgotten_article_is_in_no_object_and_never_comes_back(
    crawl, sites, store, request, versioned
):
    if versioned:
        store.client.put_bucket_versioning(
            Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"}
        )
    request.getfixturevalue("lake")
    stone = forget(store, STORY, with_copies=True)
    assert stone.done and stone.rows["articles"] == stone.rows["copies"] == 1
    assert (stone.objects["versions"] > 0) is versioned
    gone = ("uillfeather", "go/1", "borrowed", "marmalade", "periwinkles", "council")
    others = set(OTHERS.values())
    assert {word for _, word in found(store, *gone, *others)} == {"council"} | others
    assert not found(store, *gone[:-1])
    check_others(store)
    never_again(crawl, sites, store)


def test_the_earliest_copy_takes_the_place_of_a_forgotten_article(crawl, sites, lake):
    forget(lake, STORY)
    assert not found(lake, "quillfeather-affair", "go/1", TITLE, "marmalade", "periwinkles")
    assert not rows(lake, "copies") and not rows(lake, "revisions")
    heir = next(r for r in rows(lake, "articles") if r["url"] == COPY)
    assert heir["cluster_id"] == heir["id"]
    (own,) = (r for r in rows(lake, "coverage") if r["url"] == COPY)
    assert (own["article_id"], own["state"]) == (heir["id"], State.DUPLICATE_EXACT)
    check_others(lake, COPY)
    never_again(crawl, sites, lake)
    assert COPY in [r["url"] for r in rows(lake, "articles")]


def test_a_forgotten_copy_leaves_its_article(lake):
    (copy,) = rows(lake, "copies")
    stone = forget(lake, str(copy["id"]))
    assert (stone.rows["articles"], stone.rows["copies"]) == (0, 1)
    assert not found(lake, "borrowed", "Board member")
    check_others(lake, STORY)


def check_others(store: Store, *more: str) -> None:
    """Nothing else was touched: tables agree, pointers give their pages, readers read."""
    assert verify(store, full=True, workers=1).findings == []
    assert {r["url"] for r in rows(store, "articles")} == {*OTHERS, *more}
    for name in SCHEMAS:
        table = dataset.open_table(store, name)
        assert table is not None
        wanted = dataset.scan(store, name).count_rows()
        lazy = pl.scan_delta(f"{store.url}/{name}", storage_options=store.delta_options)
        assert lazy.select(pl.len()).collect().item() == wanted
        held = table.to_pyarrow_dataset()
        assert duckdb.sql("SELECT count(*) FROM held").fetchall() == [(wanted,)]
        assert held.count_rows() == wanted


def never_again(crawl: CrawlRunner, sites: Sites, store: Store) -> None:
    """Later crawls pass it by; the dead run is published late, without it."""
    before = len(rows(store, "articles"))
    sites.asked()
    put_feeds(sites, "2026-03-14T09:00:00Z")
    assert crawl(*FEEDS, run=RUNS[3]).status == 0
    assert STORY not in sites.asked()
    visits = {visit.url: visit for visit in ledger(store, "herald", RUNS[3])}
    assert visits[mask(STORY)].outcome == State.FORGOTTEN
    finish(store, RUNS[3])
    finish(store, RUNS[2])
    assert len(rows(store, "articles")) == before
    assert not found(store, "quillfeather-affair", TITLE, "marmalade", "periwinkles")
    assert verify(store, full=True, workers=1).findings == []
    tables = Tables(store)
    states = {
        row["state"] for row in tables.rows("coverage", dataset.ds.field("url") == mask(STORY))
    }
    assert states == {State.FORGOTTEN}


def test_what_was_being_fetched_meanwhile_is_withheld_and_erased(declared, crawl, sites, store):
    assert crawl(*FEEDS, run=RUNS[0]).status == 0
    Tombstone(NOW.isoformat(), RUNS[5], (address_id(STORY),), done=True).put(store)
    finish(store, RUNS[0])
    assert STORY not in pages(store) and COPY in pages(store)
    assert {r["url"] for r in rows(store, "articles")} == {*OTHERS, COPY}
    put_feeds(sites, "2026-03-11T09:00:00Z")
    assert crawl(*FEEDS, run=RUNS[1]).status == 0
    assert {visit.url for visit in ledger(store, "herald", RUNS[1])} >= {mask(STORY), mask(ALIAS)}
    finish(store, RUNS[1])
    assert not found(store, "quillfeather-affair", "go/1", TITLE)
    assert verify(store, full=True, workers=1).findings == []


def test_raw_files_still_give_every_other_page(lake):
    before = pages(lake)
    forget(lake, STORY)
    gone = {url for url in before if url not in pages(lake)}
    assert gone == {STORY}
    assert all(page == before[url] for url, page in pages(lake).items())


def pages(store: Store) -> dict[str, tuple[object, ...]]:
    return {
        stored.page.url: (stored.pointer, stored.page.body, stored.page.hints)
        for found in store.objects("raw/")
        for stored in read_pages(store.get(found.key).data, found.key)
    }
