"""Taking forgotten pages out of every object that is not the tables' newest version.

Raw WARC files, what runs have staged, Parquet files that no version lists any more, the Delta
logs, older versions of objects. Everything here may be repeated, and goes by the ids of URL keys.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from processing.dataset import Tables
from processing.exceptions import ObjectNotFound, PreconditionFailed, StoreError
from processing.filesystem import filesystem
from processing.parquet import decode
from processing.records import State, Visit, run_day
from processing.redaction import Trail, redact, trails
from processing.storage import Store
from processing.tables import SCHEMAS, STAGED_ARTICLES, STAGED_COVERAGE, to_table
from processing.tombstones import withhold
from processing.urls import address_id, mask

_PARALLEL = 8
_RAW_AT_ONCE = 2  # a raw file of 64 MB is held twice while it is rewritten
_ATTEMPTS = 8
_RAW = re.compile(r"raw/date=[^/]+/source=([^/]+)/(\w+-\w+)-\d+-\d+\.warc\.gz")
_LEDGER = re.compile(r"staged/run=[^/]+/source=[^/]+/crawl-\d+\.jsonl\.gz")
_LOG_ENTRY = re.compile(r"_delta_log/(\d{20})\.")

Row = dict[str, Any]
Rewrite = Callable[[bytes], bytes | None]


# --- raw pages ------------------------------------------------------------------------------


def raw_files(store: Store, runs: Collection[tuple[str, str]]) -> list[str]:
    """The raw files of these (run_id, source), and those of every run without a manifest."""
    finished = {
        found.key.removeprefix("runs/").removesuffix(".json") for found in store.objects("runs/")
    }
    found = ((each.key, _RAW.fullmatch(each.key)) for each in store.objects("raw/"))
    return [
        key
        for key, said in found
        if said and ((said[2], said[1]) in runs or said[2] not in finished)
    ]


def find_pages(store: Store, files: Iterable[str], ids: Collection[str]) -> dict[str, list[Trail]]:
    """The files that hold pages of these addresses, each with those pages."""

    def look(key: str) -> tuple[str, list[Trail]]:
        try:
            data = store.get(key).data
        except ObjectNotFound:  # expired meanwhile
            return key, []
        return key, [t for t in trails(data) if t.target in ids or t.discovered in ids]

    with ThreadPoolExecutor(_RAW_AT_ONCE) as at_once:
        return {key: found for key, found in at_once.map(look, files) if found}


def erase_pages(store: Store, files: Iterable[str], ids: Collection[str]) -> int:
    """Replace the records of these addresses in raw files; how many files held any.

    Raises StoreError when the store does not answer.
    """

    def clean(data: bytes) -> bytes | None:
        after = redact(data, ids)
        return after if after != data else None

    with ThreadPoolExecutor(_RAW_AT_ONCE) as at_once:
        return sum(at_once.map(lambda key: rewrite(store, key, clean), files))


def erase_run(store: Store, run_id: str, source: str, ids: Collection[str]) -> None:
    """Erase these addresses' pages that a run holds of a source: fetched, or taken over."""
    folder = f"raw/date={run_day(run_id)}/source={source}/{run_id}-"
    files = {found.key for found in store.objects(folder)}
    for found in store.objects(f"staged/run={run_id}/source={source}/crawl-"):
        for visit in _visits(store.get(found.key).data):
            if visit.warc and address_id(visit.url) in ids:
                files.add(visit.warc.key)
    erase_pages(store, sorted(files), ids)


def rewrite(store: Store, key: str, clean: Rewrite) -> bool:
    """Put what ``clean`` makes of an object in its place; whether it changed anything.

    ``clean`` gives None where nothing is to change. Another writer's object is read again.
    """
    for _ in range(_ATTEMPTS):
        try:
            blob = store.get(key)
        except ObjectNotFound:
            return False
        after = clean(blob.data)
        if after is None:
            return False
        try:
            store.put(key, after, if_match=blob.etag)
        except PreconditionFailed:
            continue
        return True
    raise StoreError(
        f"{store.url}/{key} was changed by others {_ATTEMPTS} times in a row; forget again when"
        " no crawl is running"
    )


# --- what is staged -------------------------------------------------------------------------


def erase_staged(tables: Tables, ids: Collection[str]) -> int:
    """Mask these addresses in what runs have staged; how many objects held any."""
    store, count = tables.store, 0
    keys = [found.key for found in store.objects("staged/")]
    for key in keys:
        if _LEDGER.fullmatch(key):
            count += rewrite(store, key, lambda data: _clean_ledger(data, ids))
        elif key.endswith("/coverage.parquet"):
            count += _erase_staged_pages(tables, key.removesuffix("/coverage.parquet"), ids)
    return count


def _erase_staged_pages(tables: Tables, folder: str, ids: Collection[str]) -> int:
    store = tables.store
    try:
        staged = _rows(store.get(f"{folder}/articles.parquet").data)
    except ObjectNotFound:  # published meanwhile
        return 0
    published = published_under(tables, staged, ids)

    def clean_coverage(data: bytes) -> bytes | None:
        rows = _rows(data)
        clean, _ = withhold(ids, rows, staged, published)
        return _parquet(clean, STAGED_COVERAGE) if clean != rows else None

    def clean_articles(data: bytes) -> bytes | None:
        rows = _rows(data)
        _, clean = withhold(ids, (), rows, published)
        return _parquet(clean, STAGED_ARTICLES) if clean != rows else None

    # Coverage first: where it says that a page was extracted, publishing looks for the page.
    covered = rewrite(store, f"{folder}/coverage.parquet", clean_coverage)
    return covered + rewrite(store, f"{folder}/articles.parquet", clean_articles)


