"""One story as the lake has it: the texts of a cluster in time order, and what differs in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

from newslake.reader import Lake
from processing.dataset import Tables
from processing.deduplication import moment_of
from processing.exceptions import UnknownArticle
from processing.texts import is_unspaced
from processing.urls import url_key

Row = dict[str, Any]

_TOLD = (
    "id", "source", "url", "title", "published_at", "published_precision", "first_seen_at",
    "word_count", "wire", "cluster_id",
)  # fmt: skip
_OF_COPIES = ("article_id", "relation", "similarity")
_AROUND = 4  # words shown on either side of a difference
_MOST = 12  # differences of a text that a person is shown
_LONG = 30  # words of one side of a difference that a person is shown


def rows(lake: Lake, target: str) -> list[Row]:
    """The texts of the cluster of an article or copy, named by id or URL, the earliest first.

    ``article_id``, ``relation`` and ``similarity`` are None for an article. ``compared_with`` is
    the id of the text's article, of an article that of the earliest one, None for that itself;
    ``differences`` from that text are dicts of ``removed`` and ``added`` words, and of a few that
    both have ``before`` and ``after``. Raises UnknownArticle when nothing is published there,
    ConfigurationError on what is neither id nor URL.
    """
    standing = lake.article(target)
    if standing is None:
        raise UnknownArticle(
            f"nothing is published under {target}; take an id or url of the table articles"
        )
    tables, whole = Tables(lake.store), {standing["cluster_id"]}
    articles = tables.find("articles", "cluster_id", whole, columns=[*_TOLD, "text"])
    copies = tables.find("copies", "cluster_id", whole, columns=[*_TOLD, *_OF_COPIES, "text"])
    articles.sort(key=_moment)
    by_id = {row["id"]: row for row in articles}
    return [
        _told(row, by_id.get(row.get("article_id"), articles[0]))
        for row in sorted([*articles, *copies], key=_moment)
    ]


def lines(said: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The same for a person to read; removed words in ``[-...-]``, added ones in ``{+...+}``."""
    articles = [row for row in said if row["relation"] is None]
    sources = {row["source"] for row in said}
    yield (
        f"cluster {said[0]['cluster_id']}: {len(articles)} articles,"
        f" {len(said) - len(articles)} copies, {len(sources)} sources"
    )
    for row in said:
        yield ""
        yield (
            f"{_when(row)} {row['source']}, {_how(row)}, {row['word_count']} words: {row['title']}"
        )
        yield f"  {row['url']}"
        differences = row["differences"]
        yield from (f"  {_shown(each)}" for each in differences[:_MOST])
        if len(differences) > _MOST:
            yield f"  and {len(differences) - _MOST} more differences"


def _how(row: Mapping[str, Any]) -> str:
    if row["relation"] is None:
        return "article"
    if row["relation"] in ("near", "contained"):
        return f"{row['relation']} copy of {row['article_id']} ({row['similarity']:.0%})"
    return f"{row['relation']} copy of {row['article_id']}"


def _shown(difference: Mapping[str, str]) -> str:
    removed, added = (_short(difference[side]) for side in ("removed", "added"))
    marked = (f"[-{removed}-]" if removed else "", f"{{+{added}+}}" if added else "")
    parts = (difference["before"], *marked, difference["after"])
    return " ".join(part for part in parts if part)


def _short(words: str) -> str:
    listed = words.split()
    if len(listed) <= _LONG:
        return words
    half = _LONG // 2
    left_out = len(listed) - 2 * half
    return " ".join([*listed[:half], f"(... {left_out} words ...)", *listed[-half:]])


def _when(row: Mapping[str, Any]) -> str:
    of_day = row["published_at"] and row["published_precision"] == "day"
    moment = row["published_at"] or row["first_seen_at"]
    return f"{moment:%Y-%m-%d}" if of_day else f"{moment:%Y-%m-%d %H:%M}"


def _moment(row: Mapping[str, Any]) -> tuple[datetime, str, str]:
    return (
        moment_of(row["published_at"], row["published_precision"], row["first_seen_at"]),
        url_key(row["url"]),
        row["source"],
    )


def _told(row: Row, other: Row) -> Row:
    same = row is other
    return {
        **{name: row[name] for name in _TOLD},
        **{name: row.get(name) for name in _OF_COPIES},
        "compared_with": None if same else other["id"],
        "differences": [] if same else differences(other["text"], row["text"]),
    }


def differences(one: str, other: str) -> list[dict[str, str]]:
    """What makes ``other`` of ``one``, word by word (in scripts without spaces by character)."""
    unspaced = is_unspaced(one)
    glue = "" if unspaced else " "
    before, after = ("".join(t.split()) if unspaced else t.split() for t in (one, other))
    found = []
    for what, i, j, k, m in SequenceMatcher(None, before, after).get_opcodes():
        if what != "equal":
            parts = {
                "before": before[max(0, i - _AROUND) : i],
                "removed": before[i:j],
                "added": after[k:m],
                "after": before[j : j + _AROUND],
            }
            found.append({name: glue.join(words) for name, words in parts.items()})
    return found
