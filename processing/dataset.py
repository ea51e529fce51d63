"""The lake's Delta tables: immutable Parquet objects put by boto3, listed by one transaction.

A file's name carries the run and the hash of its bytes, so that a put may be repeated and never
overwrites anything else. A commit names an application transaction (Delta protocol, "Transaction
Identifiers"), so that it may be repeated too. Protocol:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from processing.exceptions import LakeFormatError, ObjectNotFound, PreconditionFailed, StoreError
from processing.schema_documents import documents
from processing.storage import Store
from processing.tables import PARTITIONS, SCHEMAS

FORMAT_VERSION = 1
"""Version of the lake's layout, in ``lake.json``."""

ROW_GROUP_ROWS = 10_000
_COMMIT_LOOKS = 5
_STATISTICS = ("id", "source", "published_at", "fetched_at", "run_id", "key", "article_id", "state")
_DICTIONARY_OFF = {"id", "url", "canonical_url", "title", "text", "summary", "content_hash", "key"}
_BLOOM = ("id", "url", "key")


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
    """What one transaction does to one table: files it adds and files they replace."""

    table: str
    adds: tuple[DataFile, ...] = ()
    removes: tuple[DataFile, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; ``Change.from_json`` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Self:
        """The change that ``to_json`` wrote."""
        files = {part: tuple(DataFile(**f) for f in said[part]) for part in ("adds", "removes")}
        return cls(said["table"], **files)


def initialise(store: Store) -> None:
    """Make the lake stand: bucket, ``lake.json`` and every table, empty where it is missing.

    Raises LakeFormatError when the lake was written by a newer newslake.
    """
    store.ensure_bucket()
    try:
        said = json.loads(store.get("lake.json").data)
    except ObjectNotFound:
        said = {"format_version": FORMAT_VERSION}
        try:
            store.put("lake.json", json.dumps(said).encode(), if_none_match=True)
        except PreconditionFailed:
            said = json.loads(store.get("lake.json").data)
    if said["format_version"] > FORMAT_VERSION:
        raise LakeFormatError(
            f"{store.url} has format {said['format_version']}, this newslake knows"
            f" {FORMAT_VERSION}; upgrade newslake to write to it"
        )
    for key, content in documents().items():
        if not _lies(store, key, content):
            store.put(key, content)
    for name, schema in SCHEMAS.items():
        if not store.exists(f"{name}/_delta_log/{0:020d}.json"):
            _create(store, name, schema)


def _lies(store: Store, key: str, content: bytes) -> bool:
    try:
        return store.get(key).data == content
    except ObjectNotFound:
        return False


def _create(store: Store, name: str, schema: pa.Schema) -> None:
    try:
        DeltaTable.create(
            _uri(store, name),
            schema=schema,
            mode="ignore",
            partition_by=PARTITIONS[name],
            # Readers keep statistics of the first 32 columns only, unless told which.
            configuration={
                "delta.dataSkippingStatsColumns": ",".join(
                    c for c in _STATISTICS if c in schema.names
                )
            },
            storage_options=store.delta_options,
        )
    except DeltaError:
        if open_table(store, name) is None:  # else another initialiser was quicker
            raise


def open_table(store: Store, name: str, version: int | None = None) -> DeltaTable | None:
    """The Delta table at its newest version (or the one asked for); None where none stands."""
    try:
        return DeltaTable(_uri(store, name), version=version, storage_options=store.delta_options)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StoreError(
            f"cannot read {store.url}/{name}: {error}; check the store with 'newslake doctor'"
        ) from error


def scan(store: Store, name: str, version: int | None = None) -> ds.Dataset:
    """The table as an Arrow dataset of exactly its schema; empty where no table stands."""
    table = open_table(store, name, version)
    if table is None:
        return ds.dataset(SCHEMAS[name].empty_table())
    return table.to_pyarrow_dataset()


def read_rows(
    store: Store, name: str, where: ds.Expression, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The rows that meet ``where``, as dicts of ``columns`` (default: all)."""
    table = scan(store, name).to_table(columns=list(columns) if columns else None, filter=where)
    return table.to_pylist()


def write_files(store: Store, name: str, rows: pa.Table, run_id: str) -> tuple[DataFile, ...]:
    """Put ``rows`` as one Parquet object per partition; nothing is visible before a commit."""
    return tuple(
        _write_file(store, name, part, partition, run_id)
        for partition, part in _by_partition(rows, PARTITIONS[name])
    )


def replace_rows(
    store: Store,
    name: str,
    fresh: pa.Table,
    run_id: str,
    *,
    replaced: Mapping[tuple[str, str], date],
) -> Change:
    """The change that puts ``fresh`` in and takes the rows in ``replaced`` out.

    ``replaced`` maps (id, source) of a row to its date. Only files of those days are looked
    into; of a file that holds such a row, the other rows are carried over to a new one.
    """
    days = {day.isoformat() for day in replaced.values()}
    gone = pa.array(sorted(" ".join(row) for row in replaced), pa.string())
    removes: list[DataFile] = []
    kept: list[pa.Table] = []
    for file in _active(store, name) if days else ():
        if file.partition.get("date") in days:
            held = _read_file(store, name, file)
            rows: Any = pc.binary_join_element_wise(held["id"], held["source"], " ")  # type: ignore[call-overload]
            hit = pc.is_in(rows, value_set=gone)
            if pc.any(hit).as_py():
                removes.append(file)
                kept.append(held.filter(pc.invert(hit)))
    whole = pa.concat_tables([fresh, *kept])
    return _change(name, write_files(store, name, whole, run_id), removes)


def replace_run(store: Store, name: str, day: date, run_id: str, rows: pa.Table) -> Change:
    """The change after which the rows of ``run_id`` on its day are exactly ``rows``."""
    removes: list[DataFile] = []
    kept: list[pa.Table] = []
    for file in _active(store, name):
        if file.partition.get("date") == day.isoformat() and _may_hold(file, "run_id", run_id):
            held = _read_file(store, name, file)
            own = pc.equal(held["run_id"], pa.scalar(run_id))
            if pc.any(own).as_py():
                removes.append(file)
                kept.append(held.filter(pc.invert(own)))
    fresh = pa.concat_tables([rows, *kept])
    return _change(name, write_files(store, name, fresh, run_id), removes)


def _change(name: str, adds: Sequence[DataFile], removes: Sequence[DataFile]) -> Change:
    # Same name, same bytes: a file on both sides simply stays.
    added, removed = ({file.path for file in files} for files in (adds, removes))
    return Change(
        name,
        tuple(file for file in adds if file.path not in removed),
        tuple(file for file in removes if file.path not in added),
    )


def version_of(store: Store, name: str) -> int:
    """The table's newest version. Raises StoreError where no table stands."""
    return _standing(store, name).version()


def commit(store: Store, change: Change, transaction: str, base: int, now: datetime) -> int:
    """Make ``change`` the table's next version, once; the version at which it stands.

    ``transaction`` names the application transaction: committed before, nothing happens.
    ``base`` is the version the change was decided against. Raises PreconditionFailed when the
    table has moved on since: then the change must be decided again.
    """
    for _ in range(_COMMIT_LOOKS):
        table = _standing(store, change.table)
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
                f"cannot commit to {store.url}/{change.table}: {error};"
                " check the store with 'newslake doctor'"
            ) from error
        return base + 1
    raise StoreError(
        f"{store.url}/{change.table} refuses every commit; check that the store keeps conditional"
        " writes with 'newslake doctor'"
    )


def _standing(store: Store, name: str) -> DeltaTable:
    table = open_table(store, name)
    if table is None:
        raise StoreError(f"no table stands at {store.url}/{name}; check it with 'newslake doctor'")
    return table


def _transact(table: DeltaTable, change: Change, transaction: str, now: datetime) -> None:
    moment = int(now.timestamp() * 1000)
    adds = [AddAction(f.path, f.size, f.partition, moment, True, f.statistics) for f in change.adds]
    removes = [
        RemoveAction(f.path, True, moment, f.size, dict(f.partition)) for f in change.removes
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


def _uri(store: Store, name: str) -> str:
    return f"{store.url}/{name}"


def _active(store: Store, name: str) -> list[DataFile]:
    table = open_table(store, name)
    return files_of(table) if table else []


def files_of(table: DeltaTable) -> list[DataFile]:
    """The files that the table's version lists."""
    files = []
    for row in pa.table(table.get_add_actions()).to_pylist():
        partition = {name: str(value) for name, value in (row.get("partition") or {}).items()}
        said = {"numRecords": row["num_records"]}
        for part, column in (("minValues", "min"), ("maxValues", "max")):
            said[part] = {k: v for k, v in (row.get(column) or {}).items() if isinstance(v, str)}
        files.append(DataFile(row["path"], row["size_bytes"], partition, json.dumps(said)))
    return files


def _may_hold(file: DataFile, column: str, value: str) -> bool:
    said = json.loads(file.statistics)
    low, high = said["minValues"].get(column), said["maxValues"].get(column)
    return low is None or high is None or low <= value <= high


def _read_file(store: Store, name: str, file: DataFile) -> pa.Table:
    held = pq.read_table(io.BytesIO(store.get(f"{name}/{file.path}").data))
    schema = SCHEMAS[name]
    for column, value in file.partition.items():
        kind = schema.field(column).type
        typed = date.fromisoformat(value) if pa.types.is_date(kind) else value
        held = held.append_column(column, pa.array([typed] * len(held), kind))
    return held.select(schema.names).cast(schema)


def _by_partition(rows: pa.Table, columns: list[str]) -> Iterator[tuple[dict[str, str], pa.Table]]:
    if not columns:
        if len(rows):
            yield {}, rows
        return
    groups = rows.group_by(columns).aggregate([]).sort_by([(c, "ascending") for c in columns])
    for values in groups.to_pylist():
        mask = pa.array([True] * len(rows))
        for column, value in values.items():
            mask = pc.and_(mask, pc.equal(rows[column], pa.scalar(value, rows[column].type)))
        partition = {column: str(value) for column, value in values.items()}
        yield partition, rows.filter(mask).drop_columns(columns)


def _write_file(
    store: Store, name: str, rows: pa.Table, partition: dict[str, str], run_id: str
) -> DataFile:
    order = [c for c in ("key", "published_at", "id", "source", "url") if c in rows.column_names]
    data = _parquet(rows.sort_by([(column, "ascending") for column in order]))
    folder = "".join(f"{column}={value}/" for column, value in partition.items())
    path = f"{folder}part-{run_id}-{sha256(data).hexdigest()[:16]}.parquet"
    store.put(f"{name}/{path}", data, if_none_match=True)
    return DataFile(path, len(data), partition, json.dumps(_statistics(rows)))


def _parquet(rows: pa.Table) -> bytes:
    flat = [f.name for f in rows.schema if not pa.types.is_nested(f.type)]
    sink = io.BytesIO()
    pq.write_table(
        rows,
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=3,
        use_dictionary=[  # type: ignore[arg-type]  # the stubs know only bool
            name for name in flat if name not in _DICTIONARY_OFF
        ],
        write_page_index=True,
        bloom_filter_options={n: {"ndv": len(rows), "fpp": 0.01} for n in _BLOOM if n in flat},
    )
    return sink.getvalue()


def _statistics(rows: pa.Table) -> dict[str, Any]:
    """Delta per-file statistics; none on title, text or URLs: they would leak and bloat the log."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for column in (c for c in _STATISTICS if c in rows.column_names):
        nulls[column] = rows[column].null_count
        bounds: Any = pc.min_max(rows[column]).as_py()
        if bounds["min"] is not None:
            low[column] = _bound(bounds["min"])
            high[column] = _bound(bounds["max"], up=True)
    return {"numRecords": len(rows), "minValues": low, "maxValues": high, "nullCount": nulls}


def _bound(value: Any, *, up: bool = False) -> Any:
    if not isinstance(value, datetime):
        return value
    # Delta keeps milliseconds: an upper bound cut down would hide rows from readers.
    moment = value + timedelta(microseconds=999) if up else value
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
