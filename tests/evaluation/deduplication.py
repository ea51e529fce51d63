"""How well duplicates are told on two labelled sets: pair by pair, by article, and by cluster.

    python tests/evaluation/deduplication.py [--data DIR]

The texts are not part of the project; DIR is ``../shared/data`` beside the checkout unless told,
and holds ``deduplication/{reuters,synth}_articles.jsonl.gz`` (n, title, text, date, pub: the site)
and ``..._pairs.csv.gz`` (a, b, label; ``ignore``: not judged). A pair that is not listed is none.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

from processing.deduplication import EXACT_WINDOW_DAYS, Index, day_of, decide
from processing.neighbours import Signed, neighbours
from processing.records import Article
from processing.signatures import sign
from processing.texts import content_hash, count_words
from processing.urls import url_id, url_key

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SETS = ("reuters", "synth")

_SEEN = datetime(2026, 11, 1, tzinfo=UTC)  # after every text of the sets
_UNDATED = datetime(2026, 10, 1, tzinfo=UTC)
_TIME = re.compile(r" (\d\d):(\d\d):(\d\d)")

Pairs = set[tuple[int, int]]


def measure(data: Path = DATA) -> dict[str, dict[str, float]]:
    """Precision and recall on each set whose files lie in ``data``.

    ``pair_*`` are of the pairs that are found to be alike, ``article_*`` of those that are the
    same article or copies of one, ``cluster_*`` of those of one cluster.
    """
    folder = data / "deduplication"
    return {name: _measure(folder, name) for name in SETS if _files(folder, name)[0].exists()}


def _measure(folder: Path, name: str) -> dict[str, float]:
    texts, labels = _files(folder, name)
    articles = _articles(texts)
    true, ignored = _labels(labels)
    decided = decide(articles, Index())
    found = {
        "pair": _alike(articles),
        "article": _together([decision.article_id for decision in decided.decisions]),
        "cluster": _together(decided.clusters),
    }
    said = {}
    for what, pairs in found.items():
        right = len(pairs & true)
        said[f"{what}_precision"] = right / max(1, len(pairs - ignored))
        said[f"{what}_recall"] = right / max(1, len(true))
    return said


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}_articles.jsonl.gz", folder / f"{name}_pairs.csv.gz"


def _articles(file: Path) -> list[Article]:
    """The texts of a set by their numbers, as a crawl of their sites would have them."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    assert [record["n"] for record in records] == list(range(len(records)))
    made = []
    for record in records:
        url = f"https://texts.example/{record['n']}"
        made.append(
            Article(
                id=url_id(url_key(url)),
                url=url,
                title=record["title"] or "",
                text=record["text"],
                source=record["pub"],
                published_at=_moment(record.get("date"), record["n"]),
                first_seen_at=_SEEN,
                fetched_at=_SEEN,
                content_hash=content_hash(record["text"]),
                word_count=count_words(record["text"]),
                extractor="none",
            )
        )
    return made


def _moment(said: str | None, number: int) -> datetime:
    """``26-FEB-1987 15:01:01.79``, whatever follows; texts without a date are all of one day."""
    if not said:
        return _UNDATED + timedelta(seconds=number)
    day = datetime.strptime(said.split()[0], "%d-%b-%Y").replace(tzinfo=UTC)
    time = _TIME.search(said)  # some are damaged
    hours, minutes, seconds = map(int, time.groups()) if time else (0, 0, 0)
    return day + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _labels(file: Path) -> tuple[Pairs, Pairs]:
    """The pairs that are duplicates, and those that are not judged."""
    found: dict[bool, Pairs] = defaultdict(set)
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            one, other = sorted((int(row["a"]), int(row["b"])))
            found[row["label"] == "ignore"].add((one, other))
    return found[False], found[True]


def _alike(articles: Sequence[Article]) -> Pairs:
    """Pairs with nearly the same text, one contained in the other, or equal ones."""
    signed = [Signed(a.source or "", day_of(a), sign(a.text)) for a in articles]
    near = neighbours(signed, [])
    found = {
        (each.other, number)
        for number, of_text in enumerate(near)
        for each in of_text
        if isinstance(each.other, int)
    }
    equal: dict[str, list[int]] = defaultdict(list)
    for number, article in enumerate(articles):
        equal[article.content_hash].append(number)
    for numbers in equal.values():
        for one, other in combinations(numbers, 2):
            apart = abs((signed[one].day - signed[other].day).days)
            if apart <= EXACT_WINDOW_DAYS:
                found.add((one, other))
    return found


def _together(groups: Iterable[str]) -> Pairs:
    """The pairs of texts that are of one group."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        members[group].append(number)
    return {pair for numbers in members.values() for pair in combinations(numbers, 2)}


def main(arguments: list[str]) -> int:
    """Print the table; 1 when there are no labelled texts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the labelled sets")
    data = parser.parse_args(arguments).data
    measured = measure(data)
    for name, said in measured.items():
        for what in ("pair", "article", "cluster"):
            precision, recall = said[f"{what}_precision"], said[f"{what}_recall"]
            print(f"{name:10}{what:10}precision {precision:.4f}  recall {recall:.4f}")
    if not measured:
        print(f"no labelled sets under {data / 'deduplication'}", file=sys.stderr)
    return 0 if measured else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
