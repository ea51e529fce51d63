"""One source's part of a run: what its listings named, what became of each URL, what to keep.

Knows nothing of Scrapy: the spider tells it what came and asks it what to fetch.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urljoin

from crawlers.backfill import Days, archives, outside
from crawlers.catalogue import INTERVALS, Source
from crawlers.discovery import Entry, Kind
from crawlers.refusals import Refusal
from crawlers.state import (
    DROPPED,
    PENDING,
    SEEN,
    KnownListing,
    KnownOrigin,
    KnownUrl,
    SourceState,
    known_url,
    latest,
    merge_hints,
)
from crawlers.warc import WarcFiles, WireResponse
from processing.exceptions import StoreError
from processing.records import FETCHED, KNOWN, Hints, State, Visit, run_day
from processing.rights import Statement
from processing.storage import Store
from processing.urls import mask, url_id, url_key

MAX_CHILDREN = 50
"""The most sitemaps of one index that are read in a run, the latest first."""

YOUNG = timedelta(hours=48)
"""Age up to which a published page is asked again by itself: most corrections come before."""

FIRST_RECHECK = timedelta(hours=2)
"""Age at which that happens first; then each time as late again as the page is old."""

REMEMBERED = timedelta(days=90)
"""How long a page is known after its last request; one that is still listed is then new again."""

RECHECK_SHARE = 10
"""One in so many of a run's ``max_articles`` may be such a recheck."""

QUIET = 3
"""Answers without anything new after which a listing rests."""

