"""Texts that are like each other: over shelves and batch, with templates and hot keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_lake import shelf

from processing.neighbours import (
    MOST_FOLLOWED,
    MOST_OF_SITE,
    WINDOW_DAYS,
    Known,
    Neighbour,
    Signed,
    neighbours,
)
from processing.signatures import Keys, likeness

DAY = date(2026, 11, 10)


def keys(*numbers: int) -> Keys:
    return np.unique(np.array(numbers, np.uint64) * 0x9E3779B1 % 2**32).astype(np.uint32)


def known(name: str, source: str = "herald", relation: str | None = None) -> Known:
    return Known(name, name if relation is None else "other", source, relation, DAY)


def names(found: Iterable[Neighbour]) -> set[str | int]:
    return {each.other.id if isinstance(each.other, Known) else each.other for each in found}


def test_a_known_text_and_an_earlier_one_of_the_batch_are_found():
    one, part, other = keys(*range(40)), keys(*range(10)), keys(*range(100, 140))
    batch = [Signed("tribune", DAY, one), Signed("gazette", DAY, part), Signed("post", DAY, other)]
    first, second, third = neighbours(batch, [shelf(DAY, [(known("a"), one)])])
    assert [(each.other, each.likeness, each.longer) for each in first] == [
        (known("a"), likeness(40, 40, 40), False)
    ]
    assert names(second) == {"a", 0}
    assert {each.likeness for each in second} == {likeness(10, 10, 40)}
    assert not any(each.longer for each in second)
    assert not third


@pytest.mark.parametrize("apart", [-WINDOW_DAYS - 1, -WINDOW_DAYS, WINDOW_DAYS, WINDOW_DAYS + 1])
def test_texts_far_apart_in_time_are_not_held_against_each_other(apart):
    one = keys(*range(40))
    then = DAY + timedelta(days=apart)
    within = abs(apart) <= WINDOW_DAYS
    (found,) = neighbours([Signed("a", DAY, one)], [shelf(then, [(known("b"), one)])])
    assert bool(found) is within
    batch = [Signed("a", DAY, one), Signed("b", then, one)]
    assert [bool(found) for found in neighbours(batch, [])] == [False, within]


def test_what_a_site_repeats_all_day_is_no_evidence_over_known_and_new_together():
    template = tuple(range(12))
    held = [(known(f"k{n}"), keys(*template, 1000 + n)) for n in range(MOST_OF_SITE)]
    own = Signed("herald", DAY, keys(*template, 2000))
    (found,) = neighbours([own], [shelf(DAY, held)])
    assert not found, "twenty known texts and this one"
    (found,) = neighbours([own], [shelf(DAY, held[1:])])
    assert len(found) == MOST_FOLLOWED, "nineteen and this one are no template yet"
    (found,) = neighbours([own], [shelf(DAY, held)], aggregators=["herald"])
    assert found, "what an aggregator repeats is none"


def test_the_templates_of_one_day_count_on_that_day_alone():
    template = tuple(range(12))
    held = [(known(f"k{n}"), keys(*template, 1000 + n)) for n in range(MOST_OF_SITE)]
    later = DAY + timedelta(days=1)
    own = Signed("herald", later, keys(*template, 2000))
    (found,) = neighbours([own], [shelf(DAY, held[:5]), shelf(later, [])])
    assert len(found) == 5


def test_a_template_is_part_of_its_text_if_no_evidence():
    template, own = tuple(range(20)), tuple(range(100, 110))
    held = [(known(f"k{n}"), keys(*template, 1000 + n)) for n in range(MOST_OF_SITE)]
    story = (known("story"), keys(*template, *own))
    copy = Signed("tribune", DAY, keys(*own))
    (found,) = neighbours([copy], [shelf(DAY, [*held, story])])
    (like,) = found
    assert (like.other.id, like.likeness) == ("story", likeness(10, 10, 30))


def test_a_hot_key_is_followed_to_articles_before_copies():
    one = keys(*range(40))
    copies = [(known(f"c{n:03}", f"site-{n}", "near"), one) for n in range(60)]
    held = shelf(DAY, [*copies, (known("z-article", "origin"), one)])
    (found,) = neighbours([Signed("late", DAY, one)], [held])
    assert len(found) == MOST_FOLLOWED
    assert "z-article" in names(found)


def test_a_hot_key_lowers_no_likeness():
    hot, own = tuple(range(30)), tuple(range(500, 540))
    crowd = [
        (known(f"a{n:03}", f"site-{n}"), keys(*hot, *range(10_000 + 100 * n, 10_040 + 100 * n)))
        for n in range(60)
    ]
    story = (known("z-story", "origin"), keys(*hot, *own))
    (found,) = neighbours([Signed("late", DAY, keys(*hot, *own))], [shelf(DAY, [*crowd, story])])
    assert [(each.other.id, each.likeness) for each in found] == [("z-story", likeness(70, 70, 70))]


TEXTS = st.lists(
    st.tuples(
        st.sampled_from(["herald", "tribune", "post"]),
        st.integers(0, 5),
        st.integers(0, 3),
        st.integers(0, 20),
        st.integers(8, 40),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_all_pairs_that_are_alike_are_found_and_no_others(old, new):
    def text(which: int, start: int, length: int) -> Keys:
        return keys(*range(1000 * which + start, 1000 * which + start + length))

    batch = [Signed(site, DAY + timedelta(days=day), text(*rest)) for site, day, *rest in new]
    held = [
        (Known(str(n), str(n), site), DAY + timedelta(days=day), text(*rest))
        for n, (site, day, *rest) in enumerate(old)
    ]
    shelves = [
        shelf(day, [(k, own) for k, of, own in held if of == day])
        for day in sorted({day for _, day, _ in held})
    ]
    expected = []
    for number, (_, day, own) in enumerate(batch):
        others = [(k.id, of, theirs) for k, of, theirs in held]
        others += [(n, of, theirs) for n, (_, of, theirs) in enumerate(batch[:number])]
        alike = {
            name
            for name, of, theirs in others
            if abs((of - day).days) <= WINDOW_DAYS
            and likeness(len(np.intersect1d(own, theirs)), len(own), len(theirs))
        }
        expected.append(alike)
    assert [names(found) for found in neighbours(batch, shelves)] == expected


def test_an_empty_batch_and_texts_without_keys_have_no_neighbours():
    assert neighbours([], [shelf(DAY, [(known("a"), keys(1, 2, 3, 4))])]) == []
    none = Signed("herald", DAY, keys())
    assert neighbours([none, none], [shelf(DAY, []), shelf(DAY, [(known("a"), keys())])]) == [
        [],
        [],
    ]


def test_a_day_on_many_shelves_is_one_day():
    random = Random(1)
    template = tuple(range(12))
    held = [(known(f"k{n}"), keys(*template, 1000 + n)) for n in range(MOST_OF_SITE)]
    random.shuffle(held)
    own = Signed("herald", DAY, keys(*template, 2000))
    (found,) = neighbours([own], [shelf(DAY, held[:7]), shelf(DAY, held[7:])])
    assert not found
