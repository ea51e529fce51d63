"""The lake's Delta tables: immutable Parquet objects put by boto3, listed by one transaction.

A file's name carries the run and the hash of its bytes, so that a put may be repeated and never
overwrites anything else. A commit names an application transaction (Delta protocol, "Transaction
Identifiers"), so that it may be repeated too. Protocol:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, datetime
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction
from pyarrow.fs import PyFileSystem

from processing import parquet
from processing.exceptions import LakeFormatError, ObjectNotFound, PreconditionFailed, StoreError
from processing.filesystem import filesystem
from processing.schema_documents import documents
from processing.storage import MENDS, Store
from processing.tables import PARTITIONS, SCHEMAS

FORMAT_VERSION = 3
"""Version of the lake's layout, in ``lake.json``.

2 added ``fingerprints``, 3 what near-duplicates are found by in it, and more that URL keys leave
out of an address.
"""

_COMMIT_LOOKS = 5
_PARALLEL = 8
_CHECKPOINT_EVERY = 20  # commits; opening a table reads every entry since the last checkpoint
_BOUNDED = ("key", "run_id")
"""Columns whose bounds in the log spare reading files: few files hold a run, or a range of keys."""

Days = Collection[date]


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet object of a table: path below the table, size in bytes, partition, statistics.

    ``statistics`` is the JSON text of Delta's per-file statistics.
    """

    path: str
    size: int
    partition: dict[str, str]
    statistics: str

    @property
    def rows(self) -> int:
        """How many rows the file holds."""
        return int(json.loads(self.statistics)["numRecords"])


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction does to one table: files it adds and files they replace.

    ``data_change`` is False where the rows stay as they are and only lie in other files.
    """

    table: str
    adds: tuple[DataFile, ...] = ()
    removes: tuple[DataFile, ...] = ()
    data_change: bool = True

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; ``Change.from_json`` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Self:
        """The change that ``to_json`` wrote."""
        files = {part: tuple(DataFile(**f) for f in said[part]) for part in ("adds", "removes")}
        return cls(said["table"], **files, data_change=said.get("data_change", True))


# --- the lake stands ------------------------------------------------------------------------


def initialise(store: Store) -> None:
    """Make the lake stand: bucket, ``lake.json`` and every table, empty where it is missing.

    Raises LakeFormatError when the lake has another format than this newslake writes.
    """
    store.ensure_bucket()
    check_format(store, _format_of(store))
    ensure_tables(store)


def ensure_tables(store: Store) -> None:
    """Make every table stand, empty where it is missing, and the lake's words about itself."""
    with ThreadPoolExecutor(_PARALLEL) as at_once:
        list(at_once.map(lambda name: _ensure(store, name), SCHEMAS))
        list(at_once.map(lambda said: _explain(store, *said), documents().items()))


def check_format(store: Store, version: int) -> None:
    """Raise LakeFormatError unless ``version`` is the one this newslake writes."""
    if version > FORMAT_VERSION:
        raise LakeFormatError(
            f"{store.url} has format {version}, this newslake knows {FORMAT_VERSION};"
            " upgrade newslake to write to it"
        )
    if version < FORMAT_VERSION:
        raise LakeFormatError(
            f"{store.url} has format {version}, this newslake writes {FORMAT_VERSION};"
            " bring it up with 'newslake dataset migrate'"
        )


def _format_of(store: Store) -> int:
    said = {"format_version": FORMAT_VERSION}
    try:
        said = json.loads(store.get("lake.json").data)
    except ObjectNotFound:
        try:
            store.put("lake.json", json.dumps(said).encode(), if_none_match=True)
        except PreconditionFailed:  # another initialiser was quicker
            said = json.loads(store.get("lake.json").data)
    return int(said["format_version"])


def _explain(store: Store, key: str, content: bytes) -> None:
    try:
        lies = store.get(key).data == content
    except ObjectNotFound:
        lies = False
    if not lies:
        store.put(key, content)


def _ensure(store: Store, name: str) -> None:
    if any(True for _ in store.objects(f"{name}/_delta_log/")):
        return
    schema = SCHEMAS[name]
    # Readers keep statistics of the first 32 columns only, unless told which.
    bounded = ",".join(c for c in parquet.STATISTICS if c in schema.names)
    try:
        DeltaTable.create(
            _uri(store, name),
            schema=schema,
            mode="ignore",
            partition_by=PARTITIONS[name],
            configuration={
                "delta.dataSkippingStatsColumns": bounded,
                "delta.checkpointInterval": str(_CHECKPOINT_EVERY),
            },
            storage_options=store.delta_options,
        )
    except DeltaError:
        if open_table(store, name) is None:  # else another initialiser was quicker
            raise


# --- reading --------------------------------------------------------------------------------


