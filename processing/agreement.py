"""Whether the lake's tables agree with themselves and with each other, at any size.

Each table is read once, slice by slice, in the few columns that say who a row is. What has to be
held against the whole lake goes into an engine that spills to disk; there rows are compared by
64-bit hashes of what has to agree, so ten million of them fit into its memory.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from processing.dataset import Tables
from processing.exceptions import StoreError
from processing.findings import MOST, Report
from processing.records import TOPICS, UNCLASSIFIED, State
from processing.tables import PARTITIONS, SCHEMAS

Engine = duckdb.DuckDBPyConnection
Counts = dict[str, dict[str, dict[str, int]]]

_MEMORY = "512MB"  # the engine's own; beyond it, it spills to disk
_SLICE_ROWS = 1_000_000
_READERS = 8
_IDENTITY = ("id", "source", "date", "topic", "revision", "run_id")
_MOMENTS = ("published_at", "first_seen_at", "fetched_at")
_COLUMNS = {
    "articles": (*_IDENTITY, *_MOMENTS, "content_hash", "cluster_id"),
    "copies": (*_IDENTITY, *_MOMENTS, "content_hash", "cluster_id", "article_id", "relation"),
    "revisions": (*_IDENTITY, *_MOMENTS),
    "fingerprints": ("key", "source", "id", "article_id", "relation", "cluster_id", "date"),
    "keys": ("key", "source", "id", "kind", "date", "topic", "run_id"),
    "coverage": ("run_id", "source", "url", "state", "article_id", "date"),
}
"""What is read of each table, in an order in which each finds what it is held against."""


def check_tables(tables: Tables, report: Report) -> Counts:
    """Hold the tables against each other; run -> source -> state -> rows in coverage.

    Every row of every table is looked at, but no text. Raises StoreError when the store does
    not answer, or a file is removed meanwhile.
    """
    counts: Counts = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    with _engine() as engine:
        for name in _COLUMNS:
            report.checked[name] = 0
            for rows in _slices(tables, name, report):
                report.checked[name] += len(rows)
                engine.register("slice", rows)
                for statement in _TAKE_UP.get(name, ()):
                    engine.execute(statement)
                _find(engine, _IN_SLICE.get(name, ()), report)
                if name == "coverage":
                    _count(engine, counts)
        _find(engine, _OVERALL, report)
        if engine.execute(_TWICE_DISCOVERED).fetchall():
            for rows in _slices(tables, "coverage", report):
                engine.register("slice", rows)
                _run(engine, _TAKE_TWICE)
            _find(engine, _TWICE, report)
    return counts


@contextmanager
def _engine() -> Iterator[Engine]:
    with (
        tempfile.TemporaryDirectory(prefix="newslake-verify-") as folder,
        duckdb.connect(
            str(Path(folder, "rows.duckdb")),
            config={"memory_limit": _MEMORY, "temp_directory": folder},
        ) as engine,
    ):
        engine.execute("SET TimeZone = 'UTC'")  # CAST of a moment to its day goes by it
        engine.execute("SET preserve_insertion_order = false")
        engine.execute(_TABLES)
        yield engine


# --- reading --------------------------------------------------------------------------------


def _slices(tables: Tables, name: str, report: Report) -> Iterator[pa.Table]:
    """The table in its columns of ``_COLUMNS``, about a million rows at a time."""
    for days in _some_days(tables, name):
        rows = tables.dataset(name, days)
        try:
            _check_shapes(name, rows, report)
            batches: list[pa.RecordBatch] = []
            for batch in rows.to_batches(
                columns=list(_COLUMNS[name]), batch_readahead=4, fragment_readahead=2
            ):
                batches.append(batch)
                if sum(map(len, batches)) >= _SLICE_ROWS:
                    yield pa.Table.from_batches(batches)
                    batches = []
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"cannot read {tables.store.url}/{name}: {error}; verify again, and restore the"
                " file when it stays so"
            ) from error
        if batches:
            yield pa.Table.from_batches(batches)


def _some_days(tables: Tables, name: str) -> Iterator[list[date] | None]:
    """Days whose files hold about a slice together; None for a table without days."""
    if "date" not in PARTITIONS[name]:
        yield None
        return
    files = tables.files(name)
    if not len(files):
        return
    rows: Counter[date] = Counter()
    for file in files.select(["partition.date", "num_records"]).to_pylist():
        rows[file["partition.date"]] += file["num_records"]
    days: list[date] = []
    for day in sorted(rows):
        days.append(day)
        if sum(rows[each] for each in days) >= _SLICE_ROWS:
            yield days
            days = []
    yield days


def _check_shapes(name: str, rows: ds.Dataset, report: Report) -> None:
    """Each file's columns against the table's; a null where the file lets one be."""
    fragments = [f for f in rows.get_fragments() if isinstance(f, ds.ParquetFileFragment)]
    with ThreadPoolExecutor(_READERS) as readers:
        # Reads the footers, which the rows need anyway, many at once.
        shapes = list(readers.map(lambda fragment: fragment.physical_schema, fragments))
    for fragment, shape in zip(fragments, shapes, strict=True):
        for column in SCHEMAS[name]:
            if column.name in PARTITIONS[name]:
                continue
            subject, at = f"{name}.{column.name}", shape.get_field_index(column.name)
            if at < 0:
                report.add("schema", subject, f"is missing in {fragment.path}")
            elif shape.field(at).type != column.type:
                detail = f"is {shape.field(at).type}, not {column.type}, in {fragment.path}"
                report.add("schema", subject, detail)
            elif shape.field(at).nullable and not column.nullable:
                _check_nulls(fragment, column.name, subject, report)


def _check_nulls(
    fragment: ds.ParquetFileFragment, column: str, subject: str, report: Report
) -> None:
    rows = fragment.count_rows()
    nulls = fragment.count_rows(filter=ds.field(column).is_null())
    if nulls:
        report.add("null", subject, f"is null in {nulls} of {rows} rows of {fragment.path}")


# --- judging --------------------------------------------------------------------------------

_TABLES = """
CREATE TABLE written (kind VARCHAR, id VARCHAR, source VARCHAR, date DATE, topic VARCHAR,
    revision INTEGER, own UBIGINT, cluster UBIGINT, place UBIGINT, print UBIGINT, first UBIGINT,
    day DATE);
