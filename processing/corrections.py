"""The commit of what reprocessing found: one day's differences as runs of their own.

A correction is ours, not the publisher's: the row is replaced in place, its ``revision`` and date
stay, and no revision is kept of it (the Delta log has it until vacuum). Every decision is a
coverage row of the correcting run; the rows of earlier runs go on saying what those did.
"""

from __future__ import annotations

import io
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from processing import dataset
from processing.commits import Clock, Plan, partitions_of, transact
from processing.dataset import Change, Tables
from processing.fingerprints import fingerprint_row
from processing.gate import checked
from processing.lease import TIME_TO_LIVE
from processing.publishing import RunFacts, publish
from processing.records import State, run_day, run_id_of
from processing.reprocessing import TAKEN, Day, Difference, Kind
from processing.storage import Store
from processing.succession import succeed
from processing.tables import (
    EXTRACTED,
    STAGED_ARTICLES,
    STAGED_COVERAGE,
    to_table,
)

DAG_ID = "reprocess"
"""What manifests of corrections name as their DAG."""

Row = dict[str, Any]
Manifest = dict[str, Any]
_Place = tuple[str, str, str]
"""Table, id and source: what names one row of articles or copies."""


def commit_day(
    store: Store,
    day: Day,
    *,
    started_at: datetime,
    topic_maps: Mapping[str, Mapping[str, str]],
    software: Mapping[str, str],
    aggregators: frozenset[str] = frozenset(),
    fast_topics: bool = False,
    clock: Clock = lambda: datetime.now(UTC),
    lease_seconds: float = TIME_TO_LIVE,
    wait: Callable[[float], object] = time.sleep,
) -> list[Manifest]:
    """Commit a day's differences; the manifests of the runs that did.

    Rows changed and lost are one run, pages gained another, published as any crawl's are. Either
    is committed whole or not at all; what a kill prevents, reprocessing the day finds again. A
    row that somebody else has replaced meanwhile stays as it is. Raises LeaseLost,
    StoreError, or GateError.
    """
    gained = [each for each in day.differences if each.kind is Kind.GAINED]
    standing = [each for each in day.differences if each.kind is not Kind.GAINED]
    manifests = []
    for said, differences in (("rows", standing), ("rejected pages", gained)):
        if not differences:
            continue
        dag_run_id = f"{said} of {day.day}"
        facts = RunFacts(
            run_id=run_id_of(DAG_ID, dag_run_id, clock()),
            sources=tuple(sorted({each.source for each in differences})),
            started_at=started_at,
            topic_maps=topic_maps,
            failures={},
            software=software,
            dag_id=DAG_ID,
            dag_run_id=dag_run_id,
            aggregators=aggregators,
            fast_topics=fast_topics,
        )
        commit = _publish_gained if differences is gained else _correct
        manifests.append(
            commit(store, facts, differences, clock=clock, lease_seconds=lease_seconds, wait=wait)
        )
    return manifests


# --- pages gained ---------------------------------------------------------------------------


def _publish_gained(
    store: Store, facts: RunFacts, gained: Sequence[Difference], *, clock: Clock, **how: Any
) -> Manifest:
    for source in facts.sources:
        own = [each for each in gained if each.source == source]
        folder = f"staged/run={facts.run_id}/source={source}"
        articles = [{**(each.after or {}), "listed_url": each.url} for each in own]
        fresh = {
            "run_id": facts.run_id,
            "state": EXTRACTED,
            "detail": None,
            "at": clock(),
            "date": run_day(facts.run_id),
        }
        coverage = [{**each.before, **fresh} for each in own]
        _stage(store, f"{folder}/articles.parquet", to_table(articles, STAGED_ARTICLES))
        _stage(store, f"{folder}/coverage.parquet", to_table(coverage, STAGED_COVERAGE))
    return publish(store, facts, clock=clock, **how)


def _stage(store: Store, key: str, rows: Any) -> None:
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    store.put(key, sink.getvalue())


# --- rows changed and lost ------------------------------------------------------------------


def _correct(
    store: Store, facts: RunFacts, differences: Sequence[Difference], **how: Any
) -> Manifest:
    return transact(
        store, facts.run_id, lambda now, tables: _plan(tables, facts, differences, now), **how
    )


def _plan(
    tables: Tables, facts: RunFacts, differences: Sequence[Difference], now: datetime
) -> Plan:
    base = tables.versions()
    correction = _Correction(tables, facts.run_id)
    correction.apply(differences)
    rows = correction.coverage(now)
    changes = (*correction.changes(), correction.coverage_change(rows))
    return Plan(facts.run_id, "rows", base, changes, _manifest(facts, rows, changes))


