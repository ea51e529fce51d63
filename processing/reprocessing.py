"""What today's code makes of pages fetched before, where that is not what the lake holds.

Rows of articles and copies are extracted again from the stored page they came from; so are the
pages of the raw zone that came to nothing then. Nothing here changes the lake:
``processing.corrections`` commits what is found.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from processing.archive import StoredPage, read_listed_page, read_pages
from processing.dataset import Tables
from processing.deduplication import keys_of
from processing.pool import ExtractionPool
from processing.records import Article, Page, Rejection, State, WarcPointer, run_day
from processing.site_templates import Templates
from processing.storage import Store
from processing.tables import SCHEMAS
from processing.topics import classify
from processing.urls import url_key

Row = dict[str, Any]
TopicMaps = Mapping[str, Mapping[str, str]]

EXTRACTED_COLUMNS = (
    "title", "text", "authors", "published_at", "published_source", "published_precision",
    "modified_at", "canonical_url", "language", "section", "tags", "summary", "word_count",
    "image_url", "is_accessible_for_free", "wire", "rights", "content_hash",
)  # fmt: skip
"""What a page says anew. Identity, date and moments of fetching stay as first published."""

TOPIC_COLUMNS = ("topic", "topic_score", "topic_method", "topics")

EXPIRED = "their stored page has expired"
FOREIGN = "they were imported from WARC files outside this lake"
MISSING = "their stored page is missing or damaged"
NOT_KEPT = "their page was rejected and not kept, or has expired"
FAILED = "their page could not be extracted this time"

_REJECTED = (
    State.REJECTED_NOT_HTML,
    State.REJECTED_NOT_ARTICLE,
    State.REJECTED_TOO_SHORT,
    State.REJECTED_BLOCKED,
    State.FAILED_EXTRACTION,
)
TAKEN = (State.PUBLISHED, State.UPDATED, State.UNCHANGED)
"""States of a page that became the article its coverage row names."""

_AT_ONCE = 500  # rows with their texts held at a time


class Kind(StrEnum):
    """What a difference does to the dataset."""

    CHANGED = "changed"
    LOST = "lost"
    GAINED = "gained"


@dataclass(frozen=True, slots=True)
class Selection:
    """Days (both included, None: open) and sources (none named: all) to extract again."""

    first: date | None = None
    last: date | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One page of which today's code makes something else.

    ``table`` and ``before`` are the row that stands: of articles or copies, or of coverage for a
    page that came to nothing then. ``after`` is the row to stand, None when the page is no
    article any more; of a gained page the article as extraction gives it. ``rejection`` is why
    the page is none; together with ``after`` it means that an earlier text takes its place
    again. ``url`` is the address under which the page was discovered.
    """

    table: str
    url: str
    before: Row
    after: Row | None = None
    rejection: Rejection | None = None

    @property
    def kind(self) -> Kind:
        """What it does to the dataset."""
        if self.table == "coverage":
            return Kind.GAINED
        return Kind.CHANGED if self.after else Kind.LOST

    @property
    def source(self) -> str:
        """Id of the page's source."""
        return str(self.before["source"])

    @property
    def columns(self) -> list[str]:
        """The columns that changed."""
        if self.kind is not Kind.CHANGED or self.after is None:
            return []
        return [c for c in _COMPARED if self.after[c] != self.before[c]]


_COMPARED = (*EXTRACTED_COLUMNS, *TOPIC_COLUMNS)


@dataclass(slots=True)
class Day:
    """All differences of one day.

    ``looked_at`` counts pages by source; ``left`` those, by source and reason, that could not be
    extracted again and stay as they are.
    """

    day: date
    differences: list[Difference] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)
    left: Counter[tuple[str, str]] = field(default_factory=Counter)


def find_differences(
    store: Store,
    selection: Selection,
    pool: ExtractionPool,
    topic_maps: TopicMaps,
    *,
    fast_topics: bool = False,
) -> Iterator[Day]:
    """The selection's days in order, each with what today's code makes of its pages.

    A day holds the rows dated on it, and the rejected pages of the runs of that day.
    ``topic_maps`` are the sources' own ``topics:``; ``fast_topics`` asks the student model alone.
    Reads one state of the tables, and holds one
    day's differences at a time. Raises StoreError when the store does not answer.
    """
    classified = partial(_classified, fast=fast_topics)
    search = _Search(Tables(store), selection, pool, topic_maps, classified)
    for day in search.days():
        yield search.day(day)


