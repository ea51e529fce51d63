"""One text as the lake has it, with its copies and its earlier texts; no table is read whole."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import pyarrow.dataset as ds

from newslake.reader import Lake
from processing.deduplication import EXACT_WINDOW_DAYS
from processing.exceptions import StoreError, UnknownArticle
from processing.tombstones import Tombstone
from processing.urls import address_id

Row = dict[str, Any]
Kind = Literal["article", "copy", "revision"]

MOST_COPIES = 200
"""Copies of an article that are listed."""

_FILES_AHEAD = 16  # two months are many small files, and each costs the store a round trip
_ID = re.compile(r"[0-9a-f]{32}")
# Days are fixed at first publication, by moments that clocks and zones can put a day apart.
_AROUND = timedelta(days=EXACT_WINDOW_DAYS + 1)
_OF_COPIES = (
    "id", "source", "title", "published_at", "published_precision", "first_seen_at", "word_count",
    "language", "relation", "similarity",
)  # fmt: skip
_OF_REVISIONS = (
    "revision", "title", "language", "fetched_at", "word_count", "replaced_at", "replaced_by_run",
    "changed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies of an article, the earliest first, at most MOST_COPIES of ``count``.

    Those with another address were looked for from ``first`` to ``last``.
    """

    rows: Sequence[Row]
    count: int
    first: date
    last: date


def find(lake: Lake, target: str, source: str | None, revision: int | None) -> Row:
    """The row of an id or URL: of articles, of copies, or of revisions for an earlier text.

    Raises UnknownArticle when there is none, ConfigurationError on what is neither id nor URL.
    """
    row = lake.article(target, source)
    if row is None:
        of = f" from {source}" if source else ""
        raise UnknownArticle(f"nothing is published under {target}{of}")
    if revision is None or revision == row["revision"]:
        return row
    earlier = _texts(lake, row, ds.field("revision") == revision)
    if not earlier:
        raise UnknownArticle(f"{target} has no earlier text with the number {revision}")
    return earlier[0]


def forgotten_at(lake: Lake, target: str) -> datetime | None:
    """When what stood under an id or URL was forgotten; None when it was not."""
    id_ = target if _ID.fullmatch(target) else address_id(target)
    stone = Tombstone.read(lake.store, id_)
    return datetime.fromisoformat(stone.forgotten_at) if stone else None


def kind(row: Row) -> Kind:
    """Of which table a row is."""
    if "replaced_at" in row:
        return "revision"
    return "copy" if "article_id" in row else "article"


def counterpart(lake: Lake, row: Row) -> Row | None:
    """What a text is held against: a copy's article, or the text that replaced an earlier one."""
    if kind(row) == "copy":
        return lake.article(row["article_id"])
    if kind(row) == "revision":
        following = _texts(lake, row, ds.field("revision") == row["revision"] + 1)
        return following[0] if following else lake.article(row["id"], row["source"])
    return None


def revisions(lake: Lake, row: Row) -> list[Row]:
    """The earlier texts of an article, the newest first, without the texts themselves."""
    return sorted(
        _texts(lake, row, ds.scalar(True), _OF_REVISIONS), key=lambda text: -text["revision"]
    )


def copies(lake: Lake, article: Row) -> Copies:
    """The copies of an article.

    Texts further than EXACT_WINDOW_DAYS apart are no copies, so only these days are looked
    through; pages with the same address are copies at any distance, and found by it.
    """
    of_it = ds.field("article_id") == article["id"]
    first, last = article["date"] - _AROUND, article["date"] + _AROUND
    found = _rows(lake, "copies", (first, last), of_it, _OF_COPIES)
    far = {day for day in _same_address(lake, article) if not first <= day <= last}
    for day in far:
        found += _rows(lake, "copies", (day, day), of_it, _OF_COPIES)
    found.sort(key=lambda row: (_moment(row), row["source"], row["id"]))
    return Copies(found[:MOST_COPIES], len(found), first, last)


def _same_address(lake: Lake, article: Row) -> Collection[date]:
    """The days of what other sources published under an article's addresses."""
    addresses = [article["url"], *filter(None, [article["canonical_url"]])]
    keys = sorted({article["id"], *map(address_id, addresses)})
    where = ds.field("key").isin(keys) & (ds.field("kind") == "copy")
    return {row["date"] for row in _rows(lake, "keys", None, where, ["date"])}


def _texts(
    lake: Lake, row: Row, where: ds.Expression, columns: Sequence[str] | None = None
) -> list[Row]:
    own = (ds.field("id") == row["id"]) & (ds.field("source") == row["source"])
    return _rows(lake, "revisions", (row["date"], row["date"]), own & where, columns)


def _rows(
    lake: Lake,
    name: str,
    days: tuple[date, date] | None,
    where: ds.Expression,
    columns: Sequence[str] | None,
) -> list[Row]:
    try:
        held = lake.dataset(name, days)
        table = held.to_table(
            columns=list(columns) if columns else None,
            filter=where,
            fragment_readahead=_FILES_AHEAD,
        )
    except OSError as error:
        raise StoreError(
            f"cannot read {lake.url}/{name}: {str(error).splitlines()[0]}; check the store with"
            " 'newslake doctor'"
        ) from error
    rows: list[Row] = table.to_pylist()
    return rows


def _moment(row: Row) -> datetime:
    seen: datetime = row["first_seen_at"]
    return min(row["published_at"] or seen, seen)
