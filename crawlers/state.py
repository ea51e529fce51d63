"""What a source has shown us: seen URLs, validators, where pages lie. One SQLite per source.

The state never runs ahead of the lake: a fetched page is ``pending`` on its run until that
run's manifest exists. Until then every later crawl reports it again, so a dead run loses nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, date, datetime
from typing import Any, ClassVar, Self

from processing.exceptions import LakeFormatError, ObjectNotFound, PreconditionFailed, StoreError
from processing.records import FETCHED, Hints, Visit, WarcPointer
from processing.storage import Store
from processing.urls import address_id, url_id

VERSION = 2
"""Format of the SQLite file, in its ``user_version``. 2 added ``origins``, and to ``listings`` what
tells how often it has something new."""

SAVE_ATTEMPTS = 8
"""How often a save that lost its race reads again and merges before it gives up."""

_STATES = "state/sources/"

PENDING = "pending"
SEEN = "seen"
DROPPED = "dropped"
"""A final refusal (404, not HTML, ...): asked again only when a listing dates it newer."""


@dataclass(frozen=True, slots=True)
class KnownUrl:
    """A row of ``urls``: one page by its ``processing.urls.url_key``.

    ``modified`` is the newest a listing has said (ISO 8601), ``body_hash`` SHA-256 of the
    decompressed body, ``hints`` what the listings said, as ``Hints.to_json``, ``titles`` a mark
    of the title that each listing gave it: the words of one must not pass for another's change.
    """

    TABLE: ClassVar[str] = "urls"

    key: str
    url: str
    status: str
    run_id: str
    first_seen: str
    fetched_at: str
    discovered_via: str
    modified: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    body_hash: str | None = None
    warc_key: str | None = None
    warc_offset: int | None = None
    warc_length: int | None = None
    hints: str = "{}"
    titles: str = "{}"

    def visit(self) -> Visit:
        """The fetch as a line of a ledger, for a run that takes it over."""
        pointer = WarcPointer(self.warc_key or "", self.warc_offset or 0, self.warc_length or 0)
        return Visit(
            url=self.url,
            outcome=FETCHED,
            discovered_via=self.discovered_via,
            at=datetime.fromisoformat(self.fetched_at),
            http_status=200,
            warc=pointer,
            hints=Hints.of(json.loads(self.hints)),
        )

    def dated_newer(self, modified: datetime | date | None) -> bool:
        """Whether a listing's date lies after what was known when the page was last asked for."""
        if modified is None:
            return False
        known = Hints.of({"modified": self.modified or self.fetched_at}).modified
        return known is not None and _after(modified, known)

    def titled_anew(self, titles: Mapping[str, str]) -> bool:
        """Whether a listing now gives another title than it did itself."""
        before = json.loads(self.titles)
        return any(before.get(listing, title) != title for listing, title in titles.items())

    def with_titles(self, titles: Mapping[str, str]) -> KnownUrl:
        """The row with the marks of these listings put to those of the others."""
        return replace(self, titles=json.dumps({**json.loads(self.titles), **titles}))


@dataclass(frozen=True, slots=True)
class KnownListing:
    """A row of ``listings``: validators of a listing whose articles are all settled.

    ``rules`` marks the source's rules it was read under: with other rules it is read in full.
    ``children`` are a sitemap index's entries as ``[url, lastmod]`` in JSON, so that a 304 of
    the index does not hide them. ``entries`` is how many it last had, ``asked_at`` when it was
    last asked (ISO 8601), ``quiet`` how many times in a row it has then had nothing new.
    """

    TABLE: ClassVar[str] = "listings"

    key: str
    kind: str
    run_id: str
    rules: str
    etag: str | None = None
    last_modified: str | None = None
    body_hash: str | None = None
    children: str = "[]"
    entries: int = 0
    asked_at: str = ""
    quiet: int = 0


