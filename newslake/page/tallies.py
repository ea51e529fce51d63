"""How many articles there are, of which day, topic, source and language, without a scan.

By day and topic Delta's log alone tells. By source and language each data file is counted once,
by these two columns: files are immutable, and their names carry the hash of their bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from newslake.page.remembered import Remembered
from newslake.reader import Lake
from processing.exceptions import StoreError
from processing.tables import SCHEMAS

_KIND = "articles-of-file"
_READERS = 16  # each file costs the store two round trips, whatever is read of it
_KEYS = ["partition.date", "partition.topic"]
_COLUMNS = ["source", "language"]


@dataclass(frozen=True, slots=True)
class Standing:
    """All of ``articles`` as the log tells it.

    ``counts`` are articles by (date, topic), ``bytes`` of Parquet; ``published`` and ``fetched``
    the newest moments, None where the log has none.
    """

    counts: dict[tuple[date, str], int]
    files: int
    bytes: int
    published: datetime | None
    fetched: datetime | None

    @property
    def articles(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    def by_day(self) -> Counter[date]:
        """Articles of each date."""
        days: Counter[date] = Counter()
        for (day, _), number in self.counts.items():
            days[day] += number
        return days


@dataclass(frozen=True, slots=True)
class Tally:
    """Articles of one source and language in one partition."""

    date: date
    topic: str
    source: str
    language: str | None
    articles: int


def standing(lake: Lake) -> Standing:
    """What the log of ``articles`` tells at its newest version. Raises StoreError."""
    lake.tables.look("articles")
    files = lake.tables.files("articles")
    if not len(files):
        return Standing({}, 0, 0, None, None)
    sums = files.group_by(_KEYS).aggregate([("num_records", "sum")]).to_pydict()
    days, topics = (sums[key] for key in _KEYS)
    return Standing(
        dict(zip(zip(days, topics, strict=True), sums["num_records_sum"], strict=True)),
        len(files),
        pc.sum(files["size_bytes"]).as_py(),
        _newest(files, "max.published_at"),
        _newest(files, "max.fetched_at"),
    )


def tallies(lake: Lake, days: Iterable[date], remembered: Remembered) -> Iterator[Tally]:
    """The articles of these days by source and language; opens no file twice. Raises StoreError."""
    wanted = list(days)
    files = lake.tables.files("articles", wanted)
    if not len(files):
        return
    rows: list[dict[str, Any]] = files.select(["path", *_KEYS]).to_pylist()
    paths = [row["path"] for row in rows]
    counted = remembered.get(_KIND, paths)
    fresh = set(paths) - counted.keys()
    if fresh:
        counted |= _read(lake, wanted, fresh)
        everything = {str(path) for path in lake.tables.files("articles")["path"]}
        remembered.put(_KIND, {path: counted[path] for path in fresh}, everything)
    for row in rows:
        day, topic = row["partition.date"], row["partition.topic"]
        for source, language, number in counted[row["path"]]:
            yield Tally(day, topic, source, language, number)


def days_to(last: date, count: int) -> list[date]:
    """So many days that end with ``last``, oldest first."""
    return [last - timedelta(days=n) for n in reversed(range(count))]


def _newest(files: pa.Table, column: str) -> datetime | None:
    # A log without statistics has no such column.
    found = pc.max(files[column]).as_py() if column in files.column_names else None
    return found if isinstance(found, datetime) else None


def _read(lake: Lake, days: list[date], paths: set[str]) -> dict[str, list[list[Any]]]:
    held = lake.tables.dataset("articles", days)
    fragments = [part for part in held.get_fragments() if part.path in paths]
    try:
        with ThreadPoolExecutor(_READERS) as readers:
            return dict(readers.map(_count, fragments))
    except OSError as error:
        raise StoreError(
            f"cannot read {lake.url}/articles: {str(error).splitlines()[0]}; check the store with"
            " 'newslake doctor'"
        ) from error


def _count(file: ds.ParquetFileFragment) -> tuple[str, list[list[Any]]]:
    rows = file.to_table(SCHEMAS["articles"], columns=_COLUMNS, use_threads=False)
    counts = rows.group_by(_COLUMNS, use_threads=False).aggregate([([], "count_all")])
    return file.path, [list(row.values()) for row in counts.to_pylist()]
