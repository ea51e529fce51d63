"""Which pages are the same article: by URL key, by the hash of their text, by what texts share.

Labels, never drops: a duplicate keeps its row, in ``copies``, pointing at its article, and is
like that article itself, not only like another copy. Decisions depend on what is given and on
nothing else: not on the order of arrival, not on a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np

from processing.clusters import Alarm, Cluster, Clusters
from processing.neighbours import WINDOW_DAYS, Known, Neighbour, Shelf, Signed, neighbours
from processing.records import Article
from processing.signatures import CONTAINED, NEAR, Keys, sign
from processing.urls import url_id, url_key

SAME_URL = "same-url"
EXACT = "exact"
EXACT_WINDOW_DAYS = 30
"""How far apart in days two equal texts may be and still be one story: beyond it, equal texts
are templates (weather notes, lottery results), not copies."""

_END_OF_DAY = timedelta(days=1, microseconds=-1)


@dataclass(frozen=True, slots=True)
class Decision:
    """What one article turned out to be.

    ``id`` is its own id, ``article_id`` the article it stands for; they are equal, and
    ``relation`` and ``similarity`` None, when it is an article itself. ``relation`` is
    ``same-url``, ``exact``, ``near`` or ``contained``, ``similarity`` 0 to 1: the share of the
    shorter text that stands in the longer.
    """

    id: str
    article_id: str
    relation: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """What is known, looked up three ways.

    ``by_url`` maps the id of a URL key (``urls.url_id``) to all that was published under it,
    ``by_text`` a ``content_hash`` to all published with that text. ``shelves`` gives the signed
    texts of some days, in ascending order; ``members`` what some clusters have on days around
    those of the batch. ``aggregators`` are the sources that carry others' texts.
    """

    by_url: Mapping[str, Sequence[Known]] = field(default_factory=dict)
    by_text: Mapping[str, Sequence[Known]] = field(default_factory=dict)
    shelves: Callable[[Sequence[date]], Iterable[Shelf]] = lambda days: ()
    members: Callable[[Collection[str]], Mapping[str, Cluster]] = lambda clusters: {}
    aggregators: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decided:
    """Decisions, and what follows from them.

    ``decisions``, ``clusters`` (the id of the cluster of each) and ``keys`` (None for what is
    known by its URL) are in the order of the articles given. ``merged`` maps each published
    cluster that proved to be part of another to that other's id.
    """

    decisions: list[Decision]
    clusters: list[str]
    keys: list[Keys | None]
    merged: Mapping[str, str]
    alarms: Collection[Alarm]


def deduplicate(articles: Iterable[Article], index: Index = Index()) -> list[Decision]:
    """One decision for each article, in the order given.

    Each article is held against ``index`` and against those of the batch that come before it
    by (publication moment clamped to first seen, URL key); so the earliest is the article,
    whatever the order given; who states no more than a day comes at the end of it. An article
    whose URL key the index holds from the same source is that very article (or copy) again; a
    page met twice in one batch comes back as ``same-url`` with ``id`` equal to ``article_id``.
    A text that contains an earlier, much shorter one is no copy of it.
    """
    return decide(articles, index).decisions


def decide(articles: Iterable[Article], index: Index) -> Decided:
    """As ``deduplicate``, with the clusters that the texts make."""
    batch = list(articles)
    order = sorted(range(len(batch)), key=lambda n: _order(batch[n]))
    court = _Court([batch[n] for n in order], index)
    decided = court.decide()
    place = {position: n for n, position in enumerate(order)}
    in_turn = [place[position] for position in range(len(batch))]
    return Decided(
        [decided[n] for n in in_turn],
        [court.clusters.root(court.made[n].cluster_id or "") for n in in_turn],
        [court.keys[n] for n in in_turn],
        court.clusters.merged(),
        court.clusters.alarms,
    )


def keys_of(article: Article) -> tuple[str, str]:
    """Ids of the article's two URL keys: the canonical's, then the fetched URL's own."""
    return article.id, url_id(url_key(article.url))


