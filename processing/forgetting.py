"""Forgetting an article: every place it lies in, and a tombstone so that it never comes back.

The order makes a kill harmless: tombstones first, then one commit over all tables, then every
object that held it, then the tombstones say ``done``. Whatever is repeated does what is missing.
A page goes by its URL keys: those it is published under, those of its earlier texts, and those of
addresses that redirected to it.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from processing import dataset, erasure
from processing.commits import Clock, Plan, partitions_of, read_manifest, transact
from processing.dataset import Change, Tables
from processing.exceptions import ConfigurationError, UnknownArticle
from processing.fingerprints import fingerprint_row
from processing.lease import TIME_TO_LIVE
from processing.redaction import Trail
from processing.storage import Store
from processing.succession import succeed
from processing.tables import SCHEMAS, to_table
from processing.tombstones import Tombstone, masked
from processing.urls import address_id, mask, url_id, url_key

DAG_ID = "forget"
"""What manifests of forgetting name as their DAG."""

UPLOAD_AGE = timedelta(hours=1)
"""Uploads in parts begun longer ago than this are given up: nobody can see what they hold."""

Row = dict[str, Any]
ForgetState = Callable[[Store, Collection[str]], int]
"""Takes URL keys, by their ids, out of every source's state; how many states held any."""

_ID = re.compile(r"[0-9a-f]{32}")
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_PARALLEL = 8
_TABLES = ("revisions", "articles", "copies", "keys", "fingerprints", "coverage")

_Place = tuple[str, str, str]
"""Table, id and source: what names one row of articles or copies."""


@dataclass(slots=True)
class Found:
    """What forgetting would take away.

    ``articles`` and ``copies`` are the rows that leave, ``staying`` the other copies of those
    articles: the earliest takes its article's place. ``coverage`` are the rows of their
    addresses, masked ones included, ``following`` those of the copies that stay.
    """

    articles: list[Row] = field(default_factory=list)
    copies: list[Row] = field(default_factory=list)
    revisions: list[Row] = field(default_factory=list)
    staying: list[Row] = field(default_factory=list)
    coverage: list[Row] = field(default_factory=list)
    following: list[Row] = field(default_factory=list)


class _Addresses:
    """URL keys by their ids, and an address of each where one is known."""

    def __init__(self, ids: Iterable[str] = ()):
        self.ids = set(ids)
        self._words: dict[str, str] = {}

    def add(self, url: str) -> None:
        """Take up an address."""
        self.ids.add(address_id(url))
        self.know(url)

    def know(self, url: str | None) -> None:
        """Learn how an address that may be one of these is written; a masked one tells nothing."""
        if url and (id_ := address_id(url)) in self.ids:
            with suppress(ValueError):
                self._words[id_] = _longest_word(url)

    @property
    def words(self) -> set[str]:
        """Pieces of which every spelling of the addresses has one; none when not all are known."""
        return set(self._words.values()) if self.ids <= self._words.keys() else set()


def _longest_word(url: str) -> str:
    """The longest word of an address that no other spelling of it can lack."""
    host, _, rest = _ESCAPE.sub(" ", url_key(url)).partition("/")
    words: list[str] = _WORD.findall(rest) or _WORD.findall(host)
    return max(words, key=len)


def find(store: Store, target: str, *, with_copies: bool) -> Found:
    """What ``forget`` would take away for an id or a URL; changes nothing.

    Raises ConfigurationError on what is neither, UnknownArticle on an id never published.
    """
    addresses, _ = _begin(store, target)
    return _search(Tables(store), addresses, with_copies)


