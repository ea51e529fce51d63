"""Whether a row's text is what its hash and its stored page say, by extracting the page again."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import accumulate
from random import Random
from typing import Any

import pyarrow.dataset as ds

from processing import extraction
from processing.archive import read_listed_page
from processing.dataset import Tables
from processing.findings import Report
from processing.pool import ExtractionPool
from processing.records import Article, Page, Rejection, WarcPointer
from processing.storage import Store
from processing.texts import content_hash

Row = dict[str, Any]

_POINTER = ("warc_key", "warc_offset", "warc_length")
_COLUMNS = ["id", "source", "text", "content_hash", "extractor", *_POINTER]


def check_texts(
    tables: Tables, name: str, rows: Iterable[Row], pool: ExtractionPool, report: Report
) -> None:
    """Every row's text against its hash, and against its stored page extracted again.

    ``rows`` are of the table ``name``, as ``all_rows`` and ``some_rows`` give them. Raises
    StoreError when the store does not answer.
    """
    extracting: deque[Row] = deque()
    without: Counter[str] = Counter()

    def pages() -> Iterator[Page]:
        for row in rows:
            report.checked["texts"] += 1
            if not row["text"] or content_hash(row["text"]) != row["content_hash"]:
                report.add("text", row["id"], f"its content_hash in {name} is not its text's")
            if row["warc_key"] is None:
                without["have no stored page any more: it has expired"] += 1
            elif not row["warc_key"].startswith("raw/"):
                without["were imported from WARC files outside this lake"] += 1
            else:
                report.checked["pages"] += 1
                page = _stored_page(tables.store, row)
                if page is None:
                    report.add("page", row["id"], f"{_where(row)} is gone or damaged")
                else:
                    extracting.append(row)
                    yield page

    for made in pool.outcomes(pages()):
        _compare(extracting.popleft(), made, report)
    report.notes += [f"{count} rows of {name} {why}" for why, count in sorted(without.items())]


def all_rows(tables: Tables, name: str) -> Iterator[Row]:
    """Every row of a table, in the columns that are checked."""
    for day in sorted({file["partition.date"] for file in _files(tables, name)}):
        # Few batches ahead: a day's texts do not fit into memory.
        for batch in tables.dataset(name, [day]).to_batches(
            columns=_COLUMNS, batch_size=500, batch_readahead=2, fragment_readahead=1
        ):
            yield from batch.to_pylist()


def some_rows(tables: Tables, name: str, count: int, draw: Random) -> Iterator[Row]:
    """``count`` rows of a table, or all it has, each as likely as any other."""
    files = _files(tables, name)
    ends = list(accumulate((file["num_records"] for file in files), initial=0))
    wanted: dict[str, list[int]] = defaultdict(list)
    days = set()
    for number in draw.sample(range(ends[-1]), min(count, ends[-1])):
        at = bisect_right(ends, number) - 1
        wanted[files[at]["path"]].append(number - ends[at])
        days.add(files[at]["partition.date"])
    for fragment in tables.dataset(name, days).get_fragments():
        if isinstance(fragment, ds.ParquetFileFragment) and fragment.path in wanted:
            yield from _numbered(fragment, wanted[fragment.path])


def _files(tables: Tables, name: str) -> list[Row]:
    """Path, partition and rows of each file of a table, in an order that stays."""
    files = tables.files(name)
    if not len(files):
        return []
    chosen = files.select(["path", "partition.date", "num_records"])
    return chosen.sort_by("path").to_pylist()


def _numbered(fragment: ds.ParquetFileFragment, numbers: Iterable[int]) -> Iterator[Row]:
    """The rows of a file by their numbers in it, out of the row groups that hold them."""
    ends = list(accumulate((group.num_rows for group in fragment.row_groups), initial=0))
    for number in sorted(numbers):
        at = bisect_right(ends, number) - 1
        group: Any = fragment.subset(row_group_ids=[at])
        yield from group.to_table(columns=_COLUMNS).slice(number - ends[at], 1).to_pylist()


def _stored_page(store: Store, row: Row) -> Page | None:
    pointer = WarcPointer(*(row[name] for name in _POINTER))
    stored = read_listed_page(store, pointer, source=row["source"])
    return stored.page if stored else None


def _compare(row: Row, made: Article | Rejection, report: Report) -> None:
    code, _, template = row["extractor"].partition(extraction.SITE_TEMPLATE)
    if code != extraction.extractor():
        return  # another extractor may judge otherwise
    if isinstance(made, Rejection):
        detail = f"{_where(row)} is no article when extracted again: {made.state}, {made.detail}"
        report.add("page", row["id"], detail)
    elif made.content_hash != row["content_hash"] and not (
        template and _within(row["text"], made.text)
    ):
        report.add("page", row["id"], f"{_where(row)} gives another text when extracted again")


def _within(text: str, whole: str) -> bool:
    """Whether a text cleaned by its site's template is the whole one without some lines."""
    return set(text.split("\n")) <= set(whole.split("\n"))


def _where(row: Row) -> str:
    return f"its page in {row['warc_key']} at byte {row['warc_offset']}"
