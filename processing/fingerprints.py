"""What texts are found again by, as the table ``fingerprints`` keeps it: rows, and look-ups.

A look-up reads the days around the texts that are looked up and nothing else, one day after
another and each in slices, so that it takes no more memory over many texts than over few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from processing.clusters import Cluster
from processing.dataset import Days, Tables
from processing.neighbours import Known, Shelf
from processing.signatures import VERSION, Keys, sign
from processing.tables import FINGERPRINTS

Row = dict[str, Any]

_COLUMNS = ("id", "article_id", "source", "relation", "similarity", "cluster_id")
_PARALLEL = 8


def fingerprint(content_hash: str) -> str:
    """What an equal text is found by: 32 hex digits of its hash."""
    return content_hash[:32]


def fingerprint_row(row: Mapping[str, Any], keys: Keys | None = None) -> Row:
    """What ``fingerprints`` holds of a row of articles or copies; ``keys`` are its text's."""
    keys = sign(row["text"]) if keys is None else keys
    return {
        **{name: row[name] for name in ("source", "id", "cluster_id", "run_id", "date")},
        "key": fingerprint(row["content_hash"]),
        "article_id": row.get("article_id") or row["id"],
        "relation": row.get("relation"),
        "similarity": row.get("similarity"),
        "signature": VERSION,
        "winnowed": keys.view(np.int32).tolist(),
    }


def equal_texts(tables: Tables, hashes: Collection[str], days: Days) -> dict[str, list[Known]]:
    """All that was published with texts of these hashes on these days; articles first."""
    wanted = {fingerprint(content_hash): content_hash for content_hash in hashes}
    found: dict[str, list[Known]] = defaultdict(list)
    rows = tables.find(
        "fingerprints", "key", wanted.keys(), days, columns=(*_COLUMNS, "date", "key")
    )
    for row in sorted(rows, key=lambda r: (r["relation"] is not None, r["date"], r["id"])):
        found[wanted[row["key"]]].append(_known(row, row["date"]))
    return found


def shelves(tables: Tables, days: Sequence[date]) -> Iterator[Shelf]:
    """The signed texts of these days, in their order, some at a time."""
    with ThreadPoolExecutor(_PARALLEL) as at_once:
        for day in days:
            # Not by a scan: that would hold whole files, which are as large as a day has texts.
            files = tables.dataset("fingerprints", [day]).get_fragments()
            groups = [group for split in at_once.map(_row_groups, files) for group in split]
            for start in range(0, len(groups), _PARALLEL):
                for rows in at_once.map(_signed, groups[start : start + _PARALLEL]):
                    yield _shelf(day, rows)


def _row_groups(file: ds.Fragment) -> list[Any]:
    return file.split_by_row_group() if isinstance(file, ds.ParquetFileFragment) else []


def _signed(group: ds.ParquetFileFragment) -> pa.Table:
    signed = ds.field("signature") == pa.scalar(VERSION)
    return group.to_table(FINGERPRINTS, columns=[*_COLUMNS, "winnowed"], filter=signed)


def members(tables: Tables, clusters: Collection[str], days: Days) -> dict[str, Cluster]:
    """What these clusters have on these days."""
    found: dict[str, Cluster] = defaultdict(Cluster)
    columns = ("cluster_id", "source", "id", "relation")
    for row in tables.find("fingerprints", "cluster_id", clusters, days, columns=columns):
        held = found[row["cluster_id"]]
        held.texts[row["source"]] += 1
        if row["relation"] is None:
            held.articles.add(row["id"])
    return found


def _shelf(day: date, rows: pa.Table) -> Shelf:
    lists = rows["winnowed"].combine_chunks()
    sites: list[Any] = rows["source"].to_pylist()

    def pick(numbers: Sequence[int]) -> list[Known]:
        chosen = rows.select(list(_COLUMNS)).take(pa.array(numbers, pa.int64()))
        return [_known(row, day) for row in chosen.to_pylist()]

    return Shelf(
        day,
        sites,
        np.asarray(pc.list_flatten(lists)).view(np.uint32),
        np.asarray(pc.list_value_length(lists), np.int64),
        pick,
    )


def _known(row: Mapping[str, Any], day: date) -> Known:
    return Known(day=day, **{name: row[name] for name in _COLUMNS})
