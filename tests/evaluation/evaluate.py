"""Compare our extraction with plain trafilatura on labelled real pages, set by set.

    python tests/evaluation/evaluate.py [--data DIR] [SET]...

The pages are not part of the project; DIR is ``../shared/data`` beside the checkout unless told,
and holds ``extraction/*.jsonl.gz`` with id, url, html, text, title, authors and date.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import trafilatura
from metrics import Share, author_set, f1, precision_recall, same_day, same_title

from processing.extraction import extract
from processing.records import Article, Page

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FETCHED = datetime(2026, 11, 1, tzinfo=UTC)  # after every page of the sets
_HEADINGS = ("pages", "rejected", "P", "R", "F1", "title", "authors", "date", "ms/page")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an extractor made of a page; ``text`` is None when it refused the page."""

    text: str | None = None
    title: str | None = None
    authors: tuple[str, ...] = ()
    day: date | None = None


@dataclass(slots=True)
class Score:
    """An extractor's running score on one set."""

    pages: int = 0
    rejected: int = 0
    seconds: float = 0.0
    precision: Share = field(default_factory=Share)
    recall: Share = field(default_factory=Share)
    title: Share = field(default_factory=Share)
    authors: Share = field(default_factory=Share)
    day: Share = field(default_factory=Share)

    def add(self, truth: dict[str, Any], reading: Reading, seconds: float) -> None:
        """Count one page against its truth; what a set does not know is not judged."""
        self.pages += 1
        self.seconds += seconds
        self.rejected += reading.text is None
        if truth.get("text"):
            precision, recall = precision_recall(reading.text or "", truth["text"])
            self.precision.add(precision)
            self.recall.add(recall)
        if truth.get("title"):
            self.title.add(same_title(reading.title, truth["title"]))
        if truth.get("authors"):
            self.authors.add(author_set(reading.authors) == author_set(truth["authors"]))
        day = _day(truth.get("date"))
        if day:
            self.day.add(same_day(reading.day, day))

    def cells(self) -> list[str]:
        """The score as a row of the table, in the order of its headings."""
        shares = (self.title, self.authors, self.day)
        precision, recall = self.precision.value, self.recall.value
        text = ["", "", ""]
        if precision is not None and recall is not None:
            text = [f"{value:.4f}" for value in (precision, recall, f1(precision, recall))]
        return [
            str(self.pages),
            str(self.rejected),
            *text,
            *("" if s.value is None else f"{100 * s.value:.1f}" for s in shares),
            f"{1000 * self.seconds / max(1, self.pages):.0f}",
        ]


def ours(url: str, body: bytes) -> Reading:
    """Our reading of a page. The day is that of ``published_at``, in UTC as in the dataset."""
    outcome = extract(Page(url, body, FETCHED))
    if not isinstance(outcome, Article):
        return Reading()
    day = outcome.published_at.date() if outcome.published_at else None
    return Reading(outcome.text, outcome.title, outcome.authors, day)


def plain(url: str, body: bytes) -> Reading:
    """What trafilatura makes of a page by itself, without comments."""
    document = trafilatura.bare_extraction(
        body, url=url, include_comments=False, with_metadata=True
    )
    if document is None or isinstance(document, dict):
        return Reading()
    authors = (document.author,) if document.author else ()
    return Reading(document.text or "", document.title, authors, _day(document.date))


def records(file: Path) -> Iterator[dict[str, Any]]:
    """The labelled pages of one set."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def score(file: Path, reader: Callable[[str, bytes], Reading]) -> Score:
    """An extractor's score on one set; its time is CPU time."""
    total = Score()
    for record in records(file):
        body = record["html"].encode(errors="surrogatepass")
        before = time.process_time()
        reading = reader(record["url"], body)
        total.add(record, reading, time.process_time() - before)
    return total


def main(arguments: list[str]) -> int:
    """Print the table; 1 when there are no labelled pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the labelled sets")
    parser.add_argument("sets", nargs="*", help="names of sets; all when none is given")
    options = parser.parse_args(arguments)
    files = sorted((options.data / "extraction").glob("*.jsonl.gz"))
    chosen = [f for f in files if not options.sets or f.name.partition(".")[0] in options.sets]
    if not chosen:
        print(f"no labelled sets under {options.data / 'extraction'}", file=sys.stderr)
        return 1
    logging.disable(logging.CRITICAL)
    print(f"{'set':28}{'by':13}" + "".join(f"{heading:>9}" for heading in _HEADINGS))
    for file in chosen:
        for reader, name in ((ours, "newslake"), (plain, "trafilatura")):
            cells = score(file, reader).cells()
            set_name = file.name.partition(".")[0]
            print(f"{set_name:28}{name:13}" + "".join(f"{cell:>9}" for cell in cells), flush=True)
    return 0


def _day(said: str | None) -> date | None:
    try:
        return date.fromisoformat((said or "")[:10])
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
