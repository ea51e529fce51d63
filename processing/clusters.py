"""Clusters of texts as they grow: which have come together, and which must take no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from processing.neighbours import MOST_OF_SITE

LARGEST = 1_000
"""Texts above which a cluster takes none but equal ones."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A cluster that did not take a text of ``source``, being too ``large`` or too ``mixed``."""

    cluster_id: str
    source: str
    reason: str


class Clusters:
    """Published clusters and new ones, by id, with how many texts of each site they have.

    ``published`` are those that new texts may join. None may have more than ``LARGEST`` texts, or
    than ``MOST_OF_SITE`` of one site that is none of ``aggregators``: those share a template.
    """

    def __init__(self, published: Mapping[str, Counter[str]], aggregators: Collection[str] = ()):
        self.alarms: dict[Alarm, None] = {}
        self._published = frozenset(published)
        self._texts = {id_: Counter(texts) for id_, texts in published.items()}
        self._part_of: dict[str, str] = {}
        self._born: dict[str, int] = {}
        self._aggregators = aggregators

    def root(self, id_: str) -> str:
        """The cluster that a cluster is part of by now."""
        while id_ in self._part_of:
            id_ = self._part_of[id_]
        return id_

    def add(self, id_: str, source: str) -> None:
        """Count a text into a cluster, a new one if there is none of that id."""
        self._born.setdefault(id_, len(self._born))
        self._texts.setdefault(self.root(id_), Counter())[source] += 1

    def takes(self, id_: str, source: str) -> bool:
        """Whether a cluster takes one more text of a source; if not there is an alarm."""
        return self._fits(self.root(id_), Counter([source]), source)

    def join(self, one: str, other: str, source: str) -> None:
        """Make one of two clusters because of a text of ``source``, or raise the alarm.

        The published one stays, of two the one with more texts, of new ones the earlier.
        """
        ids = sorted({self.root(one), self.root(other)}, key=self._rank)
        if len(ids) == 1 or not self._fits(ids[0], self._texts[ids[1]], source):
            return
        stays, goes = ids
        self._part_of[goes] = stays
        self._texts[stays].update(self._texts.pop(goes))

    def merged(self) -> dict[str, str]:
        """Each published cluster that became part of another, and that other."""
        return {id_: self.root(id_) for id_ in sorted(self._published) if self.root(id_) != id_}

    def _rank(self, id_: str) -> tuple[bool, int, str]:
        if id_ in self._published:
            return False, -self._texts[id_].total(), id_
        return True, self._born[id_], id_

    def _fits(self, id_: str, more: Counter[str], source: str) -> bool:
        together = self._texts.get(id_, Counter()) + more
        crowded = (
            texts > MOST_OF_SITE and site in more and site not in self._aggregators
            for site, texts in together.items()
        )
        reason = "large" if together.total() > LARGEST else "mixed" if any(crowded) else None
        if reason:
            self.alarms[Alarm(id_, source, reason)] = None
        return reason is None
