"""A lake held in memory, for what deduplication decides over several runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np

from processing.clusters import Cluster
from processing.deduplication import Decided, Decision, Index, day_of, decide, keys_under
from processing.neighbours import Known, Shelf
from processing.records import Article
from processing.signatures import Keys


def shelf(day: date, texts: Sequence[tuple[Known, Keys]]) -> Shelf:
    """A shelf of these texts."""
    return Shelf(
        day,
        [known.source or "" for known, _ in texts],
        np.concatenate([np.empty(0, np.uint32), *(keys for _, keys in texts)]),
        np.array([len(keys) for _, keys in texts], np.int64),
        lambda numbers: [texts[n][0] for n in numbers],
    )


@dataclass
class KnownLake:
    """What runs have published, in their order."""

    aggregators: Collection[str] = ()
    rows: list[tuple[Article, Decision, Known, Keys]] = field(default_factory=list)

    def publish(self, articles: Sequence[Article]) -> Decided:
        """Decide a run against those before it, and keep what it brings."""
        decided = decide(articles, self.index())
        for row, (article, decision, known, keys) in enumerate(self.rows):
            cluster_id = decided.merged.get(known.cluster_id, known.cluster_id)
            self.rows[row] = article, decision, replace(known, cluster_id=cluster_id), keys
        for article, decision, cluster_id, keys in zip(
            articles, decided.decisions, decided.clusters, decided.keys, strict=True
        ):
            if keys is not None:
                known = Known(
                    decision.id,
                    decision.article_id,
                    article.source,
                    decision.relation,
                    day_of(article),
                    cluster_id,
                    decision.similarity,
                )
                self.rows.append((article, decision, known, keys))
        return decided

    def index(self) -> Index:
        """What the next run is decided against."""
        by_url, by_text = defaultdict(list), defaultdict(list)
        for article, decision, known, _ in self.rows:
            for key in keys_under(article, decision):
                by_url[key].append(known)
            by_text[article.content_hash].append(known)
        for texts in by_text.values():
            texts.sort(key=lambda known: (known.relation is not None, known.day, known.id))
        return Index(by_url, by_text, self._shelves, self._members, self.aggregators)

    def clusters(self) -> set[frozenset[str]]:
        """The URLs of each cluster."""
        found = defaultdict(set)
        for article, _, known, _ in self.rows:
            found[known.cluster_id].add(article.url)
        return set(map(frozenset, found.values()))

    def articles(self) -> set[str]:
        """The URLs of all that are articles."""
        return {article.url for article, decision, *_ in self.rows if decision.relation is None}

    def _shelves(self, days: Sequence[date]) -> Iterator[Shelf]:
        for day in days:
            yield shelf(day, [(known, keys) for *_, known, keys in self.rows if known.day == day])

    def _members(self, clusters: Collection[str]) -> dict[str, Cluster]:
        found = defaultdict(Cluster)
        for _, _, known, _ in self.rows:
            if known.cluster_id in clusters:
                found[known.cluster_id].texts[known.source] += 1
                if known.relation is None:
                    found[known.cluster_id].articles.add(known.id)
        return found
