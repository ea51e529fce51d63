"""The data card of an exported dataset: what a stranger must know before using it.

Its front matter is the metadata of Hugging Face's dataset cards
(https://huggingface.co/docs/hub/datasets-cards).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from processing.schema_documents import COLUMNS, TABLES
from processing.tables import SCHEMAS

_COUNTED = ("source", "language", "topic", "date")
_RIGHTS = ("tdm", "ai", "licence")
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_MOST = "n>1B"
_NOT_STATED = "not stated"


@dataclass(slots=True)
class Tally:
    """What passes into an export, counted: rows, and the values of some columns."""

    rows: int = 0
    values: dict[str, Counter[Any]] = field(
        default_factory=lambda: {name: Counter() for name in (*_COUNTED, *_RIGHTS)}
    )

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch of articles, copies or revisions."""
        self.rows += len(batch)
        for name in _COUNTED:
            self._count(name, batch.column(name))
        for name in _RIGHTS:
            self._count(name, pc.struct_field(batch.column("rights"), name))

    def _count(self, name: str, column: Any) -> None:
        for counted in pc.value_counts(column).to_pylist():
            self.values[name][counted["values"]] += counted["counts"]


def write(said: Mapping[str, Any], tally: Tally) -> str:
    """The card of an export, as Markdown; ``said`` is its ``export.json``."""
    front = yaml.safe_dump(_metadata(said, tally), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {_name(said, tally)}",
        f"{TABLES[said['table']]} {tally.rows} rows, collected from {_sources(tally)} by newslake"
        " (an open-source news pipeline). Rows are as they were published to the lake: nothing was"
        " sampled or judged for this export.",
        _provenance(said),
        _rights(tally),
        f"## Columns\n\n{_columns(said['table'])}",
        f"## Topics\n\n{_counts('topic', tally.values['topic'])}",
        f"## Languages\n\n{_counts('language', tally.values['language'])}",
        f"## Sources\n\n{_counts('source', tally.values['source'])}",
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n"


def _metadata(said: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
    # Primary subtags of two or three letters are what the Hub takes for a language.
    languages = sorted({tag.split("-")[0] for tag in tally.values["language"] if tag})
    size = next((name for most, name in _SIZES if tally.rows < most), _MOST)
    return {
        "pretty_name": _name(said, tally),
        **({"language": languages} if languages else {}),
        "license": "other",
        "license_name": "rights-of-the-publishers",
        "size_categories": [size],
        "tags": ["news"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
    }


def _name(said: Mapping[str, Any], tally: Tally) -> str:
    days: list[date] = sorted(tally.values["date"])
    return f"News {said['table']}" + (f", {days[0]} to {days[-1]}" if days else "")


def _sources(tally: Tally) -> str:
    count = len(tally.values["source"])
    return "one source" if count == 1 else f"{count} sources"


def _provenance(said: Mapping[str, Any]) -> str:
    chosen = said["selection"]
    if chosen:
        selected = "; ".join(f"{name}: {_listed(value)}" for name, value in chosen.items())
    else:
        selected = "all rows"
    return (
        "## Where it comes from\n\n"
        f"Version {said['version']} of the table `{said['table']}`, which holds everything up to"
        f" run `{said['last_run']}`; exported {said['exported_at']} by newslake"
        f" {said['newslake']}. Selected: {selected}. The same is in `export.json`, for programs."
    )


def _listed(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


def _rights(tally: Tally) -> str:
    return (
        "## Rights\n\n"
        "The texts belong to their publishers and authors. newslake grants no licence to them, and"
        " this dataset has none as a whole: whoever passes it on or trains on it has to know that"
        " the law of the place allows it. What each publisher says is in the column `rights`; of"
        " these rows:\n\n"
        "| right | as stated | rows |\n|---|---|---:|\n"
        + "\n".join(
            f"| {name} | {value or _NOT_STATED} | {count} |"
            for name in _RIGHTS
            for value, count in _by_count(tally.values[name])
        )
    )


def _columns(table: str) -> str:
    rows = [
        f"| `{name}` | {COLUMNS[table][name].null or 'never'} | {COLUMNS[table][name].meaning} |"
        for name in SCHEMAS[table].names
    ]
    return "| column | null when | meaning |\n|---|---|---|\n" + "\n".join(rows)


def _counts(head: str, counted: Counter[Any]) -> str:
    rows = [f"| {value or _NOT_STATED} | {count} |" for value, count in _by_count(counted)]
    return f"| {head} | rows |\n|---|---:|\n" + "\n".join(rows)


def _by_count(counted: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counted.items(), key=lambda pair: (-pair[1], str(pair[0])))
