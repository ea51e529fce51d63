"""From staged articles to the dataset: decide, write, commit, and say so in a manifest.

A publish first writes every Parquet object, then one *commit plan* beside the staged input, then
the tables one after the other, then the manifest. The plan is a redo log: whoever publishes next
finishes a dead run's plan before deciding anything, so the tables always agree with each other.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from processing import dataset
from processing.dataset import Change
from processing.deduplication import (
    EXACT_WINDOW_DAYS,
    Decision,
    Index,
    Known,
    day_of,
    deduplicate,
    keys_of,
    keys_under,
)
from processing.exceptions import ObjectNotFound, PreconditionFailed
from processing.lease import TIME_TO_LIVE, Lease, lease
from processing.records import KNOWN, Article, State, run_day
from processing.storage import Store
from processing.tables import (
    COVERAGE,
    EXTRACTED,
    SCHEMAS,
    to_table,
)
from processing.texts import overlap
from processing.topics import classify

_PLAN = "commit.json"
_DECIDE_ATTEMPTS = 5
_SAME_REPORT = 0.3  # least overlap of two texts under one canonical URL to be one report's versions

Clock = Callable[[], datetime]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a manifest says of a run beyond its counts.

    ``topic_maps`` are the sources' own ``topics:``; ``failures`` maps a source that failed as a
    whole to the reason; ``software`` names versions.
    """

    run_id: str
    sources: tuple[str, ...]
    started_at: datetime
    topic_maps: Mapping[str, Mapping[str, str]]
    failures: Mapping[str, str]
    software: Mapping[str, str]
    dag_id: str | None = None
    dag_run_id: str | None = None


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
    dataset.initialise(store)
    with lease(store, facts.run_id, time_to_live=lease_seconds, wait=wait) as held:
        finish_dead_runs(store, held, clock)
        for _ in range(_DECIDE_ATTEMPTS):
            plan = _plan(store, facts, clock())
            held.confirm()
            store.put(_plan_key(facts.run_id), json.dumps(plan).encode())
            try:
                return _carry_out(store, held, plan, clock)
            except PreconditionFailed:
                # A table moved on since we read it: what was decided no longer holds.
                store.delete([_plan_key(facts.run_id)])
        raise PreconditionFailed(f"{store.url} is rewritten faster than {facts.run_id} can decide")


def finish_dead_runs(store: Store, held: Lease, clock: Clock) -> None:
    """Carry out every commit plan that a publisher left behind."""
    for folder in store.folders("staged/"):
        try:
            plan = json.loads(store.get(f"staged/{folder}/{_PLAN}").data)
        except ObjectNotFound:
            continue
        try:
            _carry_out(store, held, plan, clock)
        except PreconditionFailed:
            store.delete([_plan_key(plan["run_id"])])


def read_manifest(store: Store, run_id: str) -> dict[str, Any] | None:
    """The manifest of a finished run; None while there is none."""
    try:
        said: dict[str, Any] = json.loads(store.get(f"runs/{run_id}.json").data)
    except ObjectNotFound:
        return None
    return said


def _plan_key(run_id: str) -> str:
    return f"staged/run={run_id}/{_PLAN}"


def _carry_out(store: Store, held: Lease, plan: dict[str, Any], clock: Clock) -> dict[str, Any]:
    run_id: str = plan["run_id"]
    manifest: dict[str, Any] = plan["manifest"]
    for said in plan["changes"]:
        held.confirm()
        change = Change.from_json(said)
        base = plan["base"][change.table]
        version = dataset.commit(store, change, plan["transaction"], base, clock())
        manifest["tables"][change.table] = version
    held.confirm()
    manifest["finished_at"] = clock().isoformat()
    store.put(f"runs/{run_id}.json", json.dumps(manifest, indent=1).encode())
    leftovers = [o.key for o in store.objects(f"staged/run={run_id}/")]
    # The plan goes last: while it stands, a repeat knows that the run is decided.
    store.delete(key for key in leftovers if not key.endswith(_PLAN))
    store.delete([_plan_key(run_id)])
    return manifest


# --- deciding -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Outcome:
    """What publishing made of one staged page."""

    state: State
    article_id: str
    detail: str | None = None


