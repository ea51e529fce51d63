"""Rows as the bytes of one Parquet object and back, and what Delta's log says of them.

How the files are cut was measured (docs/architecture.md): zstd 3, row groups of 10,000, sorted
by publication then id, no dictionaries for columns whose values hardly repeat, page index, bloom
filters for those columns that single rows are looked up by.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 10_000
STATISTICS = ("id", "source", "published_at", "fetched_at", "run_id", "key", "article_id", "state")
"""Columns with bounds in Delta's log; none on title, text or URLs: they would leak and bloat it."""

_ORDER = ("key", "published_at", "id", "source", "url")
_DICTIONARY_OFF = {"id", "url", "canonical_url", "title", "text", "summary", "content_hash", "key"}
_BLOOM = ("id", "url", "key")


def encode(rows: pa.Table) -> bytes:
    """A Parquet file of the rows, sorted."""
    flat = [f.name for f in rows.schema if not pa.types.is_nested(f.type)]
    sink = io.BytesIO()
    pq.write_table(
        rows.sort_by([(c, "ascending") for c in _ORDER if c in flat]),
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


def decode(data: bytes) -> pa.Table:
    """The rows of a Parquet file held in memory.

    Raises pyarrow.ArrowInvalid, or OSError, when it is none or damaged.
    """
    # In this thread alone: Arrow's own drop the bytes later, maybe after Python's end, and abort.
    file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
    return file.read(use_threads=False)


def statistics(rows: pa.Table) -> dict[str, Any]:
    """Delta's per-file statistics of the rows, JSON-ready."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for column in (c for c in STATISTICS if c in rows.column_names):
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
