"""Hold extraction against labelled pages, set by set, beside plain trafilatura; then the rest.

    python tests/evaluation/evaluate.py [--data DIR] [--update [--lower REASON]] [SET]...

``own`` are the pages of ``pages/``, written for this project. The others are real pages that are
not part of it: DIR is ``../shared/data`` beside the checkout unless told, and holds
``extraction/*.jsonl.gz`` with id, url, html, text, title, authors and date. What else is measured
on data of its own (see ``OTHERS``) follows. No measure may fall below its floor in
``baseline.json``; ``--update`` lifts the floors to what was measured, and with ``--lower REASON``
lets those down that are not reached.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from zlib import crc32

import deduplication
import topics
import trafilatura
import yaml
from floors import Floors, Measures
from metrics import Share, author_set, f1, precision_recall, same_day, same_title

from processing.extraction import extract
from processing.records import Article, Page

HERE = Path(__file__).resolve().parent
PAGES = HERE / "pages"
BASELINE = HERE / "baseline.json"
DATA = HERE.parents[1].parent / "shared" / "data"
OWN = "own"
FETCHED = datetime(2026, 11, 1, tzinfo=UTC)  # after every page of the real sets
SAMPLED = {"date_htmldate": 8, "meta_postlight": 2, "meta_trafilatura": 8}
"""Sets of which a test run reads every n-th page, told by its id; such a sample has own floors."""

OTHERS: dict[str, Callable[[Path], dict[str, dict[str, float]]]] = {
    "deduplication": deduplication.measure,
    "topics": topics.measure,
}
"""What else is measured, 0 to 1, by the part of the data it is taken on; none where that lacks."""

_HEADINGS = ("pages", "P", "R", "F1", "title", "authors", "date", "verdict", "ms/page")


@dataclass(frozen=True, slots=True)
class Record:
    """A labelled page; what is not known of it is None, and is not judged.

    ``state`` is what a page that is no article must end in, and ``detail`` a part of the reason.
    """

    id: str
    page: Page
    text: str | None = None
    title: str | None = None
    authors: str | tuple[str, ...] | None = None
    day: date | None = None
    state: str | None = None
    detail: str = ""
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an extractor made of a page; ``text`` is None when it refused the page.

    ``state`` is why, for an extractor that says so.
    """

    text: str | None = None
    title: str | None = None
    authors: tuple[str, ...] = ()
    day: date | None = None
    state: str | None = None


@dataclass(slots=True)
class Score:
    """An extractor's running score on one set.

    ``verdict`` is the share of pages rightly taken for an article, or refused for the right state.
    """

    pages: int = 0
    seconds: float = 0.0
    precision: Share = field(default_factory=Share)
    recall: Share = field(default_factory=Share)
    title: Share = field(default_factory=Share)
    authors: Share = field(default_factory=Share)
    day: Share = field(default_factory=Share)
    verdict: Share = field(default_factory=Share)

    def add(self, truth: Record, reading: Reading, seconds: float) -> None:
        """Count one page against its truth."""
        self.pages += 1
        self.seconds += seconds
        if truth.state:
            self.verdict.add(reading.text is None and reading.state in (None, truth.state))
            return
        self.verdict.add(reading.text is not None)
        if truth.text:
            precision, recall = precision_recall(reading.text or "", truth.text)
            self.precision.add(precision)
            self.recall.add(recall)
        if truth.title:
            self.title.add(same_title(reading.title, truth.title))
        if truth.authors is not None:
            self.authors.add(author_set(reading.authors) == author_set(truth.authors))
        if truth.day:
            self.day.add(same_day(reading.day, truth.day))

    def measures(self) -> dict[str, float]:
        """Every measure that was judged, 0 to 1, by the name it has in the baseline."""
        shares = {
            "title": self.title,
            "authors": self.authors,
            "date": self.day,
            "verdict": self.verdict,
        }
        found = {name: share.value for name, share in shares.items() if share.value is not None}
        if self.precision.value is not None and self.recall.value is not None:
            found["f1"] = f1(self.precision.value, self.recall.value)
        return found

    def cells(self) -> list[str]:
        """The score as a row of the table, in the order of its headings."""
        said = self.measures()
        text = (self.precision.value, self.recall.value, said.get("f1"))
        shares = (said.get(name) for name in ("title", "authors", "date", "verdict"))
        return [
            str(self.pages),
            *("" if value is None else f"{value:.4f}" for value in text),
            *("" if value is None else f"{100 * value:.1f}" for value in shares),
            f"{1000 * self.seconds / max(1, self.pages):.0f}",
        ]


Reader = Callable[[Page], Reading]


def ours(page: Page) -> Reading:
    """Our reading of a page. The day is that of ``published_at``, in UTC as in the dataset."""
    outcome = extract(page)
    if not isinstance(outcome, Article):
        return Reading(state=outcome.state)
    day = outcome.published_at.date() if outcome.published_at else None
    return Reading(outcome.text, outcome.title, outcome.authors, day)


def plain(page: Page) -> Reading:
    """What trafilatura makes of a page by itself, without comments."""
    document = trafilatura.bare_extraction(
        page.body, url=page.url, include_comments=False, with_metadata=True
    )
    if document is None or isinstance(document, dict):
        return Reading()
    authors = (document.author,) if document.author else ()
    return Reading(document.text or "", document.title, authors, _day(document.date))