MOST_REST = 4
"""The most of its schedule's intervals that a listing rests."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What became of one source in a run; ``reason`` is a sentence when it is not ``ok``.

    discovered = fetched + known + unchanged + skipped + failed. ``resting`` of the listings were
    not asked, since they seldom have anything new. ``recovered`` of the fetched
    were taken over from a run that did not publish; ``skipped`` includes what is forgotten,
    ``failed`` what was rejected unread. ``bytes`` are those of all bodies, unpacked;
    ``problems`` names each listing that failed and why. ``store_failed`` tells a store that did
    not answer from a site that did not. ``unfinished``: a backfill's turn did not come to all, and
    another run like it would go on.
    """

    source: str
    ok: bool
    reason: str | None
    listings: int = 0
    listings_failed: int = 0
    resting: int = 0
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
    unfinished: bool = False

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
    recheck: bool = False
    """Whether it is asked for its age alone."""

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
        """What all the listings said together, and before."""
        earlier = [Hints.of(json.loads(self.known.hints))] if self.known else []
        return merge_hints([*self.said, *earlier])

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
    Only in a ``scheduled`` run do listings rest. With ``days`` it is a backfill: those days' pages
    are wanted, whatever ``max_age_days`` says, and the sitemaps that robots.txt names are read
    too, for what they name below the homepage.
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
        scheduled: bool = False,
        days: Days | None = None,
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
        self.unread = 0
        """Listings whose turn did not come."""
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
        self._scheduled = scheduled
        self._days = days
        self._robots = urljoin(source.homepage, "/robots.txt")
        self._declared = set(source.listings)
        self._wanted: set[str] = set()
        self._gained = 0
        self._answered = 0
        self._resting = 0
        self._problems: list[str] = []
        self._bytes = 0
        self._recovered = 0
        self._rules = _fingerprint(source, days)
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

    # --- Origins ---

    def known_origin(self, origin: str) -> KnownOrigin | None:
        """What an origin (``scheme://host``) has said to crawlers."""
        return self.state.origin(origin)

    def remember_origin(self, row: KnownOrigin) -> None:
        """Keep what an origin says to crawlers."""
        self.state.put(row)

    # --- Listings ---

    @property
    def listings(self) -> list[tuple[str, int]]:
        """The listings to begin with, and how deep each lies in indexes; those come on top."""
        declared = [(url, 0) for url in self.source.listings]
        return [*declared, (self._robots, -1)] if self._days else declared

    def known_listing(self, url: str) -> KnownListing | None:
        """What to ask a listing with; None when it is new or the source's rules have changed."""
        known = self.state.listing(url)
        return known if known is not None and known.rules == self._rules else None

    def rests(self, url: str) -> bool:
        """Whether a listing is not asked in this run, since it seldom has anything new.

        Never in a run by hand, nor before the day's first answer: that one closes the day before.
        """
        known = self.known_listing(url)
        if not self._scheduled or known is None or known.quiet < QUIET or not known.asked_at:
            return False
        asked = datetime.fromisoformat(known.asked_at)
        if asked.astimezone(UTC).date() < self._started.astimezone(UTC).date():
            return False
        every = INTERVALS[self.source.schedule]
        rest = every * min(2 << (known.quiet - QUIET), MOST_REST)
        # Half an interval of grace: runs do not start to the second.
        return self._started < asked + rest - every / 2

    def listing_rested(self) -> None:
        """A listing was not asked; what is known of it stands for its answer."""
        self._answered += 1
        self._resting += 1

    def listing_read(
        self, url: str, kind: Kind, entries: Iterable[Entry], validators: Validators
    ) -> None:
        """A listing came; what it names is discovered."""
        self._answered += 1
        named = list(entries)
        row = KnownListing(
            key=url,
            kind=kind,
            run_id=self.run_id,
            rules=self._rules,
            etag=validators.etag,
            last_modified=validators.last_modified,
            body_hash=validators.body_hash,
            entries=len(named),
            asked_at=self.clock().isoformat(),
        )
        if kind is Kind.SITEMAP_INDEX:
            children = [[e.url, e.modified.isoformat() if e.modified else None] for e in named]
            self.state.put(replace(row, children=json.dumps(children)))
            return
        keys = {self._discover(entry, url, kind) for entry in named}
        if not any(self._is_news(key) for key in keys):
            before = self.known_listing(url)
            row = replace(row, quiet=before.quiet + 1 if before else 1)
        self._listings[url] = _ReadListing(row, keys)
        if self._days:
            self._wanted.update(key for key in keys if self._is_wanted(key))

    def _is_wanted(self, key: str) -> bool:
        candidate = self._candidates.get(key)
        return candidate is not None and candidate.known is None and not self._ruled_out(candidate)

    @property
    def has_enough(self) -> bool:
        """Whether a backfill has found as many pages as it may ask for: its next run reads on."""
        return len(self._wanted) >= self.source.max_articles

    def _is_news(self, key: str) -> bool:
        candidate = self._candidates.get(key)
        return candidate is not None and (candidate.known is None or candidate.changed)

    def listing_unchanged(self, url: str) -> None:
        """A listing has nothing new."""
        self._answered += 1
        known = self.known_listing(url)
        # Only runs that may rest count the answers: the state is not written for nothing.
        if known is not None and self._scheduled:
            asked = self.clock().isoformat()
            self.state.put(replace(known, asked_at=asked, quiet=known.quiet + 1))

    def listing_failed(self, url: str, detail: str) -> None:
        """A listing did not come, or is none."""
        self._problems.append(f"{url}: {detail}")

    def children(self, index: str) -> list[str]:
        """The sitemaps of an index that are worth reading: not too old, the latest first.

        In a backfill those of its days that no earlier run of it has dealt with.
        """
        known = self.state.listing(index)
        named = json.loads(known.children) if known else []
        dated = [(url, Hints.of({"modified": said}).modified) for url, said in named]
        if self._days:
            wanted = [url for url in archives(dated, self._days) if not self._is_done(url)]
            if index in self._declared:
                self._declared.update(wanted)
            return wanted
        oldest = (self._started - timedelta(days=self.source.max_age_days)).date()
        recent = [(url, at) for url, at in dated if at is None or _day(at) >= oldest]
        recent.sort(key=lambda child: _newest_first(child[1]))
        return [url for url, _ in recent[:MAX_CHILDREN]]

    def _is_done(self, archive: str) -> bool:
        """Whether this backfill has settled all that a sitemap can still name of its days."""
        known = self.known_listing(archive)
        if self._days is None or known is None or not known.asked_at:
            return False
        return known.kind == Kind.SITEMAP and known.asked_at[:10] > self._days.last.isoformat()

    @property
    def discovered(self) -> int:
        """How many addresses the listings have named so far."""
        return len(self._candidates)

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
        return wanted + self._rechecks(len(wanted))

    def _rechecks(self, wanted: int) -> list[Candidate]:
        """Young pages that are due to be asked again, as far as the run's limit lets them."""
        limit = 0 if self._days else self.source.max_articles
        places = min(max(1, limit // RECHECK_SHARE), max(0, limit - wanted))
        due: list[Candidate] = []
        for known in self.state.young(self._started - YOUNG):
            if len(due) == places:
                break
            visit = self.visits.get(known.key)
            if _recheck_due(known, self._started) and (visit is None or visit.outcome == KNOWN):
                found = self._candidates.get(known.key)
                candidate = found or Candidate(known.key, known.url, known.discovered_via, known)
                candidate.recheck = True
                self._candidates[known.key] = candidate
                self.visits.pop(known.key, None)
                due.append(candidate)
        return due

    def _ruled_out(self, candidate: Candidate) -> Refusal | None:
        source, url = self.source, candidate.url
        denied = next((rule for rule in source.deny if re.search(rule, url)), None)
        if denied is not None:
            return Refusal(State.SKIPPED_RULE, f"deny: {denied}")
        if source.allow and not any(re.search(rule, url) for rule in source.allow):
            return Refusal(State.SKIPPED_RULE, "no allow rule matches")
        if self._days:
            return self._out_of_days(candidate, self._days)
        oldest = self._started - timedelta(days=source.max_age_days)
        dated = candidate.dated
        if dated is not None and _before(dated, oldest):
            return Refusal(State.SKIPPED_OLD, f"dated {dated.isoformat()}")
        return None

    def _out_of_days(self, candidate: Candidate, days: Days) -> Refusal | None:
        via, home = candidate.discovered_via, url_key(self.source.homepage).rstrip("/")
        if via not in self._declared and not candidate.key.startswith(f"{home}/"):
            # Sites of one house share a robots.txt.
            return Refusal(State.SKIPPED_RULE, f"not below {self.source.homepage}")
        reason = outside(days, candidate.url, candidate.hints, via)
        return Refusal(State.SKIPPED_OLD, f"{reason}; asked for {days}") if reason else None

    def fetched(
        self,
        candidate: Candidate,
        url: str,
        wire: WireResponse,
        validators: Validators,
        statement: Statement | None = None,
    ) -> None:
        """An article page came from ``url``: it goes to WARC, unless its body is known.

        ``statement`` is what its site says may be done with it, where that was asked.
        """
        at = self.clock()
        known = candidate.known
        if known is not None and known.body_hash == validators.body_hash:
            self.unchanged(candidate, 200, validators)
            return
        said: dict[str, Any] = {
            "url": candidate.url,
            "discovered_via": candidate.discovered_via,
            "at": at.isoformat(),
            "hints": candidate.hints.to_json(),
            "rights": statement.to_json() if statement else {},
        }
        if wire.rendered:
            said["rendered"] = True
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
        self._gained += 1
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
            if not candidate.recheck:
                self._unsettled.add(candidate.key)
        elif not refusal.state.startswith("skipped"):
            self._gained += 1
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

    def over_limit(self, candidate: Candidate, detail: str) -> None:
        """An article whose turn does not come in this run, and why."""
        if candidate.recheck:
            self._leave(candidate)
            return
        self._unsettled.add(candidate.key)
        self._end(candidate, State.SKIPPED_LIMIT, detail=detail)

    def _leave(self, candidate: Candidate) -> None:
        """A recheck that is not made: only what a listing named has an end in this run."""
        if candidate.said:
            self._end(candidate, KNOWN)

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
            if candidate.key in self.visits:
                continue
            if candidate.recheck:
                self._leave(candidate)
            else:
                self._unsettled.add(candidate.key)
                detail = "the crawl was cut short before its turn"
                self._end(candidate, State.SKIPPED_LIMIT, detail=detail)
        for read in self._listings.values():
            known = self.state.listing(read.row.key)
            if not read.keys & self._unsettled:
                self.state.put(read.row)
                self._gained += self._is_done(read.row.key)
            elif known is not None and known.quiet:
                self.state.put(replace(known, quiet=0))  # it has something to be asked for

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
        self.state.drop_before(self._started - REMEMBERED)
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
            resting=self._resting,
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
            unfinished=reason is None and self._is_unfinished(outcomes.count(State.SKIPPED_LIMIT)),
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

    def _is_unfinished(self, left: int) -> bool:
        """Whether a backfill goes on: something is left, and more was settled than failed."""
        failed = len(self._unsettled) - left
        return bool(self._days and left + self.unread and self._gained > failed)

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


def _recheck_due(known: KnownUrl, now: datetime) -> bool:
    first, last = (datetime.fromisoformat(said) for said in (known.first_seen, known.fetched_at))
    return now >= last + max(FIRST_RECHECK, last - first)


def _fingerprint(source: Source, days: Days | None) -> str:
    """A mark of the rules under which a listing's entries were decided."""
    rules: list[Any] = [source.allow, source.deny, source.max_age_days, source.allow_private]
    rules += [str(days)] if days else []
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