def published_under(tables: Tables, staged: Iterable[Row], ids: Collection[str]) -> set[str]:
    """Ids of the staged pages' own addresses that are published, whatever canonical they name."""
    asked = {address_id(row["url"]) for row in staged if row["id"] in ids}
    return {key["key"] for key in tables.find("keys", "key", asked)}


def _rows(data: bytes) -> list[Row]:
    rows: list[Row] = decode(data).to_pylist()
    return rows


def _visits(ledger: bytes) -> Iterator[Visit]:
    for line in gzip.decompress(ledger).splitlines():
        if line.strip():
            yield Visit.from_json(json.loads(line))


def _clean_ledger(data: bytes, ids: Collection[str]) -> bytes | None:
    visits = list(_visits(data))
    clean = [_masked(visit) if address_id(visit.url) in ids else visit for visit in visits]
    if clean == visits:
        return None
    lines = [json.dumps(visit.to_json(), ensure_ascii=False) + "\n" for visit in clean]
    return gzip.compress("".join(lines).encode(errors="surrogatepass"), 6, mtime=0)


def _masked(visit: Visit) -> Visit:
    return Visit(mask(visit.url), State.FORGOTTEN, visit.discovered_via, visit.at)


def _parquet(rows: Iterable[Row], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(to_table(rows, schema), sink, compression="zstd")
    return sink.getvalue()


# --- the tables' past -----------------------------------------------------------------------


def cut_logs(tables: Tables) -> int:
    """Have every table begin at its newest version: what told of earlier ones is deleted."""
    count = 0
    for name in SCHEMAS:
        table = tables.delta(name)
        table.create_checkpoint()
        old = [
            found.key
            for found in tables.store.objects(f"{name}/_delta_log/")
            if (entry := _LOG_ENTRY.search(found.key)) and int(entry[1]) < table.version()
        ]
        tables.store.delete(old)
        count += len(old)
    return count


def drop_old_files(tables: Tables, name: str, ids: Collection[str], words: Collection[str]) -> int:
    """Delete the Parquet objects that a table's newest version does not list and that hold a
    row of these addresses; how many there were. ``words`` are as for ``hits``.
    """
    store = tables.store
    listed = set(tables.files(name)["path"].to_pylist())
    old = [
        found.key
        for found in store.objects(f"{name}/")
        if found.key.endswith(".parquet")
        and "/_delta_log/" not in found.key
        and found.key.removeprefix(f"{name}/") not in listed
    ]

    files = filesystem(f"{store.url}/{name}", store.delta_options)

    def look(key: str) -> bool:
        try:
            file = pq.ParquetFile(key.removeprefix(f"{name}/"), filesystem=files)
        except FileNotFoundError:  # vacuumed meanwhile
            return False
        columns = [c for c in SEARCHED[name] if c in file.schema_arrow.names]
        return bool(hits(file.read(columns=columns), ids, words))

    with ThreadPoolExecutor(_PARALLEL) as at_once:
        found = [key for key, hit in zip(old, at_once.map(look, old), strict=True) if hit]
    store.delete(found)
    return len(found)


SEARCHED = {
    "articles": ("id", "url", "canonical_url"),
    "copies": ("id", "url", "canonical_url"),
    "revisions": ("id", "url", "canonical_url"),
    "coverage": ("url",),
    "keys": ("key",),
    "fingerprints": ("id",),
}
"""The columns of each table by which a row is told to be of a forgotten address."""


def hits(table: pa.Table, ids: Collection[str], words: Collection[str]) -> list[int]:
    """Positions of the rows of which a searched column names one of these addresses.

    ``words`` are pieces of which every spelling of the addresses has one, so that other rows
    need no closer look; none: every row is looked at.
    """
    found: set[int] = set()
    for name in table.column_names:
        column = table[name]
        if name.endswith("url"):
            near = _near(column, words)
            said = column.take(pa.array(near, pa.int64())).to_pylist()
            found |= {
                n for n, url in zip(near, said, strict=True) if url and address_id(url) in ids
            }
        else:
            wanted = pa.array(sorted(ids), pa.string())
            found |= set(pc.indices_nonzero(pc.is_in(column, wanted)).to_numpy().tolist())
    return sorted(found)


def _near(column: pa.ChunkedArray[Any], words: Collection[str]) -> list[int]:
    if not words:
        return list(range(len(column)))
    # An escaped letter hides a word, and a masked address has none.
    pieces = "|".join(re.escape(piece) for piece in ("%", "forgotten:", *sorted(words)))
    near = pc.match_substring_regex(column, pieces, ignore_case=True)
    at: list[int] = pc.indices_nonzero(near).to_numpy().tolist()
    return at


# --- older versions of objects --------------------------------------------------------------


def erase_versions(store: Store, raw: Collection[str]) -> int:
    """Where the bucket keeps versions: delete all but the newest; how many there were.

    Goes through whatever a page's data passes on its way (staged objects, states, the tables)
    and, in the raw zone, through the files named. Delete markers go too.
    """
    folders = ("staged/", "state/", *(f"{name}/" for name in SCHEMAS))
    old = [said for said in store.old_versions() if said[0].startswith(folders) or said[0] in raw]
    store.delete_versions(old)
    return len(old)
