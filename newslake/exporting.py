"""A selection of the dataset as files to take away: Parquet, JSON Lines, a Hugging Face folder.

Rows are streamed, so memory stays flat whatever their number. The folder appears whole or not at
all: it is filled beside its place under another name, and renamed once it is complete.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import reduce
from operator import and_
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from newslake import __version__, datacard
from newslake.datacard import Tally
from newslake.reader import Lake
from processing.exceptions import ConfigurationError, ExportError, StoreError
from processing.tables import SCHEMAS

_BATCH_ROWS = 5_000
_SHARD_ROWS = 100_000  # some 150 MB of news; Hugging Face's tools cut at 500 MB
_OPEN_FILES = 32
_GROUP_ROWS = (1_000, 10_000)  # least and most of a row group; the least is held per open file


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: of one table, within days (UTC, both included), of any of the values named.

    What is empty or None leaves nothing out.
    """

    table: str = "articles"
    first: date | None = None
    last: date | None = None
    topics: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    @property
    def where(self) -> ds.Expression | None:
        """The condition on a row, besides its date."""
        values = {"topic": self.topics, "source": self.sources, "language": self.languages}
        parts = [ds.field(name).isin(list(some)) for name, some in values.items() if some]
        return reduce(and_, parts) if parts else None


def export(
    lake: Lake, destination: Path, form: str, selection: Selection, moment: datetime
) -> dict[str, Any]:
    """Write a selection as a folder of files; what its ``export.json`` says, as a dict.

    ``form`` is parquet, jsonl or huggingface; ``moment`` is when the export counts as made. One
    version of the table is read throughout. Raises ConfigurationError when the destination is no
    local folder, ExportError when it is not empty or cannot be written, StoreError when the store
    does not answer.
    """
    _refuse(destination)
    # Before the version: what this run published is then surely in it.
    last_run = lake.last_run()
    version = lake.versions()[selection.table]
    tally = Tally()
    with lake.as_of({selection.table: version}) as state:
        rows = _rows(state, selection, tally)
        try:
            destination.absolute().parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(
                prefix=f".{destination.name}-", dir=destination.absolute().parent
            ) as beside:
                folder = Path(beside) / destination.name
                folder.mkdir()
                _WRITERS[form](folder, SCHEMAS[selection.table], rows, selection.table)
                said = {
                    "table": selection.table,
                    "version": version,
                    "last_run": last_run["run_id"] if last_run else None,
                    "selection": _selected(selection),
                    "rows": tally.rows,
                    "format": form,
                    "exported_at": moment.isoformat(),
                    "newslake": __version__,
                }
                (folder / "export.json").write_text(json.dumps(said, indent=1) + "\n")
                if form == "huggingface":
                    (folder / "README.md").write_text(datacard.write(said, tally), "utf-8")
                folder.rename(destination)
        except OSError as error:
            raise ExportError(
                f"cannot write {destination}: {error.strerror or error}; mend that, or name"
                " another folder"
            ) from error
    return said


def _refuse(destination: Path) -> None:
    if destination.parts[:1] == ("s3:",):
        raise ConfigurationError(
            f"{destination} is no local folder; name one, and copy it to the bucket afterwards"
        )
    if destination.is_dir() and not any(destination.iterdir()):
        return
    if destination.exists():
        raise ExportError(
            f"{destination} is not empty; name a folder that is new or empty, or remove that one"
        )


def _selected(selection: Selection) -> dict[str, Any]:
    said = asdict(selection)
    del said["table"]
    return {name: str(v) if isinstance(v, date) else v for name, v in said.items() if v}


def _rows(state: Lake, selection: Selection, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The selected rows in batches, each counted as it passes."""
    days = (selection.first, selection.last) if selection.first and selection.last else None
    try:
        scanner = state.dataset(selection.table, days).scanner(
            filter=selection.where,
            batch_size=_BATCH_ROWS,
            # Arrow's own 16 batches of 4 files ahead would hold gigabytes of text.
            batch_readahead=2,
            fragment_readahead=2,
        )
        for batch in scanner.to_batches():
            if len(batch):
                tally.add(batch)
                yield batch
    except OSError as error:
        raise StoreError(
            f"cannot read {state.url}/{selection.table}: {error}; check the store with"
            " 'newslake doctor'"
        ) from error


# --- the formats ----------------------------------------------------------------------------


def _write_parquet(
    folder: Path, schema: pa.Schema, rows: Iterator[pa.RecordBatch], name: str
) -> None:
    """Hive folders ``date=/topic=``, below one that holds Parquet alone: some readers insist."""
    data = folder / name
    data.mkdir()
    shape = ds.ParquetFileFormat()
    ds.write_dataset(
        rows,
        data,
        schema=schema,
        format=shape,
        file_options=shape.make_write_options(compression="zstd"),  # type: ignore[call-arg]
        partitioning=ds.partitioning(
            pa.schema([schema.field("date"), schema.field("topic")]), flavor="hive"
        ),
        basename_template="part-{i}.parquet",
        max_open_files=_OPEN_FILES,
        min_rows_per_group=_GROUP_ROWS[0],
        max_rows_per_group=_GROUP_ROWS[1],
        max_partitions=1 << 20,
    )


def _write_jsonl(folder: Path, _: pa.Schema, rows: Iterator[pa.RecordBatch], name: str) -> None:
    """One gzip file, one object a line, moments and days as ISO 8601."""
    with (
        # No time and no name in the header: the same rows give the same bytes.
        (folder / f"{name}.jsonl.gz").open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as lines,
    ):
        for batch in rows:
            for row in batch.to_pylist():
                lines.write(json.dumps(row, default=_iso, ensure_ascii=False) + "\n")


def _iso(value: date) -> str:
    return value.isoformat()


def _write_huggingface(
    folder: Path, schema: pa.Schema, rows: Iterator[pa.RecordBatch], _: str
) -> None:
    """Parquet shards named as the Hugging Face Hub names them, every column inside."""
    data = folder / "data"
    data.mkdir()
    shape = ds.ParquetFileFormat()
    ds.write_dataset(
        rows,
        data,
        schema=schema,
        format=shape,
        file_options=shape.make_write_options(compression="zstd"),  # type: ignore[call-arg]
        basename_template="{i}.parquet",
        preserve_order=True,
        max_rows_per_file=_SHARD_ROWS,
        min_rows_per_group=_GROUP_ROWS[0],
        max_rows_per_group=_GROUP_ROWS[1],
    )
    if not any(data.iterdir()):  # a folder without a shard cannot be loaded
        pq.write_table(schema.empty_table(), data / "0.parquet")
    shards = sorted(data.iterdir(), key=lambda shard: int(shard.stem))
    for number, shard in enumerate(shards):
        shard.rename(data / f"train-{number:05}-of-{len(shards):05}.parquet")


_WRITERS = {
    "parquet": _write_parquet,
    "jsonl": _write_jsonl,
    "huggingface": _write_huggingface,
}