@dataclass(frozen=True, slots=True)
class KnownOrigin:
    """A row of ``origins``: what ``scheme://host`` says of itself to crawlers.

    ``robots`` is the text of its robots.txt, None where it has none, ``tdmrep`` of its
    ``/.well-known/tdmrep.json``; ``asked_at`` and ``tdmrep_asked_at`` are when (ISO 8601, empty:
    never). Before ``closed_until`` (ISO 8601) it wants no request at all.
    """

    TABLE: ClassVar[str] = "origins"

    key: str
    robots: str | None = None
    asked_at: str = ""
    tdmrep: str | None = None
    tdmrep_asked_at: str = ""
    closed_until: str = ""


Row = KnownUrl | KnownListing | KnownOrigin


class SourceState:
    """A source's state in memory, and what this run changes in it.

    Not for use by two threads at once. Without a store (``SourceState()``) it starts empty.
    """

    def __init__(self, forgotten: Collection[str] = frozenset()) -> None:
        self._database = _open(b"")
        self._etag: str | None = None
        self._forgotten = forgotten
        self._purged = False
        self._changes: dict[tuple[str, str], Row] = {}

    @classmethod
    def load(cls, store: Store, source: str, forgotten: Collection[str] = frozenset()) -> Self:
        """The stored state, its pages of published runs promoted from pending to seen.

        Without what it knows of ``forgotten`` addresses (ids of URL keys), but for pages still
        pending: publishing has to erase those first. Raises StoreError when the store does not
        answer or the file is damaged, LakeFormatError when a newer newslake wrote it.
        """
        state = cls(forgotten)
        state._read(store, source)
        return state

    def url(self, key: str) -> KnownUrl | None:
        """What is known of a page."""
        row = self._database.execute("SELECT * FROM urls WHERE key = ?", (key,)).fetchone()
        return KnownUrl(*row) if row else None

    def listing(self, url: str) -> KnownListing | None:
        """What is known of a listing."""
        row = self._database.execute("SELECT * FROM listings WHERE key = ?", (url,)).fetchone()
        return KnownListing(*row) if row else None

    def origin(self, origin: str) -> KnownOrigin | None:
        """What is known of an origin."""
        row = self._database.execute("SELECT * FROM origins WHERE key = ?", (origin,)).fetchone()
        return KnownOrigin(*row) if row else None

    def young(self, since: datetime) -> list[KnownUrl]:
        """Published pages first seen since a moment, those asked longest ago first."""
        rows = self._database.execute(
            "SELECT * FROM urls WHERE status = 'seen' AND first_seen >= ? ORDER BY fetched_at, key",
            (since.isoformat(),),
        )
        return [KnownUrl(*row) for row in rows]

    def pending(self) -> list[KnownUrl]:
        """Pages in raw/ that no published run has taken in, oldest first."""
        rows = self._database.execute(
            "SELECT * FROM urls WHERE status = 'pending' ORDER BY fetched_at, key"
        )
        return [KnownUrl(*row) for row in rows]

    def drop_before(self, moment: datetime) -> None:
        """Let go of settled pages that were last asked before a moment, or the file grows forever.

        No reason to write the state by itself.
        """
        with self._database:
            self._database.execute(
                "DELETE FROM urls WHERE status != 'pending' AND fetched_at < ?",
                (moment.isoformat(),),
            )

    def put(self, row: Row) -> None:
        """Remember a row in place of what was known under its key."""
        self._changes[row.TABLE, row.key] = row
        _upsert(self._database, [row])

    def size(self) -> int:
        """Bytes of the SQLite file it would be saved as."""
        return len(self._database.serialize())

    def save(self, store: Store, source: str) -> None:
        """Write the state back if this run changed it.

        When another run has written in the meantime, its state is read and this run's changes
        are put into it. Raises StoreError when that is lost SAVE_ATTEMPTS times in a row.
        """
        if not self._changes and not self._purged:
            return
        for _ in range(SAVE_ATTEMPTS):
            try:
                self._etag = store.put(
                    _key(source),
                    self._database.serialize(),
                    if_match=self._etag,
                    if_none_match=self._etag is None,
                )
            except PreconditionFailed:
                self._merge(store, source)
            else:
                return
        raise StoreError(
            f"the state of {source} was changed by other runs {SAVE_ATTEMPTS} times in a row;"
            " let one run at a time crawl this source"
        )

    def _merge(self, store: Store, source: str) -> None:
        mine = list(self._changes.values())
        self._read(store, source)
        _upsert(self._database, [row for row in mine if not self._outdone(row)])

    def _outdone(self, row: Row) -> bool:
        """Whether the other run has the page that this one was refused."""
        if not isinstance(row, KnownUrl) or row.status != DROPPED:
            return False
        other = self.url(row.key)
        return other is not None and other.status != DROPPED

    def _read(self, store: Store, source: str) -> None:
        try:
            blob = store.get(_key(source))
        except ObjectNotFound:
            self._etag, self._database = None, _open(b"")
            return
        try:
            self._database = _open(blob.data)
            self._etag = blob.etag
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise LakeFormatError(
                    f"{store.url}/{_key(source)} has format {version} and this newslake reads up"
                    f" to {VERSION}; upgrade newslake"
                )
            _upgrade(self._database, version)
            self._promote(store)
            settled = "status != 'pending'"
            self._purged |= _purge(self._database, self._forgotten, settled)
        except sqlite3.DatabaseError as error:
            raise StoreError(_damaged(store, _key(source), error)) from error

    def _promote(self, store: Store) -> None:
        """Settle what published runs left open; of dead runs only their pages in raw/ count.

        A dead run's ledger was never published: what it refused and the listings it read are
        forgotten, so that this run decides on them again.
        """
        open_rows = self._database.execute(
            "SELECT run_id FROM urls WHERE status != 'seen' AND run_id != ''"
            " UNION SELECT run_id FROM listings WHERE run_id != ''"
        )
        for (run,) in open_rows.fetchall():
            settle = _PUBLISHED if store.exists(f"runs/{run}.json") else _DEAD
            for statement in settle:
                self._database.execute(statement, (run,))
        self._database.commit()