def keys_under(article: Article, decision: Decision) -> tuple[str, ...]:
    """The URL keys' ids under which a decided article is found again.

    A copy is known by its own address alone: its canonical names the article, not the copy.
    """
    own_id, fetched_id = keys_of(article)
    return (fetched_id,) if decision.relation else (own_id, fetched_id)


def day_of(article: Article) -> date:
    """The UTC day that dates the article: of publication where known, else first seen."""
    return (article.published_at or article.first_seen_at).astimezone(UTC).date()


def moment_of(
    published_at: datetime | None, precision: str | None, first_seen_at: datetime
) -> datetime:
    """When a text counts as published among others of its story: never after it was seen."""
    published = published_at or first_seen_at
    if precision == "day":
        published += _END_OF_DAY  # its midnight is nobody's word: who tells the time goes before
    return min(published, first_seen_at)


def _order(article: Article) -> tuple[datetime, str, str]:
    moment = moment_of(article.published_at, article.published_precision, article.first_seen_at)
    return moment, url_key(article.url), article.source or ""


class _Court:
    """The batch in its order, decided one by one; ``made`` is what is known of each then."""

    def __init__(self, batch: Sequence[Article], index: Index):
        self.made: list[Known] = []
        self._batch = batch
        self._index = index
        self._urls: dict[str, list[Known]] = {}
        self._texts: dict[str, list[Known]] = {}
        self._again = [self._known_page(article) for article in batch]
        self.keys = [
            None if again else sign(article.text)
            for article, again in zip(batch, self._again, strict=True)
        ]
        self._near = self._neighbours()
        touched = {_cluster(known) for known in self._met()}
        members = index.members(touched)
        self.clusters = Clusters(
            {id_: members.get(id_, Cluster()) for id_ in touched}, index.aggregators
        )

    def decide(self) -> list[Decision]:
        """One decision for each article, in the order of the batch."""
        decisions = []
        for number, article in enumerate(self._batch):
            near = [(self._other(each), each) for each in self._near[number]]
            again = self._again[number]
            if again:
                decision, cluster_id = _copy_of(again, again.id, again.relation)
            else:
                decision, cluster_id = self._decide(article, near)
                self._gather(article, decision, cluster_id, near)
            decisions.append(decision)
            self._take_up(article, decision, cluster_id)
        return decisions

    # --- what there is to decide on ---------------------------------------------------------

    def _known_page(self, article: Article) -> Known | None:
        """What the article's own source published under its address."""
        own_id, fetched_id = keys_of(article)
        # The fetched address first: what was published under it is this page, whatever the page
        # now calls its canonical.
        published = (k for key in (fetched_id, own_id) for k in self._index.by_url.get(key, ()))
        return next((known for known in published if known.source == article.source), None)

    def _neighbours(self) -> list[list[Neighbour]]:
        none = np.empty(0, np.uint32)
        signed = [
            Signed(article.source or "", day_of(article), none if keys is None else keys)
            for article, keys in zip(self._batch, self.keys, strict=True)
        ]
        around = [timedelta(days=n) for n in range(-WINDOW_DAYS, WINDOW_DAYS + 1)]
        days = sorted({text.day + apart for text in signed if len(text.keys) for apart in around})
        shelves = self._index.shelves(days) if days else ()
        return neighbours(signed, shelves, self._index.aggregators)

    def _met(self) -> Iterator[Known]:
        """All that is known and that the batch may join."""
        for number, article in enumerate(self._batch):
            for key in keys_of(article):
                yield from self._index.by_url.get(key, ())
            yield from self._index.by_text.get(article.content_hash, ())
            for each in self._near[number]:
                if isinstance(each.other, Known):
                    yield each.other

    def _other(self, neighbour: Neighbour) -> Known:
        other = neighbour.other
        return other if isinstance(other, Known) else self.made[other]

    # --- decisions --------------------------------------------------------------------------

    def _decide(self, article: Article, near: Sequence[_Like]) -> tuple[Decision, str]:
        """The decision on a page not known, and the cluster that it is part of by that."""
        own_id, fetched_id = keys_of(article)
        for known in self._of_url(article):
            return _copy_of(known, fetched_id, SAME_URL)
        for known in sorted(self._of_text(article), key=_is_edited):
            # What equals an edited copy is like its article just so.
            return _copy_of(known, fetched_id, known.relation if _is_edited(known) else EXACT)
        copied = min(filter(_may_be_copied, near), key=_distance, default=None)
        if copied and self.clusters.takes(_cluster(copied[0]), article.source or ""):
            known, said = copied[0], copied[1].likeness
            decision = Decision(fetched_id, known.id, said.relation, said.similarity)
            return decision, _cluster(known)
        return Decision(own_id, own_id), own_id

    def _gather(
        self, article: Article, decision: Decision, cluster_id: str, near: Sequence[_Like]
    ) -> None:
        """Put a text into its cluster, and make one of those that it brings together.

        They are those of all that it is near to, so that clusters are the same whichever text
        comes first; but no two parts bring their wholes together, alike as they may be. An article
        also joins that of the part it contains, unless a stranger is in there: another that
        contains the part, and shares nothing else with this one.
        """
        source = article.source or ""
        own = decision.id if decision.relation is None else None
        self.clusters.add(cluster_id, source, own)
        for known, said in near:
            if _is_near(said) and not _meet_in_a_part(decision, known):
                self.clusters.join(cluster_id, _cluster(known), source)
        if own is None:
            return
        ours = {own, *(known.id for known, said in near if said.longer or _is_near(said))}
        parts = [like for like in near if like[1].longer and like[0].relation is None]
        for known, _ in sorted(parts, key=_distance)[:1]:
            if ours.issuperset(self.clusters.articles(_cluster(known))):
                self.clusters.join(cluster_id, _cluster(known), source)

    def _of_url(self, article: Article) -> Iterator[Known]:
        for urls in (self._index.by_url, self._urls):
            for key in reversed(keys_of(article)):
                yield from urls.get(key, ())

    def _of_text(self, article: Article) -> Iterator[Known]:
        day = day_of(article)
        for texts in (self._index.by_text, self._texts):
            for known in texts.get(article.content_hash, ()):
                if known.day is None or abs((known.day - day).days) <= EXACT_WINDOW_DAYS:
                    yield known

    def _take_up(self, article: Article, decision: Decision, cluster_id: str) -> None:
        known = Known(
            decision.id,
            decision.article_id,
            article.source,
            decision.relation,
            day_of(article),
            cluster_id,
            decision.similarity,
        )
        for key in dict.fromkeys(keys_under(article, decision)):
            self._urls.setdefault(key, []).append(known)
        self._texts.setdefault(article.content_hash, []).append(known)
        self.made.append(known)


