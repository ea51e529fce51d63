"""Keys of texts: what shares them, what does not, and what two texts' shared keys say."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.signatures import CONTAINED, MIN_WORDS, NEAR, likeness, sign

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]
HAN = "".join(chr(0x4E00 + n) for n in range(400))


def prose(words: int, seed: int = 0) -> list[str]:
    return Random(seed).choices(WORDS, k=words)


def shared(one: str, other: str) -> int:
    return len(np.intersect1d(sign(one), sign(other)))


def test_a_text_below_fifty_words_has_no_keys():
    assert len(sign(" ".join(prose(MIN_WORDS - 1)))) == 0
    assert len(sign(" ".join(prose(MIN_WORDS)))) >= 4


def test_keys_are_sorted_and_each_stands_once():
    keys = sign(" ".join(prose(300)))
    assert keys.dtype == np.uint32
    assert (np.diff(keys.astype(np.int64)) > 0).all()
    assert len(sign("the same five words again " * 100)) <= 5


def test_case_punctuation_and_spacing_change_no_key():
    words = prose(200)
    dressed = " — ".join(f"“{word.title()}”," for word in words).replace(" — ", ",\n")
    assert sign(dressed).tolist() == sign(" ".join(words)).tolist()


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(60, 120), st.integers(0, 60), st.integers(0, 60))
def test_fourteen_words_in_a_row_share_a_key_wherever_they_stand(seed, length, before, after):
    run, other = prose(14, seed), prose(before, seed + 1)
    one = [*prose(length, seed + 2), *run]
    two = [*other, *run, *prose(after + MIN_WORDS, seed + 3)]
    assert shared(" ".join(one), " ".join(two)) >= 1


def test_texts_of_other_words_share_no_key():
    assert shared(" ".join(prose(500, 1)), " ".join(prose(500, 2))) == 0


@pytest.mark.parametrize("between", ["", " ", "\n"])
def test_scripts_without_spaces_are_signed_by_character(between):
    text = Random(3).choices(HAN, k=300)
    cut = text[40:220]
    assert len(sign(between.join(text))) > 30
    assert shared(between.join(text), "".join(cut)) >= 0.8 * len(sign("".join(cut)))
    assert len(sign("".join(text[:98]))) == 0


def test_korean_and_mixed_text_go_by_words():
    words = [f"{chr(0xAC00 + n)}{chr(0xAC10 + n)}" for n in range(200)]
    assert len(sign(" ".join(words))) > 20
    mixed = prose(150) + Random(4).choices(HAN, k=40)
    assert sign(" ".join(mixed)).tolist() != sign("".join(mixed)).tolist()


@settings(deadline=None)
@given(st.text(max_size=400))
def test_any_text_can_be_signed(text):
    assert sign(text).dtype == np.uint32
    assert sign(f"{text} {' '.join(prose(60))}").dtype == np.uint32


@pytest.mark.parametrize(
    ("overlap", "one", "other", "relation"),
    [
        (3, 3, 3, None),
        (4, 4, 4, NEAR),
        (4, 7, 9, None),
        (5, 8, 10, NEAR),
        (8, 16, 20, NEAR),
        (8, 17, 17, None),
        (20, 20, 50, NEAR),
        (20, 20, 51, CONTAINED),
        (30, 60, 100, CONTAINED),
        (0, 0, 0, None),
    ],
)
def test_what_shared_keys_say(overlap, one, other, relation):
    for sizes in ((one, other), (other, one)):
        said = likeness(overlap, *sizes)
        assert (said.relation if said else None) == relation
        if said:
            assert said.similarity == overlap / one
