"""Proof that a lake agrees with itself: manifests, identities, keys, texts, stored pages.

Reads one consistent state of all tables, projected to the columns a check needs; texts and pages
of a sample only, unless all are asked for.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow.dataset as ds

from processing import dataset, extraction
from processing.archive import read_pages
from processing.exceptions import ObjectNotFound
from processing.pool import ExtractionPool
from processing.records import TOPICS, UNCLASSIFIED, Article, Page, Rejection, State
from processing.storage import Store
from processing.tables import PARTITIONS, SCHEMAS
from processing.texts import content_hash

Row = dict[str, Any]
_LOOKS = 5
_READERS = 16
_MOST = 100
"""Findings of one kind that are told one by one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: which check saw it, on what, and what it saw."""

    check: str
    subject: str
    detail: str


@dataclass(slots=True)
class Report:
    """What a verification saw: all well when there are no findings.

    ``checked`` counts what was looked at, by kind; ``notes`` are sentences about what could not
    be looked at without anything being wrong.
    """

    findings: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, check: str, subject: str, detail: str) -> None:
        """Take up a finding; of one kind no more than a hundred."""
        told = sum(finding.check == check for finding in self.findings)
        if told < _MOST:
            self.findings.append(Finding(check, subject, detail))
        elif told == _MOST:
            self.findings.append(Finding(check, "more", f"more than {_MOST} of this kind"))


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One state of the lake: table versions, manifests by run, runs whose commit is unfinished."""

    versions: dict[str, int | None]
    manifests: dict[str, Row]
    unfinished: list[str]


def verify(store: Store, *, sample: int = 20, full: bool = False, workers: int = 2) -> Report:
    """Check everything that the lake promises of itself.

    ``sample`` is how many articles (the first by id) have their text held against its hash, and
    their stored page extracted again in ``workers`` processes; with ``full`` every row of
    articles and copies has. Raises StoreError when the store does not answer.
    """
    report = Report()
    snapshot = _snapshot(store)
    for run_id in snapshot.unfinished:
        report.add(
            "unfinished",
            run_id,
            "its publish is under way or died between two commits; the next publish completes it",
        )
    with duckdb.connect() as engine:
        for name, version in snapshot.versions.items():
            if version is None:
                report.add("table", name, "does not stand; the next publish makes it, empty")
            engine.register(name, dataset.scan(store, name, version))
        _check_tables(engine, report)
        _check_manifests(store, snapshot, engine, report)
    for name in ("articles", "copies") if full else ("articles",):
        rows = _rows(dataset.scan(store, name, snapshot.versions[name]), None if full else sample)
        _check_texts(store, name, rows, workers, report)
    return report


def _snapshot(store: Store) -> _Snapshot:
    """A state in which no commit plan was half carried out, if the lake holds still for one."""
    for _ in range(_LOOKS):
        versions = _versions(store)
        unfinished = [
            found.key.split("/")[1].removeprefix("run=")
            for found in store.objects("staged/")
            if found.key.endswith("/commit.json")
        ]
        manifests = _manifests(store)
        if versions == _versions(store):
            break
    return _Snapshot(versions, manifests, unfinished)


def _versions(store: Store) -> dict[str, int | None]:
    tables = {name: dataset.open_table(store, name) for name in SCHEMAS}
    return {name: table.version() if table else None for name, table in tables.items()}


def _manifests(store: Store) -> dict[str, Row]:
    keys = [found.key for found in store.objects("runs/")]
    with ThreadPoolExecutor(_READERS) as readers:
        said = [json.loads(blob.data) for blob in readers.map(store.get, keys)]
    return {manifest["run_id"]: manifest for manifest in said}


# --- the tables among themselves ------------------------------------------------------------

