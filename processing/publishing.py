"""From staged articles to the dataset: what each one is, and the commit that says so."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import chain
from typing import Any

import pyarrow.dataset as ds

from processing import completeness, dataset, erasure, fingerprints, gate
from processing.cleaning import SiteTemplate
from processing.clusters import Alarm
from processing.commits import Clock, Plan, partitions_of, read_manifest, transact
from processing.dataset import Change, Tables
from processing.deduplication import (
    EXACT_WINDOW_DAYS,
    Decision,
    Index,
    day_of,
    decide,
    keys_of,
    keys_under,
)
from processing.exceptions import ObjectNotFound
from processing.fingerprints import fingerprint_row
from processing.lease import TIME_TO_LIVE
from processing.manifests import list_manifests, read_manifests
from processing.neighbours import WINDOW_DAYS, Known
from processing.records import KNOWN, Article, State, run_day
from processing.signatures import CONTAINED, NEAR, Keys
from processing.site_templates import Templates
from processing.storage import Store
from processing.tables import EXTRACTED, STAGED_ARTICLES, STAGED_COVERAGE
from processing.texts import content_hash, overlap
from processing.tombstones import Tombstone, all_forgotten, withhold
from processing.topics import classify
from processing.urls import address_id

_CLUSTERED = ("articles", "copies", "fingerprints")
_SAME_REPORT = 0.3  # least overlap of two texts under one canonical URL to be one report's versions

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a manifest says of a run beyond its counts.

    ``topic_maps`` are the sources' own ``topics:``; ``failures`` maps a source that failed as a
    whole to the reason; ``software`` names versions; ``schedules`` is the schedule by which each
    source was crawled, None by hand; empty when nothing was. ``aggregators`` are all sources
    known to carry others' texts, of this run or not. ``fast_topics`` asks for topics by the student
    model alone.
    """

    run_id: str
    sources: tuple[str, ...]
    started_at: datetime
    topic_maps: Mapping[str, Mapping[str, str]]
    failures: Mapping[str, str]
    software: Mapping[str, str]
    dag_id: str | None = None
    dag_run_id: str | None = None
    schedules: Mapping[str, str | None] = field(default_factory=dict)
    aggregators: frozenset[str] = frozenset()
    fast_topics: bool = False


