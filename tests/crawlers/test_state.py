"""A source's state in a real store: promotion, take-over, races, damage."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from crawl_support import publish

from crawlers.state import (
    DROPPED,
    PENDING,
    SAVE_ATTEMPTS,
    SEEN,
    KnownListing,
    KnownUrl,
    SourceState,
    known_url,
    latest,
    merge_hints,
)
from processing.exceptions import LakeFormatError, StoreError
from processing.records import FETCHED, Hints, WarcPointer
from processing.storage import Blob, Store

AT = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)


def page(key: str, run: str = "run-1", status: str = PENDING, **columns: object) -> KnownUrl:
    row = known_url(
        key=key,
        url=f"http://{key}",
        status=status,
        run_id=run,
        at=AT,
        discovered_via="http://x.example/feed",
        hints=Hints(title="Title", published=AT, tags=("a",)),
        before=None,
    )
    return KnownUrl(**{**{n: getattr(row, n) for n in row.__slots__}, **columns})  # type: ignore


def save(store: Store, *rows: KnownUrl | KnownListing) -> None:
    state = SourceState.load(store, "paper")
    for row in rows:
        state.put(row)
    state.save(store, "paper")


def test_rows_come_back_as_they_were_put(store: Store) -> None:
    listing = KnownListing("http://x.example/feed", "feed", "run-1", "rules", etag='"1"')
    save(store, page("a", "run-0"), listing)
    publish(store, "run-1")
    state = SourceState.load(store, "paper")
    assert state.url("a") == page("a", "run-0")
    assert state.listing(listing.key) == replace(listing, run_id="")
    assert (state.url("b"), state.listing("b")) == (None, None)


def test_pages_are_pending_until_their_runs_manifest_exists(store: Store) -> None:
    save(store, page("a", "run-1"), page("b", "run-2"))
    publish(store, "run-2")
    state = SourceState.load(store, "paper")
    assert [row.key for row in state.pending()] == ["a"]
    assert state.url("b").status == SEEN  # type: ignore[union-attr]


def test_what_a_dead_run_refused_and_which_listings_it_read_is_decided_again(store: Store) -> None:
    for run in ("dead", "done"):
        listing = KnownListing(f"http://{run}.example/feed", "feed", run, "rules", etag='"1"')
        save(store, page(f"page-{run}", run, DROPPED), listing)
    publish(store, "done")
    state = SourceState.load(store, "paper")
    assert (state.url("page-dead"), state.listing("http://dead.example/feed")) == (None, None)
    assert state.url("page-done") is not None
    assert state.listing("http://done.example/feed") is not None


def test_a_pending_page_is_a_visit_that_points_at_the_older_file(store: Store) -> None:
    save(store, page("a", warc_key="raw/old.warc.gz", warc_offset=10, warc_length=99))
    (row,) = SourceState.load(store, "paper").pending()
    visit = row.visit()
    assert (visit.outcome, visit.warc) == (FETCHED, WarcPointer("raw/old.warc.gz", 10, 99))
    assert visit.hints == Hints(title="Title", published=AT, tags=("a",))
    assert visit.at == AT


def test_two_writers_lose_nothing(store: Store) -> None:
    save(store, page("base"))
    one, two = SourceState.load(store, "paper"), SourceState.load(store, "paper")
    one.put(page("one"))
    two.put(page("two"))
    one.save(store, "paper")
    two.save(store, "paper")
    state = SourceState.load(store, "paper")
    assert [row.key for row in state.pending()] == ["base", "one", "two"]


def test_two_first_writers_lose_nothing(store: Store) -> None:
    one, two = SourceState.load(store, "paper"), SourceState.load(store, "paper")
    one.put(page("one"))
    two.put(page("two"))
    one.save(store, "paper")
    two.save(store, "paper")
    assert len(SourceState.load(store, "paper").pending()) == 2


def test_a_refusal_does_not_undo_what_another_run_fetched(store: Store) -> None:
    one, two = SourceState.load(store, "paper"), SourceState.load(store, "paper")
    one.put(page("a"))
    two.put(page("a", status=DROPPED))
    one.save(store, "paper")
    two.save(store, "paper")
    assert SourceState.load(store, "paper").url("a") == page("a")


class Racing(Store):
    """A store in which someone else always writes first."""

    def get(self, key: str) -> Blob:
        blob = super().get(key)
        super().put(key, blob.data + b"\0")
        return blob


def test_a_race_that_is_always_lost_ends(store: Store) -> None:
    save(store, page("base"))
    racing = Racing(store.bucket, store.prefix, store.client, store.delta_options)
    state = SourceState.load(racing, "paper")
    state.put(page("a"))
    with pytest.raises(StoreError, match=f"paper was changed by other runs {SAVE_ATTEMPTS} times"):
        state.save(racing, "paper")


def test_an_unchanged_state_is_not_written(store: Store) -> None:
    save(store, page("a"))
    key = "state/sources/paper.sqlite"
    before = store.get(key).etag
    SourceState.load(store, "paper").save(store, "paper")
    assert store.get(key).etag == before


@pytest.mark.parametrize("data", [b"no database at all" * 300, b"SQLite format 3\0" + b"\1" * 9000])
def test_a_damaged_state_is_one_sentence(store: Store, data: bytes) -> None:
    store.put("state/sources/paper.sqlite", data)
    with pytest.raises(StoreError, match=r"paper\.sqlite is no sound SQLite file"):
        SourceState.load(store, "paper")


def test_a_newer_format_is_refused(store: Store) -> None:
    state = SourceState()
    state._database.execute("PRAGMA user_version = 99")
    store.put("state/sources/paper.sqlite", state._database.serialize())
    with pytest.raises(LakeFormatError, match="has format 99"):
        SourceState.load(store, "paper")


@pytest.mark.parametrize(
    ("known", "said", "newer"),
    [
        (None, None, False),
        (None, datetime(2026, 3, 10, 9, tzinfo=UTC), True),  # after it was fetched
        (None, datetime(2026, 3, 10, 7, tzinfo=UTC), False),
        (None, date(2026, 3, 10), False),
        ("2026-03-09", date(2026, 3, 9), False),
        ("2026-03-09", datetime(2026, 3, 9, 23, tzinfo=UTC), False),  # the day is all we know
        ("2026-03-09", date(2026, 3, 10), True),
        ("2026-03-09T10:00:00+00:00", datetime(2026, 3, 9, 11, tzinfo=UTC), True),
    ],
)
def test_newer_is_later_as_far_as_both_tell(
    known: str | None, said: datetime | date | None, newer: bool
) -> None:
    assert page("a", modified=known).dated_newer(said) is newer


def test_a_title_is_new_only_against_the_same_listings_own() -> None:
    row = page("a").with_titles({"feed": "one", "map": "two"})
    assert not row.titled_anew({"map": "two", "other": "three"})
    assert row.titled_anew({"map": "one"})


def test_what_listings_say_is_merged_field_by_field() -> None:
    feed = Hints(title="T", published=AT, modified=date(2026, 3, 10))
    news = Hints(section="Politics", modified=datetime(2026, 3, 11, tzinfo=UTC), tags=("x",))
    assert merge_hints([feed, news]) == Hints(
        "T", AT, datetime(2026, 3, 11, tzinfo=UTC), "Politics", ("x",)
    )
    assert latest([None, None]) is None


def test_an_unsaid_field_keeps_what_was_said_before() -> None:
    before = page("a")
    after = known_url(
        key="a",
        url="http://a",
        status=SEEN,
        run_id="run-2",
        at=datetime(2026, 4, 1, tzinfo=UTC),
        discovered_via="http://x.example/other",
        hints=Hints(section="Sport"),
        before=before,
    )
    assert after.first_seen == before.first_seen
    assert Hints.of(json.loads(after.hints)) == Hints("Title", AT, None, "Sport", ("a",))