_WRITTEN = """
CREATE VIEW written AS
SELECT 'article' AS kind, id, source, date, topic, revision, published_at, first_seen_at
FROM articles UNION ALL
SELECT 'copy', id, source, date, topic, revision, published_at, first_seen_at
FROM copies UNION ALL
SELECT 'revision', id, source, date, topic, revision, published_at, first_seen_at
FROM revisions
"""
_QUERIES = {
    "identity": (
        """SELECT id, 'stands ' || count(*) || ' times in articles'
        FROM articles GROUP BY id HAVING count(*) > 1""",
        """SELECT id || ' of ' || source, 'stands ' || count(*) || ' times in copies'
        FROM copies GROUP BY id, source HAVING count(*) > 1""",
        """SELECT run_id || ' ' || source || ' ' || url,
        'stands ' || count(*) || ' times in coverage'
        FROM coverage GROUP BY run_id, source, url HAVING count(*) > 1""",
    ),
    "reference": (
        """SELECT id || ' of ' || source,
        'is a copy of ' || article_id || ', which is not in articles'
        FROM copies c ANTI JOIN articles a ON a.id = c.article_id""",
        """SELECT run_id || ' ' || url,
        'is ' || state || ', of ' || article_id || ', which is not in articles'
        FROM (FROM coverage WHERE article_id IS NOT NULL) c
        ANTI JOIN articles a ON a.id = c.article_id""",
    ),
    "key": (
        """SELECT id || ' of ' || source, 'is an ' || kind || ' that keys does not find'
        FROM (FROM written WHERE kind <> 'revision')
        ANTI JOIN (FROM keys WHERE key = id) USING (id, source, kind, date, topic)""",
        """SELECT key, 'names the ' || kind || ' ' || id || ' of ' || source || ' under ' || date
        || ' and ' || topic || ', where none is'
        FROM keys ANTI JOIN written USING (id, source, kind, date, topic)""",
    ),
    "state": (
        """SELECT run_id || ' ' || url, state || ' is no state' FROM coverage
        WHERE list_contains($known, state) IS NOT TRUE""",
    ),
    "topic": (
        """SELECT id, topic || ' is no topic' FROM written
        WHERE list_contains($known, topic) IS NOT TRUE""",
    ),
    "date": (
        """SELECT run_id || ' ' || url, 'has the date ' || date || ', not the day of its run'
        FROM coverage WHERE strftime(date, '%Y%m%d') <> run_id[:8]""",
        # A later text may correct published_at; the date stays that of the first.
        """SELECT id, 'is an ' || kind || ' with the date ' || date || ', but of ' || day
        FROM (SELECT *, CAST(coalesce(published_at, first_seen_at) AS DATE) AS day
        FROM written WHERE revision = 0) WHERE date <> day""",
    ),
}
"""Check -> queries that give subject and detail of every row that fails it."""

_KNOWN = {"state": list(map(str, State)), "topic": [*TOPICS, UNCLASSIFIED]}


def _check_tables(engine: duckdb.DuckDBPyConnection, report: Report) -> None:
    engine.execute("SET TimeZone = 'UTC'")  # CAST of a moment to its day goes by it
    engine.execute(_WRITTEN)
    for name in SCHEMAS:
        _check_nulls(engine, name, report)
    for check, queries in _QUERIES.items():
        known = {"known": _KNOWN[check]} if check in _KNOWN else {}
        for query in queries:
            found = engine.execute(f"{query} LIMIT {_MOST + 1}", known).fetchall()
            for subject, detail in sorted(found, key=str):
                report.add(check, str(subject), str(detail))


def _check_nulls(engine: duckdb.DuckDBPyConnection, name: str, report: Report) -> None:
    """Null where none may be; texts are looked at with the pages."""
    required = [f.name for f in SCHEMAS[name] if not f.nullable and f.name != "text"]
    required += PARTITIONS[name]
    counts = ", ".join(f'count("{column}")' for column in required)
    ((total, *filled),) = engine.view(name).aggregate(f"count(*), {counts}").fetchall()
    report.checked[name] = total
    for column, count in zip(required, filled, strict=True):
        if count < total:
            report.add("null", f"{name}.{column}", f"is null in {total - count} of {total} rows")


# --- the manifests --------------------------------------------------------------------------


def _check_manifests(
    store: Store, snapshot: _Snapshot, engine: duckdb.DuckDBPyConnection, report: Report
) -> None:
    rows: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    counted = "SELECT run_id, source, state, count(*) FROM coverage GROUP BY ALL"
    for run_id, source, state, count in engine.execute(counted).fetchall():
        rows[run_id][source][state] = count
    for run_id in sorted(rows.keys() - snapshot.manifests.keys() - set(snapshot.unfinished)):
        report.add("manifest", run_id, "has rows in coverage but no manifest; publish it again")
    logs = {name: _log_versions(store, name) for name in SCHEMAS}
    for run_id, manifest in sorted(snapshot.manifests.items()):
        report.checked["manifests"] += 1
        _check_counts(run_id, manifest, rows[run_id], report)
        for name, version in manifest["tables"].items():
            log = logs.get(name, set())
            # Delta clears old entries of a log away: only what should still be there is missed.
            if version > max(log, default=-1) or (version >= min(log) and version not in log):
                report.add("manifest", run_id, f"names version {version} of {name}, which is gone")