CREATE TABLE copied (id VARCHAR, source VARCHAR, article_id VARCHAR, article UBIGINT,
    cluster UBIGINT);
CREATE TABLE printed (print UBIGINT);
CREATE TABLE keyed (place UBIGINT, first UBIGINT);
CREATE TABLE discovered (visit UBIGINT);
CREATE TABLE twice (run_id VARCHAR, source VARCHAR, url VARCHAR);
CREATE VIEW standing AS FROM written WHERE kind <> 'revision';
CREATE VIEW article AS FROM written WHERE kind = 'article';
CREATE MACRO placed(kind, id, source, date, topic) AS hash(kind, id, source, date, topic);
CREATE MACRO printing(key, source, id, article_id, relation, cluster_id, date) AS
    hash(key, source, id, article_id, relation, cluster_id, date);
CREATE MACRO visited(run_id, source, url) AS hash(run_id, source, url);
CREATE MACRO dated(published_at, first_seen_at) AS
    CAST(coalesce(published_at, first_seen_at) AS DATE);
-- A row is as first published while its page is the one first seen and its run the one that keys
-- remember. A later text, or reprocessing, may correct published_at, but not the date.
CREATE MACRO misdated(id, source, run_id, date, day, first_seen_at, fetched_at) AS
    CASE WHEN date <> day AND fetched_at = first_seen_at THEN hash(id, source, run_id) END;
