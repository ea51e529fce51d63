"""What becomes of an article's copies, and of its cluster, when the article leaves the lake.

Pure over rows as the tables hold them; whoever takes an article out commits what comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processing.urls import url_key

Row = dict[str, Any]

_OF_COPIES = ("article_id", "relation", "similarity")


@dataclass(frozen=True, slots=True)
class Succession:
    """Rows as they stand after an article has left.

    ``heir`` is the row of ``articles`` that takes its place, None when it had no copies;
    ``copies`` the other copies, now the heir's; ``members`` the rest of its cluster, hung on the
    heir, or on its own earliest article.
    """

    heir: Row | None
    copies: list[Row]
    members: list[Row]


def succeed(gone: Row, copies: Iterable[Row], members: Iterable[Row] = ()) -> Succession:
    """Let the earliest copy take the place of ``gone``, a row of ``articles``.

    ``copies`` are all rows of ``copies`` whose ``article_id`` is the gone article's id,
    ``members`` all other rows of both tables whose ``cluster_id`` is. The earliest is the first
    by (published_at clamped to first_seen_at, URL key, source); a copy that only holds a part of
    the gone text (``contained``) comes after all that hold the whole, the longest first, so that
    nothing longer hides behind a stub. All keep their id, date and topic, and the copies the
    relation that they had to the gone article.
    """
    heirs = sorted(copies, key=_rank)
    others = sorted(members, key=_moment)
    articles = [*heirs[:1], *(row for row in others if "article_id" not in row)]
    if gone["cluster_id"] != gone["id"]:
        head = gone["cluster_id"]  # it hung on another article, and so does all that is left
    else:
        head = articles[0]["id"] if articles else None
    return Succession(
        heir={**_article(heirs[0]), "cluster_id": head} if heirs else None,
        copies=[{**row, "article_id": heirs[0]["id"], "cluster_id": head} for row in heirs[1:]],
        members=[{**row, "cluster_id": head} for row in others],
    )


def _article(copy: Row) -> Row:
    return {name: value for name, value in copy.items() if name not in _OF_COPIES}


def _rank(copy: Row) -> tuple[bool, int, tuple[datetime, str, str]]:
    part = copy["relation"] == "contained"
    return part, -copy["word_count"] if part else 0, _moment(copy)


def _moment(row: Row) -> tuple[datetime, str, str]:
    published = row["published_at"] or row["first_seen_at"]
    return min(published, row["first_seen_at"]), url_key(row["url"]), row["source"]