_Like = tuple[Known, Neighbour]


def _may_be_copied(like: _Like) -> bool:
    """Whether a text like it is an article, and not a part of this text."""
    known, said = like
    return known.relation is None and (_is_near(said) or not said.longer)


def _meet_in_a_part(one: Decision, other: Known) -> bool:
    """Whether two are copies, and one but a part: alike, they say nothing of their articles."""
    relations = one.relation, other.relation
    return CONTAINED in relations and None not in relations


def _is_near(neighbour: Neighbour) -> bool:
    return neighbour.likeness.relation == NEAR


def _distance(like: _Like) -> tuple[bool, float, date, str]:
    """Near ones first, the most alike both ways first, the earliest first."""
    known, said = like[0], like[1].likeness
    alike = said.similarity + said.of_longer
    return said.relation != NEAR, -alike, known.day or date.min, known.id


def _copy_of(known: Known, id_: str, relation: str | None) -> tuple[Decision, str]:
    """What equals something known, and its cluster: that very thing where the id is the same."""
    similarity = (known.similarity if relation == known.relation else None) or 1.0
    decision = Decision(id_, known.article_id, relation, similarity if relation else None)
    return decision, _cluster(known)


def _is_edited(known: Known) -> bool:
    return known.relation in (NEAR, CONTAINED)


def _cluster(known: Known) -> str:
    return known.cluster_id or known.article_id