def forget(
    store: Store,
    target: str,
    *,
    run_id: str,
    with_copies: bool,
    software: Mapping[str, str],
    forget_state: ForgetState,
    clock: Clock = lambda: datetime.now(UTC),
    lease_seconds: float = TIME_TO_LIVE,
) -> Tombstone:
    """Take an article, by id or URL, out of every place; its tombstone.

    ``with_copies`` takes its copies too; else the earliest takes its place. Of a URL that is not
    published the pages in raw/ and the ledgers are forgotten all the same. May be repeated after
    any failure, and goes on under the run that was begun. Raises as ``find``, LeaseLost, or
    StoreError.
    """
    addresses, begun = _begin(store, target)
    if begun and not begun.done:
        run_id, with_copies = begun.run_id, with_copies or begun.with_copies
    stone = Tombstone(clock().isoformat(), run_id, tuple(sorted(addresses.ids)), with_copies)
    stone.put(store)
    objects: Counter[str] = Counter()
    while True:
        known = len(addresses.ids)
        decide = _Forgetting(stone, addresses, software)
        manifest = transact(store, run_id, decide.plan, clock=clock, lease_seconds=lease_seconds)
        stone = replace(stone, keys=tuple(sorted(addresses.ids)), rows=dict(manifest["removed"]))
        tables = Tables(store)
        objects["states"] += forget_state(store, addresses.ids)
        objects["staged"] += erasure.erase_staged(tables, addresses.ids)
        runs = _runs_of(tables, addresses)
        pages = erasure.find_pages(store, erasure.raw_files(store, runs), addresses.ids)
        _follow_redirects(tables, addresses, pages)
        if len(addresses.ids) == known:
            break
        # A redirect's address, or the one it led to, may lie in more places.
        stone = replace(stone, keys=tuple(sorted(addresses.ids)))
        stone.put(store)
    objects["raw"] += erasure.erase_pages(store, sorted(pages), addresses.ids)
    _correct_manifests(store, tables, runs)
    objects["log entries"] += erasure.cut_logs(tables)
    for name in SCHEMAS:
        ids, words = addresses.ids, addresses.words
        objects["old files"] += erasure.drop_old_files(tables, name, ids, words)
    objects["uploads"] += store.abort_uploads(clock() - UPLOAD_AGE)[0]
    objects["versions"] += erasure.erase_versions(store, pages)
    stone = replace(stone, objects=dict(objects), done=True)
    stone.put(store)
    return stone


def _begin(store: Store, target: str) -> tuple[_Addresses, Tombstone | None]:
    """The addresses that a target names, and the tombstone of an earlier forgetting of it."""
    try:
        id_ = target if _ID.fullmatch(target) else url_id(url_key(target))
    except ValueError as error:
        raise ConfigurationError(
            f"{target!r} is neither an id (32 hex digits) nor an http(s) URL; take either from"
            " the columns id and url"
        ) from error
    begun = Tombstone.read(store, id_)
    addresses = _Addresses([id_, *(begun.keys if begun else ())])
    if id_ != target:
        addresses.know(target)
    elif begun is None and not Tables(store).find("keys", "key", [id_]):
        raise UnknownArticle(
            f"nothing is published under the id {target} in {store.url}; look it up with"
            " 'newslake dataset sql', or name the URL"
        )
    return addresses, begun


# --- what leaves ----------------------------------------------------------------------------


def _search(tables: Tables, addresses: _Addresses, with_copies: bool) -> Found:
    """All rows of the addresses; those under which they are also known are added to them."""
    while True:
        known = len(addresses.ids)
        found = Found()
        _published(tables, addresses, with_copies, found)
        _covered(tables, addresses, found)
        if len(addresses.ids) == known:
            return found