def forget(store: Store, ids: Collection[str]) -> int:
    """Take addresses, by the ids of their URL keys, out of every source's state; how many had any.

    Raises StoreError when the store does not answer, or a state changes all the time.
    """
    return sum(_forget(store, found.key, ids) for found in store.objects(_STATES))


def _forget(store: Store, key: str, ids: Collection[str]) -> bool:
    for _ in range(SAVE_ATTEMPTS):
        blob = store.get(key)
        try:
            database = _open(blob.data)
            if not _purge(database, ids):
                return False
            store.put(key, database.serialize(), if_match=blob.etag)
        except PreconditionFailed:
            continue
        except sqlite3.DatabaseError as error:
            raise StoreError(_damaged(store, key, error)) from error
        return True
    raise StoreError(
        f"{store.url}/{key} was changed by crawls {SAVE_ATTEMPTS} times in a row; forget again"
        " when none is running"
    )


def _purge(database: sqlite3.Connection, ids: Collection[str], where: str = "true") -> bool:
    """Delete the rows of these addresses that meet ``where``; whether there were any.

    No byte of them is left in the file.
    """
    rows = database.execute(f"SELECT key FROM urls WHERE {where}") if ids else ()  # noqa: S608
    gone = [(key,) for (key,) in rows if url_id(key) in ids]
    listings = database.execute("SELECT key, children FROM listings") if ids else ()
    shorter = []
    for key, children in listings:
        named = json.loads(children)
        kept = [child for child in named if address_id(child[0]) not in ids]
        if kept != named:
            shorter.append((json.dumps(kept), key))
    if not gone and not shorter:
        return False
    database.execute("PRAGMA secure_delete = ON")
    with database:
        database.executemany("DELETE FROM urls WHERE key = ?", gone)
        database.executemany("UPDATE listings SET children = ? WHERE key = ?", shorter)
    database.execute("VACUUM")  # also what earlier changes left in the pages' free space
    return True


_PUBLISHED = (
    "UPDATE urls SET status = 'seen' WHERE status = 'pending' AND run_id = ?",
    "UPDATE urls SET run_id = '' WHERE status = 'dropped' AND run_id = ?",
    "UPDATE listings SET run_id = '' WHERE run_id = ?",
)
_DEAD = (
    "DELETE FROM urls WHERE status = 'dropped' AND run_id = ?",
    "DELETE FROM listings WHERE run_id = ?",
)
"""What becomes of the rows of a run that has a manifest, and of one that has none. An empty
run_id is settled: its manifest need not be looked for again."""


