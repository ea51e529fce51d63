"""Charts as SVG: nothing inline that the page's policy forbids, and true to their numbers."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from newslake.page import charts
from processing.records import KNOWN, State

DAYS = [date(2026, 11, 1) + timedelta(days=n) for n in range(28)]


def test_a_chart_has_a_title_for_each_day_and_nothing_inline():
    counts = {day: 100 * n for n, day in enumerate(DAYS)}
    for drawn in (charts.bars(counts, "articles"), charts.line(counts, "articles")):
        root = etree.fromstring(drawn)
        names = {etree.QName(element).localname for element in root.iter(etree.Element)}
        assert not names & {"style", "script", "desc"}
        assert not any("style" in e.attrib or "onclick" in e.attrib for e in root.iter())
        titles = [element.text for element in root.iter("{*}title")]
        assert "28 Nov: 2,700" in titles
        assert root.get("aria-hidden") == "true"


def test_nothing_at_all_can_be_drawn():
    for drawn in (charts.bars(dict.fromkeys(DAYS, 0), "a"), charts.line({}, "a")):
        assert etree.fromstring(drawn).tag.endswith("svg")


def test_every_state_has_one_group():
    states = [state for states in charts.GROUPS.values() for state in states]
    assert sorted(states) == sorted([*State, KNOWN])
    assert charts.GROUP_OF["failed-extraction"] == "rejected"


@given(st.dictionaries(st.sampled_from([*State, KNOWN]), st.integers(0, 10**6)))
def test_the_parts_of_a_bar_fill_it_and_count_every_url(states):
    parts = charts.stacked(states)
    assert sum(part.urls for part in parts) == sum(states.values())
    if parts:
        assert abs(sum(part.width for part in parts) - 100) < 0.01
        assert parts[0].start == 0
    for before, after in pairwise(parts):
        assert abs(before.start + before.width - after.start) < 0.01


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_more_is_never_lighter_and_none_is_blank(counts):
    shades = charts.levels(counts)
    assert all((shade == 0) == (count == 0) for shade, count in zip(shades, counts, strict=True))
    assert max(shades) in (0, 6)
    ranked = [shade for _, shade in sorted(zip(counts, shades, strict=True))]
    assert ranked == sorted(ranked)
