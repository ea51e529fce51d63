"""Keeping a lake tidy: few large files, old versions and leftovers gone, raw pages for a time.

Nothing here changes what a reader of the newest version sees, but for pointers to raw pages that
expired. Files are read and written without the lease; it is held only to look whether what was
read still stands and to commit, so that publishers wait a second and not for the whole work. A
kill leaves objects that no version lists, which the next vacuum finds.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from processing import commits, dataset
from processing.commits import Clock
from processing.dataset import Change, DataFile, Tables
from processing.exceptions import StoreError
from processing.lease import lease
from processing.storage import Store, StoredObject
from processing.tables import PARTITIONS, SCHEMAS

TARGET_BYTES = 128 << 20
"""How large a file may become by compaction."""

SLICE_BYTES = 32 << 20
"""How much is read and rewritten at once, unless what makes one file is more by itself."""

UPLOAD_DAYS = 1
"""Age at which an upload in parts that nobody finished counts as abandoned."""

_POINTED = ("articles", "copies", "revisions")
_POINTER = ("warc_key", "warc_offset", "warc_length")
_ROUNDS = 5
_READERS = 8
_RAW_DAY = re.compile(r"raw/date=(\d{4}-\d\d-\d\d)/")
_LOG_ENTRY = re.compile(r"_delta_log/(\d{20})\.(json|checkpoint\.parquet)$")

File = dict[str, Any]
"""A row of ``Tables.files``."""


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that was done: the task, where, and how many objects and bytes it took away."""

    task: str
    where: str
    objects: int
    bytes: int
    detail: str = ""


