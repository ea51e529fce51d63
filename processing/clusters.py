"""Clusters of texts as they grow: which have come together, and which must take no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from processing.neighbours import MOST_OF_SITE

LARGEST = 1_000
"""Texts above which a cluster takes none but equal ones."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A cluster that did not take a text of ``source``, being too ``large`` or too ``mixed``."""

    cluster_id: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """How many texts of each site a cluster has, and the ids of those that are articles."""

    texts: Counter[str] = field(default_factory=Counter)
    articles: set[str] = field(default_factory=set)


class Clusters:
    """Published clusters and new ones, by id.

    ``published`` are those that new texts may join. None may have more than ``LARGEST`` texts, or
    than ``MOST_OF_SITE`` of one site that is none of ``aggregators``: those share a template.
    """

    def __init__(self, published: Mapping[str, Cluster], aggregators: Collection[str] = ()):
        self.alarms: dict[Alarm, None] = {}
        self._published = frozenset(published)
        self._held = {
            id_: Cluster(Counter(held.texts), set(held.articles)) for id_, held in published.items()
        }
        self._part_of: dict[str, str] = {}
        self._born: dict[str, int] = {}
        self._aggregators = aggregators

    def root(self, id_: str) -> str:
        """The cluster that a cluster is part of by now."""
        while id_ in self._part_of:
            id_ = self._part_of[id_]
        return id_

    def articles(self, id_: str) -> Collection[str]:
        """The ids of a cluster's articles."""
        return self._of(self.root(id_)).articles

    def add(self, id_: str, source: str, article_id: str | None = None) -> None:
        """Count a text, or an article of an id, into a cluster, a new one if there is none."""
        self._born.setdefault(id_, len(self._born))
        held = self._held.setdefault(self.root(id_), Cluster())
        held.texts[source] += 1
        if article_id is not None:
            held.articles.add(article_id)

    def takes(self, id_: str, source: str) -> bool:
        """Whether a cluster takes one more text of a source; if not there is an alarm."""
        return self._fits(self.root(id_), Counter([source]), source)

    def join(self, one: str, other: str, source: str) -> None:
        """Make one of two clusters because of a text of ``source``, or raise the alarm.

        The published one stays, of two the one with more texts, of new ones the earlier.
        """
        ids = sorted({self.root(one), self.root(other)}, key=self._rank)
        if len(ids) == 1 or not self._fits(ids[0], self._held[ids[1]].texts, source):
            return
        stays, goes = ids
        self._part_of[goes] = stays
        held = self._held.pop(goes)
        self._held[stays].texts.update(held.texts)
        self._held[stays].articles.update(held.articles)

    def merged(self) -> dict[str, str]:
        """Each published cluster that became part of another, and that other."""
        return {id_: self.root(id_) for id_ in sorted(self._published) if self.root(id_) != id_}

    def _of(self, id_: str) -> Cluster:
        return self._held.get(id_, Cluster())

    def _rank(self, id_: str) -> tuple[bool, int, str]:
        if id_ in self._published:
            return False, -self._held[id_].texts.total(), id_
        return True, self._born[id_], id_

    def _fits(self, id_: str, more: Counter[str], source: str) -> bool:
        together = self._of(id_).texts + more
        crowded = (
            texts > MOST_OF_SITE and site in more and site not in self._aggregators
            for site, texts in together.items()
        )
        reason = "large" if together.total() > LARGEST else "mixed" if any(crowded) else None
        if reason:
            self.alarms[Alarm(id_, source, reason)] = None
        return reason is None
