"""The dataset for those who read it: filtered tables, SQL, and what the runs said.

Nothing here writes.
"""

from __future__ import annotations

import atexit
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from newslake import increments, objectstore
from newslake.configuration import home
from processing import dataset
from processing.commits import read_manifest
from processing.completeness import completeness, runs_around
from processing.dataset import Tables
from processing.exceptions import (
    ConfigurationError,
    LakeFormatError,
    NoLake,
    QueryError,
    StoreError,
)
from processing.manifests import list_manifests, read_manifests
from processing.records import TOPICS, UNCLASSIFIED
from processing.storage import Store
from processing.tables import PARTITIONS, SCHEMAS
from processing.urls import url_id, url_key

VIEWS = ("articles", "copies", "revisions", "coverage")
"""The tables that ``Lake.sql`` knows."""

Day = date | str
Days = Day | tuple[Day, Day]
_RETRIES = 5  # a person waits: a store that is down is told within seconds
_COMPLETENESS: Mapping[str, pa.DataType] = {
    "date": pa.date32(),
    "source": pa.string(),
    "schedule": pa.string(),
    "expected": pa.int32(),
    "done": pa.int32(),
    "failed": pa.int32(),
    "reasons": pa.list_(pa.string()),
    "closed": pa.bool_(),
}
_PRUNED = timedelta(days=3660)
_FILES_AHEAD = 16  # a day has twenty small files, and each costs the store a round trip
_AT_ONCE = 32
_CLOCKS_APART = timedelta(hours=1)
_ID = re.compile(r"[0-9a-f]{32}")
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
        raise NoLake(
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

    Every call reads the newest version of the tables it needs, unless ``as_of`` gave the lake.
    ``held`` is what has to be left when the lake is closed, ``versions`` pins tables. Every
    method raises StoreError when the store does not answer. For one thread at a time.
    """

    def __init__(
        self,
        store: Store,
        held: ExitStack | None = None,
        versions: Mapping[str, int] | None = None,
    ):
        self.store = store
        self._tables = Tables(store, versions)
        self._held = held or ExitStack()
        if held is not None:
            # Not when the object is collected: a dataset it gave may still be read.
            atexit.register(held.close)

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

    @property
    def tables(self) -> Tables:
        """The Delta tables at the versions that this lake reads."""
        return self._tables

    def close(self) -> None:
        """Leave the store; may be repeated."""
        atexit.unregister(self._held.close)
        self._held.close()

    # --- rows -------------------------------------------------------------------------------

    def articles(
        self,
        date: Days | None = None,
        topic: str | Iterable[str] | None = None,
        since_run: str | None = None,
        columns: Iterable[str] | None = None,
    ) -> pa.Table:
        """The articles, one row each, as an Arrow table with the columns of docs/data-format.md.

        ``date`` is a UTC day (a date or ``YYYY-MM-DD``) or a pair (first, last), both included;
        ``topic`` a slug or several; ``columns`` those wanted, all by default. ``since_run``, a
        run_id, leaves the articles that are new or have changed since that run first finished,
        as they are now; ``removed`` tells which are gone. Raises ConfigurationError on a day,
        topic, column or run that does not exist, on a run later than the state read, and on one
        whose state is no longer kept.
        """
        first, last = _days(date)
        chosen = None if columns is None else _known(columns, SCHEMAS["articles"].names, "column")
        where = _within(first, last)
        if topic is not None:
            slugs = ds.field("topic").isin(_known(topic, (*TOPICS, UNCLASSIFIED), "topic"))
            where = slugs if where is None else where & slugs
        self._tables.look("articles")
        days = _listed(first, last)
        if since_run is None:
            with self._reading("articles"):
                held = self._tables.dataset("articles", days)
                return held.to_table(columns=chosen, filter=where, fragment_readahead=_FILES_AHEAD)
        then = self._since(since_run)
        with self._reading("articles"):
            return increments.changed(then, self._tables, days, where, chosen)

    def removed(self, since_run: str) -> pa.Table:
        """What is no article any more, and was one when that run first finished.

        An Arrow table of ``id``, and the ``date`` and ``topic`` under which it stood. Raises
        ConfigurationError as ``articles`` does.
        """
        self._tables.look("articles")
        then = self._since(since_run)
        with self._reading("articles"):
            return increments.removed(then, self._tables)

    def article(self, url_or_id: str, source: str | None = None) -> dict[str, Any] | None:
        """The article of an address or an id, in any form of its URL; None if there is none.

        A row of articles, or of copies when that is what was published there: it has
        ``article_id``. With ``source`` what that one published there, for several may have. Found
        by the table of keys, so no more than one day of either is looked through. Raises
        ConfigurationError on what is neither address nor id.
        """
        key = _key(url_or_id)
        self._tables.look()
        with self._reading("keys"):
            published = self._tables.rows("keys", ds.field("key") == key)
            known = [said for said in published if source in (None, said["source"])]
            # "article" comes before "copy".
            for said in sorted(known, key=lambda row: (row["kind"], row["source"])):
                name = "articles" if said["kind"] == "article" else "copies"
                own = (ds.field("id") == said["id"]) & (ds.field("source") == said["source"])
                for row in self._tables.rows(name, own, days=[said["date"]]):
                    return row
        return None

    def dataset(self, name: str, date: Days | None = None) -> ds.Dataset:
        """A table as an Arrow dataset, which Arrow, DuckDB and Polars read lazily.

        ``name`` is that of a table in docs/data-format.md, ``date`` as in ``articles``. Raises
        ConfigurationError on an unknown name or day.
        """
        _known(name, SCHEMAS, "table")
        first, last = _days(date)
        self._tables.look(name)
        with self._reading(name):
            held = self._tables.dataset(name, _listed(first, last))
        where = _within(first, last)
        return held if where is None else held.filter(where)

    def copies(self) -> ds.Dataset:
        """The duplicates, each pointing at its article, as an Arrow dataset."""
        return self.dataset("copies")

    def revisions(self) -> ds.Dataset:
        """Articles as they were before they changed, as an Arrow dataset."""
        return self.dataset("revisions")

    def coverage(self) -> ds.Dataset:
        """What became of every URL discovered, as an Arrow dataset."""
        return self.dataset("coverage")

    def sql(self, query: str) -> pa.Table:
        """The answer to a DuckDB query over ``articles``, ``copies``, ``revisions``, ``coverage``.

        Filters and columns are pushed down to the files. The engine sees these tables only: no
        file, no network, no extension. Moments are in UTC. Raises QueryError, in one sentence,
        when the query is wrong.
        """
        with duckdb.connect(":memory:", config=_SEALED) as engine:
            for name in _views(query):
                engine.register(name, self.dataset(name))
            engine.execute("SET TimeZone = 'UTC'")
            engine.execute("SET enable_external_access = false")
            engine.execute("SET lock_configuration = true")
            try:
                answer = engine.sql(query)
                table: pa.Table | None = answer.to_arrow_table() if answer is not None else None
            except duckdb.Error as error:
                if _of_a_file(error):
                    raise self._unreadable("its files", error) from error
                raise QueryError(f"the query cannot be answered: {_one_line(error)}") from error
        if table is None:
            raise QueryError("the query gives no rows; write a SELECT")
        return table

    def counts(self, name: str = "articles") -> pa.Table:
        """Rows, files and bytes of each partition of a table, by the Delta log alone.

        An Arrow table of the partition columns, ``rows``, ``files`` and ``bytes`` (of Parquet).
        Raises ConfigurationError on an unknown name.
        """
        _known(name, SCHEMAS, "table")
        self._tables.look(name)
        files = self._tables.files(name)
        keys = {f"partition.{key}": SCHEMAS[name].field(key) for key in PARTITIONS[name]}
        numbers = [pa.field(number, pa.int64()) for number in ("rows", "files", "bytes")]
        shape = pa.schema([*keys.values(), *numbers])
        if not len(files):
            return shape.empty_table()
        counted = files.group_by(list(keys)).aggregate(
            [("num_records", "sum"), ("path", "count"), ("size_bytes", "sum")]
        )
        found = counted.rename_columns(shape.names).cast(shape)
        return found.sort_by([(key, "ascending") for key in PARTITIONS[name]]) if keys else found

    # --- states and runs --------------------------------------------------------------------

    def versions(self) -> dict[str, int]:
        """The version of every table as read now; ``as_of`` takes them."""
        self._tables.look()
        return self._tables.versions()

    def as_of(self, state: str | Mapping[str, int]) -> Lake:
        """The lake as it was: all tables as a run left them, or each at a version given.

        ``state`` is a run_id, or versions by table as ``versions`` and the ``tables`` of a
        manifest have them; tables not named are read as they are now. Raises ConfigurationError
        when there is no such run, or that state is no longer kept.
        """
        versions = self._manifest(state)["tables"] if isinstance(state, str) else state
        lake = Lake(self.store, versions=versions)
        with self._kept(f"run {state}" if isinstance(state, str) else f"versions {dict(state)}"):
            for name in _known(versions, SCHEMAS, "table"):
                lake._tables.delta(name)
        return lake

    def last_run(self) -> dict[str, Any] | None:
        """The manifest of the run that finished last; None before the first."""
        last: dict[str, Any] | None = None
        listed = sorted(
            list_manifests(self.store).items(), key=lambda run: run[1].modified_at, reverse=True
        )
        for start in range(0, len(listed), _AT_ONCE):
            some = listed[start : start + _AT_ONCE]
            # A manifest may be corrected long after its run, but is never older than its end.
            if last and some[0][1].modified_at < _finished(last)[0] - _CLOCKS_APART:
                break
            found = read_manifests(self.store, [run_id for run_id, _ in some])
            last = max((*found, *filter(None, [last])), key=_finished, default=None)
        return last

    def manifests(self) -> list[dict[str, Any]]:
        """What each finished run said of itself, newest first."""
        said = read_manifests(self.store, list(list_manifests(self.store)))
        return sorted(said, key=_finished, reverse=True)

    def completeness(self, date: Days | None = None, now: datetime | None = None) -> pa.Table:
        """Whether each day's news of each source is all there, one row for both.

        An Arrow table of ``date``, ``source``, ``schedule``, ``expected``, ``done``, ``failed``,
        ``reasons`` and ``closed``, as docs/operating.md explains them; ``date`` as in
        ``articles``, the last seven days up to ``now`` when not given. Raises ConfigurationError
        on a day that does not exist.
        """
        moment = now or datetime.now(UTC)
        today = moment.astimezone(UTC).date()
        asked = date or (today - timedelta(days=6), today)
        first, last = map(_day, asked if isinstance(asked, tuple) else (asked, asked))
        run_ids = runs_around(list_manifests(self.store), first, last)
        found = completeness(read_manifests(self.store, run_ids), first, last, moment)
        return pa.Table.from_pylist(list(map(asdict, found)), schema=pa.schema(_COMPLETENESS))

    def _manifest(self, run_id: str) -> dict[str, Any]:
        said = read_manifest(self.store, run_id)
        if said is None:
            raise ConfigurationError(
                f"no finished run {run_id!r} is in {self.store.url};"
                " take a run_id of the lake's manifests"
            )
        return said

    def _since(self, run_id: str) -> Tables:
        """The articles as they were when a run first finished."""
        said = self._manifest(run_id)
        # A run published again moves on; who has seen its first end must miss nothing.
        version = said.get("first_tables", said["tables"])["articles"]
        if version > self._tables.delta("articles").version():
            raise ConfigurationError(
                f"run {run_id} finished after the state that is read here; name an earlier one"
            )
        then = Tables(self.store, {"articles": version})
        with self._kept(f"run {run_id}"):
            then.delta("articles")
        return then

    # --- sentences --------------------------------------------------------------------------

    @contextmanager
    def _kept(self, state: str) -> Iterator[None]:
        """For opening an old state: what cannot be opened is gone, if the store answers."""
        try:
            yield
        except StoreError as error:
            self.store.exists("lake.json")
            raise ConfigurationError(
                f"the state of {state} is no longer kept in {self.url}, since old versions are"
                " deleted after a time; read the newest one whole and go on from there"
            ) from error

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unreadable(name, error) from error

    def _unreadable(self, name: str, error: Exception) -> StoreError:
        if "not found" in str(error):
            return StoreError(
                f"a file of {self.url}/{name} is no longer kept, since old versions are deleted"
                " after a time; read the newest one"
            )
        return StoreError(
            f"cannot read {self.url}/{name}: {str(error).splitlines()[0]}; check the store with"
            " 'newslake doctor'"
        )


def _finished(manifest: Mapping[str, Any]) -> tuple[datetime, str]:
    return datetime.fromisoformat(manifest["finished_at"]), manifest["run_id"]


# --- what was asked for ---------------------------------------------------------------------


def _days(asked: Days | None) -> tuple[date, date] | tuple[None, None]:
    if asked is None:
        return None, None
    first, last = asked if isinstance(asked, tuple) else (asked, asked)
    return _day(first), _day(last)


def _day(value: Day) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ConfigurationError(f"{value!r} is no day; write it as 2026-01-31") from None


def _within(first: date | None, last: date | None) -> ds.Expression | None:
    if first is None:
        return None
    return (ds.field("date") >= first) & (ds.field("date") <= last)


def _listed(first: date | None, last: date | None) -> list[date] | None:
    """The days themselves, to look only at their files; None for all."""
    if first is None or last is None or last - first > _PRUNED:
        return None
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _known(asked: str | Iterable[str], known: Iterable[str], kind: str) -> list[str]:
    """What was asked for as a list, if all of it is ``known``."""
    names = [asked] if isinstance(asked, str) else list(asked)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]!r}?" if near else f"choose of {', '.join(known)}"
            raise ConfigurationError(f"{name!r} is no {kind}; {mend}")
    return names


def _key(url_or_id: str) -> str:
    if _ID.fullmatch(url_or_id):
        return url_or_id
    try:
        return url_id(url_key(url_or_id))
    except ValueError:
        raise ConfigurationError(
            f"{url_or_id!r} is neither an id (32 hex digits) nor an http(s) address; give one"
            " of them"
        ) from None


def _views(query: str) -> list[str]:
    """The tables a query may mean: opening one costs more than most queries on it."""
    said = query.casefold()
    return [name for name in VIEWS if name in said] or list(VIEWS)


def _of_a_file(error: duckdb.Error) -> bool:
    return isinstance(error, duckdb.InvalidInputException) and "reading the stream" in str(error)


def _one_line(error: Exception) -> str:
    """The engine's own words without the drawing of where in the query it stumbled."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
