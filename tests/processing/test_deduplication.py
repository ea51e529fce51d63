"""Decisions on duplicates: by URL key, by text, by what texts share, whatever the order."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_lake import KnownLake

from processing.clusters import MOST_OF_SITE, Alarm
from processing.deduplication import EXACT, SAME_URL, Decision, Index, decide, deduplicate
from processing.neighbours import WINDOW_DAYS, Known
from processing.records import Article
from processing.signatures import CONTAINED, NEAR
from processing.texts import count_words
from processing.urls import url_id, url_key

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)


def article(
    url: str,
    text: str = "A text.",
    source: str = "herald",
    hours: float = 0,
    canonical: str | None = None,
    **more: object,
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
        word_count=count_words(text),
        extractor="test",
        **more,
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


@settings(deadline=None)
@given(BATCHES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_decides_nothing(batch, random):
    decided = {
        (a.url, a.source): d for a, d in zip(batch, deduplicate(batch, Index()), strict=True)
    }
    shuffled = list(batch)
    random.shuffle(shuffled)
    again = deduplicate(shuffled, Index())
    assert {(a.url, a.source): d for a, d in zip(shuffled, again, strict=True)} == decided


@settings(deadline=None)
@given(BATCHES)
def test_every_decision_points_at_an_article_of_the_batch(batch):
    decided = deduplicate(batch, Index())
    heads = {d.id for d in decided if d.relation is None}
    assert {d.article_id for d in decided} == heads
    assert all(d.id == d.article_id for d in decided if d.relation is None)


# --- texts that were edited -----------------------------------------------------------------

_WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


@cache
def story(seed: int, sentences: int = 20) -> list[str]:
    """Sentences of twelve words, other ones for each seed."""
    random = Random(seed)
    return [" ".join(random.choices(_WORDS, k=12)) + "." for _ in range(sentences)]


def edited(text: list[str], seed: int, changed: int) -> list[str]:
    """The text with some of its sentences replaced."""
    random = Random(1000 + seed)
    others = story(2000 + seed, len(text))
    gone = set(random.sample(range(len(text)), changed))
    return [others[n] if n in gone else sentence for n, sentence in enumerate(text)]


def page(name: str, sentences: list[str], hours: float = 0, **more: object) -> Article:
    """A page of its own site."""
    text = "\n".join(sentences)
    return article(f"https://{name}.example/story", text, name, hours, **more)


def test_an_edited_text_is_a_near_copy_of_the_earliest():
    text = story(1)
    origin, copy = page("wire", text), page("herald", edited(text, 1, 3), 2)
    decided = {d.id: d for d in deduplicate([copy, origin])}
    assert decided[origin.id] == Decision(origin.id, origin.id)
    assert (decided[copy.id].article_id, decided[copy.id].relation) == (origin.id, NEAR)
    assert 0.7 < decided[copy.id].similarity < 1


def test_a_cut_text_is_contained_in_its_article():
    text = story(1, 40)
    origin, cut = page("wire", text), page("herald", text[:10], 2)
    said = deduplicate([origin, cut])[1]
    assert (said.article_id, said.relation) == (origin.id, CONTAINED)
    assert said.similarity > 0.8


def test_a_text_that_contains_an_earlier_shorter_one_stays_an_article_of_its_cluster():
    text = story(1, 40)
    stub, whole = page("wire", text[:10]), page("herald", text, 2)
    decided = decide([whole, stub], Index())
    assert [d.relation for d in decided.decisions] == [None, None]
    assert decided.clusters == [stub.id, stub.id]
    lake = KnownLake()
    lake.publish([stub])
    assert lake.publish([whole]).clusters == [stub.id]
    late = page("late", edited(text, 3, 2), 5)
    said = lake.publish([late])
    assert (said.decisions[0].article_id, said.clusters) == (whole.id, [stub.id])


def test_a_page_that_tells_only_its_day_comes_after_those_that_tell_the_time():
    text = story(1)
    copy = page("herald", text[:15], -12, published_precision="day")
    origin = page("wire", text)
    assert [d.relation for d in deduplicate([copy, origin])] == [NEAR, None]


def test_what_equals_an_edited_copy_is_like_its_article_just_so():
    text = story(1)
    copy = edited(text, 1, 3)
    pages = [page("wire", text), page("a", copy, 1), page("b", copy, 2), page("c", copy, 24 * 20)]
    decided = deduplicate(pages)
    assert [d.relation for d in decided] == [None, NEAR, NEAR, NEAR]
    assert len({d.similarity for d in decided[1:]}) == 1
    assert {d.article_id for d in decided} == {pages[0].id}
    lake = KnownLake()
    for each in pages:
        assert lake.publish([each]).decisions == [decided[pages.index(each)]]


def test_a_known_near_copy_comes_back_as_it_was():
    known = Known("copy-id", "article-id", "herald", NEAR, None, None, 0.75)
    index = Index(by_url={id_of("https://a.example/1"): [known]})
    assert deduplicate([article("https://a.example/1")], index) == [
        Decision("copy-id", "article-id", NEAR, 0.75)
    ]


def test_short_texts_are_only_ever_equal():
    text = story(1, 4)
    one, other = page("wire", text), page("herald", [*text[:3], text[3] + " Indeed."], 2)
    assert count_words(one.text) < 50
    assert [d.relation for d in deduplicate([one, other])] == [None, None]


@pytest.mark.parametrize("days", [WINDOW_DAYS, WINDOW_DAYS + 1])
def test_edited_texts_far_apart_are_articles_of_their_own(days):
    text = story(1)
    origin, copy = page("wire", text), page("herald", edited(text, 1, 3), 24 * days)
    relation = deduplicate([origin, copy])[1].relation
    assert relation == (NEAR if days <= WINDOW_DAYS else None)


def test_only_the_days_around_are_searched_for_edited_texts():
    asked = []
    pages = [page("a", story(1)), page("b", story(2), 24 * 9), page("c", ["Short."], 24 * 20)]
    decide(pages, Index(shelves=lambda days: asked.extend(days) or ()))
    window = range(-WINDOW_DAYS, WINDOW_DAYS + 1)
    assert asked == [AT.date() + timedelta(days=at + n) for at in (0, 9) for n in window]


def test_a_copy_is_like_its_article_itself_and_not_only_like_another_copy():
    text, other = story(1), story(2)
    origin = page("wire", text)
    roundup = page("herald", [*text, *other], 1)
    second = page("tribune", other, 2)
    decided = decide([origin, roundup, second], Index())
    assert [d.relation for d in decided.decisions] == [None, NEAR, None]
    assert set(decided.clusters) == {origin.id}, "half of the longer is near enough for a cluster"


def test_a_roundup_of_three_stories_brings_none_of_them_together():
    stories = [story(n) for n in (1, 2, 3)]
    roundup = page("herald", [line for lines in stories for line in lines], 5)
    pages = [page(f"site-{n}", lines, n) for n, lines in enumerate(stories)]
    decided = decide([*pages, roundup], Index())
    assert [d.relation for d in decided.decisions] == [None] * 4
    assert len(set(decided.clusters)) == 3


def test_what_is_near_joins_one_cluster_though_another_copy_of_it_came_first():
    text = story(1)
    origin, near = page("wire", text), page("herald", [*text, *story(2, 22)], 1)
    later = article("https://tribune.example/1", near.text, "tribune", 24 * (WINDOW_DAYS + 1))
    whole, parts = KnownLake(), KnownLake()
    whole.publish([origin, near, later])
    parts.publish([origin, later])
    parts.publish([near])
    together = frozenset({origin.url, near.url, later.url})
    assert parts.clusters() == whole.clusters() == {together}
    assert parts.articles() == {origin.url, later.url}


def test_a_chain_of_edits_is_one_cluster_though_its_ends_are_two_articles():
    text = story(1)
    versions = [text]
    for n in range(4):
        versions.append(edited(versions[-1], n, 6))
    pages = [page(f"site-{n}", version, n) for n, version in enumerate(versions)]
    decided = decide(pages, Index())
    relations = [d.relation for d in decided.decisions]
    assert relations[0] is None
    assert relations[1] == NEAR
    assert None in relations[2:]
    assert set(decided.clusters) == {pages[0].id}


def test_parts_make_no_chains():
    text = story(1, 60)
    first, second = text[:12], text[30:42]
    part, whole, other = page("a", first), page("b", text, 1), page("c", second, 2)
    further = page("d", [*second, *story(5, 40)], 3)
    decided = decide([part, whole, other, further], Index())
    assert [d.relation for d in decided.decisions] == [None, None, CONTAINED, None]
    assert decided.clusters == [part.id, part.id, part.id, further.id]


@pytest.mark.parametrize("runs", list(permutations(range(3))), ids=str)
def test_a_part_brings_two_strangers_together_in_no_order(runs):
    text = story(1, 14)
    part, *wholes = page("a", text), *(page(f"b{n}", [*text, *story(n, 40)], n) for n in (2, 3))
    pages = [part, *wholes]
    lake = KnownLake()
    for run in runs:
        lake.publish([pages[run]])
    assert sorted(map(len, lake.clusters())) == [1, 2], "the part is with the first of them"


def test_a_whole_joins_its_part_though_an_edited_copy_of_that_came_first():
    text = story(1, 60)
    part, edit = page("a", text[:20]), page("b", edited(text[:20], 1, 4), 1)
    lake = KnownLake()
    lake.publish([part])
    lake.publish([edit])
    decided = lake.publish([page("c", text, 2)])
    assert decided.clusters == [part.id]


def test_a_text_that_brings_two_published_clusters_together_merges_them():
    text = story(1, 40)
    bridge = [*text[13:], *story(2, 13)]
    end = [*bridge[13:], *story(3, 13)]
    lake = KnownLake()
    one, two = page("a", text), page("b", end, 2)
    lake.publish([one])
    lake.publish([two])
    assert len(lake.clusters()) == 2
    decided = lake.publish([page("c", bridge, 1)])
    assert len(decided.merged) == 1
    assert len(lake.clusters()) == 1
    assert lake.articles() == {one.url, two.url}, "what was an article stays one"


def test_a_cluster_of_one_sites_texts_raises_an_alarm_and_swallows_no_more():
    text = story(1)
    pages = [
        article(f"https://herald.example/{n}", "\n".join(edited(text, n, 2)), "herald", n * 3)
        for n in range(MOST_OF_SITE + 1)
    ]
    decided = decide(pages, Index())
    copied = [None] + [NEAR] * (MOST_OF_SITE - 1)
    assert [d.relation for d in decided.decisions] == [*copied, None]
    assert list(decided.alarms) == [Alarm(pages[0].id, "herald", "mixed")]
    carried = decide(pages, Index(aggregators=["herald"]))
    assert [d.relation for d in carried.decisions] == [*copied, NEAR]
    assert not carried.alarms


def test_a_page_known_by_its_url_is_held_against_no_text():
    text = "\n".join(story(1))
    lake = KnownLake()
    lake.publish([article("https://a.example/1", text, "herald")])
    again = article("https://a.example/1", text + " More.", "herald", 2)
    decided = lake.publish([again])
    assert decided.decisions == [Decision(again.id, again.id)]
    assert decided.keys == [None]


EDITS = st.builds(
    lambda which, edit, site, hours: (
        page(f"site-{site}", edited(story(which), edit, 4), hours)
        if edit
        else page(f"site-{site}", story(which), hours)
    ),
    which=st.integers(0, 2),
    edit=st.integers(0, 3),
    site=st.integers(0, 30),
    hours=st.integers(0, 90),
)
EDITED = st.lists(EDITS, max_size=10, unique_by=lambda a: a.url)


def by_url(articles, decided):
    return {a.url: d for a, d in zip(articles, decided, strict=True)}


@settings(deadline=None)
@given(EDITED, st.randoms(use_true_random=False))
def test_the_order_of_edited_texts_decides_nothing(batch, random):
    shuffled = list(batch)
    random.shuffle(shuffled)
    one, other = decide(batch, Index()), decide(shuffled, Index())
    assert by_url(batch, one.decisions) == by_url(shuffled, other.decisions)
    assert by_url(batch, one.clusters) == by_url(shuffled, other.clusters)


def publish_in_runs(lake, batch, data):
    """In up to four runs, of which none makes a copy of what was an article."""
    numbers = [data.draw(st.integers(0, 3)) for _ in batch]
    for run in range(4):
        before = lake.articles()
        lake.publish([each for each, number in zip(batch, numbers, strict=True) if number == run])
        assert before <= lake.articles()


@settings(deadline=None)
@given(EDITED, st.data())
def test_runs_in_any_order_make_the_clusters_of_one_and_leave_articles_articles(batch, data):
    whole = KnownLake()
    whole.publish(batch)
    parts = KnownLake()
    publish_in_runs(parts, batch, data)
    assert parts.clusters() == whole.clusters()


PARTED = st.builds(
    lambda which, whole, cut, site, hours: page(
        f"site-{site}", [*story(which, 14)[:cut], *(story(10 + whole, 40) if whole else [])], hours
    ),
    which=st.integers(0, 1),
    whole=st.integers(0, 3),
    cut=st.sampled_from([12, 14]),
    site=st.integers(0, 30),
    hours=st.integers(0, 60),
)


@settings(deadline=None)
@given(st.lists(PARTED, max_size=8, unique_by=lambda a: a.url), st.data())
def test_runs_in_any_order_leave_copies_with_their_articles_and_strangers_apart(batch, data):
    lake = KnownLake()
    publish_in_runs(lake, batch, data)
    cluster = {decision.id: known.cluster_id for _, decision, known, _ in lake.rows}
    for _, decision, known, _ in lake.rows:
        assert known.cluster_id == cluster[decision.article_id]
    longer = {story(10 + whole, 40)[0] for whole in (1, 2, 3)}
    wholes = defaultdict(set)
    for each, _, known, _ in lake.rows:
        wholes[known.cluster_id] |= longer & set(each.text.split("\n"))
    assert all(len(stories) <= 1 for stories in wholes.values())


def test_parts_that_are_near_each_other_do_not_bring_their_wholes_together():
    text = story(1, 14)
    other = edited(text, 1, 2)
    wholes = [page("a", [*text, *story(2, 40)]), page("b", [*other, *story(3, 40)], 1)]
    parts = [page("c", text, 2), page("d", other, 3)]
    decided = decide([*wholes, *parts], Index())
    assert [d.relation for d in decided.decisions] == [None, None, CONTAINED, CONTAINED]
    assert decided.clusters == [wholes[0].id, wholes[1].id, wholes[0].id, wholes[1].id]


@settings(deadline=None)
@given(EDITED)
def test_a_run_repeated_decides_the_same(batch):
    lake = KnownLake()
    first = lake.publish(batch)
    again = lake.publish(batch)
    assert [(d.id, d.article_id, d.relation) for d in again.decisions] == [
        (d.id, d.article_id, d.relation) for d in first.decisions
    ]
    assert again.clusters == first.clusters
    assert not again.merged


@settings(deadline=None)
@given(EDITED)
def test_every_copy_points_at_an_article_and_is_in_its_cluster(batch):
    decided = decide(batch, Index())
    clusters = {d.id: c for d, c in zip(decided.decisions, decided.clusters, strict=True)}
    heads = {d.id for d in decided.decisions if d.relation is None}
    for decision in decided.decisions:
        assert decision.article_id in heads
        assert clusters[decision.id] == clusters[decision.article_id]
        assert clusters[decision.id] in heads
