"""Which texts of a batch are like each other, or like texts known from before: by shared keys.

What is known comes day by day, in shelves that are looked at once: held at a time are the batch, a
shelf, and of its day what shares keys with the batch. A key that one site repeats all day (its
templates, its boilerplate) is no evidence, and one that very many texts have is followed to few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processing.signatures import LEAST_SHARED, Keys, Likeness, likeness

WINDOW_DAYS = 3
"""How far apart in days two texts may be and still be told as near or contained."""

MOST_OF_SITE = 20
"""In how many texts of one site and day a key may stand before it counts as the site's own."""

MOST_FOLLOWED = 16
"""To how many texts of a day a key is followed: who is like more of them is like the first."""

_FILTER_BITS = 24
_Numbers = NDArray[np.int64]
_Marks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Known:
    """Something published (or decided earlier in the same batch) that others can equal.

    ``relation`` and ``similarity`` are those to its article, None for an article itself.
    ``cluster_id`` is None where nothing is known of its cluster: then it is the article's own.
    """

    id: str
    article_id: str
    source: str | None
    relation: str | None = None
    day: date | None = None
    cluster_id: str | None = None
    similarity: float | None = None


class Signed(NamedTuple):
    """A text by its site, day and keys."""

    site: str
    day: date
    keys: Keys


