"""Decisions on duplicates: by URL key, by text, whatever the order of arrival."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from processing.deduplication import EXACT, SAME_URL, Decision, Index, Known, deduplicate
from processing.records import Article
from processing.urls import url_id, url_key

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)


def article(
    url: str,
    text: str = "A text.",
    source: str = "herald",
    hours: float = 0,
    canonical: str | None = None,
) -> Article:
    return Article(
        id=url_id(url_key(canonical or url)),
        url=url,
        canonical_url=canonical,
        source=source,
        title="",
        text=text,
        published_at=AT + timedelta(hours=hours),
        fetched_at=AT + timedelta(days=40),
        first_seen_at=AT + timedelta(days=40),
        content_hash=sha256(text.encode()).hexdigest(),
        word_count=2,
        extractor="test",
    )


def id_of(url: str) -> str:
    return url_id(url_key(url))


def test_different_texts_at_different_urls_are_articles():
    one, two = article("https://a.example/1", "One."), article("https://a.example/2", "Two.")
    assert deduplicate([one, two], Index()) == [Decision(one.id, one.id), Decision(two.id, two.id)]


def test_the_earliest_of_equal_texts_is_the_article():
    late = article("https://a.example/1", hours=5)
    early = article("https://b.example/2", source="tribune")
    assert deduplicate([late, early], Index()) == [
        Decision(late.id, early.id, EXACT, 1.0),
        Decision(early.id, early.id),
    ]


def test_equal_moments_are_parted_by_the_url_key():
    one = article("https://b.example/1")
    two = article("https://a.example/1", source="tribune")
    assert [d.article_id for d in deduplicate([one, two], Index())] == [two.id, two.id]


def test_a_publication_dated_after_it_was_seen_counts_from_when_it_was_seen():
    future = article("https://a.example/1", hours=24 * 45)
    known = article("https://b.example/2", source="tribune", hours=24 * 40 + 1)
    decided = deduplicate([future, known], Index())
    assert {d.article_id for d in decided} == {future.id}, "both clamp; then the URL key decides"


def test_a_canonical_at_another_source_is_a_copy_with_an_id_of_its_own():
    origin = article("https://wire.example/1", "Whole text.", "wire")
    carried = article(
        "https://a.example/1", "Cut.", hours=1, canonical="https://wire.example/1?utm_source=a"
    )
    assert deduplicate([origin, carried], Index())[1] == Decision(
        id_of("https://a.example/1"), origin.id, SAME_URL, 1.0
    )


def test_what_its_own_source_published_before_is_that_again_with_any_text():
    known = Known("some-id", "some-id", "herald")
    index = Index(by_url={id_of("https://a.example/1"): [known]})
    again = article("https://a.example/1", "New text.")
    assert deduplicate([again], index) == [Decision("some-id", "some-id")]


def test_a_known_copy_stays_that_copy():
    known = Known("copy-id", "article-id", "herald", EXACT)
    index = Index(by_url={id_of("https://a.example/1"): [known]})
    assert deduplicate([article("https://a.example/1")], index) == [
        Decision("copy-id", "article-id", EXACT, 1.0)
    ]


def test_a_text_known_within_thirty_days_makes_a_copy_and_beyond_does_not():
    one = article("https://a.example/1")
    for days, relation in ((30, EXACT), (31, None)):
        day = (AT - timedelta(days=days)).date()
        index = Index(by_text={one.content_hash: [Known("k", "k", "tribune", None, day)]})
        assert deduplicate([one], index)[0].relation == relation


PAGES = st.builds(
    article,
    url=st.sampled_from([f"https://{h}.example/{n}" for h in "abc" for n in range(4)]),
    text=st.sampled_from(["One.", "Two.", "Three."]),
    source=st.sampled_from(["herald", "tribune"]),
    hours=st.sampled_from([0, 0, 1, 24 * 20, 24 * 35]),
    canonical=st.sampled_from([None, None, "https://a.example/1", "https://b.example/2"]),
)
BATCHES = st.lists(PAGES, max_size=8, unique_by=lambda a: (a.url, a.source))


@given(BATCHES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_decides_nothing(batch, random):
    decided = {
        (a.url, a.source): d for a, d in zip(batch, deduplicate(batch, Index()), strict=True)
    }
    shuffled = list(batch)
    random.shuffle(shuffled)
    again = deduplicate(shuffled, Index())
    assert {(a.url, a.source): d for a, d in zip(shuffled, again, strict=True)} == decided


@given(BATCHES)
def test_every_decision_points_at_an_article_of_the_batch(batch):
    decided = deduplicate(batch, Index())
    heads = {d.id for d in decided if d.relation is None}
    assert {d.article_id for d in decided} == heads
    assert all(d.id == d.article_id for d in decided if d.relation is None)
