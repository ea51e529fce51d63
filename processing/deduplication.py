"""Which pages are the same article: by URL key, then by the hash of their normalised text.

Labels, never drops: a duplicate keeps its row, in ``copies``, pointing at its article. Decisions
depend on what is given and on nothing else: not on the order of arrival, not on a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from processing.records import Article
from processing.urls import url_id, url_key

SAME_URL = "same-url"
EXACT = "exact"
EXACT_WINDOW_DAYS = 30
"""How far apart in days two equal texts may be and still be one story: beyond it, equal texts
are templates (weather notes, lottery results), not copies."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one article turned out to be.

    ``id`` is its own id, ``article_id`` the article it stands for; they are equal, and
    ``relation`` and ``similarity`` None, when it is an article itself. ``relation`` is
    ``same-url`` or ``exact``, ``similarity`` 0 to 1.
    """

    id: str
    article_id: str
    relation: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Something published (or decided earlier in the same batch) that others can equal."""

    id: str
    article_id: str
    source: str | None
    relation: str | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """What is known, looked up two ways.

    ``by_url`` maps the id of a URL key (``urls.url_id``) to all that was published under it,
    ``by_text`` a ``content_hash`` to all published with that text.
    """

    by_url: Mapping[str, Sequence[Known]] = field(default_factory=dict)
    by_text: Mapping[str, Sequence[Known]] = field(default_factory=dict)


def deduplicate(articles: Iterable[Article], index: Index = Index()) -> list[Decision]:
    """One decision for each article, in the order given.

    Each article is held against ``index`` and against those of the batch that come before it
    by (publication moment clamped to first seen, URL key); so the earliest is the article,
    whatever the order given. An article whose URL key the index holds from the same source is
    that very article (or copy) again; a page met twice in one batch comes back as ``same-url``
    with ``id`` equal to ``article_id``.
    """
    batch = list(articles)
    seen = _Overlay(index)
    decisions: dict[int, Decision] = {}
    for position in sorted(range(len(batch)), key=lambda n: _order(batch[n])):
        article = batch[position]
        decision = _decide(article, seen)
        decisions[position] = decision
        seen.add(article, decision)
    return [decisions[position] for position in range(len(batch))]


def keys_of(article: Article) -> tuple[str, str]:
    """Ids of the article's two URL keys: the canonical's, then the fetched URL's own."""
    return article.id, url_id(url_key(article.url))


def keys_under(article: Article, decision: Decision) -> tuple[str, ...]:
    """The URL keys' ids under which a decided article is found again.

    A copy is known by its own address alone: its canonical names the article, not the copy.
    """
    own_id, fetched_id = keys_of(article)
    return (fetched_id,) if decision.relation else (own_id, fetched_id)


def fingerprint(content_hash: str) -> str:
    """What a text is found again by in ``fingerprints``: 32 hex digits of its hash."""
    return content_hash[:32]


def day_of(article: Article) -> date:
    """The UTC day that dates the article: of publication where known, else first seen."""
    return (article.published_at or article.first_seen_at).astimezone(UTC).date()


def _order(article: Article) -> tuple[datetime, str, str]:
    published = article.published_at or article.first_seen_at
    return min(published, article.first_seen_at), url_key(article.url), article.source or ""


def _decide(article: Article, seen: _Overlay) -> Decision:
    own_id, fetched_id = keys_of(article)
    # The fetched address first: what was published under it is this page, whatever the page
    # now calls its canonical.
    published = [k for key in (fetched_id, own_id) for k in seen.index.by_url.get(key, ())]
    for known in published:
        if known.source == article.source:
            return Decision(
                known.id, known.article_id, known.relation, 1.0 if known.relation else None
            )
    for known in (*published, *seen.urls.get(own_id, ()), *seen.urls.get(fetched_id, ())):
        return Decision(fetched_id, known.article_id, SAME_URL, 1.0)
    day = day_of(article)
    texts = (seen.index.by_text, seen.texts)
    for known in (k for known_texts in texts for k in known_texts.get(article.content_hash, ())):
        if known.day is None or abs((known.day - day).days) <= EXACT_WINDOW_DAYS:
            return Decision(fetched_id, known.article_id, EXACT, 1.0)
    return Decision(own_id, own_id)


class _Overlay:
    """The index, and beside it what this batch has decided so far."""

    def __init__(self, index: Index):
        self.index = index
        self.urls: dict[str, list[Known]] = {}
        self.texts: dict[str, list[Known]] = {}

    def add(self, article: Article, decision: Decision) -> None:
        known = Known(
            decision.id, decision.article_id, article.source, decision.relation, day_of(article)
        )
        for key in dict.fromkeys(keys_under(article, decision)):
            self.urls.setdefault(key, []).append(known)
        self.texts.setdefault(article.content_hash, []).append(known)
