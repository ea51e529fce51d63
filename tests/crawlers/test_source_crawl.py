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
from crawlers.state import SourceState
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
                crawl.over_limit(candidate, "max_articles is 2")
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


# --- listings that rest ---------------------------------------------------------------------

HOUR = timedelta(hours=1)


def scheduled(
    directory: Path, store: Store, run: str, now: datetime, **declared: Any
) -> SourceCrawl:
    source = Source(
        id="paper", name="Paper", homepage="http://paper.example/", feeds=FEEDS, **declared
    )
    crawl = SourceCrawl(
        source,
        run_id=run,
        attempt=1,
        directory=directory,
        store=store,
        clock=lambda: now,
        scheduled=True,
    )
    crawl.begin()
    return crawl


def asked_hours(
    tmp_path: Path, store: Store, start: datetime, hours: int, news: set[int]
) -> list[int]:
    """In which of so many hourly runs a feed is asked that has news in some of these."""
    asked = []
    for number in range(hours):
        run = f"{start + number * HOUR:%Y%m%dT%H%M%SZ}-abc123"
        crawl = scheduled(tmp_path / run, store, run, start + number * HOUR)
        if crawl.rests(FEEDS[0]):
            crawl.listing_rested()
        else:
            asked.append(number)
            fresh = sorted(n for n in news if n <= number)
            read(crawl, FEEDS[0], *(f"http://paper.example/{n}" for n in fresh))
        fetch(crawl)
        crawl.finish()
        publish(store, run)
    return asked


def test_a_listing_that_keeps_having_nothing_new_is_asked_less_often(
    tmp_path: Path, store: Store
) -> None:
    start = datetime(2026, 3, 10, 0, tzinfo=UTC)
    assert asked_hours(tmp_path, store, start, 24, {0}) == [0, 1, 2, 3, 5, 9, 13, 17, 21]


def test_news_and_a_new_day_end_the_rest(tmp_path: Path, store: Store) -> None:
    start = datetime(2026, 3, 10, 12, tzinfo=UTC)
    asked = asked_hours(tmp_path, store, start, 18, {0, 8})
    assert asked == [0, 1, 2, 3, 5, 9, 10, 11, 12, 14]
    assert start + 12 * HOUR == datetime(2026, 3, 11, tzinfo=UTC)


def test_a_run_by_hand_asks_every_listing(tmp_path: Path, store: Store) -> None:
    start = datetime(2026, 3, 10, 0, tzinfo=UTC)
    asked_hours(tmp_path, store, start, 12, {0})
    assert not begin(tmp_path / "by hand", store, RUNS[20]).rests(FEEDS[0])


def test_a_listing_with_an_article_to_be_asked_again_does_not_rest(
    tmp_path: Path, store: Store
) -> None:
    start = datetime(2026, 3, 10, 0, tzinfo=UTC)
    asked_hours(tmp_path, store, start, 10, {0})
    late = start + 13 * HOUR
    crawl = scheduled(tmp_path / "late", store, RUNS[13], late)
    assert not crawl.rests(FEEDS[0])
    read(crawl, FEEDS[0], *URLS[:2])
    crawl.refused(crawl.decide()[0], refusal_of_status(503))
    crawl.finish()
    publish(store, RUNS[13])
    assert not scheduled(tmp_path / "next", store, RUNS[14], late + HOUR).rests(FEEDS[0])


# --- young pages ----------------------------------------------------------------------------


def rechecked(
    tmp_path: Path, store: Store, age: timedelta, count: int = 1, **declared: Any
) -> list[str]:
    """What a run asks by itself so long after pages were fetched and published."""
    first = begin(tmp_path / "1", store, **declared)
    read(first, FEEDS[0], *(f"http://paper.example/{n}" for n in range(count)))
    fetch(first)
    first.finish()
    publish(store, RUNS[0])
    crawl = scheduled(tmp_path / "2", store, RUNS[1], NOW + age, **declared)
    return [candidate.url for candidate in crawl.decide()]


@pytest.mark.parametrize(("age", "asked"), [(1, []), (3, URLS[:1]), (47, URLS[:1]), (49, [])])
def test_a_published_page_is_asked_again_while_it_is_young(
    tmp_path: Path, store: Store, age: int, asked: list[str]
) -> None:
    assert rechecked(tmp_path, store, age * HOUR) == asked


def test_rechecks_are_few(tmp_path: Path, store: Store) -> None:
    assert len(rechecked(tmp_path, store, 3 * HOUR, count=30, max_articles=40)) == 4


def test_a_recheck_comes_each_time_as_late_again_as_the_page_is_old(
    tmp_path: Path, store: Store
) -> None:
    first = begin(tmp_path / "0", store)
    read(first, FEEDS[0], URLS[0])
    fetch(first)
    first.finish()
    publish(store, RUNS[0])
    asked = []
    for hour in range(1, 60):
        run = f"{NOW + hour * HOUR:%Y%m%dT%H%M%SZ}-abc123"
        crawl = scheduled(tmp_path / run, store, run, NOW + hour * HOUR)
        for candidate in crawl.decide():
            asked.append(hour)
            crawl.unchanged(candidate, 304)
        crawl.finish()
        assert crawl.result("finished").discovered == (asked[-1:] == [hour])
        publish(store, run)
    assert asked == [2, 4, 8, 16, 32]


