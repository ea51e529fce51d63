"""The measures agree with cases counted by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics import author_set, f1, precision_recall, same_day, same_title, shingles


def test_shingles_are_four_words_or_four_characters() -> None:
    assert shingles("One two, three four - five.") == {
        ("One", "two", "three", "four"): 1,
        ("two", "three", "four", "five"): 1,
    }
    assert shingles("東京で会う") == {("東", "京", "で", "会"): 1, ("京", "で", "会", "う"): 1}
    assert shingles("two words") == {("two", "words"): 1}
    assert not shingles(" … ")


def test_precision_and_recall() -> None:
    assert precision_recall("a b c d e f g h", "a b c d e") == (2 / 5, 1.0)
    assert precision_recall("", "a b c d e") == (0.0, 0.0)
    assert precision_recall("a b c d a b c d", "a b c d") == (1 / 5, 1.0)
    assert f1(0.5, 1.0) == pytest.approx(2 / 3)
    assert f1(0.0, 0.0) == 0.0


@settings(deadline=None)
@given(st.text())
def test_a_text_is_itself(text: str) -> None:
    precision, recall = precision_recall(text, text)
    assert precision == recall == 1.0


def test_titles_authors_days() -> None:
    assert same_title("“Tram” line — opens!", '"TRAM" line - opens')
    assert not same_title(None, "Tram line opens")
    assert author_set("Ada Moss and Ben Okoro; Cy Lund") == {"ada moss", "ben okoro", "cy lund"}
    assert author_set(["Ada Moss & Ben Okoro"]) == author_set(["ben okoro", "Ada Moss"])
    assert same_day(datetime(2026, 11, 20, 23, tzinfo=UTC), date(2026, 11, 20))
    assert not same_day(None, date(2026, 11, 20))