def own_records() -> Iterator[Record]:
    """The pages of ``pages/``: articles first, then what is none."""
    for kind in ("articles", "rejections"):
        said = yaml.safe_load((PAGES / f"{kind}.yaml").read_text(encoding="utf-8"))
        for name, truth in said.items():
            headers = {"content-type": truth.get("content_type", "text/html")}
            body = (PAGES / f"{name}.html").read_bytes()
            yield Record(
                name,
                Page(truth["url"], body, datetime(2026, 11, 30, tzinfo=UTC), headers),
                truth.get("text"),
                truth.get("title"),
                tuple(truth.get("authors", ())),
                _day(truth.get("date")),
                truth.get("state"),
                truth.get("detail", ""),
                truth.get("language"),
            )


def real_records(file: Path, every: int = 1) -> Iterator[Record]:
    """The labelled pages of a real set, or a fixed sample of them: about one of ``every``."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            said = json.loads(line)
            if in_sample(said["id"], every):
                body = said["html"].encode(errors="surrogatepass")
                page = Page(said["url"], body, FETCHED)
                yield Record(
                    said["id"],
                    page,
                    said["text"],
                    said["title"],
                    said["authors"] or None,
                    _day(said["date"]),
                )


def in_sample(page_id: str, every: int) -> bool:
    return crc32(page_id.encode()) % every == 0


def sample_name(set_name: str) -> str:
    """The name under which the baseline keeps the floors of a set's sample."""
    return f"{set_name}, sample" if set_name in SAMPLED else set_name


def real_sets(data: Path = DATA) -> dict[str, Path]:
    """The files of the real sets that are at hand, by name."""
    files = sorted((data / "extraction").glob("*.jsonl.gz"))
    return {file.name.partition(".")[0]: file for file in files}


def score(records: Iterable[Record], reader: Reader, sample: int = 1) -> tuple[Score, Score]:
    """An extractor's score on some pages, and on their sample; its time is CPU time."""
    whole, part = Score(), Score()
    for record in records:
        before = time.process_time()
        reading = reader(record.page)
        seconds = time.process_time() - before
        whole.add(record, reading, seconds)
        if in_sample(record.id, sample):
            part.add(record, reading, seconds)
    return whole, part


def main(arguments: list[str]) -> int:
    """Print the table; 1 when a measure is below its floor or a set is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real sets")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="file of the floors")
    parser.add_argument("--update", action="store_true", help="lift the floors to what is measured")
    parser.add_argument("--lower", metavar="REASON", help="with --update: let floors down, too")
    parser.add_argument("sets", nargs="*", help="names of sets; all when none is given")
    options = parser.parse_args(arguments)
    if options.lower is not None and not (options.update and options.lower.strip()):
        parser.error("--lower goes with --update and says why")
    sources: dict[str, Callable[[], Iterator[Record]]] = {OWN: own_records} | {
        name: lambda file=file: real_records(file) for name, file in real_sets(options.data).items()
    }
    missing = [name for name in options.sets if name not in (*sources, *OTHERS)]
    if missing:
        print(f"no set {', '.join(missing)} in {options.data / 'extraction'}", file=sys.stderr)
        return 1
    logging.disable(logging.CRITICAL)
    floors = Floors.read(options.baseline)
    found: dict[str, Measures] = {}
    _print_row("set", "by", _HEADINGS)
    for name in options.sets or (*sources, *OTHERS):
        if name in sources:
            found |= _measured_pages(name, sources[name])
        else:
            found |= _measured_otherwise(name, options.data)
    if options.lower:
        floors.lower_floors(found, options.lower)
    breaches = list(floors.breaches(found))
    for breach in breaches:
        print(f"BELOW ITS FLOOR  {breach}")
    if options.update:
        floors.raise_floors(found)
        floors.write(options.baseline)
    return 1 if breaches else 0


def _measured_pages(name: str, records: Callable[[], Iterator[Record]]) -> dict[str, Measures]:
    """The measures of a set of pages and of its sample; the rows of both extractors are printed."""
    whole, part = score(records(), ours, SAMPLED.get(name, 1))
    _print_row(name, "newslake", whole.cells())
    _print_row("", "trafilatura", score(records(), plain)[0].cells())
    return {sample_name(name): part.measures(), name: whole.measures()}


def _measured_otherwise(name: str, data: Path) -> dict[str, Measures]:
    """What another module measures, printed as it names it."""
    found = {f"{name}, {part}": measures for part, measures in OTHERS[name](data).items()}
    for set_name, measures in found.items():
        said = "  ".join(f"{measure} {value:.4f}" for measure, value in measures.items())
        print(f"{set_name:28}{said}", flush=True)
    return found


def _print_row(set_name: str, by: str, cells: Iterable[str]) -> None:
    print(f"{set_name:28}{by:13}" + "".join(f"{cell:>9}" for cell in cells), flush=True)


def _day(said: str | date | None) -> date | None:
    try:
        return date.fromisoformat(str(said or "")[:10])
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