def _published(tables: Tables, addresses: _Addresses, with_copies: bool, found: Found) -> None:
    keys = tables.find("keys", "key", addresses.ids)
    own = {(key["kind"], key["id"], key["source"]) for key in keys}
    days = {key["date"] for key in keys}
    ids = {key["id"] for key in keys}

    def rows(name: str, kind: str) -> list[Row]:
        held = tables.find(name, "id", ids, days)
        return [row for row in held if (kind, row["id"], row["source"]) in own]

    found.articles, found.copies = rows("articles", "article"), rows("copies", "copy")
    found.revisions = rows("revisions", "article")
    gone = {row["id"] for row in found.articles}
    leaving = {(row["id"], row["source"]) for row in found.copies}
    for row in tables.find("copies", "article_id", gone):
        if (row["id"], row["source"]) not in leaving:
            (found.copies if with_copies else found.staying).append(row)
    own |= {("copy", row["id"], row["source"]) for row in found.copies}
    for key in tables.find("keys", "id", ids | {row["id"] for row in found.copies}):
        if (key["kind"], key["id"], key["source"]) in own:
            addresses.ids.add(key["key"])
    for row in (*found.articles, *found.copies, *found.revisions):
        addresses.add(row["url"])
        addresses.know(row["canonical_url"])


def _covered(tables: Tables, addresses: _Addresses, found: Found) -> None:
    gone = {row["id"] for row in found.articles}
    staying = {(row["article_id"], row["source"]) for row in found.staying}
    others = []
    for row in _scan(tables, "coverage", ("url", "article_id"), addresses):
        if address_id(row["url"]) in addresses.ids:
            addresses.know(row["url"])
            found.coverage.append(row)
        elif row["article_id"] in gone:
            others.append(row)
    published = {
        key["key"] for key in tables.find("keys", "key", {address_id(r["url"]) for r in others})
    }
    for row in others:
        copied = (row["article_id"], row["source"]) in staying
        if copied or address_id(row["url"]) in published:
            found.following.append(row)
        else:  # it redirected to the article, and is to be forgotten with it
            addresses.add(row["url"])


def _scan(tables: Tables, name: str, columns: tuple[str, ...], addresses: _Addresses) -> list[Row]:
    """The rows of which one of these columns names one of the addresses."""
    ids, words, schema = addresses.ids, addresses.words, SCHEMAS[name]

    def look(fragment: ds.ParquetFileFragment) -> list[Row]:
        at = erasure.hits(fragment.to_table(schema, columns=list(columns)), ids, words)
        if not at:
            return []
        rows: list[Row] = fragment.to_table(schema).take(pa.array(at)).to_pylist()
        return rows

    with ThreadPoolExecutor(_PARALLEL) as at_once:
        found = at_once.map(look, tables.dataset(name).get_fragments())
        return [row for rows in found for row in rows]


def _runs_of(tables: Tables, addresses: _Addresses) -> dict[tuple[str, str], date]:
    """(run_id, source) -> day of every run that met one of the addresses."""
    rows = _scan(tables, "coverage", ("url",), addresses)
    return {(row["run_id"], row["source"]): row["date"] for row in rows}


def _follow_redirects(
    tables: Tables, addresses: _Addresses, pages: Mapping[str, Iterable[Trail]]
) -> None:
    """Add what led to a forgotten page, and a page nobody published that only they led to."""
    trails = {trail for found in pages.values() for trail in found}
    led_to = {trail.target for trail in trails} - addresses.ids
    published = {key["key"] for key in tables.find("keys", "key", led_to)}
    addresses.ids |= led_to - published | {
        trail.discovered for trail in trails if trail.target in addresses.ids
    }


# --- the commit -----------------------------------------------------------------------------


