"""One source's part of a run: what its listings named, what became of each URL, what to keep.

Knows nothing of Scrapy: the spider tells it what came and asks it what to fetch.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from crawlers.catalogue import Source
from crawlers.discovery import Entry, Kind
from crawlers.refusals import Refusal
from crawlers.state import (
    DROPPED,
    PENDING,
    SEEN,
    KnownListing,
    KnownUrl,
    SourceState,
    known_url,
    latest,
    merge_hints,
)
from crawlers.warc import WarcFiles, WireResponse
from processing.exceptions import StoreError
from processing.records import FETCHED, KNOWN, Hints, State, Visit, run_day
from processing.storage import Store
from processing.urls import mask, url_id, url_key

MAX_CHILDREN = 50
"""The most sitemaps of one index that are read in a run, the latest first."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What became of one source in a run; ``reason`` is a sentence when it is not ``ok``.

    discovered = fetched + known + unchanged + skipped + failed. ``recovered`` of the fetched
    were taken over from a run that did not publish; ``skipped`` includes what is forgotten,
    ``failed`` what was rejected unread. ``bytes`` are those of all bodies, unpacked;
    ``problems`` names each listing that failed and why. ``store_failed`` tells a store that did
    not answer from a site that did not.
    """

    source: str
    ok: bool
    reason: str | None
    listings: int = 0
    listings_failed: int = 0
    discovered: int = 0
    fetched: int = 0
    recovered: int = 0
    known: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0
    finish_reason: str = "finished"
    problems: tuple[str, ...] = ()
    store_failed: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {**asdict(self), "problems": list(self.problems)}


@dataclass(frozen=True, slots=True)
class Validators:
    """What an answer can be asked again with, and the hash of its decompressed body."""

    etag: str | None
    last_modified: str | None
    body_hash: str | None

    @classmethod
    def of(cls, headers: dict[str, str], body: bytes) -> Validators:
        """From an answer's headers (names in lower case) and body."""
        return cls(headers.get("etag"), headers.get("last-modified"), sha256(body).hexdigest())


