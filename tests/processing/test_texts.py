"""What counts as the same text, and how much of one stands in another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.texts import content_hash, overlap

REPORT = "The harbour wall was finished on Friday, two weeks early, and ferries run again."
OTHER = "Parliament voted late on Tuesday to raise the pension age by a year from next spring."


def test_the_hash_sees_words_not_their_dress():
    assert content_hash("The  WALL – “done”!") == content_hash("the wall done")
    assert content_hash("the wall") != content_hash("the well")


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        (REPORT, REPORT, 1.0, 1.0),
        (REPORT, REPORT + " " + OTHER, 1.0, 1.0),
        (REPORT, REPORT.replace("two weeks", "a month"), 0.5, 0.9),
        (REPORT, OTHER, 0.0, 0.1),
        (
            "港の防波堤は金曜日に完成しフェリーが再開した",
            "港の防波堤は金曜日に完成しフェリーが再開する",
            0.8,
            0.99,
        ),
        ("", REPORT, 0.0, 0.0),
    ],
)
def test_overlap_tells_versions_of_a_report_from_another_report(one, other, low, high):
    assert low <= overlap(one, other) <= high


@given(st.text(), st.text())
def test_overlap_is_a_share_whatever_the_order(one, other):
    assert 0.0 <= overlap(one, other) <= 1.0
    assert overlap(one, other) == overlap(other, one)
