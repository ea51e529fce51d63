"""What was worked out once and holds for ever, kept in one small file of ``NEWSLAKE_HOME``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

_TABLE = "CREATE TABLE IF NOT EXISTS said (kind, key, value, PRIMARY KEY (kind, key)) WITHOUT ROWID"
_AT_ONCE = 500  # SQLite's own bound of variables was once 999


class Remembered:
    """JSON values by kind and key, for all processes of a home.

    Where the file cannot be written nothing is remembered, and all is worked out anew.
    """

    def __init__(self, home: Path):
        self._path = home / "page.sqlite"

    def get(self, kind: str, keys: Collection[str]) -> dict[str, Any]:
        """The values of those of the keys that are known."""
        found: dict[str, Any] = {}
        with suppress(sqlite3.Error, OSError), self._opened() as database:
            asked_for = list(keys)
            for start in range(0, len(asked_for), _AT_ONCE):
                some = asked_for[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                asked = f"SELECT key, value FROM said WHERE kind = ? AND key IN ({marks})"  # noqa: S608
                for key, value in database.execute(asked, (kind, *some)):
                    found[key] = json.loads(value)
        return found

    def put(self, kind: str, values: Mapping[str, Any], current: Collection[str]) -> None:
        """Keep values, and of this kind nothing but what is ``current``."""
        with suppress(sqlite3.Error, OSError), self._opened() as database, database:
            rows = [(kind, key, json.dumps(value)) for key, value in values.items()]
            database.executemany("INSERT OR REPLACE INTO said VALUES (?, ?, ?)", rows)
            known = database.execute("SELECT key FROM said WHERE kind = ?", (kind,))
            gone = [(kind, key) for (key,) in known if key not in current]
            database.executemany("DELETE FROM said WHERE kind = ? AND key = ?", gone)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=10)) as database:
            database.execute(_TABLE)
            yield database
