"""Proof that a lake agrees with itself: files, tables, manifests, texts, stored pages.

Reads one consistent state of all tables. Texts and pages are those of a sample, unless all are
asked for; everything else is looked at whole, in bounded memory.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from processing import dataset, tombstones
from processing.agreement import Counts, check_tables
from processing.commits import unfinished_runs
from processing.dataset import Tables
from processing.exceptions import StoreError
from processing.findings import Finding, Report
from processing.manifests import list_manifests, read_manifests
from processing.pool import ExtractionPool
from processing.provenance import all_rows, check_texts, some_rows
from processing.storage import Store, StoredObject
from processing.tables import SCHEMAS

_LOOKS = 10
_PAUSE = 1.0  # seconds; a publish commits within a few of them
_WITH_TEXTS = ("articles", "copies")


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One state of the lake: its tables, manifests by run, runs whose commit is unfinished."""

    tables: Tables
    runs: Mapping[str, StoredObject]
    unfinished: list[str]


def verify(
    store: Store,
    *,
    sample: int = 20,
    full: bool = False,
    workers: int = 2,
    wait: Callable[[float], object] = time.sleep,
) -> Report:
    """Check everything that the lake promises of itself.

    ``sample`` is how many articles, and how many copies, have their text held against its hash,
    and their stored page extracted again in ``workers`` processes; which ones changes with the
    newest run. With ``full`` every row of both has. ``wait`` passes the seconds until a publish
    under way has ended. Raises StoreError when the store does not answer.
    """
    report = Report()
    absent = [name for name in SCHEMAS if dataset.open_table(store, name) is None]
    for name in absent:
        report.add("table", name, "does not stand; the next publish makes it, empty")
    if absent:
        return report
    snapshot = _snapshot(store, wait)
    for run_id in snapshot.unfinished:
        report.add(
            "unfinished",
            run_id,
            "its publish is under way or died between two commits; the next publish completes it",
        )
    _check_forgettings(store, report)
    if not _check_files(store, snapshot, report):
        report.notes.append("rows were not looked at, since files of their tables are not whole")
        return report
    counts = check_tables(snapshot.tables, report)
    _check_manifests(store, snapshot, counts, report)
    newest = max(snapshot.runs, default="")
    with ExtractionPool(workers=workers) as pool:
        for name in _WITH_TEXTS:
            draw = Random(f"{name} {newest}")  # noqa: S311 - which rows, nothing secret
            rows = (
                all_rows(snapshot.tables, name)
                if full
                else some_rows(snapshot.tables, name, sample, draw)
            )
            check_texts(snapshot.tables, name, rows, pool, report)
    return report


def _snapshot(store: Store, wait: Callable[[float], object]) -> _Snapshot:
    """A state in which no commit plan is half carried out, if the lake holds still for one."""
    tables = Tables(store)
    for look in range(_LOOKS):
        if look:
            wait(_PAUSE)
            tables.look()
        versions = tables.versions()
        # In this order: a run whose plan is gone already has its manifest.
        unfinished = unfinished_runs(store)
        runs = list_manifests(store)
        tables.look()
        if versions == tables.versions() and not unfinished:
            break
    return _Snapshot(tables, runs, unfinished)


def _check_forgettings(store: Store, report: Report) -> None:
    for id_ in sorted(tombstones.all_forgotten(store)):
        stone = tombstones.Tombstone.read(store, id_)
        if stone and not stone.done:
            report.add(
                "forgotten",
                id_,
                "its forgetting has begun and not ended; repeat 'newslake dataset forget'",
            )


# --- files ----------------------------------------------------------------------------------


def _check_files(store: Store, snapshot: _Snapshot, report: Report) -> bool:
    """Every file that the tables list against the bucket; whether all are there and whole."""
    whole = True
    for name in SCHEMAS:
        files = snapshot.tables.files(name).select(["path", "size_bytes"]).to_pylist()
        sizes: dict[str, int] = {file["path"]: file["size_bytes"] for file in files}
        report.checked["files"] += len(sizes)
        found = {o.key.removeprefix(f"{name}/"): o.size for o in store.objects(f"{name}/")}
        wrong = sorted(path for path in sizes if found.get(path) != sizes[path])
        if wrong and not set(wrong) & set(Tables(store).files(name)["path"].to_pylist()):
            raise StoreError(
                f"old files of {store.url}/{name} were deleted while it was verified; verify again"
            )
        for path in wrong:
            whole = False
            if path in found:
                detail = f"has {found[path]} bytes, the table says {sizes[path]}"
            else:
                detail = "is listed by the table and is not there"
            report.add("file", f"{name}/{path}", detail)
    return whole


# --- manifests ------------------------------------------------------------------------------


def _check_manifests(store: Store, snapshot: _Snapshot, counts: Counts, report: Report) -> None:
    for run_id in sorted(counts.keys() - snapshot.runs.keys() - set(snapshot.unfinished)):
        report.add("manifest", run_id, "has rows in coverage but no manifest; publish it again")
    logs = {name: _log_versions(store, name) for name in SCHEMAS}
    wrong: list[Finding] = []
    for manifest in read_manifests(store, sorted(snapshot.runs)):
        report.checked["manifests"] += 1
        run_id = manifest["run_id"]
        details = [
            *_wrong_counts(manifest, counts.get(run_id, {})),
            *_wrong_versions(manifest, logs),
        ]
        wrong += [Finding("manifest", run_id, detail) for detail in details]
    # A run published again or corrected meanwhile is of another state than the tables read.
    now = list_manifests(store) if wrong else {}
    for finding in wrong:
        run_id = finding.subject
        if run_id in now and now[run_id].etag == snapshot.runs[run_id].etag:
            report.add(finding.check, run_id, finding.detail)


def _wrong_counts(manifest: Mapping[str, Any], rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    details = []
    for source in sorted(manifest["counts"].keys() | rows.keys()):
        said, found = manifest["counts"].get(source, {}), rows.get(source, {})
        details += [
            f"says {said.get(state, 0)} {state} of {source},"
            f" coverage has {found.get(state, 0)} rows"
            for state in sorted(said.keys() | found.keys())
            if said.get(state, 0) != found.get(state, 0)
        ]
        known, total = manifest["known"].get(source, 0), sum(found.values())
        discovered = manifest["discovered"].get(source, 0)
        if total + known != discovered:
            details.append(
                f"says {discovered} URLs discovered of {source}, but its {total} rows and {known}"
                f" known ones are {total + known}"
            )
    return details


def _wrong_versions(manifest: Mapping[str, Any], logs: Mapping[str, set[int]]) -> list[str]:
    return [
        f"names version {version} of {name}, which is gone"
        for name, version in manifest["tables"].items()
        # Delta clears old entries of a log away: only what should still be there is missed.
        if version > max(logs.get(name, set()), default=-1)
        or (version >= min(logs[name]) and version not in logs[name])
    ]


def _log_versions(store: Store, name: str) -> set[int]:
    entry = re.compile(rf"{name}/_delta_log/(\d{{20}})\.json")
    keys = (entry.fullmatch(found.key) for found in store.objects(f"{name}/_delta_log/"))
    return {int(key[1]) for key in keys if key}