def open_table(store: Store, name: str, version: int | None = None) -> DeltaTable | None:
    """The Delta table at its newest version (or the one asked for); None where none stands."""
    try:
        return DeltaTable(_uri(store, name), version=version, storage_options=store.delta_options)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StoreError(
            f"cannot read {store.url}/{name}: {_one_line(error)};"
            " check the store with 'newslake doctor'"
        ) from error


class Tables:
    """The lake's Delta tables, each opened once: one state to decide on, or to read.

    Opening a table costs tens of milliseconds and grows with its log; ``look`` moves what is
    open to the newest version for one request each. ``pinned`` names versions to stay at.
    Every method raises StoreError where no table stands or the store does not answer.
    """

    def __init__(self, store: Store, pinned: Mapping[str, int] | None = None):
        self.store = store
        self._pinned = dict(pinned or {})
        self._opened: dict[str, DeltaTable] = {}

    def look(self, name: str | None = None) -> None:
        """Move the opened tables, or one of them, to their newest versions."""
        for each in [name] if name else list(self._opened):
            if each in self._opened and each not in self._pinned:
                try:
                    self._opened[each].update_incremental()
                except (DeltaError, OSError):
                    del self._opened[each]  # its log was cut meanwhile: open it anew

    def delta(self, name: str) -> DeltaTable:
        """The Delta table itself."""
        if name not in self._opened:
            table = open_table(self.store, name, self._pinned.get(name))
            if table is None:
                raise StoreError(
                    f"no table stands at {self.store.url}/{name}; check it with 'newslake doctor'"
                )
            self._opened[name] = table
        return self._opened[name]

    def versions(self) -> dict[str, int]:
        """The version of every table."""
        with ThreadPoolExecutor(_PARALLEL) as at_once:
            opened = at_once.map(self.delta, SCHEMAS)
            return {name: table.version() for name, table in zip(SCHEMAS, opened, strict=True)}

    def files(self, name: str, days: Days | None = None) -> pa.Table:
        """The files of a table, of certain days' partitions or all.

        Columns as ``DeltaTable.get_add_actions(flatten=True)`` names them: ``path``,
        ``size_bytes``, ``num_records``, ``partition.date``, ``min.key``, ...
        """
        listed = pa.table(self.delta(name).get_add_actions(flatten=True))
        if days is None or "date" not in PARTITIONS[name] or not len(listed):
            return listed
        wanted = pa.array(sorted(set(days)), pa.date32())
        return listed.filter(pc.is_in(listed["partition.date"].cast(pa.date32()), wanted))

    def dataset(self, name: str, days: Days | None = None) -> ds.Dataset:
        """The table as an Arrow dataset of exactly its schema.

        With ``days`` only the files of these partitions: a whole table costs 50 µs a file
        before the first row is read.
        """
        files = self.files(name, days)
        schema = SCHEMAS[name]
        if not len(files):
            return ds.dataset(schema.empty_table())
        shape = ds.ParquetFileFormat(
            default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True)
        )
        system = self._filesystem(name, files)
        fragments = [
            shape.make_fragment(str(path), system, within, file_size=size)
            for path, size, within in zip(
                files["path"].to_pylist(),
                files["size_bytes"].to_pylist(),
                _guarantees(name, files),
                strict=True,
            )
        ]
        return ds.FileSystemDataset(fragments, schema, shape, system)

    def rows(
        self,
        name: str,
        where: ds.Expression,
        columns: Sequence[str] | None = None,
        days: Days | None = None,
    ) -> list[dict[str, Any]]:
        """The rows that meet ``where``, as dicts of ``columns`` (default: all)."""
        held = self.dataset(name, days)
        table = held.to_table(columns=list(columns) if columns else None, filter=where)
        return table.to_pylist()

    def find(
        self,
        name: str,
        column: str,
        values: Collection[str],
        days: Days | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """The rows whose ``column`` is one of ``values``, most of which are expected in none.

        Reads that column first, and the others (default: all) only of row groups that hold one
        of them.
        """
        if not values:
            return []
        wanted = pa.array(sorted(values), pa.string())
        where = ds.field(column).isin(wanted)
        groups = self.dataset(name, days).get_fragments(where)
        with ThreadPoolExecutor(_PARALLEL) as at_once:
            found = at_once.map(
                lambda group: _rows_in(group, name, column, wanted, columns), groups
            )
            return [row for rows in found for row in rows]

    def _filesystem(self, name: str, files: pa.Table) -> PyFileSystem:
        sizes: dict[Any, Any] = dict(
            zip(files["path"].to_pylist(), files["size_bytes"].to_pylist(), strict=True)
        )
        return filesystem(_uri(self.store, name), self.store.delta_options, sizes)


def _guarantees(name: str, files: pa.Table) -> Iterator[ds.Expression]:
    """What holds for every row of each file: its partition, and some bounds."""
    schema = SCHEMAS[name]
    keys = [c for c in PARTITIONS[name] if f"partition.{c}" in files.column_names]
    bounds = [
        c for c in _BOUNDED if name in ("keys", "coverage") and f"min.{c}" in files.column_names
    ]
    columns = [f"partition.{c}" for c in keys] + [
        f"{m}.{c}" for c in bounds for m in ("min", "max")
    ]
    partitions: dict[tuple[Any, ...], ds.Expression] = {}
    rows: Iterator[tuple[Any, ...]] = zip(*(files[c].to_pylist() for c in columns), strict=True)
    for values in rows if columns else iter([()] * len(files)):
        own, ranges = values[: len(keys)], values[len(keys) :]
        if own not in partitions:
            partitions[own] = _all_of(
                ds.field(c) == pa.scalar(v, schema.field(c).type)
                for c, v in zip(keys, own, strict=True)
            )
        limits = [
            (ds.field(c) >= low) & (ds.field(c) <= high)
            for c, low, high in zip(bounds, ranges[::2], ranges[1::2], strict=True)
            if low is not None and high is not None
        ]
        yield _all_of([partitions[own], *limits])


def _all_of(conditions: Any) -> ds.Expression:
    whole: ds.Expression | None = None
    for condition in conditions:
        whole = condition if whole is None else whole & condition
    return whole if whole is not None else ds.scalar(True)


def _rows_in(
    fragment: ds.ParquetFileFragment,
    name: str,
    column: str,
    wanted: pa.Array[Any],
    columns: Sequence[str] | None,
) -> list[dict[str, Any]]:
    schema = SCHEMAS[name]
    keys = fragment.to_table(schema, columns=[column])[column]
    hits = pc.indices_nonzero(pc.is_in(keys, wanted))
    if not len(hits):
        return []
    ends = list(accumulate(group.num_rows for group in fragment.row_groups))
    numbers = {bisect_right(ends, int(at)) for at in hits.to_numpy()}
    few: Any = fragment.subset(row_group_ids=sorted(numbers))
    rows: list[dict[str, Any]] = few.to_table(
        schema,
        columns=list(columns) if columns else None,
        filter=ds.field(column).isin(wanted),
    ).to_pylist()
    return rows


def scan(store: Store, name: str, version: int | None = None) -> ds.Dataset:
    """The table as an Arrow dataset of exactly its schema; empty where no table stands."""
    if open_table(store, name, version) is None:
        return ds.dataset(SCHEMAS[name].empty_table())
    return Tables(store, {name: version} if version is not None else None).dataset(name)


def read_rows(
    store: Store, name: str, where: ds.Expression, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The rows that meet ``where``, as dicts of ``columns`` (default: all)."""
    return Tables(store).rows(name, where, columns)


# --- writing --------------------------------------------------------------------------------


def write_files(store: Store, name: str, rows: pa.Table, run_id: str) -> tuple[DataFile, ...]:
    """Put ``rows`` as one Parquet object per partition; nothing is visible before a commit."""
    with ThreadPoolExecutor(_PARALLEL) as at_once:
        parts = at_once.map(
            lambda part: _write_file(store, name, part[1], part[0], run_id),
            _by_partition(rows, PARTITIONS[name]),
        )
        return tuple(parts)


def rows_of(rows: Mapping[tuple[str, str], date]) -> ds.Expression:
    """The rows of a table by (id, source), each with its date: what ``change_rows`` takes out."""
    own = pc.binary_join_element_wise(ds.field("id"), ds.field("source"), pc.scalar(" "))
    pairs = pa.array(sorted(" ".join(pair) for pair in rows), pa.string())
    return ds.field("date").isin(sorted(set(rows.values()))) & own.isin(pairs)


def change_rows(
    tables: Tables,
    name: str,
    fresh: pa.Table,
    run_id: str,
    *,
    gone: ds.Expression | None = None,
    days: Days | None = None,
) -> Change:
    """The change that puts ``fresh`` in and takes the rows that meet ``gone`` out.

    Of a file that holds such rows the others are carried over to a new one. ``gone`` must be
    true or false for every row, never null; ``days`` are the only partitions it can meet.
    """
    removes: list[str] = []
    kept: list[pa.Table] = []
    if gone is not None:
        for fragment in tables.dataset(name, days).get_fragments(gone):
            schema = SCHEMAS[name]
            if len(fragment.to_table(schema, columns=["source"], filter=gone)):
                removes.append(fragment.path)
                kept.append(fragment.to_table(schema, filter=~gone))
    whole = pa.concat_tables([fresh.select(SCHEMAS[name].names), *kept])
    adds = write_files(tables.store, name, whole, run_id)
    return _change(name, adds, files_of(tables, name, removes))


def _change(name: str, adds: Sequence[DataFile], removes: Sequence[DataFile]) -> Change:
    # Same name, same bytes: a file on both sides simply stays.
    added, removed = ({file.path for file in files} for files in (adds, removes))
    return Change(
        name,
        tuple(file for file in adds if file.path not in removed),
        tuple(file for file in removes if file.path not in added),
    )


def files_of(tables: Tables, name: str, paths: Collection[str]) -> tuple[DataFile, ...]:
    """The listed files of a table by their paths, with what removing them needs."""
    if not paths:
        return ()
    listed = tables.files(name)
    chosen = listed.filter(pc.is_in(listed["path"], pa.array(sorted(paths), pa.string())))
    return tuple(
        DataFile(
            row["path"],
            row["size_bytes"],
            {column: str(row[f"partition.{column}"]) for column in PARTITIONS[name]},
            json.dumps({"numRecords": row["num_records"]}),
        )
        for row in chosen.to_pylist()
    )


def _by_partition(rows: pa.Table, columns: list[str]) -> Iterator[tuple[dict[str, str], pa.Table]]:
    if not len(rows):
        return
    # Compaction writes one partition at a time: spare it a copy of that.
    if any(len(pc.unique(rows[column])) > 1 for column in columns):
        rows = rows.sort_by([(column, "ascending") for column in columns])
    borders = {0, len(rows)}
    for column in columns:
        values = rows[column].combine_chunks()
        moved = pc.not_equal(values[1:], values[:-1])
        borders |= {int(at) + 1 for at in pc.indices_nonzero(moved).to_numpy()}
    for start, end in pairwise(sorted(borders)):
        part = rows.slice(start, end - start)
        partition = {column: str(part[column][0].as_py()) for column in columns}
        yield partition, part.drop_columns(columns)


def _write_file(
    store: Store, name: str, rows: pa.Table, partition: dict[str, str], run_id: str
) -> DataFile:
    data = parquet.encode(rows)
    folder = "".join(f"{column}={value}/" for column, value in partition.items())
    path = f"{folder}part-{run_id}-{sha256(data).hexdigest()[:16]}.parquet"
    store.put(f"{name}/{path}", data, if_none_match=True)
    return DataFile(path, len(data), partition, json.dumps(parquet.statistics(rows)))


# --- committing -----------------------------------------------------------------------------


def commit(tables: Tables, change: Change, transaction: str, base: int, now: datetime) -> int:
    """Make ``change`` the table's next version, once; the version at which it stands.

    ``transaction`` names the application transaction: committed before, nothing happens.
    ``base`` is the version the change was decided against. Raises PreconditionFailed when the
    table has moved on since: then the change must be decided again.
    """
    where = f"{tables.store.url}/{change.table}"
    for _ in range(_COMMIT_LOOKS):
        tables.look(change.table)
        table = tables.delta(change.table)
        committed = table.transaction_version(transaction) is not None
        if committed or not (change.adds or change.removes):
            return table.version()
        if table.version() != base:
            raise PreconditionFailed(
                f"{change.table} moved from version {base} to {table.version()} while a change"
                " to it was decided; decide again"
            )
        try:
            _transact(table, change, transaction, now)
        except CommitFailedError:
            continue  # another's commit, or our own whose answer was lost: look which
        except (DeltaError, OSError) as error:
            raise StoreError(
                f"cannot commit to {where}: {_one_line(error)}; {_mend(error)}"
            ) from error
        tables.look(change.table)
        return base + 1
    raise StoreError(
        f"{where} refuses every commit; check that the store keeps conditional writes with"
        " 'newslake doctor'"
    )


def _transact(table: DeltaTable, change: Change, transaction: str, now: datetime) -> None:
    moment = int(now.timestamp() * 1000)
    alters = change.data_change
    adds = [
        AddAction(f.path, f.size, f.partition, moment, alters, f.statistics) for f in change.adds
    ]
    removes = [
        RemoveAction(f.path, alters, moment, f.size, dict(f.partition)) for f in change.removes
    ]
    table.create_write_transaction(
        [*adds, *removes],
        mode="append",
        schema=SCHEMAS[change.table],
        partition_by=PARTITIONS[change.table],
        commit_properties=CommitProperties(
            # No silent rebase onto another writer's commit: look first, then decide.
            max_commit_retries=0,
            app_transactions=[Transaction(transaction, 1)],
        ),
    )


_DRAWN = re.compile(r"\x1b\[[0-9;]*m|↳")


def _one_line(error: Exception) -> str:
    """The engine's own words, of which it makes a coloured tree."""
    return " ".join(_DRAWN.sub("", str(error)).split())


def _mend(error: Exception) -> str:
    if "507" in str(error) or "InsufficientStorage" in str(error):
        return MENDS["InsufficientStorage"]
    return "check the store with 'newslake doctor'"


def _uri(store: Store, name: str) -> str:
    return f"{store.url}/{name}"