class _Correction:
    """The rows that a correction touches: as they stand, and as they are to stand."""

    def __init__(self, tables: Tables, run_id: str):
        self._tables = tables
        self._run_id = run_id
        self._before: dict[_Place, Row] = {}
        self._after: dict[_Place, Row] = {}
        self._applied: list[Difference] = []
        self._heirs: dict[str, str | None] = {}
        self._lost: set[tuple[str, str]] = set()

    def apply(self, differences: Sequence[Difference]) -> None:
        """Work out what stands afterwards."""
        self._load_standing(differences)
        self._applied = [d for d in differences if self._before.get(_place(d)) == d.before]
        lost = [d for d in self._applied if d.kind is Kind.LOST]
        articles = sorted(d.before["id"] for d in lost if d.table == "articles")
        self._load_clusters(articles)
        self._after = dict(self._before)
        for each in self._applied:
            if each.after:
                self._after[_place(each)] = each.after
        for each in lost:
            if each.table == "copies":
                del self._after[_place(each)]
        self._succeed([_place(each) for each in lost if each.table == "articles"])
        for place, row in self._after.items():
            if row != self._before.get(place):
                self._after[place] = {**row, "run_id": self._run_id}

    def changes(self) -> list[Change]:
        """One change a table, coverage aside."""
        fresh: dict[str, list[Row]] = defaultdict(list)
        gone: dict[str, dict[tuple[str, str], date]] = defaultdict(dict)
        for place in sorted(self._before.keys() | self._after.keys()):
            before, after = self._before.get(place), self._after.get(place)
            if before == after:
                continue
            table, *own = place
            if before is not None:
                for name in (table, "fingerprints"):
                    gone[name][own[0], own[1]] = before["date"]
            if after is not None:
                fresh[table].append(after)
                fresh["fingerprints"].append(fingerprint_row(after))
        self._keys(fresh["keys"], gone["keys"])
        self._revisions(fresh["revisions"], gone["revisions"])
        names = ("revisions", "articles", "copies", "keys", "fingerprints")
        return [
            dataset.change_rows(
                self._tables,
                name,
                checked(name, fresh[name]),
                self._run_id,
                gone=dataset.rows_of(gone[name]) if gone[name] else None,
                days=set(gone[name].values()),
            )
            for name in names
        ]

    def coverage(self, now: datetime) -> list[Row]:
        """The correcting run's own rows: one for each page it decided about."""
        articles = {
            (id_, source): row.get("article_id") or id_
            for (_, id_, source), row in self._after.items()
        }
        rows = {}
        for each in self._applied:
            state = State.UPDATED if each.after or not each.rejection else each.rejection.state
            rows[each.source, each.url] = {
                "run_id": self._run_id,
                "source": each.source,
                "url": each.url,
                "state": state.value,
                "detail": _detail(each),
                "article_id": articles.get((each.before["id"], each.source)),
                "at": now,
                "date": run_day(self._run_id),
            }
        return list(rows.values())

    def coverage_change(self, rows: list[Row]) -> Change:
        """The change to coverage: own rows in, and no row left that names an article lost."""
        relinked = self._tables.find("coverage", "article_id", self._heirs)
        fresh = [{**row, "article_id": self._article_of(row)} for row in relinked]
        named = sorted(self._heirs)
        return dataset.change_rows(
            self._tables,
            "coverage",
            checked("coverage", [*rows, *fresh]),
            self._run_id,
            gone=ds.field("article_id").isin(named) if relinked else None,
            days={row["date"] for row in relinked},
        )

    def _load_standing(self, differences: Iterable[Difference]) -> None:
        for name in ("articles", "copies"):
            ids = {d.before["id"] for d in differences if d.table == name}
            days = {d.before["date"] for d in differences if d.table == name}
            self._take(self._tables.find(name, "id", ids, days), name)

    def _load_clusters(self, lost: Sequence[str]) -> None:
        self._take(self._tables.find("copies", "article_id", lost), "copies")
        for name in ("articles", "copies"):
            self._take(self._tables.find(name, "cluster_id", lost), name)

    def _take(self, rows: Iterable[Row], name: str) -> None:
        for row in rows:
            self._before[name, row["id"], row["source"]] = row

    def _succeed(self, places: Iterable[_Place]) -> None:
        """Take articles out, and let their copies and clusters go on without them."""
        leaving = [self._after.pop(place) for place in places]
        around: dict[str, set[_Place]] = defaultdict(set)
        for place, row in self._after.items():
            for id_ in (row.get("article_id"), row["cluster_id"]):
                around[id_ or ""].add(place)
        heads: dict[str, str | None] = {}
        # What a cluster hangs on first: what hung on it finds its new place there.
        for row in sorted(leaving, key=lambda row: (row["cluster_id"] != row["id"], row["id"])):
            head = heads.get(row["cluster_id"], row["cluster_id"]) or row["id"]
            gone = {**row, "cluster_id": head}
            rows = [self._after[p] for p in sorted(around[gone["id"]]) if p in self._after]
            copies = [each for each in rows if each.get("article_id") == gone["id"]]
            members = [each for each in rows if each.get("article_id") != gone["id"]]
            after = succeed(gone, copies, members)
            if after.heir:
                del self._after["copies", after.heir["id"], after.heir["source"]]
                self._after["articles", after.heir["id"], after.heir["source"]] = after.heir
            for each in (*after.copies, *after.members):
                name = "copies" if "article_id" in each else "articles"
                self._after[name, each["id"], each["source"]] = each
            left = [*filter(None, (after.heir,)), *after.members]
            heads[gone["id"]] = left[0]["cluster_id"] if left else None
            self._heirs[gone["id"]] = after.heir["id"] if after.heir else None
            self._lost.add((gone["id"], gone["source"]))

    def _keys(self, fresh: list[Row], gone: dict[tuple[str, str], date]) -> None:
        """Keys of what lies elsewhere now: in another table, under another topic, or nowhere."""
        before, after = _where(self._before), _where(self._after)
        moved = {own for own in before if before[own] != after.get(own)}
        for key in self._tables.find("keys", "id", {id_ for id_, _ in moved}):
            own = key["id"], key["source"]
            if own in moved:
                gone[own] = key["date"]
                if own in after:
                    kind, topic = after[own]
                    fresh.append({**key, "kind": kind, "topic": topic})

    def _revisions(self, fresh: list[Row], gone: dict[tuple[str, str], date]) -> None:
        """Earlier texts that stand again, or came from no article either, leave ``revisions``."""
        least = {
            (d.before["id"], d.source): d.after["revision"] if d.after else 0
            for d in self._applied
            if d.rejection and d.table == "articles"
        }
        days = {d.before["date"] for d in self._applied}
        for row in self._tables.find("revisions", "id", {id_ for id_, _ in least}, days):
            own = row["id"], row["source"]
            if own in least:
                gone[own] = row["date"]
                if row["revision"] < least[own]:
                    fresh.append(row)

    def _article_of(self, row: Row) -> str | None:
        """What a coverage row that names a lost article names now."""
        if (row["article_id"], row["source"]) in self._lost and row["state"] in TAKEN:
            return None
        return self._heirs[row["article_id"]]


