"""A text as multilingual-e5-small reads it: the numbers of its pieces.

Of all ways to cut a text into pieces of the vocabulary the likeliest is taken (Kudo 2018, unigram
language model, section 3.2), as SentencePiece does it for XLM-RoBERTa.
"""

from __future__ import annotations

import re

from processing.e5_file import UNKNOWN, Vocabulary

_BEGIN, _END = 0, 2
_SPACE = "\u2581"
_UNKNOWN_COSTS = 10.0  # below the unlikeliest piece, as in SentencePiece

_SPACES = re.compile(" {2,}")


class Tokenizer:
    """Cuts texts into pieces of ``vocabulary``."""

    def __init__(self, vocabulary: Vocabulary):
        self._plain = vocabulary.plain
        self._pieces = {
            piece: (number, score)
            for number, (piece, score) in enumerate(vocabulary.pieces)
            if number != UNKNOWN
        }
        self._longest = max(map(len, self._pieces))
        self._unknown = min(score for _, score in self._pieces.values()) - _UNKNOWN_COSTS

    def numbers(self, text: str, most: int) -> list[int]:
        """The pieces' numbers between those of beginning and end; ``most`` in all."""
        letters = _SPACES.sub(" ", text.translate(self._plain)).replace(" ", _SPACE)
        if not letters.startswith(_SPACE):
            letters = _SPACE + letters
        return [_BEGIN, *self._likeliest(letters)[: most - 2], _END]

    def _likeliest(self, letters: str) -> list[int]:
        """Viterbi's way: the likeliest pieces up to each letter, and those of the last one."""
        size = len(letters)
        best = [0.0] + [float("-inf")] * size
        came = [(0, UNKNOWN)] * (size + 1)
        for start in range(size):
            said = best[start]
            if said + self._unknown > best[start + 1]:
                best[start + 1], came[start + 1] = said + self._unknown, (start, UNKNOWN)
            for end in range(start + 1, min(start + self._longest, size) + 1):
                found = self._pieces.get(letters[start:end])
                if found and said + found[1] > best[end]:
                    best[end], came[end] = said + found[1], (start, found[0])
        numbers, at = [], size
        while at:
            at, number = came[at]
            numbers.append(number)
        return numbers[::-1]
