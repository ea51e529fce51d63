"""What a publish refuses to commit, and what it flags.

A reader is promised certain columns, never-null keys, dates that can be, and files with rows in
them. What would break that is a fault of ours or of what lies in the lake: the publish stops
before it has changed anything. A source that suddenly shows much less than usual may be right:
its run is published and flagged in the manifest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from processing.dataset import Tables
from processing.exceptions import GateError
from processing.parquet import decode
from processing.records import EARLIEST
from processing.tables import SCHEMAS, to_table

HISTORY_RUNS = 48
"""How many earlier runs of any source are looked at to tell what is usual."""

_AHEAD = timedelta(days=1)
_COLLAPSED = 0.3  # of the usual number of URLs discovered
_LEAST_RUNS = 3  # fewer tell nothing
_LEAST_URLS = 10  # a source that shows less varies by chance
_KEYS = ("id", "url", "source", "text", "content_hash", "fetched_at", "first_seen_at", "listed_url")
_WORDS = ("id", "url", "source", "text", "content_hash", "key", "article_id", "state", "run_id")
"""Columns in which an empty string is as wrong as null."""


def read_staged(key: str, data: bytes, schema: pa.Schema) -> list[dict[str, Any]]:
    """The rows of a staged Parquet object.

    Raises GateError when it is no Parquet file, not of exactly ``schema``, or lacks a key.
    """
    try:
        table = decode(data)
    except (pa.ArrowInvalid, OSError) as error:
        raise GateError(
            f"{key} is empty or damaged ({error}); stage it again by clearing the extract task"
        ) from error
    if difference := _difference(table.schema, schema):
        raise GateError(
            f"{key} {difference}; another version of newslake staged it: clear the extract task"
        )
    for column in (c for c in _KEYS if c in table.column_names):
        if table[column].null_count:
            raise GateError(
                f"{key} has rows with no {column}; nothing was published, stage it again by"
                " clearing the extract task"
            )
    return table.to_pylist()


def check_tables(tables: Tables) -> None:
    """Raise GateError when a table of the lake has other columns than we would write."""
    for name, schema in SCHEMAS.items():
        stands: Any = tables.delta(name).schema().to_arrow()
        stands = pa.schema(stands)
        if difference := _difference(stands, schema):
            raise GateError(
                f"the table {name} of {tables.store.url} {difference}; upgrade newslake, or"
                " restore the table's columns"
            )


def checked(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table fit to be committed to ``name``.

    Raises GateError on a value of the wrong type, a null or empty key, text or state, and on a
    date of publication before 1995 or more than a day after the page was fetched.
    """
    try:
        table = to_table(rows, SCHEMAS[name])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise GateError(f"a row for {name} is refused: {error}") from error
    for column in (c for c in _WORDS if c in table.column_names):
        _refuse(name, table, pc.equal(table[column], pa.scalar("")), f"has an empty {column}")
    if "published_at" in table.column_names:
        moments = table["published_at"]
        early = pc.less(moments, pa.scalar(EARLIEST).cast(moments.type))
        late = pc.greater(moments, pc.add(table["fetched_at"], pa.scalar(_AHEAD)))
        for wrong in (early, late):
            _refuse(name, table, wrong, "has an implausible published_at")
    if "date" in table.column_names:
        _refuse(name, table, pc.is_null(table["date"]), "has no date")
    return table


def flags(
    manifest: Mapping[str, Any], earlier: Iterable[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """What is unusual in a run, each as ``{source, flag, detail}``.

    ``volume-collapse``: a source showed less than a third of the URLs that it does in the median
    of its crawls among ``earlier`` (manifests); crawls that showed none of it tell nothing.
    """
    usual: dict[str, list[int]] = defaultdict(list)
    for said in earlier:
        for source in said["schedules"].keys() - said["failures"].keys():
            count = said["discovered"].get(source, 0)
            if count and said["run_id"] < manifest["run_id"]:
                usual[source].append(count)
    found = []
    for source in sorted(manifest["schedules"].keys() - manifest["failures"].keys()):
        count, before = manifest["discovered"].get(source, 0), usual[source]
        if len(before) < _LEAST_RUNS:
            continue
        middle = median(before)
        if middle >= _LEAST_URLS and count < _COLLAPSED * middle:
            detail = (
                f"{count} URLs discovered, {middle:g} is usual (median of its last"
                f" {len(before)} runs); see what its listings show with"
                f" 'newslake sources check {source}'"
            )
            found.append({"source": source, "flag": "volume-collapse", "detail": detail})
    return found


def _difference(found: pa.Schema, wanted: pa.Schema) -> str:
    for name in wanted.names:
        if name not in found.names:
            return f"lacks the column {name}"
    for field in found:
        if field.name not in wanted.names:
            return f"has a column {field.name} that this newslake does not know"
        kind = wanted.field(field.name).type
        if not _same_type(field.type, kind):
            return f"has the column {field.name} as {field.type}, not {kind}"
    return ""


def _same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether two types are one, whatever a file or a log calls the elements of a list."""
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _same_type(found.value_type, wanted.value_type)
    if pa.types.is_struct(found) and pa.types.is_struct(wanted):
        return [f.name for f in found] == [f.name for f in wanted] and all(
            _same_type(one.type, other.type) for one, other in zip(found, wanted, strict=True)
        )
    return found == wanted


def _refuse(name: str, table: pa.Table, wrong: Any, what: str) -> None:
    rows = pc.indices_nonzero(pc.fill_null(wrong, False))
    if len(rows):
        row = table.slice(rows[0].as_py(), 1).to_pylist()[0]
        which = row.get("url") or row.get("id") or row.get("key")
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise GateError(
            f"a row for {name} is refused: {which} of {row.get('source')} {what}{more};"
            " nothing was published, please report it with the page"
        )