def _place(difference: Difference) -> _Place:
    return difference.table, difference.before["id"], difference.source


def _where(rows: Mapping[_Place, Row]) -> dict[tuple[str, str], tuple[str, str]]:
    """(id, source) -> kind and topic, as ``keys`` says them."""
    kinds = {"articles": "article", "copies": "copy"}
    return {(id_, source): (kinds[name], row["topic"]) for (name, id_, source), row in rows.items()}


def _detail(difference: Difference) -> str:
    why = difference.rejection
    if why and difference.after:
        return f"an earlier text stands again: {why.state}, {why.detail}"
    if why:
        return why.detail
    return f"extracted again: {', '.join(difference.columns)}"


def _manifest(facts: RunFacts, rows: Iterable[Row], changes: Iterable[Change]) -> Manifest:
    states: dict[str, Counter[str]] = {source: Counter() for source in facts.sources}
    for row in rows:
        states[row["source"]][row["state"]] += 1
    return {
        "run_id": facts.run_id,
        "dag_id": facts.dag_id,
        "dag_run_id": facts.dag_run_id,
        "started_at": facts.started_at.isoformat(),
        "finished_at": None,
        "counts": {source: dict(sorted(counts.items())) for source, counts in states.items()},
        "known": dict.fromkeys(states, 0),
        "discovered": {source: counts.total() for source, counts in states.items()},
        "failures": {},
        "schedules": {},  # nothing was crawled
        "flags": [],
        "completeness": [],
        "partitions": partitions_of(changes, None),
        "tables": {},
        "software": dict(facts.software),
    }