class Upkeep:
    """The tasks over one lake; each returns what it did, and may be repeated or killed.

    ``clock`` tells the moment. Every task raises StoreError when the store does not answer,
    LeaseLost when the lease is taken over before a commit; then nothing of that commit stands.
    """

    def __init__(self, store: Store, *, clock: Clock = lambda: datetime.now(UTC)):
        dataset.initialise(store)
        self._store = store
        self._tables = Tables(store)
        self._clock = clock

    def compact(self, target: int = TARGET_BYTES) -> list[Done]:
        """Merge each partition's small files into such of at most ``target`` bytes."""
        done = []
        for name in SCHEMAS:
            removed: list[DataFile] = []
            added: list[DataFile] = []
            for files in _slices(_mergeable(name, self._files(name), target)):
                change = self._rewrite(name, files, lambda rows: rows, data_change=False)
                removed += change.removes
                added += change.adds
            if removed:
                size = sum(file.size for file in removed)
                detail = f"into {len(added)} of {sum(file.size for file in added)} bytes"
                done.append(Done("compacted", name, len(removed), size, detail))
        return done

    def vacuum(self, keep: timedelta) -> list[Done]:
        """Delete what no version of the last ``keep`` needs: old files, and the log before it."""
        done = []
        for name in SCHEMAS:
            self._set_log_retention(name, keep)
            self._tables.delta(name).create_checkpoint()
            log, files = self._unneeded(name, self._clock() - keep)
            with self._held() as tables:
                # A publisher of this moment may have taken up an old file of its own.
                tables.look(name)
                standing = set(tables.files(name)["path"].to_pylist())
                files = [f for f in files if f.key.removeprefix(f"{name}/") not in standing]
                self._store.delete(found.key for found in files)
                self._store.delete(found.key for found in log)
            done += [_deleted("vacuumed", name, files), _deleted("log cleared", name, log)]
        return [each for each in done if each.objects]

    def expire_staged(self, keep: timedelta, taken_over: Callable[[str], bool]) -> list[Done]:
        """Delete what runs left staged and nobody has touched for ``keep``, and old uploads.

        Goes by whole runs: those that have a manifest, and those of which ``taken_over`` says,
        by run_id, that no page would be lost. A run whose commit plan stands is left to it.
        """
        now = self._clock()
        planned = commits.unfinished_runs(self._store)
        runs: dict[str, list[StoredObject]] = defaultdict(list)
        for found in self._store.objects("staged/"):
            runs[found.key.split("/")[1]].append(found)
        done = []
        for folder, left in runs.items():
            run_id = folder.removeprefix("run=")
            if run_id in planned or max(each.modified_at for each in left) > now - keep:
                continue
            if commits.read_manifest(self._store, run_id) or taken_over(run_id):
                self._store.delete(each.key for each in left)
                done.append(_deleted("staged input expired", folder, left))
        uploads, size = self._store.abort_uploads(now - timedelta(days=UPLOAD_DAYS))
        if uploads:
            done.append(Done("uploads given up", self._store.url, uploads, size))
        return done

    def expire_raw(self, keep: timedelta, needed: Collection[str]) -> list[Done]:
        """Delete raw files of days more than ``keep`` ago, once no row points into them.

        ``needed`` are the raw files of pages that are not published yet: they stay, whatever
        their age. Rows lose their pointers first.
        """
        now = self._clock()
        # A run repeated late writes under its own old day: what was just written stays as well.
        gone = [
            found
            for found in self._store.objects("raw/")
            if _raw_day(found.key, now) < (now - keep).date()
            and found.modified_at < now - keep
            and found.key not in needed
        ]
        if not gone:
            return []
        rows = self._clear_pointers(gone, now - keep)
        self._store.delete(found.key for found in gone)
        days: dict[str, list[StoredObject]] = defaultdict(list)
        for found in gone:
            days[found.key.split("/")[1]].append(found)
        return [
            *(Done("pointers cleared", name, 0, 0, f"in {n} rows") for name, n in rows.items()),
            *(_deleted("raw pages expired", f"raw/{day}", found) for day, found in days.items()),
        ]

    # --- rewriting files --------------------------------------------------------------------

    def _files(self, name: str) -> list[File]:
        self._tables.look(name)
        return self._tables.files(name).to_pylist()

    def _rewrite(
        self,
        name: str,
        files: list[File],
        altered: Callable[[pa.Table], pa.Table],
        *,
        data_change: bool,
    ) -> Change:
        """Put the rows of ``files``, ``altered``, into one new file a partition: what was done.

        A partition of which a file no longer stands when it comes to the commit is left alone.
        """
        rows = altered(_read(self._tables, name, files))
        run_id = f"{self._clock():%Y%m%dT%H%M%SZ}-upkeep"
        adds = dataset.write_files(self._store, name, rows, run_id)
        with self._held() as tables:
            tables.look(name)
            removes = dataset.files_of(tables, name, [file["path"] for file in files])
            whole = {tuple(f.partition.values()) for f in removes} - _torn(name, files, removes)
            change = Change(
                name,
                tuple(f for f in adds if tuple(f.partition.values()) in whole),
                tuple(f for f in removes if tuple(f.partition.values()) in whole),
                data_change,
            )
            if sum(f.rows for f in change.adds) != sum(f.rows for f in change.removes):
                raise StoreError(
                    f"rewriting {self._store.url}/{name} would lose rows; nothing was changed,"
                    " look for damage with 'newslake dataset verify --full'"
                )
            dataset.commit(
                tables, change, _transaction(change), tables.delta(name).version(), self._clock()
            )
        return change

    @contextmanager
    def _held(self) -> Iterator[Tables]:
        with lease(self._store, "upkeep") as held:
            # Their plans name the versions they were decided on: they come before any commit.
            commits.finish_dead_runs(self._tables, held, self._clock)
            held.confirm()
            yield self._tables

    # --- old versions -----------------------------------------------------------------------

    def _set_log_retention(self, name: str, keep: timedelta) -> None:
        """Have the Delta library itself, which clears logs now and then, keep them as long."""
        wanted = f"interval {keep.days} days"
        table = self._tables.delta(name)
        said = table.metadata().configuration.get("delta.logRetentionDuration", "interval 30 days")
        if said != wanted:
            with self._held() as tables:
                tables.look(name)
                tables.delta(name).alter.set_table_properties(
                    {"delta.logRetentionDuration": wanted}
                )
                tables.look(name)

    def _unneeded(
        self, name: str, before: datetime
    ) -> tuple[list[StoredObject], list[StoredObject]]:
        """Log entries and data files that no version that stood since ``before`` needs."""
        objects = list(self._store.objects(f"{name}/"))
        entries = {m[0]: (int(m[1]), m[2], o) for o in objects if (m := _LOG_ENTRY.search(o.key))}
        committed = {v: o for v, kind, o in entries.values() if kind == "json"}
        checkpoints = [v for v, kind, _ in entries.values() if kind != "json"]
        start = 0 if 0 in committed else min(checkpoints)
        oldest = max([start, *(v for v, o in committed.items() if o.modified_at <= before)])
        base = max((v for v in checkpoints if v <= oldest), default=0)
        log = [o for v, _, o in entries.values() if v < base]
        needed = set(Tables(self._store, {name: oldest}).files(name)["path"].to_pylist())
        later = [found.key for version, found in committed.items() if version > oldest]
        with ThreadPoolExecutor(_READERS) as readers:
            for blob in readers.map(self._store.get, later):
                needed |= _added_by(blob.data)
        files = [
            found
            for found in objects
            if found.key.endswith(".parquet")
            and "/_delta_log/" not in found.key
            and found.modified_at < before
            and found.key.removeprefix(f"{name}/") not in needed
        ]
        return log, files

    # --- raw pages --------------------------------------------------------------------------

    def _clear_pointers(self, gone: list[StoredObject], before: datetime) -> dict[str, int]:
        """Take the pointers into ``gone`` off every row; how many rows of each table had one."""
        keys = pa.array(sorted(found.key for found in gone), pa.string())
        first = min(_raw_day(found.key, before) for found in gone)
        cleared: dict[str, int] = defaultdict(int)
        for _ in range(_ROUNDS):
            versions = self._versions()
            pointing = {name: self._pointing(name, keys, first, before) for name in _POINTED}
            if not any(pointing.values()) and self._versions() == versions:
                return dict(cleared)
            for name, files in pointing.items():
                for part in _slices([file] for file in files):
                    change = self._rewrite(
                        name, part, lambda rows: _unpointed(rows, keys), data_change=True
                    )
                    taken = {file.path for file in change.removes}
                    cleared[name] += sum(f["pointing"] for f in part if f["path"] in taken)
        raise StoreError(
            f"{self._store.url} is rewritten faster than its pointers can be cleared; no raw page"
            " was deleted, run this again"
        )

    def _versions(self) -> dict[str, int]:
        self._tables.look()
        return self._tables.versions()

    def _pointing(
        self, name: str, keys: pa.Array[Any], first: date, before: datetime
    ) -> list[File]:
        """The files that hold rows pointing into ``keys``, with ``pointing``: how many."""
        # What lies in a day's folder was fetched that day or later, and before it was stored.
        day = timedelta(days=1)
        earliest = datetime(first.year, first.month, first.day, tzinfo=UTC) - day
        files = {
            file["path"]: file
            for file in self._tables.files(name).to_pylist()
            if _within(file, "fetched_at", earliest, before + day)
        }
        found = []
        for fragment in self._tables.dataset(name).get_fragments():
            if fragment.path in files:
                held = fragment.to_table(SCHEMAS[name], columns=["warc_key"])["warc_key"]
                hits = pc.sum(pc.is_in(held, keys)).as_py()
                if hits:
                    found.append({**files[fragment.path], "pointing": hits})
        return found