def known_url(
    *,
    key: str,
    url: str,
    status: str,
    run_id: str,
    at: datetime,
    discovered_via: str,
    hints: Hints,
    before: KnownUrl | None,
) -> KnownUrl:
    """A row for a page this run has settled, keeping of ``before`` what is not said anew."""
    earlier = Hints.of(json.loads(before.hints)) if before else Hints()
    newest = latest([hints.modified, earlier.modified])
    merged = merge_hints([hints, earlier])
    return KnownUrl(
        key=key,
        url=url,
        status=status,
        run_id=run_id,
        first_seen=before.first_seen if before else at.isoformat(),
        fetched_at=at.isoformat(),
        discovered_via=discovered_via,
        modified=newest.isoformat() if newest else None,
        titles=before.titles if before else "{}",
        hints=json.dumps(replace(merged, modified=newest).to_json(), ensure_ascii=False),
    )


def merge_hints(said: Iterable[Hints]) -> Hints:
    """What several listings say of one page: of each field the first said, the latest change."""
    hints = list(said)
    return Hints(
        title=next((h.title for h in hints if h.title), None),
        published=next((h.published for h in hints if h.published), None),
        modified=latest(h.modified for h in hints),
        section=next((h.section for h in hints if h.section), None),
        tags=next((h.tags for h in hints if h.tags), ()),
        listing=next((h.listing for h in hints if h.published or h.modified), None),
    )


def latest(moments: Iterable[datetime | date | None]) -> datetime | date | None:
    """The last of several moments, of which some may be days or not given."""
    last: datetime | date | None = None
    for moment in moments:
        if moment is not None and (last is None or _after(moment, last)):
            last = moment
    return last


def _after(one: datetime | date, other: datetime | date) -> bool:
    """Whether ``one`` is later; where either is only a day, by the day."""
    if isinstance(one, datetime) and isinstance(other, datetime):
        return one > other
    return _day(one) > _day(other)


def _day(moment: datetime | date) -> date:
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment


def _key(source: str) -> str:
    return f"{_STATES}{source}.sqlite"


def _damaged(store: Store, key: str, error: sqlite3.DatabaseError) -> str:
    return (
        f"{store.url}/{key} is no sound SQLite file ({error}); restore it, or delete it to have"
        " the source read anew"
    )


def _open(data: bytes) -> sqlite3.Connection:
    # Opened, used and saved by different threads, one after the other.
    database = sqlite3.connect(":memory:", check_same_thread=False)
    if data:
        database.deserialize(data)
        return database
    database.execute(f"PRAGMA user_version = {VERSION}")
    for row_type in (KnownUrl, KnownListing, KnownOrigin):
        _create(database, row_type)
    database.execute("CREATE INDEX pending ON urls (run_id) WHERE status = 'pending'")
    database.commit()
    return database


def _create(database: sqlite3.Connection, row_type: type[Row]) -> None:
    names = [field.name for field in fields(row_type)]
    columns = ", ".join(["key PRIMARY KEY", *names[1:]])
    database.execute(f"CREATE TABLE {row_type.TABLE} ({columns}) WITHOUT ROWID")


def _upgrade(database: sqlite3.Connection, version: int) -> None:
    """Bring a file of an older format up to this one."""
    if version < 2:
        _create(database, KnownOrigin)
        for column, before in (("entries", "0"), ("asked_at", "''"), ("quiet", "0")):
            database.execute(f"ALTER TABLE listings ADD COLUMN {column} DEFAULT {before}")
        database.execute(f"PRAGMA user_version = {VERSION}")


def _upsert(database: sqlite3.Connection, rows: Iterable[Row]) -> None:
    with database:
        for row in rows:
            values: tuple[Any, ...] = astuple(row)
            marks = ", ".join("?" * len(values))
            database.execute(f"REPLACE INTO {row.TABLE} VALUES ({marks})", values)  # noqa: S608