def _plan(store: Store, facts: RunFacts, now: datetime) -> dict[str, Any]:
    base = {name: dataset.version_of(store, name) for name in SCHEMAS}
    coverage, staged, digest = _read_staged(store, facts)
    writer = _Writer(store, facts, now)
    writer.decide(staged)
    rows = _final_coverage(store, facts, coverage, writer.outcomes)
    changes = [*writer.changes(), _coverage_change(store, facts, rows)]
    previous = read_manifest(store, facts.run_id)
    return {
        "run_id": facts.run_id,
        "transaction": f"{facts.run_id}/{digest}",
        "base": base,
        "changes": [change.to_json() for change in changes],
        "manifest": _manifest(facts, rows, coverage, changes, previous),
    }


def _read_staged(store: Store, facts: RunFacts) -> tuple[list[Row], list[Row], str]:
    coverage: list[Row] = []
    staged: list[Row] = []
    digest = sha256()
    for source in facts.sources:
        for name, rows in (("coverage", coverage), ("articles", staged)):
            try:
                blob = store.get(f"staged/run={facts.run_id}/source={source}/{name}.parquet")
            except ObjectNotFound:
                continue  # the source failed before it staged anything: the manifest says so
            digest.update(blob.data)
            rows.extend(pq.read_table(io.BytesIO(blob.data)).to_pylist())
    return coverage, staged, digest.hexdigest()[:16]


class _Writer:
    """Collects the rows of one publish, table by table."""

    def __init__(self, store: Store, facts: RunFacts, now: datetime):
        self.outcomes: dict[tuple[str, str], _Outcome] = {}
        self._store = store
        self._facts = facts
        self._now = now
        self._fresh: dict[str, list[Row]] = defaultdict(list)
        self._replaced: dict[str, dict[tuple[str, str], date]] = defaultdict(dict)
        self._new: set[tuple[str, str | None]] = set()
        self._new_copies: set[tuple[str, str | None]] = set()
        self._published: set[str] = set()

    def decide(self, staged: list[Row]) -> None:
        """Decide every staged page against the lake and each other."""
        articles = [Article.from_row(row) for row in staged]
        lake = _Lake.lookup(self._store, articles)
        decisions = deduplicate(articles, lake.index)
        self._new = {
            (decision.id, article.source)
            for article, decision in zip(articles, decisions, strict=True)
            if decision.relation is None
        }
        for row, article, decision in zip(staged, articles, decisions, strict=True):
            standing = lake.row_of(decision, article)
            if standing is not None:
                outcome = self._met_again(article, decision, standing, lake)
            elif decision.relation:
                outcome = self._copy(article, decision)
            else:
                outcome = self._publish(article, decision)
            self.outcomes[row["source"], row["listed_url"]] = outcome

    def changes(self) -> list[Change]:
        """One change a table, the Parquet objects already put."""
        # Revisions first: an old text is safe before the new one takes its place.
        names = ("revisions", "articles", "copies", "keys")
        return [
            dataset.replace_rows(
                self._store,
                name,
                to_table(self._fresh[name], SCHEMAS[name]),
                self._facts.run_id,
                replaced=self._replaced[name],
            )
            for name in names
        ]

    def _publish(self, article: Article, decision: Decision) -> _Outcome:
        if decision.id in self._published:
            return _Outcome(State.DUPLICATE_EXACT, decision.id, "the same page again")
        self._published.add(decision.id)
        article = self._dated(article, decision.id)
        self._fresh["articles"].append(replace(article, cluster_id=decision.id).to_row())
        self._remember(article, decision, "article")
        return _Outcome(State.PUBLISHED, decision.id)

    def _under_own_address(self, article: Article) -> _Outcome:
        own_id = keys_of(article)[1]
        return self._publish(
            replace(article, id=own_id, canonical_url=None), Decision(own_id, own_id)
        )

    def _copy(self, article: Article, decision: Decision) -> _Outcome:
        detail = f"{decision.relation} copy of {decision.article_id}"
        if (decision.id, article.source) in self._new:
            return _Outcome(State.DUPLICATE_EXACT, decision.article_id, "the same page again")
        if (decision.id, article.source) not in self._new_copies:
            self._new_copies.add((decision.id, article.source))
            article = self._dated(article, decision.id)
            self._fresh["copies"].append(
                {
                    **replace(article, cluster_id=decision.article_id).to_row(),
                    "article_id": decision.article_id,
                    "relation": decision.relation,
                    "similarity": decision.similarity,
                }
            )
            self._remember(article, decision, "copy")
        return _Outcome(State.DUPLICATE_EXACT, decision.article_id, detail)

    def _met_again(
        self, article: Article, decision: Decision, standing: Row, lake: _Lake
    ) -> _Outcome:
        run_id = self._facts.run_id
        table = "copies" if decision.relation else "articles"
        first_state = State.DUPLICATE_EXACT if decision.relation else State.PUBLISHED
        own_first = lake.first_run_of(decision, article) == run_id
        own_row = standing["run_id"] == run_id
        if article.content_hash == standing["content_hash"]:
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
        self._replaced[table][decision.id, standing["source"]] = standing["date"]
        self._fresh[table].append(row)
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


