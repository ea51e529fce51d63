"""Extracting chosen days or sources again: what would change, shown first, then its commit."""

from __future__ import annotations

import os
import pickle
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from crawlers import catalogue
from newslake.configuration import sources_directory
from newslake.steps import software
from processing.corrections import commit_day
from processing.exceptions import ConfigurationError
from processing.pool import ExtractionPool
from processing.reprocessing import Day, Difference, Kind, Selection, find_differences
from processing.storage import Store
from processing.topics import fast_chosen

SAMPLES = 3
"""Differences of each kind that are shown in full; as JSON so many of each source."""

_DIFF_LINES = 8
_WIDTH = 100
_NOT_TOLD = ("text", "content_hash", "word_count", "topics", "topic_score")
"""Columns whose old and new values a sample leaves out: others say the same shorter."""


@dataclass(slots=True)
class _Source:
    """What was found of one source."""

    looked_at: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    columns: Counter[str] = field(default_factory=Counter)
    words: int = 0
    texts: int = 0
    left: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    runs: list[str] = field(default_factory=list)


class Found:
    """The differences of all days added up by source, with a few samples; small for any lake."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = defaultdict(_Source)

    def __bool__(self) -> bool:
        return any(said.kinds for said in self._sources.values())

    def add(self, day: Day) -> None:
        """Take up one day."""
        for source, count in day.looked_at.items():
            self._sources[source].looked_at += count
        for (source, reason), count in day.left.items():
            self._sources[source].left[reason] += count
        for difference in day.differences:
            said = self._sources[difference.source]
            said.kinds[difference.kind] += 1
            said.columns.update(c for c in difference.columns if c != "content_hash")
            if difference.after and "text" in difference.columns:
                said.texts += 1
                said.words += difference.after["word_count"] - difference.before["word_count"]
            samples = said.samples[difference.kind]
            if len(samples) < SAMPLES:
                samples.append(_sample(difference))

    def committed(self, manifest: Mapping[str, Any]) -> None:
        """Note a run that committed some of it."""
        for source in manifest["counts"]:
            self._sources[source].runs.append(manifest["run_id"])

    def rows(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a source.

        ``looked_at`` pages; ``changed``, ``lost`` and ``gained`` of them; ``columns`` how often
        each changed; ``words`` the mean change of word_count over changed texts; ``left`` as they
        are, by reason; ``samples``; ``runs`` that committed it.
        """
        return [
            {
                "source": source,
                "looked_at": said.looked_at,
                **{kind.value: said.kinds[kind] for kind in Kind},
                "columns": dict(said.columns.most_common()),
                "words": round(said.words / said.texts, 1) if said.texts else None,
                "left": dict(sorted(said.left.items())),
                "samples": [each for kind in Kind for each in said.samples[kind]],
                "runs": said.runs,
            }
            for source, said in sorted(self._sources.items())
        ]


def reprocess(
    store: Store,
    selection: Selection,
    environ: Mapping[str, str],
    consent: Callable[[Found], bool],
    *,
    watch: Callable[[Day], object] = lambda day: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Found:
    """Find the differences, and commit them when ``consent`` says so.

    ``watch`` is told each day once it is extracted. What was found waits on local disk for the
    answer, so that exactly what was shown is committed. Raises ConfigurationError on a source
    that neither the catalogue nor the selection knows, or a wrong NEWSLAKE_TOPICS.
    """
    declared = catalogue.load(sources_directory(environ)).sources
    topic_maps = {id_: source.topics for id_, source in declared.items()}
    fast_topics = fast_chosen(environ)
    started_at = clock()
    found = Found()
    with TemporaryDirectory(prefix="newslake-reprocess-") as folder:
        waiting: list[Path] = []
        with ExtractionPool(workers=max(1, min(4, os.cpu_count() or 1))) as pool:
            for day in find_differences(
                store, selection, pool, topic_maps, fast_topics=fast_topics
            ):
                found.add(day)
                watch(day)
                if day.differences:
                    waiting.append(Path(folder) / day.day.isoformat())
                    waiting[-1].write_bytes(pickle.dumps(day))
        seen = {row["source"] for row in found.rows()}
        for id_ in selection.sources:
            if id_ not in seen and id_ not in declared:
                raise ConfigurationError(
                    f"no source {id_!r} is in the catalogue, nor in the days chosen of"
                    f" {store.url}; 'newslake sources list' prints the ids"
                )
        if not found or not consent(found):
            return found
        for path in waiting:
            for manifest in commit_day(
                store,
                pickle.loads(path.read_bytes()),  # noqa: S301  # written above
                started_at=started_at,
                topic_maps=topic_maps,
                aggregators=catalogue.aggregators(declared.values()),
                fast_topics=fast_topics,
                software=software(),
                clock=clock,
            ):
                found.committed(manifest)
    return found


def show(console: Console, found: Found) -> None:
    """Print the counts by source, what changed, and the samples."""
    rows = found.rows()
    table = Table(box=None, pad_edge=False)
    for column in ("source", "looked at", *Kind, "left as they are"):
        table.add_column(column, justify="left" if column == "source" else "right")
    for row in rows:
        counts = (row["looked_at"], *(row[kind] for kind in Kind), sum(row["left"].values()))
        table.add_row(row["source"], *map(str, counts))
    console.print(table if rows else "nothing is in the days and sources chosen")
    for row in rows:
        for line in _lines(row):
            console.print(line, soft_wrap=True)
    samples = [sample for row in rows for sample in row["samples"]]
    for kind in Kind:
        for sample in islice((s for s in samples if s["kind"] == kind), SAMPLES):
            for line in _sample_lines(sample):
                console.print(line, soft_wrap=True)


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    """What is told of one source below the table."""
    source = row["source"]
    if row["columns"]:
        counted = ", ".join(f"{column} {count}" for column, count in row["columns"].items())
        words = "" if row["words"] is None else f"; {row['words']:+} words a changed text"
        yield f"{source}: changed: {counted}{words}"
    for reason, count in row["left"].items():
        yield f"{source}: {count} left as they are: {reason}"


def _sample_lines(sample: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"{sample['kind']} {sample['url']}"
    if sample["detail"]:
        yield f"  {sample['detail']}"
    for column, (before, after) in sample["columns"].items():
        yield f"  {column}: {_short(before)} -> {_short(after)}"
    yield from (f"  {line}" for line in sample["diff"])


def _sample(difference: Difference) -> dict[str, Any]:
    before, after = difference.before, difference.after or {}
    rejection = difference.rejection
    if difference.kind is Kind.GAINED:
        detail = f"was {before['state']}; now: {after['title']}"
    else:
        detail = f"now {rejection.state}: {rejection.detail}" if rejection else ""
    columns = {
        column: [before[column], after[column]]
        for column in difference.columns
        if column not in _NOT_TOLD
    }
    diff = (
        unified_diff(before["text"].split("\n"), after["text"].split("\n"), n=0, lineterm="")
        if "text" in difference.columns
        else ()
    )
    return {
        "kind": difference.kind.value,
        "url": difference.url,
        "detail": detail,
        "columns": columns,
        # The first two lines name the files of a diff: here there are none.
        "diff": [_short(line) for line in islice(diff, 2, 2 + _DIFF_LINES)],
    }


def _short(value: Any) -> str:
    said = str(value)
    return said if len(said) <= _WIDTH else f"{said[: _WIDTH - 1]}…"
