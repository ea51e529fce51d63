"""What the layout of Parquet files was chosen by, and what a source's state takes.

    python tests/bench/layout.py

A compacted partition's file of 40,000 articles, written in several ways by the project's own
encoder, beside what readers do with it: all of one column, one id, the whole. Texts are those of
the labelled news pages where the development data lies beside the checkout, a paragraph of each
exchanged so that none repeats; else made up.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from unittest.mock import patch

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from bench import REAL_PAGES, SEED, articles, machine

from crawlers.state import SEEN, SourceState, known_url
from processing import parquet
from processing.records import Hints
from processing.tables import ARTICLES, to_table
from processing.urls import url_key

ROWS = 40_000
ROUNDS = 5
URLS = 10_000
_ORDER = parquet._ORDER


def texts() -> list[str]:
    if not REAL_PAGES.exists():
        return [article.text for article in articles(random.Random(SEED), 100, 1, "made-up")]
    with gzip.open(REAL_PAGES, "rt", encoding="utf-8") as lines:
        return [text for line in lines if (text := json.loads(line)["text"])]


def partition() -> pa.Table:
    """The rows of one day and topic, as publishing hands them to the encoder."""
    rng = random.Random(SEED)
    known = texts()
    paragraphs = [line for text in known for line in text.split("\n") if line]
    rows = []
    for number, article in enumerate(articles(rng, ROWS, 1, "layout")):
        row = article.to_row()
        lines = known[number % len(known)].split("\n")
        lines[rng.randrange(len(lines))] = f"{rng.choice(paragraphs)} {rng.getrandbits(64):x}"
        row["text"] = "\n".join(lines)
        rows.append({**row, "cluster_id": article.id, "run_id": "bench", "topic_score": 1.0})
    return to_table(rows, ARTICLES).drop_columns(["date", "topic"])


def milliseconds(read: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        read()
        taken.append(1000 * (time.perf_counter() - began))
    return min(taken)


def find(data: bytes, id_: str) -> pa.Table:
    """One article as ``dataset.Tables.find`` looks for it: ids first, then its row group alone."""
    file = pq.ParquetFile(io.BytesIO(data))
    for group in range(file.num_row_groups):
        ids = file.read_row_group(group, columns=["id"])["id"]
        if pc.any(pc.equal(ids, id_)).as_py():
            return file.read_row_group(group).filter(pc.field("id") == id_)
    raise AssertionError(id_)


def state_bytes() -> float:
    """Bytes of a source's state for each URL it knows."""
    state = SourceState()
    site = "https://www.harbour-herald.example"
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    run_id = "20261124T120000Z-abcdef"
    for number in range(URLS):
        url = f"{site}/news/2026/11/24/council-votes-on-breakwater-{number:06}"
        digest = sha256(url.encode()).hexdigest()
        row = known_url(
            key=url_key(url),
            url=url,
            status=SEEN,
            run_id=run_id,
            at=at,
            discovered_via=f"{site}/rss.xml",
            hints=Hints(f"Council votes on breakwater {number}", at, at, listing="feed"),
            before=None,
        )
        found = {"etag": f'"{digest[:16]}"', "body_hash": digest, "warc_length": 30_000}
        found |= {"warc_key": raw_key(run_id), "warc_offset": 30_000 * number}
        state.put(replace(row, **found))
    return state.size() / URLS


def raw_key(run_id: str) -> str:
    return f"raw/date=2026-11-24/source=harbour-herald/{run_id}-1-000.warc.gz"


def main() -> None:
    rows = partition()
    parquet.encode(rows)  # what is loaded at the first time is not measured
    wanted = rows["id"][ROWS // 3].as_py()
    print(f"{machine()}; {ROWS:,} rows, best of {ROUNDS}\n")
    form = "{:<34} {:>10} {:>9} {:>9} {:>10} {:>9}"
    print(form.format("written", "bytes/row", "write ms", "titles ms", "one id ms", "whole ms"))
    ways = [
        ("as it is", 10_000, _ORDER, True),
        ("row groups of 1,000", 1_000, _ORDER, True),
        ("row groups of 100,000", 100_000, _ORDER, True),
        ("sorted by id", 10_000, ("id",), True),
        ("sorted by source, published_at", 10_000, ("source", "published_at"), True),
        ("dictionaries for all columns", 10_000, _ORDER, False),
    ]
    for name, group, order, chosen in ways:
        off = parquet._DICTIONARY_OFF if chosen else set()
        with (
            patch.object(parquet, "ROW_GROUP_ROWS", group),
            patch.object(parquet, "_ORDER", order),
            patch.object(parquet, "_DICTIONARY_OFF", off),
        ):
            began = time.perf_counter()
            data = parquet.encode(rows)
            wrote = 1000 * (time.perf_counter() - began)
        figures = [
            wrote,
            milliseconds(lambda d=data: pq.read_table(io.BytesIO(d), columns=["title"])),
            milliseconds(lambda d=data: find(d, wanted)),
            milliseconds(lambda d=data: pq.read_table(io.BytesIO(d))),
        ]
        size = f"{len(data) / ROWS:,.0f}"
        print(form.format(name, size, *(f"{figure:,.1f}" for figure in figures)), flush=True)
    print(f"\nthe state of a source that knows {URLS:,} URLs: {state_bytes():,.0f} bytes a URL")


if __name__ == "__main__":
    main()