def _final_coverage(
    store: Store, facts: RunFacts, staged: list[Row], outcomes: Mapping[tuple[str, str], _Outcome]
) -> list[Row]:
    """The run's coverage rows; those of an earlier publish of the run stay unless decided anew."""
    day = run_day(facts.run_id)
    before = dataset.read_rows(
        store, "coverage", (ds.field("date") == day) & (ds.field("run_id") == facts.run_id)
    )
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


def _coverage_change(store: Store, facts: RunFacts, rows: list[Row]) -> Change:
    table = to_table(rows, COVERAGE)
    return dataset.replace_run(store, "coverage", run_day(facts.run_id), facts.run_id, table)


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
        "partitions": _partitions(changes, previous),
        "tables": {},
        "software": dict(facts.software),
    }


def _partitions(changes: Iterable[Change], previous: dict[str, Any] | None) -> list[str]:
    """The partitions of ``articles`` the run touched, as ``date|topic``."""
    touched = {
        f"{file.partition['date']}|{file.partition['topic']}"
        for change in changes
        if change.table == "articles"
        for file in (*change.adds, *change.removes)
    }
    return sorted(touched | set((previous or {}).get("partitions", ())))


# --- what the lake knows --------------------------------------------------------------------


class _Lake:
    """Those rows of the lake that the staged pages could meet."""

    def __init__(self, index: Index, keys: list[Row], rows: dict[tuple[str, str], list[Row]]):
        self.index = index
        self._keys = keys
        self._rows = rows

    @classmethod
    def lookup(cls, store: Store, articles: list[Article]) -> _Lake:
        """What is published under the articles' URL keys, and with their texts nearby in time."""
        if not articles:
            return cls(Index(), [], {})
        wanted = sorted({key for article in articles for key in keys_of(article)})
        keys = dataset.read_rows(store, "keys", ds.field("key").isin(pa.array(wanted)))
        rows = {kind: _rows_by_id(store, kind, keys) for kind in ("article", "copy")}
        by_id = {
            (kind, row_id): found for kind, group in rows.items() for row_id, found in group.items()
        }
        by_url: dict[str, list[Known]] = defaultdict(list)
        for key in sorted(keys, key=lambda k: (k["kind"], k["id"], k["source"])):
            for row in by_id.get((key["kind"], key["id"]), ()):
                if row["source"] == key["source"]:
                    by_url[key["key"]].append(_known(row))
        return cls(Index(by_url, _known_texts(store, articles)), keys, by_id)

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
    )


def _rows_by_id(store: Store, kind: str, keys: list[Row]) -> dict[str, list[Row]]:
    ours = [key for key in keys if key["kind"] == kind]
    if not ours:
        return {}
    where = ds.field("date").isin(sorted({key["date"] for key in ours})) & ds.field("id").isin(
        sorted({key["id"] for key in ours})
    )
    found: dict[str, list[Row]] = defaultdict(list)
    for row in dataset.read_rows(store, "articles" if kind == "article" else "copies", where):
        found[row["id"]].append(row)
    return found


def _known_texts(store: Store, articles: list[Article]) -> dict[str, list[Known]]:
    """What has the articles' texts, dated within the window around them; articles first."""
    days = [day_of(article) for article in articles]
    margin = timedelta(days=EXACT_WINDOW_DAYS)
    hashes = pa.array(sorted({article.content_hash for article in articles}))
    where = (
        (ds.field("date") >= min(days) - margin)
        & (ds.field("date") <= max(days) + margin)
        & ds.field("content_hash").isin(hashes)
    )
    columns = ["id", "source", "date", "content_hash"]
    found: dict[str, list[Known]] = defaultdict(list)
    for table, extra in (("articles", []), ("copies", ["article_id", "relation"])):
        rows = dataset.read_rows(store, table, where, [*columns, *extra])
        for row in sorted(rows, key=lambda r: (r["date"], r["id"])):
            found[row["content_hash"]].append(_known(row))
    return found