@dataclass(slots=True)
class Candidate:
    """A URL that listings named: by which, what they said, and what is known of it."""

    key: str
    url: str
    discovered_via: str
    known: KnownUrl | None
    said: list[Hints] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether a listing dates a known page newer, or has given it another title."""
        known = self.known
        return known is not None and (
            any(known.dated_newer(hints.modified) for hints in self.said)
            or known.titled_anew(self.titles)
        )

    @property
    def hints(self) -> Hints:
        """What all the listings said together."""
        return merge_hints(self.said)

    @property
    def dated(self) -> datetime | date | None:
        """The newest date that any listing gives it."""
        return latest(moment for h in self.said for moment in (h.published, h.modified))


@dataclass(slots=True)
class _ReadListing:
    row: KnownListing
    keys: set[str]


class SourceCrawl:
    """Gathers one source's run and writes it to the lake.

    Without a store nothing is known from before and nothing is uploaded; WARC files and ledger
    lie under ``directory``. ``forgotten`` are the ids of URL keys that are never fetched again.
    """

    def __init__(
        self,
        source: Source,
        *,
        run_id: str,
        attempt: int,
        directory: Path,
        store: Store | None,
        clock: Clock,
        forgotten: Collection[str] = frozenset(),
    ):
        self.source = source
        self.run_id = run_id
        self.attempt = attempt
        self.clock = clock
        self.forgotten = forgotten
        self.state = SourceState()
        self.visits: dict[str, Visit] = {}
        self.error: Exception | None = None
        """What broke this source's crawl or its saving."""
        self.complete = False
        """Whether the spider has done all there was to do."""
        self._store = store
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        day = run_day(run_id).isoformat()
        self._warc = WarcFiles(
            directory,
            f"raw/date={day}/source={source.id}/{run_id}-{attempt}",
            {"software": "newslake", "format": "WARC File Format 1.1", "robots": "obeyed"},
        )
        self._started = clock()
        self._seconds: float | None = None
        self._candidates: dict[str, Candidate] = {}
        self._listings: dict[str, _ReadListing] = {}
        self._unsettled: set[str] = set()
        self._answered = 0
        self._problems: list[str] = []
        self._bytes = 0
        self._recovered = 0
        self._rules = _fingerprint(source)
        self._lock = Lock()
        self._begun = self._finished = False

    def begin(self) -> None:
        """Read the state and take over what dead runs left in raw/. Raises StoreError."""
        with self._lock:
            if self._finished:
                return
            if self._store is not None:
                self.state = SourceState.load(self._store, self.source.id, self.forgotten)
            for row in self.state.pending():
                self.visits[row.key] = row.visit()
                self._recovered += 1
                self.state.put(replace(row, run_id=self.run_id))
            self._begun = True

    # --- Listings ---

    def known_listing(self, url: str) -> KnownListing | None:
        """What to ask a listing with; None when it is new or the source's rules have changed."""
        known = self.state.listing(url)
        return known if known is not None and known.rules == self._rules else None

    def listing_read(
        self, url: str, kind: Kind, entries: Iterable[Entry], validators: Validators
    ) -> None:
        """A listing came; what it names is discovered."""
        self._answered += 1
        row = KnownListing(
            key=url,
            kind=kind,
            run_id=self.run_id,
            rules=self._rules,
            etag=validators.etag,
            last_modified=validators.last_modified,
            body_hash=validators.body_hash,
        )
        if kind is Kind.SITEMAP_INDEX:
            children = [[e.url, e.modified.isoformat() if e.modified else None] for e in entries]
            self.state.put(replace(row, children=json.dumps(children)))
            return
        keys = {self._discover(entry, url, kind) for entry in entries}
        self._listings[url] = _ReadListing(row, keys)

    def listing_unchanged(self) -> None:
        """A listing has nothing new."""
        self._answered += 1

    def listing_failed(self, url: str, detail: str) -> None:
        """A listing did not come, or is none."""
        self._problems.append(f"{url}: {detail}")

    def children(self, index: str) -> list[str]:
        """The sitemaps of an index that are worth reading: not too old, the latest first."""
        known = self.state.listing(index)
        named = json.loads(known.children) if known else []
        oldest = (self._started - timedelta(days=self.source.max_age_days)).date()
        dated = [(url, Hints.of({"modified": said}).modified) for url, said in named]
        recent = [(url, at) for url, at in dated if at is None or _day(at) >= oldest]
        recent.sort(key=lambda child: _newest_first(child[1]))
        return [url for url, _ in recent[:MAX_CHILDREN]]

    def _discover(self, entry: Entry, listing: str, kind: Kind) -> str:
        try:
            key = url_key(entry.url)
        except ValueError:
            detail = "no well-formed address"
            self._settle(
                entry.url, entry.url, listing, entry.hints, State.SKIPPED_RULE, detail=detail
            )
            return entry.url
        if key not in self.visits:
            found = self._candidates.get(key)
            if found is None:
                found = Candidate(key, entry.url, listing, self.state.url(key))
                self._candidates[key] = found
            found.said.append(replace(entry.hints, listing=str(kind)))
            # A section page words its links anew at every visit.
            if entry.title and kind is not Kind.SECTION:
                found.titles[_mark(listing)] = _mark(entry.title)
        return key

    # --- Articles ---

    def decide(self) -> list[Candidate]:
        """Settle what needs no request; the rest, the newest first.

        Addresses without a date come last, in the order of the listings.
        """
        wanted = []
        for candidate in self._candidates.values():
            known, refused = candidate.known, self._ruled_out(candidate)
            if url_id(candidate.key) in self.forgotten:
                self._end(candidate, State.FORGOTTEN)
            elif known is not None and (refused or not candidate.changed):
                fuller = known.with_titles(candidate.titles)
                if fuller != known:
                    self.state.put(fuller)
                self._end(candidate, KNOWN)
            elif refused:
                self._end(candidate, refused.state, detail=refused.detail)
            else:
                wanted.append(candidate)
        wanted.sort(key=lambda candidate: _newest_first(candidate.dated))
        return wanted

    def _ruled_out(self, candidate: Candidate) -> Refusal | None:
        source, url = self.source, candidate.url
        denied = next((rule for rule in source.deny if re.search(rule, url)), None)
        if denied is not None:
            return Refusal(State.SKIPPED_RULE, f"deny: {denied}")
        if source.allow and not any(re.search(rule, url) for rule in source.allow):
            return Refusal(State.SKIPPED_RULE, "no allow rule matches")
        oldest = self._started - timedelta(days=source.max_age_days)
        dated = candidate.dated
        if dated is not None and _before(dated, oldest):
            return Refusal(State.SKIPPED_OLD, f"dated {dated.isoformat()}")
        return None

    def fetched(
        self, candidate: Candidate, url: str, wire: WireResponse, validators: Validators
    ) -> None:
        """An article page came from ``url``: it goes to WARC, unless its body is known."""
        at = self.clock()
        known = candidate.known
        if known is not None and known.body_hash == validators.body_hash:
            self.unchanged(candidate, 200, validators)
            return
        said = {
            "url": candidate.url,
            "discovered_via": candidate.discovered_via,
            "at": at.isoformat(),
            "hints": candidate.hints.to_json(),
        }
        pointer = self._warc.write(url, at, wire, said)
        self._remember(
            candidate,
            PENDING,
            at,
            etag=validators.etag,
            last_modified=validators.last_modified,
            body_hash=validators.body_hash,
            warc_key=pointer.key,
            warc_offset=pointer.offset,
            warc_length=pointer.length,
        )
        self._end(candidate, FETCHED, at=at, http_status=200, warc=pointer)

    def unchanged(
        self, candidate: Candidate, http_status: int, validators: Validators | None = None
    ) -> None:
        """A known page has not changed: a 304, or the same body."""
        known = candidate.known
        if known is None:
            raise ValueError(f"{candidate.url} is not known, so it cannot be unchanged")
        at = self.clock()
        fresh = validators or Validators(known.etag, known.last_modified, known.body_hash)
        self._remember(
            candidate,
            SEEN,
            at,
            etag=fresh.etag,
            last_modified=fresh.last_modified,
            body_hash=known.body_hash,
            warc_key=known.warc_key,
            warc_offset=known.warc_offset,
            warc_length=known.warc_length,
        )
        self._end(candidate, State.UNCHANGED, at=at, http_status=http_status)

    def refused(self, candidate: Candidate, refusal: Refusal) -> None:
        """An article did not come; unless that is final, the next run asks again."""
        if refusal.state is State.FORGOTTEN:
            self._end(candidate, State.FORGOTTEN)
            return
        at = self.clock()
        if not refusal.final:
            self._unsettled.add(candidate.key)
        elif not refusal.state.startswith("skipped"):
            self._drop(candidate, at)
        self._end(
            candidate, refusal.state, at=at, detail=refusal.detail, http_status=refusal.http_status
        )

    def _drop(self, candidate: Candidate, at: datetime) -> None:
        known = candidate.known
        if known is None:
            self._remember(candidate, DROPPED, at)
            return
        # What was fetched once stays so; what was said moves on, so that it is asked but once.
        newest = latest([candidate.hints.modified, Hints.of({"modified": known.modified}).modified])
        row = replace(known, modified=newest.isoformat() if newest else None)
        self.state.put(row.with_titles(candidate.titles))

    def over_limit(self, candidate: Candidate) -> None:
        """An article whose turn does not come in this run."""
        self._unsettled.add(candidate.key)
        detail = f"max_articles is {self.source.max_articles}"
        self._end(candidate, State.SKIPPED_LIMIT, detail=detail)

    def received(self, size: int) -> None:
        """Count the bytes of a body."""
        self._bytes += size

    # --- The end ---

    def finish(self) -> None:
        """Close what is still open and write WARC files, ledger and state, in this order.

        Does its work once, whoever calls first; ``error`` tells whether it failed.
        """
        with self._lock:
            if self._finished:
                return
            self._finished = True
            if not self._begun:
                return
            try:
                self._close_open()
                self._write()
            except Exception as error:  # judged by the caller; other sources go on
                self.error = self.error or error
            self._seconds = (self.clock() - self._started).total_seconds()

    def _close_open(self) -> None:
        for candidate in self._candidates.values():
            if candidate.key not in self.visits:
                self._unsettled.add(candidate.key)
                detail = "the crawl was cut short before its turn"
                self._end(candidate, State.SKIPPED_LIMIT, detail=detail)
        for read in self._listings.values():
            if not read.keys & self._unsettled:
                self.state.put(read.row)

    def _write(self) -> None:
        lines = [json.dumps(v.to_json(), ensure_ascii=False) + "\n" for v in self.visits.values()]
        ledger = gzip.compress("".join(lines).encode(errors="surrogatepass"), 6, mtime=0)
        name = f"crawl-{self.attempt}.jsonl.gz"
        if self._store is None:
            (self._directory / name).write_bytes(ledger)
            return
        # In this order a crash loses nothing: what the state does not know is fetched again.
        for key, path in self._warc.files.items():
            self._store.put_file(key, path)
        self._store.put(f"staged/run={self.run_id}/source={self.source.id}/{name}", ledger)
        self.state.save(self._store, self.source.id)

    def result(self, finish_reason: str) -> SourceResult:
        """The counts and the verdict, once finished."""
        outcomes = [str(visit.outcome) for visit in self.visits.values()]
        reason = self._reason(finish_reason)
        fetched, known = outcomes.count(FETCHED), outcomes.count(KNOWN)
        unchanged = outcomes.count(State.UNCHANGED)
        skipped = sum(outcome.startswith(("skipped", "forgotten")) for outcome in outcomes)
        return SourceResult(
            source=self.source.id,
            ok=reason is None,
            reason=reason,
            listings=self._answered + len(self._problems),
            listings_failed=len(self._problems),
            discovered=len(outcomes),
            fetched=fetched,
            recovered=self._recovered,
            known=known,
            unchanged=unchanged,
            skipped=skipped,
            failed=len(outcomes) - fetched - known - unchanged - skipped,
            bytes=self._bytes,
            seconds=round(self._seconds or 0.0, 3),
            finish_reason=finish_reason,
            problems=tuple(self._problems),
            store_failed=isinstance(self.error, StoreError),
        )

    def _reason(self, finish_reason: str) -> str | None:
        if self.error is not None:
            return str(self.error) or type(self.error).__name__
        if not self.complete:
            return (
                f"the crawl was cut short ({finish_reason});"
                " what it had fetched is saved, and the next run goes on"
            )
        if self._problems and not self._answered:
            return f"no listing could be read: {self._problems[0]}"
        return None

    def _remember(self, candidate: Candidate, status: str, at: datetime, **columns: Any) -> None:
        row = known_url(
            key=candidate.key,
            url=candidate.url,
            status=status,
            run_id=self.run_id,
            at=at,
            discovered_via=candidate.discovered_via,
            hints=candidate.hints,
            before=candidate.known,
        )
        self.state.put(replace(row, **columns).with_titles(candidate.titles))

    def _end(self, candidate: Candidate, outcome: str, **said: Any) -> None:
        self._settle(
            candidate.key,
            candidate.url,
            candidate.discovered_via,
            candidate.hints,
            outcome,
            **said,
        )

    def _settle(
        self, key: str, url: str, listing: str, hints: Hints, outcome: str, **said: Any
    ) -> None:
        at = said.pop("at", None) or self.clock()
        if outcome == State.FORGOTTEN:  # neither its address nor what listings say of it
            url, hints = mask(url), Hints()
        visit = Visit(url=url, outcome=outcome, discovered_via=listing, at=at, hints=hints, **said)
        self.visits.setdefault(key, visit)


def _fingerprint(source: Source) -> str:
    """A mark of the rules under which a listing's entries were decided."""
    rules = [source.allow, source.deny, source.max_age_days, source.allow_private]
    return sha256(json.dumps(rules).encode()).hexdigest()[:16]


def _mark(text: str) -> str:
    """Short, and enough to tell one title or listing of a page from another."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def _day(moment: datetime | date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _before(moment: datetime | date, limit: datetime) -> bool:
    if isinstance(moment, datetime):
        return moment < limit
    return moment < limit.date()


def _newest_first(moment: datetime | date | None) -> float:
    """A sort key; a day counts from its end, no date as the oldest."""
    if moment is None:
        return 0.0
    if isinstance(moment, datetime):
        return -moment.timestamp()
    return -(moment - date(1970, 1, 1)).total_seconds() - timedelta(days=1).total_seconds()