@dataclass(frozen=True, slots=True)
class Shelf:
    """Known texts of one day, by number.

    ``sites`` names the site of each, ``keys`` has the keys of all, text after text, and ``sizes``
    how many each has; ``pick`` gives what is known of the texts of some numbers.
    """

    day: date
    sites: Sequence[str]
    keys: Keys
    sizes: _Numbers
    pick: Callable[[Sequence[int]], Sequence[Known]]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A text like one of the batch: what is known of it, or its number in the batch.

    ``longer`` says whether the text of the batch is the longer of the two.
    """

    other: Known | int
    likeness: Likeness
    longer: bool


def neighbours(
    batch: Sequence[Signed], shelves: Iterable[Shelf], aggregators: Collection[str] = ()
) -> list[list[Neighbour]]:
    """For each text of the batch those like it: known ones, and those before it in the batch.

    ``shelves`` hold what is known by ascending day. Texts further apart than ``WINDOW_DAYS`` are
    not held against each other. ``aggregators`` are sites that carry others' texts: what they
    repeat is no template of theirs.
    """
    desk = _Desk(batch, aggregators)
    met = [each for day, own in groupby(shelves, lambda s: s.day) for each in desk.meet(day, own)]
    desk.strike_rest()
    met += desk.meet_itself()
    found: list[list[Neighbour]] = [[] for _ in batch]
    for text, other, size, keys in met:
        own_size = len(batch[text].keys)
        shared = len(np.intersect1d(desk.keys_of(text), keys, assume_unique=True))
        # A template is part of its text, if no evidence: sizes are those of the whole.
        if said := likeness(shared, own_size, size):
            found[text].append(Neighbour(other, said, own_size > size))
    return found


_Met = tuple[int, Known | int, int, _Numbers]
"""A text of the batch; another that shares keys with it, how many that has, and which count."""


class _Held:
    """What is known of a day and shares keys with the batch.

    One entry for each such key of each text: ``keys``, ``texts`` (the number in ``known`` and
    ``sizes``; -1 for a text that shares too few) and ``groups`` (the number in ``sites``).
    """

    def __init__(self) -> None:
        self.known: list[Known] = []
        self.sizes: list[int] = []
        self.sites: dict[str, int] = {}
        self.keys = self.texts = self.groups = _NONE

    def add(self, shelf: Shelf, keys: _Numbers, texts: _Numbers) -> None:
        """Take up what was found on a shelf, ``texts`` by their numbers on it."""
        enough = np.flatnonzero(np.bincount(texts) >= LEAST_SHARED)
        numbers = np.full(len(shelf.sizes), -1)
        numbers[enough] = len(self.known) + np.arange(len(enough))
        self.known += shelf.pick(enough.tolist())
        self.sizes += shelf.sizes[enough].tolist()
        groups = np.zeros(len(shelf.sizes), np.int64)
        for text in np.unique(texts).tolist():
            groups[text] = self.sites.setdefault(shelf.sites[text], len(self.sites))
        self.keys = np.concatenate((self.keys, keys))
        self.texts = np.concatenate((self.texts, numbers[texts]))
        self.groups = np.concatenate((self.groups, groups[texts]))

    def ranks(self) -> _Numbers:
        """The place of each text among those that a key is followed to.

        Articles come first: a copy is one of an article, so of many texts those have to be met.
        """
        order = sorted(range(len(self.known)), key=lambda n: _rank(self.known[n]))
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return ranks


class _Desk:
    """The batch, laid out by key to be met by other texts.

    A key goes by its place in ``_wanted``. ``_keys`` has those of all texts, one after another,
    ``_texts`` the number of each one's text; ``_struck`` marks keys that are their site's own.
    """

    def __init__(self, batch: Sequence[Signed], aggregators: Collection[str]):
        self._batch = batch
        self._aggregators = aggregators
        self._days = np.array([text.day.toordinal() for text in batch], np.int64)
        self._bounds = np.cumsum([0, *(len(text.keys) for text in batch)])
        whole = np.concatenate([np.empty(0, np.uint32), *(text.keys for text in batch)])
        self._wanted, self._keys, self._counts = np.unique(
            whole, return_inverse=True, return_counts=True
        )
        self._texts = np.repeat(np.arange(len(batch)), np.diff(self._bounds))
        self._struck = np.zeros(len(whole), bool)
        # The texts that have each key, key after key.
        self._holders = self._texts[np.argsort(self._keys, kind="stable")]
        self._holders_before = np.cumsum(self._counts) - self._counts
        # A key that is not even marked here needs no search.
        self._filter = np.zeros(1 << _FILTER_BITS, bool)
        self._filter[_short(whole)] = True
        self._unjudged: dict[date, list[int]] = defaultdict(list)
        for number, text in enumerate(batch):
            if text.site not in aggregators:
                self._unjudged[text.day].append(number)

    def keys_of(self, text: int) -> _Numbers:
        """The keys of a text of the batch that count."""
        own = self._entries(text)
        return self._keys[own[~self._struck[own]]]

    def meet(self, day: date, shelves: Iterable[Shelf]) -> Iterator[_Met]:
        """What is known of a day, held against the batch."""
        held = _Held()
        for shelf in shelves:
            held.add(shelf, *self._find(shelf))
        counts = ~self._strike(day, held) & (held.texts >= 0)
        keys, texts = held.keys[counts], held.texts[counts]
        by_text = np.argsort(texts, kind="stable")
        bounds = np.searchsorted(texts[by_text], np.arange(len(held.known) + 1))
        for text, other in self._pairs(day, keys, texts, held.ranks()):
            own = keys[by_text[bounds[other] : bounds[other + 1]]]
            yield text, held.known[other], held.sizes[other], own

    def strike_rest(self) -> None:
        """Strike what sites repeat on days of which nothing else is known."""
        for day in list(self._unjudged):
            self._strike(day, _Held())

    def meet_itself(self) -> Iterator[_Met]:
        """The batch, held against what comes before in it."""
        ranks = np.arange(len(self._batch))
        for day in sorted({text.day for text in self._batch}):
            own = (self._days[self._texts] == day.toordinal()) & ~self._struck
            for text, other in self._pairs(day, self._keys[own], self._texts[own], ranks):
                if other < text:
                    yield text, other, len(self._batch[other].keys), self.keys_of(other)

    def _entries(self, text: int) -> _Numbers:
        return np.arange(self._bounds[text], self._bounds[text + 1])

    def _find(self, shelf: Shelf) -> tuple[_Numbers, _Numbers]:
        """The keys of a shelf that the batch has too, each with the number of its text."""
        maybe = np.flatnonzero(self._filter[_short(shelf.keys)])
        places = np.searchsorted(self._wanted, shelf.keys[maybe])
        there = places < len(self._wanted)
        there[there] = self._wanted[places[there]] == shelf.keys[maybe[there]]
        ends = np.cumsum(shelf.sizes)
        return places[there], np.searchsorted(ends, maybe[there], side="right")

    def _strike(self, day: date, held: _Held) -> _Marks:
        """Mark the site's own keys of a day, in the batch and of what is known; the latter's."""
        own = self._unjudged.pop(day, [])
        entries = np.concatenate([_NONE, *(self._entries(text) for text in own)])
        sites = [held.sites.setdefault(self._batch[text].site, len(held.sites)) for text in own]
        groups = np.repeat(np.array(sites, np.int64), np.diff(self._bounds)[own])
        repeated = _repeated(
            np.concatenate((held.groups, groups)), np.concatenate((held.keys, self._keys[entries]))
        )
        theirs, ours = np.split(repeated, [len(held.keys)])
        self._struck[entries] = ours
        exempt = np.array([site in self._aggregators for site in held.sites], bool)
        marks: _Marks = theirs & ~exempt[held.groups]
        return marks

    def _pairs(
        self, day: date, keys: _Numbers, texts: _Numbers, ranks: _Numbers
    ) -> Iterator[tuple[int, int]]:
        """Texts of the batch, each with one of a day that shares enough keys with it.

        A key is followed to the first texts by ``ranks`` alone.
        """
        order = np.lexsort((ranks[texts], keys))
        keys, texts = keys[order], texts[order]
        few = np.arange(len(keys)) - np.searchsorted(keys, keys) < MOST_FOLLOWED
        keys, texts = keys[few], texts[few]
        # Each text beside all holders of its key: the ranges of holders, one after another.
        counts = self._counts[keys]
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        holders = self._holders[places + np.repeat(self._holders_before[keys], counts)]
        others = np.repeat(texts, counts)
        close = np.abs(self._days[holders] - day.toordinal()) <= WINDOW_DAYS
        width = len(ranks)
        met, shared = np.unique(holders[close] * width + others[close], return_counts=True)
        met = met[shared >= LEAST_SHARED]
        return zip((met // width).tolist(), (met % width).tolist(), strict=True)


_NONE: _Numbers = np.empty(0, np.int64)


def _repeated(groups: _Numbers, keys: _Numbers) -> _Marks:
    """Which keys more than ``MOST_OF_SITE`` texts of their group have."""
    pairs = groups << 32 | keys
    _, which, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    repeated: _Marks = counts[which] > MOST_OF_SITE
    return repeated


def _rank(known: Known) -> tuple[bool, str, str]:
    return known.relation is not None, known.id, known.source or ""


def _short(keys: Keys) -> Keys:
    return keys >> np.uint32(32 - _FILTER_BITS)