def _check_counts(
    run_id: str, manifest: Row, rows: Mapping[str, Mapping[str, int]], report: Report
) -> None:
    for source in sorted(manifest["counts"].keys() | rows.keys()):
        said, found = manifest["counts"].get(source, {}), rows.get(source, {})
        for state in sorted(said.keys() | found.keys()):
            if said.get(state, 0) != found.get(state, 0):
                detail = (
                    f"says {said.get(state, 0)} {state} of {source},"
                    f" coverage has {found.get(state, 0)} rows"
                )
                report.add("manifest", run_id, detail)
        known = manifest["known"].get(source, 0)
        discovered = manifest["discovered"].get(source, 0)
        if sum(found.values()) + known != discovered:
            detail = (
                f"says {discovered} URLs discovered of {source}, but its {sum(found.values())}"
                f" rows and {known} known ones are {sum(found.values()) + known}"
            )
            report.add("manifest", run_id, detail)


def _log_versions(store: Store, name: str) -> set[int]:
    entry = re.compile(rf"{name}/_delta_log/(\d{{20}})\.json")
    keys = (entry.fullmatch(found.key) for found in store.objects(f"{name}/_delta_log/"))
    return {int(key[1]) for key in keys if key}


# --- texts and pages ------------------------------------------------------------------------

_BODY = ["id", "source", "text", "content_hash", "extractor"]
_POINTER = ["warc_key", "warc_offset", "warc_length"]
_STATEMENT_BYTES = 16_384  # a metadata record is some hundred bytes; hundreds of tags fit in
_GZIP = b"\x1f\x8b\x08"


def _check_texts(
    store: Store, name: str, rows: Iterable[Row], workers: int, report: Report
) -> None:
    """Every row's text against its hash, and against its stored page extracted again."""
    extracting: deque[Row] = deque()
    without: Counter[str] = Counter()

    def pages() -> Iterator[Page]:
        for row in rows:
            report.checked["texts"] += 1
            if not row["text"] or content_hash(row["text"]) != row["content_hash"]:
                report.add("text", row["id"], f"its content_hash in {name} is not its text's")
            if row["warc_key"] is None:
                without["have no stored page any more: it has expired"] += 1
            elif not row["warc_key"].startswith("raw/"):
                without["were imported from WARC files outside this lake"] += 1
            else:
                report.checked["pages"] += 1
                page = _stored_page(store, row)
                if page is None:
                    report.add("page", row["id"], f"{_where(row)} is gone or damaged")
                else:
                    extracting.append(row)
                    yield page

    with ExtractionPool(workers=workers) as pool:
        for made in pool.outcomes(pages()):
            _compare(extracting.popleft(), made, report)
    report.notes += [f"{count} rows of {name} {why}" for why, count in sorted(without.items())]


def _compare(row: Row, made: Article | Rejection, report: Report) -> None:
    if row["extractor"] != extraction.extractor():
        return  # another extractor may judge otherwise
    if isinstance(made, Rejection):
        detail = f"{_where(row)} is no article when extracted again: {made.state}, {made.detail}"
        report.add("page", row["id"], detail)
    elif made.content_hash != row["content_hash"]:
        report.add("page", row["id"], f"{_where(row)} gives another text when extracted again")


def _where(row: Row) -> str:
    return f"its page in {row['warc_key']} at byte {row['warc_offset']}"


def _stored_page(store: Store, row: Row) -> Page | None:
    """The page with its listing's hints, which lie in the member right before its own."""
    key, offset, length = (row[name] for name in _POINTER)
    start = max(0, offset - _STATEMENT_BYTES)
    try:
        data = store.get_range(key, start, offset - start + length)
    except ObjectNotFound:
        return None
    begin = _member_before(data, offset - start)
    stored = list(read_pages(data[begin:], key, source=row["source"]))
    return stored[0].page if len(stored) == 1 else None


def _member_before(data: bytes, end: int) -> int:
    """Where the gzip member that ends at ``end`` begins; ``end`` itself when none does."""
    begin = data.rfind(_GZIP, 0, end)
    while begin >= 0:
        unpacker = zlib.decompressobj(31)
        try:
            unpacker.decompress(data[begin:end])
        except zlib.error:
            pass
        else:
            if unpacker.eof and not unpacker.unused_data:
                return begin
        begin = data.rfind(_GZIP, 0, begin)
    return end


def _rows(rows: ds.Dataset, sample: int | None) -> Iterator[Row]:
    """The rows of a table, or the first ``sample`` by id."""
    where = None
    if sample is not None:
        ids = rows.to_table(columns=["id"]).sort_by("id").column("id")[:sample]
        where = ds.field("id").isin(ids.combine_chunks())
    # Few batches ahead: a lake's texts do not fit into memory.
    for batch in rows.to_batches(
        columns=[*_BODY, *_POINTER],
        filter=where,
        batch_size=500,
        batch_readahead=2,
        fragment_readahead=1,
    ):
        yield from batch.to_pylist()