class _Search:
    """One pass over a selection."""

    def __init__(
        self,
        tables: Tables,
        selection: Selection,
        pool: ExtractionPool,
        topic_maps: TopicMaps,
        classified: Callable[[Article, Mapping[str, str]], Row],
    ):
        self._tables = tables
        self._selection = selection
        self._pool = pool
        self._topic_maps = topic_maps
        self._classified = classified
        self._templates = Templates(tables.store)

    def days(self) -> list[date]:
        first, last = self._selection.first or date.min, self._selection.last or date.max
        found: set[Any] = set()
        for name in ("articles", "copies", "coverage"):
            files = self._tables.files(name)
            if len(files):
                found |= set(pc.unique(files["partition.date"].cast(pa.date32())).to_pylist())
        return sorted(day for day in found if first <= day <= last)

    def day(self, day: date) -> Day:
        found = Day(day)
        for name in ("articles", "copies"):
            found.differences += self._rows_again(found, name)
        found.differences += self._not_standing(list(self._rejected_again(found)))
        return found

    # --- what stands ------------------------------------------------------------------------

    def _rows_again(self, found: Day, name: str) -> Iterator[Difference]:
        waiting: deque[tuple[Row, str]] = deque()

        def pages() -> Iterator[Page]:
            for row in self._rows(name, found.day):
                found.looked_at[row["source"]] += 1
                stored = self._stored(row)
                if isinstance(stored, str):
                    found.left[row["source"], stored] += 1
                else:
                    waiting.append((row, stored.discovered_url))
                    yield stored.page

        for outcome in self._pool.outcomes(pages(), self._templates.of):
            row, url = waiting.popleft()
            if isinstance(outcome, Article):
                difference = Difference(name, url, row, self._again(row, outcome))
                if difference.columns:
                    yield difference
            elif outcome.state == State.FAILED_EXTRACTION:
                # A busy machine or a crash says nothing against what is published.
                found.left[row["source"], FAILED] += 1
            else:
                revised = name == "articles" and row["revision"]
                after = self._earlier_text(row) if revised else None
                yield Difference(name, url, row, after, outcome)

    def _rows(self, name: str, day: date) -> Iterator[Row]:
        # Few batches ahead: a day's texts need not fit into memory.
        for batch in self._tables.dataset(name, [day]).to_batches(
            filter=self._of_sources(),
            batch_size=_AT_ONCE,
            batch_readahead=2,
            fragment_readahead=1,
        ):
            yield from batch.to_pylist()

    def _of_sources(self) -> ds.Expression:
        sources = self._selection.sources
        return ds.field("source").isin(sources) if sources else ds.scalar(True)

    def _stored(self, row: Row) -> StoredPage | str:
        """The page a row came from, or why it cannot be had."""
        if row["warc_key"] is None:
            return EXPIRED
        if not row["warc_key"].startswith("raw/"):
            return FOREIGN
        pointer = WarcPointer(row["warc_key"], row["warc_offset"], row["warc_length"])
        return read_listed_page(self._tables.store, pointer, source=row["source"]) or MISSING

    def _again(self, row: Row, article: Article) -> Row:
        """The row with what its page says today."""
        said = article.to_row()
        fresh = {column: said[column] for column in EXTRACTED_COLUMNS}
        if row["canonical_url"] is None:
            fresh["canonical_url"] = None  # publishing, which knows the site, did not trust it
        source_map = self._topic_maps.get(row["source"])
        if source_map is not None or row["topic_method"] != "source-map":
            fresh |= self._classified(article, source_map or {})
        return {**row, **fresh, "extractor": article.extractor}

    def _earlier_text(self, row: Row) -> Row | None:
        """The newest revision whose page is an article today, or can be asked no more."""
        held = self._tables.find("revisions", "id", [row["id"]], [row["date"]])
        own = [r for r in held if r["source"] == row["source"]]
        for earlier in sorted(own, key=lambda r: -r["revision"]):
            standing = {name: earlier[name] for name in SCHEMAS["articles"].names}
            standing["cluster_id"] = row["cluster_id"]
            stored = self._stored(standing)
            if isinstance(stored, str):
                return standing
            outcome = next(self._pool.outcomes([stored.page], self._templates.of))
            if isinstance(outcome, Article):
                return self._again(standing, outcome)
            if outcome.state == State.FAILED_EXTRACTION:
                return standing
        return None

    # --- what came to nothing ---------------------------------------------------------------

    def _rejected_again(self, found: Day) -> Iterator[Difference]:
        waiting: deque[tuple[Row, WarcPointer]] = deque()

        def pages() -> Iterator[Page | None]:
            for row, pointer in self._rejected(found.day):
                found.looked_at[row["source"]] += 1
                if pointer is None:
                    found.left[row["source"], NOT_KEPT] += 1
                    continue
                stored = read_listed_page(self._tables.store, pointer, source=row["source"])
                waiting.append((row, pointer))
                yield stored.page if stored else None

        for outcome in self._pool.outcomes(pages(), self._templates.of):
            row, pointer = waiting.popleft()
            if isinstance(outcome, Article):
                article = replace(
                    outcome,
                    source=row["source"],
                    warc_key=pointer.key,
                    warc_offset=pointer.offset,
                    warc_length=pointer.length,
                )
                yield Difference("coverage", row["url"], row, article.to_row())

    def _rejected(self, day: date) -> Iterator[tuple[Row, WarcPointer | None]]:
        """Coverage rows of pages that came to nothing, with where each page lies."""
        taken = ds.field("state").isin(TAKEN) & ~ds.field("article_id").is_valid()
        # What no listing led to was imported, or is what an earlier reprocess said.
        fetched = ds.field("discovered_via").is_valid()
        where = (ds.field("state").isin(_REJECTED) | taken) & fetched & self._of_sources()
        runs: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
        for row in self._tables.rows("coverage", where, days=[day]):
            runs[row["run_id"], row["source"]][_key(row["url"])] = row
        for (run_id, source), rows in sorted(runs.items()):
            pointers = _pointers(self._tables.store, run_id, source)
            for key, row in sorted(rows.items()):
                yield row, pointers.get(key)

    def _not_standing(self, gained: list[Difference]) -> list[Difference]:
        """Those that the lake does not hold yet, nor anything newer at their address."""
        newest: dict[tuple[str, str], tuple[Article, Difference]] = {}
        for difference in gained:
            article = Article.from_row(difference.after or {})
            place = difference.source, _key(difference.url)
            if place not in newest or newest[place][0].fetched_at < article.fetched_at:
                newest[place] = article, difference
        standing = self._standing([article for article, _ in newest.values()])
        return [
            difference for article, difference in newest.values() if not _stands(article, standing)
        ]

    def _standing(self, articles: list[Article]) -> dict[tuple[str, str], Row]:
        """(URL key's id, source) -> the row published under it."""
        wanted = {key for article in articles for key in keys_of(article)}
        keys = self._tables.find("keys", "key", wanted)
        days = {key["date"] for key in keys}
        ids = {key["id"] for key in keys}
        rows = chain.from_iterable(
            self._tables.find(name, "id", ids, days) for name in ("articles", "copies")
        )
        by_id = {(row["id"], row["source"]): row for row in rows}
        found = ((key, by_id.get((key["id"], key["source"]))) for key in keys)
        return {(key["key"], key["source"]): row for key, row in found if row}


