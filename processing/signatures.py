"""What a text is known by after others have edited it: winnowed fingerprints of its runs of words.

Every run of five words (in scripts without spaces, of eight characters) is hashed, and of every
ten runs in a row the least hash is kept: two texts that share 14 words in a row share a key,
whatever stands around them. Shared keys estimate how much of one text stands in another, so a copy
cut short is told as well as one with a paragraph added; a measure of the whole would miss both.

Schleimer, Wilkerson, Aiken: Winnowing (SIGMOD 2003), https://doi.org/10.1145/872757.872770
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from processing.texts import count_words, is_unspaced, normalise_text

VERSION = 1
"""Of the way keys are made. Keys of different versions tell nothing about each other."""

MIN_WORDS = 50
"""Shorter texts have no keys: too few runs to tell an edited copy from a common phrase."""

LEAST_SHARED = 4
"""How many keys two texts share at least if they are alike."""

NEAR = "near"
CONTAINED = "contained"

Keys = NDArray[np.uint32]

_WORDS = 5
_CHARACTERS = 8
_WINDOW = 10
_OPENING = 1_000  # characters
_LEAST_CONTAINED = 0.5
_FEW = 8  # below so many shared keys the estimate is coarse, and has to be the better
_LEAST_CONTAINED_OF_FEW = 0.6
_LEAST_OF_LONGER = 0.4


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two texts are.

    ``similarity`` is the estimated share of the shorter text that stands in the longer, 0.5 to 1,
    ``of_longer`` that of the longer that stands in the shorter.
    """

    similarity: float
    of_longer: float

    @property
    def relation(self) -> str:
        """``near``, or ``contained`` where the longer text has much besides."""
        return NEAR if self.of_longer >= _LEAST_OF_LONGER else CONTAINED


def sign(text: str) -> Keys:
    """The keys of a text, sorted, each once; none of a text below ``MIN_WORDS`` words."""
    # The opening alone tells of most texts that they are long enough.
    if count_words(text[:_OPENING]) < MIN_WORDS and count_words(text) < MIN_WORDS:
        return np.empty(0, np.uint32)
    hashes = _hashes_of_runs(normalise_text(text))
    return np.unique(_least_of_windows(hashes, min(_WINDOW, len(hashes))))


def likeness(shared: int, one: int, other: int) -> Likeness | None:
    """What ``shared`` keys say of two texts that have ``one`` and ``other`` keys; None: nothing."""
    shorter, longer = sorted((one, other))
    least = _LEAST_CONTAINED_OF_FEW if shared < _FEW else _LEAST_CONTAINED
    if shared < LEAST_SHARED or shared < least * shorter:
        return None
    return Likeness(shared / shorter, shared / longer)


def _hashes_of_runs(words: str) -> Keys:
    """The hash of every run of a normalised text, in their order."""
    if is_unspaced(words):
        data = words.replace(" ", "").encode("utf-32-le", "surrogatepass")
        starts = np.arange(0, len(data), 4)
        ends, run = starts + 4, _CHARACTERS
    else:
        data = words.encode(errors="surrogatepass")
        spaces = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(" "))
        starts = np.concatenate(([0], spaces + 1))
        ends, run = np.append(spaces, len(data)), _WORDS
    count = max(0, len(starts) - run + 1)
    bounds = zip(starts[:count].tolist(), ends[run - 1 :].tolist(), strict=True)
    # Half of the hash: four equal keys in one pair of texts are no accident at any size of lake.
    digests = [xxh3_64_intdigest(data[start:end]) for start, end in bounds]
    return (np.array(digests, np.uint64) >> np.uint64(32)).astype(np.uint32)


def _least_of_windows(hashes: Keys, width: int) -> Keys:
    """The least of every so many hashes in a row; windows are joined until they are as wide."""
    least, joined = hashes, 1
    while joined < width:
        step = min(joined, width - joined)
        least = np.minimum(least[:-step], least[step:])
        joined += step
    return least
