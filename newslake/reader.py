"""The dataset for those who read it: filtered tables, SQL, and what the runs said.

Every call reads the newest snapshot of the tables; nothing here writes.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, datetime
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from newslake import objectstore
from newslake.configuration import home
from processing import dataset
from processing.exceptions import ConfigurationError, LakeFormatError, QueryError, StoreError
from processing.records import TOPICS, UNCLASSIFIED
from processing.storage import Store

VIEWS = ("articles", "copies", "revisions", "coverage")
"""The tables that ``Lake.sql`` knows."""

Day = date | str
_MANIFEST_READERS = 16
_RETRIES = 5  # a person waits: a store that is down is told within seconds
_SEALED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


def open_lake(url: str | None = None, environ: Mapping[str, str] = os.environ) -> Lake:
    """The lake at ``url``, else the one of ``environ``, else the embedded one.

    Raises as ``newslake.open_lake``.
    """
    environ = {**environ, **({"NEWSLAKE_LAKE": url} if url else {})}
    with ExitStack() as opening:
        added = opening.enter_context(objectstore.lake_environment(environ, home(environ)))
        store = Store.from_environment({**environ, **added}, retries=_RETRIES)
        _check_format(store)
        return Lake(store, opening.pop_all())


def _check_format(store: Store) -> None:
    if not store.exists("lake.json"):
        raise StoreError(
            f"no lake is at {store.url}; fill it with 'newslake run', or check NEWSLAKE_LAKE"
        )
    version = json.loads(store.get("lake.json").data)["format_version"]
    if version > dataset.FORMAT_VERSION:
        raise LakeFormatError(
            f"{store.url} has format {version}, this newslake knows {dataset.FORMAT_VERSION};"
            " upgrade newslake to read it"
        )


class Lake:
    """An open lake. A context manager; what is left open is closed when Python ends.

    ``held`` is what has to be left when the lake is closed. Every method raises StoreError when
    the store does not answer.
    """

    def __init__(self, store: Store, held: ExitStack | None = None):
        self.store = store
        self._held = held or ExitStack()
        # Not when the object is collected: a dataset it gave may still be read.
        atexit.register(self._held.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The lake's address, without a trailing slash."""
        return self.store.url

    def close(self) -> None:
        """Leave the store; may be repeated."""
        atexit.unregister(self._held.close)
        self._held.close()

    def articles(
        self,
        date: Day | tuple[Day, Day] | None = None,
        topic: str | Iterable[str] | None = None,
        since_run: str | None = None,
    ) -> pa.Table:
        """The articles, one row each, as an Arrow table with the columns of docs/data-format.md.

        ``date`` is a UTC day (a date or ``YYYY-MM-DD``) or a pair (first, last), both included;
        ``topic`` a slug or several; ``since_run`` a run_id: only rows last written by runs
        that finished after that one, so that a reader who keeps the newest run_id it has seen
        (``manifests()[0]["run_id"]``, read before the articles) misses none. Raises
        ConfigurationError on a day, topic or run that does not exist.
        """
        where: list[ds.Expression] = []
        if date is not None:
            first, last = map(_day, date if isinstance(date, tuple) else (date, date))
            where += [ds.field("date") >= first, ds.field("date") <= last]
        if topic is not None:
            where.append(ds.field("topic").isin(_slugs(topic)))
        if since_run is not None:
            # Before the snapshot is taken: what these runs wrote is then in it.
            runs = pa.array(self._runs_after(since_run), pa.string())
            where.append(ds.field("run_id").isin(runs))
        condition = None
        for part in where:
            condition = part if condition is None else condition & part
        return dataset.scan(self.store, "articles").to_table(filter=condition)

    def copies(self) -> ds.Dataset:
        """The duplicates, each pointing at its article, as an Arrow dataset."""
        return dataset.scan(self.store, "copies")

    def revisions(self) -> ds.Dataset:
        """Articles as they were before they changed, as an Arrow dataset."""
        return dataset.scan(self.store, "revisions")

    def coverage(self) -> ds.Dataset:
        """What became of every URL discovered, as an Arrow dataset."""
        return dataset.scan(self.store, "coverage")

    def sql(self, query: str) -> pa.Table:
        """The answer to a DuckDB query over ``articles``, ``copies``, ``revisions``, ``coverage``.

        Filters and columns are pushed down to the files. The engine sees these tables only: no
        file, no network, no extension. Moments are in UTC. Raises QueryError, in one sentence,
        when the query is wrong.
        """
        with duckdb.connect(":memory:", config=_SEALED) as engine:
            for name in VIEWS:
                engine.register(name, dataset.scan(self.store, name))
            engine.execute("SET TimeZone = 'UTC'")
            engine.execute("SET enable_external_access = false")
            engine.execute("SET lock_configuration = true")
            try:
                answer = engine.sql(query)
                table: pa.Table | None = answer.to_arrow_table() if answer is not None else None
            except duckdb.Error as error:
                raise QueryError(f"the query cannot be answered: {_one_line(error)}") from error
        if table is None:
            raise QueryError("the query gives no rows; write a SELECT")
        return table

    def manifests(self) -> list[dict[str, Any]]:
        """What each finished run said of itself, newest first."""
        keys = [found.key for found in self.store.objects("runs/")]
        with ThreadPoolExecutor(_MANIFEST_READERS) as readers:
            said = [json.loads(blob.data) for blob in readers.map(self.store.get, keys)]
        return sorted(said, key=_finished, reverse=True)

    def _runs_after(self, run_id: str) -> list[str]:
        manifests = {said["run_id"]: said for said in self.manifests()}
        if run_id not in manifests:
            raise ConfigurationError(
                f"no finished run {run_id!r} is in {self.store.url};"
                " take a run_id of the lake's manifests"
            )
        after = _finished(manifests[run_id])
        return [said["run_id"] for said in manifests.values() if _finished(said) > after]


def _finished(manifest: Mapping[str, Any]) -> tuple[datetime, str]:
    return datetime.fromisoformat(manifest["finished_at"]), manifest["run_id"]


def _day(value: Day) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ConfigurationError(f"{value!r} is no day; write it as 2026-01-31") from None


def _slugs(topic: str | Iterable[str]) -> list[str]:
    slugs = [topic] if isinstance(topic, str) else list(topic)
    known = (*TOPICS, UNCLASSIFIED)
    for slug in slugs:
        if slug not in known:
            near = get_close_matches(slug, known, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]!r}?" if near else f"choose of {', '.join(known)}"
            raise ConfigurationError(f"{slug!r} is no topic; {mend}")
    return slugs


def _one_line(error: Exception) -> str:
    """The engine's own words without the drawing of where in the query it stumbled."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