def test_a_recheck_keeps_what_listings_said(tmp_path: Path, store: Store) -> None:
    first = begin(tmp_path / "1", store)
    said = Entry(URLS[0], title="Pier repaired", published=NOW - HOUR)
    first.listing_read(FEEDS[0], Kind.FEED, [said], Validators(None, None, "hash"))
    fetch(first)
    first.finish()
    publish(store, RUNS[0])
    crawl = scheduled(tmp_path / "2", store, RUNS[1], NOW + 3 * HOUR)
    (candidate,) = crawl.decide()
    crawl.fetched(candidate, candidate.url, WIRE, Validators(None, None, "another"))
    crawl.finish()
    (visit,) = ledger(store, "paper", RUNS[1])
    assert (visit.outcome, visit.hints.title, visit.hints.published) == (
        FETCHED, "Pier repaired", NOW - HOUR,
    )  # fmt: skip


def test_a_recheck_that_fails_leaves_the_page_as_it_is(tmp_path: Path, store: Store) -> None:
    first = begin(tmp_path / "1", store)
    read(first, FEEDS[0], URLS[0])
    fetch(first)
    first.finish()
    publish(store, RUNS[0])
    crawl = scheduled(tmp_path / "2", store, RUNS[1], NOW + 3 * HOUR)
    read(crawl, FEEDS[0], URLS[0])
    (candidate,) = crawl.decide()
    crawl.refused(candidate, refusal_of_status(503))
    crawl.finish()
    assert crawl.state.url(candidate.key) == candidate.known
    assert crawl.known_listing(FEEDS[0]) is not None


def test_what_was_last_asked_long_ago_is_known_no_more(tmp_path: Path, store: Store) -> None:
    first = begin(tmp_path / "1", store)
    read(first, FEEDS[0], *URLS[:2])
    fetch(first)
    first.finish()
    publish(store, RUNS[0])
    later = scheduled(tmp_path / "2", store, RUNS[1], NOW + timedelta(days=91))
    read(later, FEEDS[1], URLS[2])
    fetch(later)
    later.finish()
    publish(store, RUNS[1])
    state = SourceState.load(store, "paper")
    assert [state.url(url_key(url)) is not None for url in URLS[:3]] == [False, False, True]


# --- killed at any moment -------------------------------------------------------------------

RUN = st.fixed_dictionaries(
    {
        "listed": st.lists(st.sets(st.sampled_from(URLS)), min_size=2, max_size=2),
        "answers": st.tuples(*[st.sampled_from(["page", "503", "limit"]) for _ in URLS]),
        "writes": st.sampled_from([0, 1, 2, 99]),  # WARC file, ledger, state; then all goes well
        "published": st.booleans(),
    }
)


@settings(deadline=None, max_examples=25)
@given(runs=st.lists(RUN, min_size=1, max_size=5))
def test_a_crawl_killed_at_any_moment_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, object_store: dict[str, str], runs: list[Any]
) -> None:
    """However runs die, whatever was listed last is published once a run goes well."""
    directory = tmp_path_factory.mktemp("killed")
    lake = {**object_store, "NEWSLAKE_LAKE": f"s3://killed-{directory.name.lower()}"}
    store = Store.from_environment(lake)
    store.ensure_bucket()
    everything_well = {"answers": ("page",) * len(URLS), "writes": 99, "published": True}
    runs = [*runs, {**runs[-1], **everything_well}]
    for number, said in enumerate(runs):
        dying = Dying(store.bucket, store.prefix, store.client, store.delta_options)
        dying.writes = said["writes"]
        crawl = begin(directory / str(number), dying, RUNS[number])
        for feed, urls in zip(FEEDS, said["listed"], strict=True):
            etag = str(sorted(urls))
            known = crawl.known_listing(feed)
            if known is not None and known.etag == etag:
                crawl.listing_unchanged(feed)
            else:
                entries = [Entry(url) for url in sorted(urls)]
                crawl.listing_read(feed, Kind.FEED, entries, Validators(etag, None, etag))
        answers = dict(zip(URLS, said["answers"], strict=True))
        for candidate in crawl.decide():
            match answers[candidate.url]:
                case "page":
                    found = Validators(None, None, candidate.key)
                    crawl.fetched(candidate, candidate.url, WIRE, found)
                case "503":
                    crawl.refused(candidate, refusal_of_status(503))
                case "limit":
                    crawl.over_limit(candidate, "max_articles is 2")
        crawl.complete = True
        crawl.finish()
        if said["published"] and said["writes"] == 99:
            publish(store, RUNS[number])

    published = [run for run in RUNS if store.exists(f"runs/{run}.json")]
    visits = [visit for run in published for visit in ledger(store, "paper", run)]
    fetched = {visit.url: visit.warc for visit in visits if visit.outcome == FETCHED}
    assert set(fetched) >= set().union(*runs[-1]["listed"])
    for pointer in fetched.values():
        assert pointer is not None
        assert store.get_range(pointer.key, pointer.offset, pointer.length)