"""
"""What is kept of every row: ``own`` is the hash of its identity, ``place`` of what keys say of
it, ``print`` of its fingerprint, ``cluster`` of its cluster's id; ``first`` names its first
publication when its date is not the ``day`` of its moment."""

_TAKE_UP = {
    "articles": (
        """INSERT INTO written SELECT 'article', id, source, date, topic, revision, hash(id),
        hash(cluster_id),
        placed('article', id, source, date, topic),
        printing(content_hash[:32], source, id, id, CAST(NULL AS VARCHAR), cluster_id, date),
        misdated(id, source, run_id, date, day, first_seen_at, fetched_at), day
        FROM (SELECT *, dated(published_at, first_seen_at) AS day FROM slice)""",
    ),
    "copies": (
        """INSERT INTO written SELECT 'copy', id, source, date, topic, revision, NULL, NULL,
        placed('copy', id, source, date, topic),
        printing(content_hash[:32], source, id, article_id, relation, cluster_id, date),
        misdated(id, source, run_id, date, day, first_seen_at, fetched_at), day
        FROM (SELECT *, dated(published_at, first_seen_at) AS day FROM slice)""",
        """INSERT INTO copied
        SELECT id, source, article_id, hash(article_id), hash(cluster_id) FROM slice""",
    ),
    "revisions": (
        """INSERT INTO written SELECT 'revision', id, source, date, topic, revision, NULL, NULL,
        NULL, NULL, misdated(id, source, run_id, date, day, first_seen_at, fetched_at), day
        FROM (SELECT *, dated(published_at, first_seen_at) AS day FROM slice)""",
    ),
    "fingerprints": (
        """INSERT INTO printed
        SELECT printing(key, source, id, article_id, relation, cluster_id, date) FROM slice""",
    ),
    "keys": (
        """INSERT INTO keyed SELECT placed(kind, id, source, date, topic), hash(id, source, run_id)
        FROM slice WHERE key = id""",
    ),
    "coverage": ("INSERT INTO discovered SELECT visited(run_id, source, url) FROM slice",),
}
"""Table -> what is kept of each slice of it."""

Queries = tuple[tuple[str, str], ...]
# What is missing is found by hashes alone, not by all that is told of a row: the join stays small.
_IN_SLICE: dict[str, Queries] = {
    "fingerprints": (
        (
            "fingerprint",
            """SELECT id || ' of ' || source,
            'has a fingerprint of another text, article or date, or is no more' FROM slice
            WHERE printing(key, source, id, article_id, relation, cluster_id, date) IN (
                FROM (
                    SELECT printing(key, source, id, article_id, relation, cluster_id, date)
                    AS print FROM slice) ANTI JOIN standing USING (print) LIMIT $most)""",
        ),
    ),
    "keys": (
        (
            "key",
            """SELECT key, 'names the ' || kind || ' ' || id || ' of ' || source || ' under '
            || date || ' and ' || topic || ', where none is' FROM slice
            WHERE placed(kind, id, source, date, topic) IN (
                FROM (SELECT placed(kind, id, source, date, topic) AS place FROM slice)
                ANTI JOIN standing USING (place) LIMIT $most)""",
        ),
    ),
    "coverage": (
        (
            "state",
            """SELECT run_id || ' ' || url, state || ' is no state' FROM slice
            WHERE list_contains($states, state) IS NOT TRUE""",
        ),
        (
            "date",
            """SELECT run_id || ' ' || url, 'has the date ' || date || ', not the day of its run'
            FROM slice WHERE strftime(date, '%Y%m%d') <> run_id[:8]""",
        ),
        (
            "reference",
            """SELECT run_id || ' ' || url,
            'is ' || state || ', of ' || article_id || ', which is not in articles' FROM slice
            WHERE article_id IS NOT NULL AND hash(article_id) IN (
                FROM (SELECT hash(article_id) AS own FROM slice WHERE article_id IS NOT NULL)
                ANTI JOIN article USING (own) LIMIT $most)""",
        ),
    ),
}
"""Table -> (check, query) that gives subject and detail of every row of a slice that fails it."""

_OVERALL: Queries = (
    (
        "identity",
        """SELECT id, 'stands ' || count(*) || ' times in articles' FROM article
        WHERE own IN (SELECT own FROM article GROUP BY own HAVING count(*) > 1)
        GROUP BY id HAVING count(*) > 1""",
    ),
    (
        "identity",
        """SELECT id || ' of ' || source, 'stands ' || count(*) || ' times in copies'
        FROM copied GROUP BY id, source HAVING count(*) > 1""",
    ),
    (
        "reference",
        """SELECT id || ' of ' || source,
        'is a copy of ' || article_id || ', which is not in articles'
        FROM copied ANTI JOIN article ON own = article""",
    ),
    (
        "cluster",
        """SELECT id || ' of ' || source, 'is in another cluster than its article ' || article_id
        FROM copied JOIN (SELECT own, cluster AS whole FROM article) ON own = article
        WHERE cluster <> whole""",
    ),
    (
        "cluster",
        """SELECT id, 'is in a cluster that no article gives its id'
        FROM article ANTI JOIN (SELECT own AS cluster FROM article) USING (cluster)""",
    ),
    (
        "key",
        """SELECT id || ' of ' || source, 'is an ' || kind || ' that keys does not find'
        FROM standing ANTI JOIN keyed USING (place)""",
    ),
    (
        "fingerprint",
        """SELECT id || ' of ' || source, 'is an ' || kind || ' that fingerprints does not find'
        FROM standing ANTI JOIN printed USING (print)""",
    ),
    (
        "fingerprint",
        """SELECT id || ' of ' || source, 'stands more than once in fingerprints'
        FROM standing SEMI JOIN (
            SELECT print FROM printed GROUP BY print HAVING count(*) > 1) USING (print)""",
    ),
    (
        "revision",
        """SELECT id, 'has revision ' || coalesce(revision, 0) || ', but its earlier texts are '
        || coalesce(CAST(earlier AS VARCHAR), 'none')
        FROM (FROM article WHERE revision > 0) a FULL JOIN (
            SELECT id, list_sort(list(revision)) AS earlier
            FROM written WHERE kind = 'revision' GROUP BY id) r USING (id)
        WHERE earlier IS DISTINCT FROM range(coalesce(revision, 0))""",
    ),
    (
        "topic",
        """SELECT id, topic || ' is no topic' FROM written
        WHERE list_contains($topics, topic) IS NOT TRUE""",
    ),
    (
        "date",
        """SELECT id, 'is an ' || kind || ' with the date ' || date || ', but of ' || day
        FROM (FROM written WHERE first IS NOT NULL) SEMI JOIN keyed USING (first)""",
    ),
)
"""(check, query) that gives subject and detail of every row of the lake that fails it."""

_TWICE_DISCOVERED = "SELECT visit FROM discovered GROUP BY visit HAVING count(*) > 1 LIMIT 1"
_TAKE_TWICE = """
INSERT INTO twice SELECT run_id, source, url FROM slice WHERE visited(run_id, source, url) IN (
    SELECT visit FROM discovered GROUP BY visit HAVING count(*) > 1 LIMIT $most)"""
_TWICE: Queries = (
    (
        "identity",
        """SELECT run_id || ' ' || source || ' ' || url,
        'stands ' || count(*) || ' times in coverage'
        FROM twice GROUP BY run_id, source, url HAVING count(*) > 1""",
    ),
)


_PARAMETERS = {
    "states": list(map(str, State)),
    "topics": [*TOPICS, UNCLASSIFIED],
    "most": MOST + 1,
}


def _find(engine: Engine, queries: Queries, report: Report) -> None:
    for check, query in queries:
        found = _run(engine, f"{query} LIMIT $most").fetchall()
        for subject, detail in sorted(found, key=str):
            report.add(check, str(subject), str(detail))


def _run(engine: Engine, statement: str) -> Engine:
    used = {name: value for name, value in _PARAMETERS.items() if f"${name}" in statement}
    return engine.execute(statement, used)


def _count(engine: Engine, counts: Counts) -> None:
    counted = "SELECT run_id, source, state, count(*) FROM slice GROUP BY ALL"
    for run_id, source, state, count in engine.execute(counted).fetchall():
        counts[run_id][source][state] += count
