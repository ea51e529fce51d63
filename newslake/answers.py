"""The answer to a query as a file: CSV or Parquet, by the file's ending."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from processing.exceptions import ConfigurationError

_ROWS_AT_ONCE = 1000


def writer(path: Path) -> Callable[[pa.Table], None]:
    """What writes a table to ``path``; an older file there is replaced, whole or not at all.

    CSV is UTF-8 with a heading: null is an empty field, a moment or day is in ISO 8601, a list
    or struct in JSON. Raises ConfigurationError, before there is any table, on an ending that is
    neither ``.csv`` nor ``.parquet`` and on a folder that does not exist; the writer on a file
    that cannot be written.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise ConfigurationError(
            f"{path} ends neither in {' nor in '.join(_WRITERS)}; name the file by what it is to be"
        )
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"{path.parent} is no directory; make it first")

    def whole(table: pa.Table) -> None:
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            write(table, unfinished)
            unfinished.replace(path)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {path}: {error.strerror or error}; choose another place"
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)

    return whole


def _write_csv(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(table.column_names)
        for batch in table.to_batches(_ROWS_AT_ONCE):
            columns = [column.to_pylist() for column in batch.columns]
            lines.writerows([_field(value) for value in row] for row in zip(*columns, strict=True))


def _field(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, default=str, ensure_ascii=False)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd")


_WRITERS: Mapping[str, Callable[[pa.Table, Path], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
