"""One source's run without Scrapy: nothing discovered is lost, nothing unsettled is forgotten."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from crawl_support import RUNS, ledger, publish
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.catalogue import Source
from crawlers.discovery import Entry, Kind
from crawlers.refusals import refusal_of_status
from crawlers.source_crawl import SourceCrawl, Validators
from crawlers.warc import WireResponse
from processing.exceptions import StoreError
from processing.records import FETCHED, State, Visit
from processing.storage import Store
from processing.urls import url_key

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
FEEDS = ["http://paper.example/feed-0", "http://paper.example/feed-1"]
URLS = [f"http://paper.example/{n}" for n in range(6)]
WIRE = WireResponse(b"HTTP/1.1 200 OK\r\n\r\n", b"<p>page</p>")


def begin(directory: Path, store: Store | None, run: str = RUNS[0], **declared: Any) -> SourceCrawl:
    declared = {"feeds": FEEDS, "sitemaps": [f"{FEEDS[0]}.xml"], **declared}
    source = Source(id="paper", name="Paper", homepage="http://paper.example/", **declared)
    crawl = SourceCrawl(
        source, run_id=run, attempt=1, directory=directory, store=store, clock=lambda: NOW
    )
    crawl.begin()
    return crawl


def read(crawl: SourceCrawl, listing: str, *urls: str, kind: Kind = Kind.FEED) -> None:
    crawl.listing_read(listing, kind, [Entry(u) for u in urls], Validators('"1"', None, "hash"))


def fetch(crawl: SourceCrawl) -> None:
    for candidate in crawl.decide():
        body_hash = candidate.key
        crawl.fetched(candidate, candidate.url, WIRE, Validators(None, None, body_hash))
    crawl.complete = True


def test_without_a_store_all_stays_in_the_directory(tmp_path: Path) -> None:
    crawl = begin(tmp_path, None)
    read(crawl, FEEDS[0], *URLS[:2])
    fetch(crawl)
    crawl.finish()
    lines = gzip.decompress((tmp_path / "crawl-1.jsonl.gz").read_bytes()).splitlines()
    assert [Visit.from_json(json.loads(line)).url for line in lines] == URLS[:2]
    assert (tmp_path / f"{RUNS[0]}-1-000.warc.gz").exists()
    assert crawl.result("finished").ok


ENDS = ["fetched", "gone", "ill", "over the limit", "open"]


@settings(deadline=None)
@given(
    listed=st.lists(st.sets(st.sampled_from(URLS)), min_size=2, max_size=2),
    ends=st.tuples(*[st.sampled_from(ENDS) for _ in URLS]),
)
def test_every_url_has_one_end_and_validators_wait_for_all(
    tmp_path_factory: pytest.TempPathFactory, listed: list[set[str]], ends: tuple[str, ...]
) -> None:
    crawl = begin(tmp_path_factory.mktemp("crawl"), None)
    for feed, urls in zip(FEEDS, listed, strict=True):
        read(crawl, feed, *sorted(urls))
    end_of = dict(zip(URLS, ends, strict=True))
    for candidate in crawl.decide():
        match end_of[candidate.url]:
            case "fetched":
                crawl.fetched(candidate, candidate.url, WIRE, Validators(None, None, "x"))
            case "gone":
                crawl.refused(candidate, refusal_of_status(404))
            case "ill":
                crawl.refused(candidate, refusal_of_status(503))
            case "over the limit":
                crawl.over_limit(candidate)
    crawl.finish()

    assert set(crawl.visits) == {url_key(url) for url in set().union(*listed)}
    result = crawl.result("shutdown")
    parts = result.fetched + result.known + result.unchanged + result.skipped + result.failed
    assert result.discovered == len(crawl.visits) == parts
    for feed, urls in zip(FEEDS, listed, strict=True):
        settled = all(end_of[url] in ("fetched", "gone") for url in urls)
        assert (crawl.known_listing(feed) is not None) is settled


class Dying(Store):
    """A store that takes some writes, and then no more."""

    writes = 0

    def put(self, key: str, data: bytes, **conditions: Any) -> str:
        self._count()
        return super().put(key, data, **conditions)

    def put_file(self, key: str, path: Path) -> None:
        self._count()
        super().put_file(key, path)

    def _count(self) -> None:
        if self.writes == 0:
            raise StoreError("the store is gone")
        self.writes -= 1


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_whatever_write_fails_the_next_run_has_every_page(
    tmp_path: Path, store: Store, writes: int
) -> None:
    dying = Dying(store.bucket, store.prefix, store.client, store.delta_options)
    dying.writes = writes
    first = begin(tmp_path / "1", dying)
    read(first, FEEDS[0], *URLS)
    fetch(first)
    first.finish()
    assert first.result("finished").store_failed

    second = begin(tmp_path / "2", store, RUNS[1])
    assert second.known_listing(FEEDS[0]) is None
    read(second, FEEDS[0], *URLS)
    fetch(second)
    second.finish()

    assert second.result("finished").ok
    visits = ledger(store, "paper", RUNS[1])
    assert {visit.url: visit.outcome for visit in visits} == dict.fromkeys(URLS, FETCHED)
    for visit in visits:
        assert visit.warc is not None
        assert store.get_range(visit.warc.key, visit.warc.offset, visit.warc.length)


def test_other_rules_make_listings_be_read_in_full(tmp_path: Path, store: Store) -> None:
    first = begin(tmp_path / "1", store, deny=["/0"])
    read(first, FEEDS[0], *URLS)
    fetch(first)
    first.finish()
    publish(store, RUNS[0])
    assert begin(tmp_path / "2", store, RUNS[1], deny=["/0"]).known_listing(FEEDS[0]) is not None
    changed = begin(tmp_path / "3", store, RUNS[1])
    assert changed.known_listing(FEEDS[0]) is None
    read(changed, FEEDS[0], *URLS)
    assert [candidate.url for candidate in changed.decide()] == URLS[:1]


def test_an_index_gives_its_recent_children_the_latest_first(tmp_path: Path) -> None:
    crawl = begin(tmp_path, None)
    index = f"{FEEDS[0]}.xml"
    dates = {"old": NOW - timedelta(days=30), "new": NOW, "older": NOW - timedelta(days=3)}
    entries = [Entry(f"http://x.example/{name}", modified=at) for name, at in dates.items()]
    entries.append(Entry("http://x.example/undated"))
    crawl.listing_read(index, Kind.SITEMAP_INDEX, entries, Validators('"1"', None, "hash"))
    names = [url.rpartition("/")[2] for url in crawl.children(index)]
    assert names == ["new", "older", "undated"]


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    crawl = begin(tmp_path, None)
    read(crawl, FEEDS[0], "http://[::1/x", URLS[0])
    assert crawl.visits["http://[::1/x"].outcome == State.SKIPPED_RULE
    assert [candidate.url for candidate in crawl.decide()] == [URLS[0]]
