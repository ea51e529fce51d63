"""The student: a table of words, each with what it says for every topic.

It was distilled from the encoder (training/README.md): small, quick, and at home in the hundred
languages of the encoder's vocabulary. A text's logits are sums of whole numbers, so that every
machine finds the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

READS = 1200
"""Characters of a text that are read after its title."""

_LONGEST = 24  # letters; longer words of the table are found only whole
_SHORTEST = 4  # letters; a shorter beginning of a word says nothing of the whole
_SHORTEST_DENSE = 2

_NO_WORD = re.compile(
    r"[\s\d!-/:-@\[-`{-~\u00a0-\u00bf\u060c\u061b\u061f\u0964\u2000-\u206f\u3000-\u303f\uff00-\uffef]+"
)
# Scripts written without spaces: Thai and Lao, Burmese, Khmer, kana and Han.
_DENSE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the student made of a text: a logit for each topic, and its words' rows in the table."""

    logits: tuple[float, ...]
    known: tuple[int, ...]


class Student:
    """A table of words (``words``), a row of ``rows`` (int8, a column for each topic) for each.

    A logit is the sum over a text's words, each counted once, times ``scale`` and divided by
    the square root of their number.
    """

    def __init__(self, words: Sequence[str], rows: npt.NDArray[np.int8], scale: float):
        self._words = words
        self._index: Mapping[str, int] = {word: at for at, word in enumerate(words)}
        self._rows = rows
        self._scale = scale
        # A word is looked up once, however many texts it is in.
        self._pieces = lru_cache(maxsize=1 << 16)(self._split)

    def read(self, title: str, text: str) -> Reading:
        """The logits of one text; zeros when it holds no word of the table."""
        known = self.known(f"{title}\n{text[:READS]}")
        if not known:
            return Reading((0.0,) * self._rows.shape[1], ())
        sums = self._rows[known].sum(axis=0, dtype=np.int64).tolist()
        scale = self._scale / len(known) ** 0.5
        return Reading(tuple(scale * said for said in sums), tuple(known))

    def known(self, text: str) -> list[int]:
        """The rows of the words of a text, each once, in its order."""
        plain = unicodedata.normalize("NFKC", text).casefold()
        found: dict[int, None] = {}
        for word in _NO_WORD.split(plain):
            for at in self._pieces(word):
                found[at] = None
        return list(found)

    def telling(self, reading: Reading, topic: int, most: int) -> list[str]:
        """Those of a text's words that speak most for a topic, more than for the others."""
        rows = self._rows[list(reading.known)].astype(np.int64)
        beyond = rows[:, topic] * rows.shape[1] - rows.sum(axis=1)
        order = np.argsort(-beyond, kind="stable")[:most].tolist()
        return [self._words[reading.known[at]] for at in order if beyond[at] > 0]

    def _split(self, word: str) -> tuple[int, ...]:
        return tuple(self._index[piece] for piece in pieces(word, self._index))


def pieces(word: str, table: Mapping[str, object]) -> Iterator[str]:
    """The words of ``table`` that a word is made of: itself, else the longest ones in turn.

    "Wirtschaftspolitik" begins with "Wirtschaft", and a run of Chinese is many words. What
    begins with no word of the table is left out, in scripts with spaces with all that follows.
    """
    if word in table:
        yield word
        return
    start = 0
    while start < len(word):
        dense = _DENSE.match(word, start) is not None
        least = start + (_SHORTEST_DENSE if dense else _SHORTEST)
        longest = min(len(word), start + _LONGEST)
        end = next((e for e in range(longest, least - 1, -1) if word[start:e] in table), None)
        if end is not None:
            yield word[start:end]
            start = end
        elif dense:
            start += 1
        else:
            return