def _classified(article: Article, source_map: Mapping[str, str], *, fast: bool) -> Row:
    said = classify(
        article.title,
        article.text,
        url=article.url,
        section=article.section,
        tags=article.tags,
        language=article.language,
        source_map=source_map,
        fast=fast,
    )
    return {
        "topic": said.topic,
        "topic_score": _single(said.score),
        "topic_method": said.method,
        "topics": [{"topic": each.topic, "score": _single(each.score)} for each in said.topics],
    }


def _single(score: float) -> float:
    """As the tables keep it, to be compared with what they hold."""
    kept: float = pa.scalar(score, pa.float32()).as_py()
    return kept


def _pointers(store: Store, run_id: str, source: str) -> dict[str, WarcPointer]:
    """URL key -> the last page of it that a run stored, over all its attempts."""
    prefix = f"raw/date={run_day(run_id)}/source={source}/{run_id}-"
    stored = (found.key for found in store.objects(prefix))
    pages = chain.from_iterable(
        read_pages(store.get(key).data, key, source=source) for key in sorted(stored, key=_attempt)
    )
    return {_key(page.discovered_url): page.pointer for page in pages if page.pointer}


def _attempt(key: str) -> tuple[int, ...]:
    """The attempt and number of a raw file: ``<run_id>-<attempt>-NNN.warc.gz``."""
    name = key.rpartition("/")[2].partition(".")[0]
    return tuple(int(part) for part in name.split("-")[2:] if part.isdigit())


def _key(url: str) -> str:
    try:
        return url_key(url)
    except ValueError:
        return url


def _stands(article: Article, standing: Mapping[tuple[str, str], Row]) -> bool:
    own_id, fetched_id = keys_of(article)
    # As publishing decides: the fetched address tells before the canonical.
    rows: Iterable[Row | None] = (
        standing.get((key, article.source or "")) for key in (fetched_id, own_id)
    )
    row = next((row for row in rows if row), None)
    return row is not None and (
        article.fetched_at <= row["fetched_at"] or article.content_hash == row["content_hash"]
    )