# --- what to merge --------------------------------------------------------------------------


def _mergeable(name: str, files: list[File], target: int) -> list[list[File]]:
    """Groups of files of one partition, small ones first, that fit into one of ``target`` bytes."""
    partitions: dict[tuple[str, ...], list[File]] = defaultdict(list)
    for file in files:
        partitions[_partition(name, file)].append(file)
    groups: list[list[File]] = []
    for _, found in sorted(partitions.items()):
        group: list[File] = []
        for file in sorted(found, key=lambda f: (f["size_bytes"], f["path"])):
            if group and _bytes([*group, file]) > target:
                groups.append(group)
                group = []
            group.append(file)
        groups.append(group)
    return [group for group in groups if len(group) > 1]


def _slices(groups: Iterable[list[File]]) -> Iterator[list[File]]:
    """Whole groups together, as many as come to at most ``SLICE_BYTES``, at least one."""
    together: list[File] = []
    for group in groups:
        if together and _bytes([*together, *group]) > SLICE_BYTES:
            yield together
            together = []
        together = [*together, *group]
    if together:
        yield together


def _bytes(files: Iterable[File]) -> int:
    return sum(file["size_bytes"] for file in files)


def _partition(name: str, file: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(file[f"partition.{column}"]) for column in PARTITIONS[name])


def _torn(name: str, files: list[File], standing: Iterable[DataFile]) -> set[tuple[str, ...]]:
    """The partitions of those ``files`` that do not stand any more."""
    paths = {file.path for file in standing}
    return {_partition(name, file) for file in files if file["path"] not in paths}


def _added_by(entry: bytes) -> set[str]:
    """The paths that a log entry adds (Delta protocol, "Add File": URL-encoded)."""
    actions = [json.loads(line) for line in entry.splitlines() if line.strip()]
    return {unquote(action["add"]["path"]) for action in actions if "add" in action}


def _transaction(change: Change) -> str:
    paths = " ".join(file.path for file in change.removes)
    return f"upkeep/{sha256(paths.encode()).hexdigest()[:16]}"


def _read(tables: Tables, name: str, files: list[File]) -> pa.Table:
    paths = {file["path"] for file in files}
    days = {file["partition.date"] for file in files} if "date" in PARTITIONS[name] else None
    schema = SCHEMAS[name]
    standing = [f for f in tables.dataset(name, days).get_fragments() if f.path in paths]
    return pa.concat_tables([schema.empty_table(), *(f.to_table(schema) for f in standing)])


def _unpointed(rows: pa.Table, keys: pa.Array[Any]) -> pa.Table:
    """The rows without their pointers where these lead into ``keys``."""
    gone = pc.is_in(rows["warc_key"], keys)
    for column in _POINTER:
        kind = rows.schema.field(column)
        cleared = pc.if_else(gone, pa.scalar(None, kind.type), rows[column])
        rows = rows.set_column(rows.schema.get_field_index(column), kind, cleared)
    return rows


def _within(file: File, column: str, low: datetime, high: datetime) -> bool:
    least, most = file.get(f"min.{column}"), file.get(f"max.{column}")
    return least is None or most is None or (least <= high and most >= low)


def _raw_day(key: str, otherwise: datetime) -> date:
    match = _RAW_DAY.match(key)
    return date.fromisoformat(match[1]) if match else otherwise.date()


def _deleted(task: str, where: str, found: list[StoredObject]) -> Done:
    return Done(task, where, len(found), sum(each.size for each in found))