class _Forgetting:
    """The decision about all tables."""

    def __init__(self, stone: Tombstone, addresses: _Addresses, software: Mapping[str, str]):
        self._stone = stone
        self._addresses = addresses
        self._software = software

    def plan(self, now: datetime, tables: Tables) -> Plan:
        """What ``transact`` asks for."""
        base = tables.versions()
        found = _search(tables, self._addresses, self._stone.with_copies)
        ids = sorted(self._addresses.ids)
        # Before anything is committed: afterwards nothing tells of the addresses found here.
        replace(self._stone, keys=tuple(ids)).put(tables.store)
        changes, rows = self._changes(tables, found)
        previous = read_manifest(tables.store, self._stone.run_id)
        before = (previous or {}).get("removed", {})
        removed = {name: before.get(name, 0) + count for name, count in rows.items()}
        manifest = self._manifest(now, changes, previous) | {"removed": removed}
        digest = sha256("".join(ids).encode()).hexdigest()[:16]
        return Plan(self._stone.run_id, digest, base, tuple(changes), manifest)

    def _changes(self, tables: Tables, found: Found) -> tuple[list[Change], dict[str, int]]:
        before, after, heirs = self._rows(tables, found)
        fresh: dict[str, list[Row]] = defaultdict(list)
        gone: dict[str, dict[tuple[str, str], date]] = defaultdict(dict)
        for place in sorted(before.keys() | after.keys()):
            old, new = before.get(place), after.get(place)
            if old == new:
                continue
            name, id_, source = place
            if old is not None:
                gone[name][id_, source] = gone["fingerprints"][id_, source] = old["date"]
            if new is not None:
                new = {**new, "run_id": self._stone.run_id}
                fresh[name].append(new)
                fresh["fingerprints"].append(fingerprint_row(new))
        self._revisions(tables, found, fresh, gone)
        keys = tables.find("keys", "key", self._addresses.ids)
        promoted = self._promoted_keys(tables, heirs)
        fresh["keys"] = [{**key, "kind": "article"} for key in promoted]
        rewritten = [row for row in found.coverage if row["url"] != mask(row["url"])]
        fresh["coverage"] = [masked(row) for row in rewritten]
        fresh["coverage"] += [_follow(row, heirs) for row in found.following]
        where = {name: dataset.rows_of(rows) for name, rows in gone.items() if rows}
        days = {name: set(rows.values()) for name, rows in gone.items()}
        if keys or promoted:
            where["keys"] = _these([*keys, *promoted], "key", "source")
        if covered := [*rewritten, *found.following]:
            where["coverage"] = _these(covered, "run_id", "source", "url")
            days["coverage"] = {row["date"] for row in covered}
        changes = [
            dataset.change_rows(
                tables,
                name,
                to_table(fresh[name], SCHEMAS[name]),
                self._stone.run_id,
                gone=where[name],
                days=days.get(name),
            )
            for name in _TABLES
            if name in where
        ]
        counts = {
            "articles": len(found.articles),
            "copies": len(found.copies),
            "revisions": len(found.revisions),
            "coverage": len(rewritten),
            "keys": len(keys),
            "fingerprints": len(found.articles) + len(found.copies),
        }
        return changes, counts

    def _rows(
        self, tables: Tables, found: Found
    ) -> tuple[dict[_Place, Row], dict[_Place, Row], dict[str, Row]]:
        """Rows of articles and copies as they stand and are to stand; the heir of each article."""
        gone = {row["id"] for row in found.articles}
        before: dict[_Place, Row] = {}
        for name in ("articles", "copies"):
            own = found.articles if name == "articles" else [*found.copies, *found.staying]
            members = tables.find(name, "cluster_id", gone)
            named = _scan(tables, name, ("canonical_url",), self._addresses)
            for row in (*own, *members, *named):
                before[name, row["id"], row["source"]] = row
        leaving = {("articles", row["id"], row["source"]) for row in found.articles}
        leaving |= {("copies", row["id"], row["source"]) for row in found.copies}
        after = {
            place: self._nameless(row) for place, row in before.items() if place not in leaving
        }
        heirs: dict[str, Row] = {}
        # Those that hang on another first: it may leave too, and then has their heirs to mind.
        for row in sorted(found.articles, key=lambda r: (r["cluster_id"] == r["id"], r["id"])):
            copies = [r for r in after.values() if r.get("article_id") == row["id"]]
            members = [
                r
                for r in after.values()
                if r["cluster_id"] == row["id"] and r.get("article_id") != row["id"]
            ]
            left = succeed(row, copies, members)
            if left.heir:
                heirs[row["id"]] = left.heir
                del after["copies", left.heir["id"], left.heir["source"]]
                after["articles", left.heir["id"], left.heir["source"]] = left.heir
            for each in (*left.copies, *left.members):
                name = "copies" if "article_id" in each else "articles"
                after[name, each["id"], each["source"]] = each
        return before, after, heirs

    def _nameless(self, row: Row) -> Row:
        """The row without a canonical address that is forgotten."""
        named = row["canonical_url"]
        return {**row, "canonical_url": None} if self._names(named) else row

    def _names(self, url: str | None) -> bool:
        return url is not None and address_id(url) in self._addresses.ids

    def _revisions(
        self,
        tables: Tables,
        found: Found,
        fresh: dict[str, list[Row]],
        gone: dict[str, dict[tuple[str, str], date]],
    ) -> None:
        leaving = {(row["id"], row["source"]): row["date"] for row in found.revisions}
        named = _scan(tables, "revisions", ("canonical_url",), self._addresses)
        others = {(row["id"], row["source"]): row["date"] for row in named}
        others = {own: day for own, day in others.items() if own not in leaving}
        gone["revisions"] = leaving | others
        ids = {id_ for id_, _ in others}
        for row in tables.find("revisions", "id", ids, set(others.values())):
            if (row["id"], row["source"]) in others:
                fresh["revisions"].append(self._nameless(row))

    def _promoted_keys(self, tables: Tables, heirs: Mapping[str, Row]) -> list[Row]:
        own = {(row["id"], row["source"]) for row in heirs.values()}
        keys = tables.find("keys", "id", {id_ for id_, _ in own})
        return [key for key in keys if (key["id"], key["source"]) in own]

    def _manifest(
        self, now: datetime, changes: Iterable[Change], previous: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        return {
            "run_id": self._stone.run_id,
            "dag_id": DAG_ID,
            "dag_run_id": None,
            "started_at": now.isoformat(),
            "finished_at": None,
            "counts": {},
            "known": {},
            "discovered": {},
            "failures": {},
            "schedules": {},
            "flags": [],
            "completeness": [],
            "partitions": partitions_of(changes, previous),
            "tables": {},
            "software": dict(self._software),
        }


def _follow(row: Row, heirs: Mapping[str, Row]) -> Row:
    """A coverage row of an article that left, now of the copy in its place."""
    heir = heirs.get(row["article_id"])
    own = heir is not None and address_id(row["url"]) == heir["id"]
    detail = "took the place of a forgotten article" if own else row["detail"]
    if heir is not None and detail:
        detail = detail.replace(row["article_id"], heir["id"])
    return {**row, "article_id": heir["id"] if heir else None, "detail": detail}


def _these(rows: Sequence[Row], *columns: str) -> ds.Expression:
    """Exactly these rows, by columns that together tell them from all others."""
    parts: Any = [pc.field(column) for column in columns]
    joined: Any = pc.binary_join_element_wise(*parts, " ")
    own = sorted(" ".join(row[column] for column in columns) for row in rows)
    first = pa.array(sorted({row[columns[0]] for row in rows}), pa.string())
    # The first column alone too: its bounds spare reading most files.
    exact: ds.Expression = pc.field(columns[0]).isin(first) & joined.isin(
        pa.array(own, pa.string())
    )
    return exact


def _correct_manifests(store: Store, tables: Tables, runs: Mapping[tuple[str, str], date]) -> None:
    """Have the manifests of these runs count what coverage now holds of them."""
    run_ids = sorted({run_id for run_id, _ in runs})
    where = ds.field("run_id").isin(pa.array(run_ids, pa.string()))
    rows = tables.rows(
        "coverage", where, columns=["run_id", "source", "state"], days=set(runs.values())
    )
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row["run_id"], row["source"]][row["state"]] += 1
    for run_id in run_ids:

        def correct(data: bytes, run_id: str = run_id) -> bytes | None:
            said = json.loads(data)
            for (run, source), states in counts.items():
                if run == run_id:
                    said["counts"][source] = dict(sorted(states.items()))
            after = json.dumps(said, indent=1).encode()
            return after if after != data else None

        erasure.rewrite(store, f"runs/{run_id}.json", correct)
