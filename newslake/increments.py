"""What became of the articles between two versions of their table.

Versions are told apart by their files: most stand in both and are never read. Rows that were only
carried over into another file, by a change to their neighbours or by compaction, did not change.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from processing.dataset import Days, Tables
from processing.tables import ARTICLES

_NOT_COMPARED = {
    "text",  # content_hash, extractor and run_id stand for it
    "warc_key",  # that a raw page has expired is no change of the article
    "warc_offset",
    "warc_length",
}
_COMPARED = [name for name in ARTICLES.names if name not in _NOT_COMPARED]


def changed(
    then: Tables,
    now: Tables,
    days: Days | None,
    where: ds.Expression | None,
    columns: list[str] | None,
) -> pa.Table:
    """Those articles of ``now`` that stood otherwise in ``then``, or not at all.

    ``where`` and the partitions of ``days`` choose among them, ``columns`` of their columns
    (None: all). A row has changed when any of its columns has, but for the pointers to its raw
    page. Raises OSError when a file of ``then`` is no longer kept.
    """
    left, came = _differing(then, now, days)
    touched = {_partition(path) for path in left}
    rewritten = {path for path in came if _partition(path) in touched}
    parts = [_of(now, came - rewritten).to_table(columns=columns, filter=where)]
    if rewritten:
        holding = _of(now, rewritten)
        fresh = ds.field("id").isin(_ids_changed(_of(then, left), holding))
        chosen = fresh if where is None else where & fresh
        parts.append(holding.to_table(columns=columns, filter=chosen))
    return pa.concat_tables(parts)


def removed(then: Tables, now: Tables) -> pa.Table:
    """The articles of ``then`` whose id is not in ``now``: ``id``, ``date``, ``topic``, by id.

    Raises OSError when a file of ``then`` is no longer kept.
    """
    left, came = _differing(then, now, None)
    gone = _of(then, left).to_table(columns=["id", "date", "topic"])
    standing = _of(now, came).to_table(columns=["id"])
    return gone.join(standing, "id", join_type="left anti").sort_by("id")


def _differing(then: Tables, now: Tables, days: Days | None) -> tuple[set[str], set[str]]:
    """The files that only ``then`` has, and those that only ``now`` has."""
    before, after = (
        {str(path) for path in tables.files("articles", days)["path"].to_pylist()}
        for tables in (then, now)
    )
    return before - after, after - before


def _of(tables: Tables, paths: Collection[str]) -> ds.Dataset:
    """The rows of some files."""
    whole = tables.dataset("articles", {_day(path) for path in paths})
    if not isinstance(whole, ds.FileSystemDataset):
        return whole  # without any file
    fragments = [found for found in whole.get_fragments() if found.path in paths]
    return ds.FileSystemDataset(fragments, whole.schema, whole.format, whole.filesystem)


def _partition(path: str) -> str:
    return path.rpartition("/")[0]


def _day(path: str) -> date:
    return date.fromisoformat(path.removeprefix("date=").partition("/")[0])


def _ids_changed(before: ds.Dataset, after: ds.Dataset) -> pa.Array[Any]:
    """The ids of the rows of ``after`` that are not in ``before`` just so."""
    with duckdb.connect() as engine:
        old, new = (engine.from_arrow(rows.to_table(columns=_COMPARED)) for rows in (before, after))
        fresh: pa.Table = new.except_(old).project("id").to_arrow_table()
    return fresh["id"].combine_chunks()