def publish(
    store: Store,
    facts: RunFacts,
    *,
    clock: Clock = lambda: datetime.now(UTC),
    lease_seconds: float = TIME_TO_LIVE,
    wait: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Commit what a run staged; its manifest, as a dict.

    Safe to repeat at any point: what is committed stays, what is missing is added. Raises
    LeaseLost or StoreError; then a repeat completes the run.
    """
    return transact(
        store,
        facts.run_id,
        lambda now, tables: _plan(tables, facts, now),
        clock=clock,
        lease_seconds=lease_seconds,
        wait=wait,
    )


# --- deciding -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Outcome:
    """What publishing made of one staged page."""

    state: State
    article_id: str
    detail: str | None = None


def _plan(tables: Tables, facts: RunFacts, now: datetime) -> Plan:
    store, base = tables.store, tables.versions()
    gate.check_tables(tables)
    coverage, staged, digest = _read_staged(store, facts)
    coverage, staged = _withheld(tables, facts, coverage, staged, now)
    writer = _Writer(tables, facts, now)
    writer.decide(staged)
    rows = _final_coverage(tables, facts, coverage, writer.outcomes)
    changes = (*writer.changes(), _coverage_change(tables, facts, rows))
    earlier = _earlier(store, facts.run_id)
    previous = read_manifest(store, facts.run_id)
    manifest = _manifest(facts, rows, coverage, changes, previous)
    manifest["flags"] = gate.flags(manifest, earlier[: gate.HISTORY_RUNS]) + writer.flags
    manifest["completeness"] = completeness.of_run(manifest, earlier, now)
    return Plan(facts.run_id, digest, base, changes, manifest)


def _earlier(store: Store, run_id: str) -> list[dict[str, Any]]:
    """Manifests of the runs that a run is held against, newest first.

    Those of its day and the day before, and as many more as tell what is usual.
    """
    day = run_day(run_id)
    listed = sorted(list_manifests(store, day - timedelta(days=7), day), reverse=True)
    close = [known for known in listed if run_day(known) >= day - timedelta(days=1)]
    return list(read_manifests(store, listed[: max(len(close), gate.HISTORY_RUNS)]))


def _read_staged(store: Store, facts: RunFacts) -> tuple[list[Row], list[Row], str]:
    coverage: list[Row] = []
    staged: list[Row] = []
    digest = sha256()
    for source in facts.sources:
        for name, rows, schema in (
            ("coverage", coverage, STAGED_COVERAGE),
            ("articles", staged, STAGED_ARTICLES),
        ):
            key = f"staged/run={facts.run_id}/source={source}/{name}.parquet"
            try:
                blob = store.get(key)
            except ObjectNotFound:
                continue  # the source failed before it staged anything: the manifest says so
            digest.update(blob.data)
            rows.extend(gate.read_staged(key, blob.data, schema))
    return coverage, staged, digest.hexdigest()[:16]


def _withheld(
    tables: Tables, facts: RunFacts, coverage: list[Row], staged: list[Row], now: datetime
) -> tuple[list[Row], list[Row]]:
    """What was staged, without pages forgotten since, or reached by ways the crawl cannot see.

    The addresses of those ways are forgotten with them.
    """
    forgotten = all_forgotten(tables.store)
    if not forgotten:
        return coverage, staged
    rows, kept = withhold(
        forgotten, coverage, staged, erasure.published_under(tables, staged, forgotten)
    )
    read_from = {(row["source"], row["listed_url"]): row["url"] for row in staged}
    gone: dict[str, set[str]] = defaultdict(set)
    for before, after in zip(coverage, rows, strict=True):
        if before != after:
            source, url = before["source"], before["url"]
            gone[source] |= {address_id(url), address_id(read_from.get((source, url)) or url)}
    met = {id_ for ids in gone.values() for id_ in ids} - forgotten
    fresh = met - {key["key"] for key in tables.find("keys", "key", met)}
    for source in gone:
        erasure.erase_run(tables.store, facts.run_id, source, forgotten | fresh)
    if fresh:
        Tombstone(now.isoformat(), facts.run_id, tuple(sorted(fresh)), done=True).put(tables.store)
    return rows, kept


class _Writer:
    """Collects the rows of one publish, table by table."""

    def __init__(self, tables: Tables, facts: RunFacts, now: datetime):
        self.outcomes: dict[tuple[str, str], _Outcome] = {}
        self.flags: list[dict[str, str]] = []
        self._tables = tables
        self._facts = facts
        self._now = now
        self._fresh: dict[str, list[Row]] = defaultdict(list)
        self._replaced: dict[str, dict[tuple[str, str], date]] = defaultdict(dict)
        self._new: set[tuple[str, str | None]] = set()
        self._new_copies: set[tuple[str, str | None]] = set()
        self._published: set[str] = set()
        self._templates = Templates(tables.store)

    def decide(self, staged: list[Row]) -> None:
        """Decide every staged page against the lake and each other."""
        articles = [Article.from_row(row) for row in staged]
        lake = _Lake.lookup(self._tables, articles, self._facts.aggregators)
        decided = decide(articles, lake.index)
        self._new = {
            (decision.id, article.source)
            for article, decision in zip(articles, decided.decisions, strict=True)
            if decision.relation is None
        }
        for row, article, decision, cluster_id, keys in zip(
            staged, articles, decided.decisions, decided.clusters, decided.keys, strict=True
        ):
            standing = lake.row_of(decision, article)
            if standing is not None:
                outcome = self._met_again(article, decision, standing, lake)
            elif decision.relation:
                outcome = self._copy(article, decision, cluster_id, keys)
            else:
                outcome = self._publish(article, decision, cluster_id, keys)
            self.outcomes[row["source"], row["listed_url"]] = outcome
        self._merge(decided.merged)
        self.flags = [_flag(alarm) for alarm in decided.alarms]

    def changes(self) -> list[Change]:
        """One change a table, the Parquet objects already put."""
        # Revisions first: an old text is safe before the new one takes its place.
        names = ("revisions", "articles", "copies", "keys", "fingerprints")
        return [self._change(name) for name in names]

    def _change(self, name: str) -> Change:
        gone = self._replaced[name]
        return dataset.change_rows(
            self._tables,
            name,
            gate.checked(name, self._fresh[name]),
            self._facts.run_id,
            gone=dataset.rows_of(gone) if gone else None,
            days=set(gone.values()),
        )

    def _merge(self, merged: Mapping[str, str]) -> None:
        """Hang published clusters on others that they proved to be part of."""
        for name in ("articles", "copies"):
            for row in self._tables.find(name, "cluster_id", merged):
                for table, moved in ((name, row), ("fingerprints", fingerprint_row(row))):
                    if (row["id"], row["source"]) not in self._replaced[table]:
                        self._replaced[table][row["id"], row["source"]] = row["date"]
                        self._fresh[table].append(moved)
        for row in chain.from_iterable(self._fresh[name] for name in _CLUSTERED):
            row["cluster_id"] = merged.get(row["cluster_id"], row["cluster_id"])

    def _publish(
        self, article: Article, decision: Decision, cluster_id: str, keys: Keys | None
    ) -> _Outcome:
        if decision.id in self._published:
            return _Outcome(State.DUPLICATE_EXACT, decision.id, "the same page again")
        self._published.add(decision.id)
        article = self._dated(article, decision.id)
        row = replace(article, cluster_id=cluster_id).to_row()
        self._fresh["articles"].append(row)
        self._fresh["fingerprints"].append(fingerprint_row(row, keys))
        self._remember(article, decision, "article")
        return _Outcome(State.PUBLISHED, decision.id)

    def _under_own_address(self, article: Article) -> _Outcome:
        own_id = keys_of(article)[1]
        return self._publish(
            replace(article, id=own_id, canonical_url=None), Decision(own_id, own_id), own_id, None
        )

    def _copy(
        self, article: Article, decision: Decision, cluster_id: str, keys: Keys | None
    ) -> _Outcome:
        detail = f"{decision.relation} copy of {decision.article_id}"
        if (decision.id, article.source) in self._new:
            return _Outcome(State.DUPLICATE_EXACT, decision.article_id, "the same page again")
        if (decision.id, article.source) not in self._new_copies:
            self._new_copies.add((decision.id, article.source))
            article = self._dated(article, decision.id)
            row = {
                **replace(article, cluster_id=cluster_id).to_row(),
                "article_id": decision.article_id,
                "relation": decision.relation,
                "similarity": decision.similarity,
            }
            self._fresh["copies"].append(row)
            self._fresh["fingerprints"].append(fingerprint_row(row, keys))
            self._remember(article, decision, "copy")
        return _Outcome(_state_of(decision), decision.article_id, detail)

    def _met_again(
        self, article: Article, decision: Decision, standing: Row, lake: _Lake
    ) -> _Outcome:
        run_id = self._facts.run_id
        table = "copies" if decision.relation else "articles"
        first_state = _state_of(decision)
        own_first = lake.first_run_of(decision, article) == run_id
        own_row = standing["run_id"] == run_id
        if self._same_text(article, standing):
            self._restate(article, decision, standing, table)
            if own_first:
                return _Outcome(first_state, decision.article_id)
            updated = own_row and standing["revision"] > 0
            return _Outcome(State.UPDATED if updated else State.UNCHANGED, decision.article_id)
        if article.fetched_at <= standing["fetched_at"]:
            # A later run already stored a newer text; ours is history.
            return _Outcome(first_state if own_first else State.UNCHANGED, decision.article_id)
        if (decision.id, standing["source"]) in self._replaced[table]:
            return _Outcome(State.DUPLICATE_EXACT, decision.article_id, "the same page again")
        own_address = lake.knows(keys_of(article)[1], article)
        if not own_address and overlap(article.text, standing["text"]) < _SAME_REPORT:
            # Two reports name one canonical URL: then it tells nothing, and neither is lost.
            return self._under_own_address(article)
        self._replace(article, decision, standing, table, keep_revision=not own_row)
        return _Outcome(
            first_state if own_first and own_row else State.UPDATED, decision.article_id
        )

    def _same_text(self, article: Article, standing: Row) -> bool:
        """Whether a page says what it said, however much of its site's own lines was known."""
        if article.content_hash == standing["content_hash"]:
            return True
        if article.extractor == standing["extractor"]:
            return False
        template = self._templates.of(article.url) or SiteTemplate()
        texts = (article.text, standing["text"])
        return len({content_hash(template.without(text)) for text in texts}) == 1

    def _restate(self, article: Article, decision: Decision, standing: Row, table: str) -> None:
        """Keep what the publisher says today of a text's use, where that alone has changed."""
        rights = article.to_row()["rights"]
        key = decision.id, standing["source"]
        if (
            rights in (None, standing["rights"])
            or article.fetched_at <= standing["fetched_at"]
            or key in self._replaced[table]
        ):
            return
        self._replaced[table][key] = standing["date"]
        self._fresh[table].append({**standing, "rights": rights})

    def _replace(
        self, article: Article, decision: Decision, standing: Row, table: str, keep_revision: bool
    ) -> None:
        """Put the new text in the row's place; identity, date and topic stay as first published."""
        fixed = (
            "id", "date", "topic", "topic_score", "topic_method", "topics",
            "cluster_id", "first_seen_at", "article_id", "relation", "similarity",
        )  # fmt: skip
        kept = {name: standing[name] for name in fixed if name in standing}
        revision = standing["revision"] + 1 if keep_revision else standing["revision"]
        row = {**article.to_row(), **kept, "run_id": self._facts.run_id, "revision": revision}
        for name in (table, "fingerprints"):
            self._replaced[name][decision.id, standing["source"]] = standing["date"]
        self._fresh[table].append(row)
        self._fresh["fingerprints"].append(fingerprint_row(row))
        if keep_revision and table == "articles":
            self._fresh["revisions"].append(
                {
                    **standing,
                    "replaced_at": self._now,
                    "replaced_by_run": self._facts.run_id,
                    "changed": [
                        name
                        for name in ("title", "text", "published_at", "modified_at")
                        if row[name] != standing[name]
                    ],
                }
            )

    def _dated(self, article: Article, own_id: str) -> Article:
        said = classify(
            article.title,
            article.text,
            url=article.url,
            section=article.section,
            tags=article.tags,
            language=article.language,
            source_map=self._facts.topic_maps.get(article.source or "", {}),
            fast=self._facts.fast_topics,
        )
        return replace(
            article,
            id=own_id,
            topic=said.topic,
            topic_score=said.score,
            topic_method=said.method,
            topics=said.topics,
            run_id=self._facts.run_id,
            date=day_of(article),
        )

    def _remember(self, article: Article, decision: Decision, kind: str) -> None:
        for key in dict.fromkeys(keys_under(article, decision)):
            self._fresh["keys"].append(
                {
                    "key": key,
                    "source": article.source,
                    "id": decision.id,
                    "kind": kind,
                    "date": article.date,
                    "topic": article.topic,
                    "run_id": self._facts.run_id,
                }
            )


def _state_of(decision: Decision) -> State:
    if decision.relation is None:
        return State.PUBLISHED
    near = decision.relation in (NEAR, CONTAINED)
    return State.DUPLICATE_NEAR if near else State.DUPLICATE_EXACT


def _flag(alarm: Alarm) -> dict[str, str]:
    """What the manifest says of a cluster that took no more."""
    return {
        "source": alarm.source,
        "flag": f"cluster-too-{alarm.reason}",
        "detail": f"the cluster of {alarm.cluster_id} did not take all that is like it",
    }


def _final_coverage(
    tables: Tables, facts: RunFacts, staged: list[Row], outcomes: Mapping[tuple[str, str], _Outcome]
) -> list[Row]:
    """The run's coverage rows; those of an earlier publish of the run stay unless decided anew."""
    day = run_day(facts.run_id)
    before = tables.rows("coverage", ds.field("run_id") == facts.run_id, days=[day])
    rows = {(row["source"], row["url"]): row for row in before}
    for row in staged:
        key = row["source"], row["url"]
        if row["state"] == EXTRACTED:
            outcome = outcomes[key]
            rows[key] = {
                **row,
                "state": outcome.state.value,
                "article_id": outcome.article_id,
                "detail": outcome.detail,
            }
        elif row["state"] != KNOWN:
            rows[key] = row
    return list(rows.values())


def _coverage_change(tables: Tables, facts: RunFacts, rows: list[Row]) -> Change:
    return dataset.change_rows(
        tables,
        "coverage",
        gate.checked("coverage", rows),
        facts.run_id,
        gone=ds.field("run_id") == facts.run_id,
        days=[run_day(facts.run_id)],
    )


def _manifest(
    facts: RunFacts,
    rows: list[Row],
    staged: list[Row],
    changes: Iterable[Change],
    previous: dict[str, Any] | None,
) -> dict[str, Any]:
    states: dict[str, Counter[str]] = {source: Counter() for source in facts.sources}
    listed = {(row["source"], row["url"]) for row in rows}
    known: Counter[str] = Counter()
    for row in rows:
        states.setdefault(row["source"], Counter())[row["state"]] += 1
    for row in staged:
        if row["state"] == KNOWN and (row["source"], row["url"]) not in listed:
            known[row["source"]] += 1
    for source, count in (previous or {}).get("known", {}).items():
        known[source] = max(known[source], count)
    return {
        "run_id": facts.run_id,
        "dag_id": facts.dag_id,
        "dag_run_id": facts.dag_run_id,
        "started_at": facts.started_at.isoformat(),
        "finished_at": None,
        "counts": {source: dict(sorted(c.items())) for source, c in sorted(states.items())},
        "known": {source: known[source] for source in sorted(states)},
        "discovered": {
            source: sum(counts.values()) + known[source]
            for source, counts in sorted(states.items())
        },
        "failures": dict(sorted(facts.failures.items())),
        "schedules": dict(sorted(facts.schedules.items())),
        "flags": [],
        "completeness": [],
        "partitions": partitions_of(changes, previous),
        "tables": {},
        "first_tables": (previous or {}).get("first_tables", {}),
        "software": dict(facts.software),
    }


# --- what the lake knows --------------------------------------------------------------------


class _Lake:
    """Those rows of the lake that the staged pages could meet."""

    def __init__(self, index: Index, keys: list[Row], rows: dict[tuple[str, str], list[Row]]):
        self.index = index
        self._keys = keys
        self._rows = rows

    @classmethod
    def lookup(cls, tables: Tables, articles: list[Article], aggregators: frozenset[str]) -> _Lake:
        """What is published under the articles' URL keys, and with their texts nearby in time."""
        if not articles:
            return cls(Index(), [], {})
        wanted = {key for article in articles for key in keys_of(article)}
        keys = tables.find("keys", "key", wanted)
        rows = {kind: _rows_by_id(tables, kind, keys) for kind in ("article", "copy")}
        by_id = {
            (kind, row_id): found for kind, group in rows.items() for row_id, found in group.items()
        }
        by_url: dict[str, list[Known]] = defaultdict(list)
        for key in sorted(keys, key=lambda k: (k["kind"], k["id"], k["source"])):
            for row in by_id.get((key["kind"], key["id"]), ()):
                if row["source"] == key["source"]:
                    by_url[key["key"]].append(_known(row))
        return cls(_index(tables, articles, by_url, aggregators), keys, by_id)

    def row_of(self, decision: Decision, article: Article) -> Row | None:
        """The standing row that ``decision`` says ``article`` is a new fetch of."""
        kind = "copy" if decision.relation else "article"
        for row in self._rows.get((kind, decision.id), ()):
            if row["source"] == article.source:
                return row
        return None

    def knows(self, key: str, article: Article) -> bool:
        """Whether the article's source has published something under a key."""
        return any(k["key"] == key and k["source"] == article.source for k in self._keys)

    def first_run_of(self, decision: Decision, article: Article) -> str | None:
        """The run that first published what ``article`` is a new fetch of."""
        runs = (
            key["run_id"]
            for key in self._keys
            if key["id"] == decision.id and key["source"] == article.source
        )
        return min(runs, default=None)


def _known(row: Row) -> Known:
    return Known(
        row["id"],
        row.get("article_id") or row["id"],
        row["source"],
        row.get("relation"),
        row["date"],
        row["cluster_id"],
        row.get("similarity"),
    )


def _rows_by_id(tables: Tables, kind: str, keys: list[Row]) -> dict[str, list[Row]]:
    ours = [key for key in keys if key["kind"] == kind]
    days = {key["date"] for key in ours}
    found: dict[str, list[Row]] = defaultdict(list)
    name = "articles" if kind == "article" else "copies"
    for row in tables.find(name, "id", {key["id"] for key in ours}, days):
        found[row["id"]].append(row)
    return found


def _index(
    tables: Tables,
    articles: Iterable[Article],
    by_url: Mapping[str, Sequence[Known]],
    aggregators: frozenset[str],
) -> Index:
    """What is known of the articles' texts besides, near each in time."""
    days = {day_of(article) for article in articles}
    near = _around(days, WINDOW_DAYS)
    return Index(
        by_url,
        fingerprints.equal_texts(
            tables, {a.content_hash for a in articles}, _around(days, EXACT_WINDOW_DAYS)
        ),
        lambda days: fingerprints.shelves(tables, days),
        lambda clusters: fingerprints.members(tables, clusters, near),
        aggregators,
    )


def _around(days: Iterable[date], apart: int) -> set[date]:
    """All days at most so many days apart from one of these."""
    return {day + timedelta(days=n) for day in days for n in range(-apart, apart + 1)}
