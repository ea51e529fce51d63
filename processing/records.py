"""The records that travel between the steps: what a listing hints, a page, an article, a visit.

Light on purpose (no Arrow, no lxml): the crawl, the DAG files and the readers all import it.
The columns are described in docs/data-format.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Self

TOPICS = (
    "arts-culture-entertainment-and-media",
    "conflict-war-and-peace",
    "crime-law-and-justice",
    "disaster-accident-and-emergency-incident",
    "economy-business-and-finance",
    "education",
    "environment",
    "health",
    "human-interest",
    "labour",
    "lifestyle-and-leisure",
    "politics",
    "religion",
    "science-and-technology",
    "society",
    "sport",
    "weather",
)
"""Top-level slugs of IPTC Media Topics (https://iptc.org/standards/media-topics/, CC-BY 4.0)."""

UNCLASSIFIED = "unclassified"
"""The partition of articles whose evidence for any topic is too thin."""


EARLIEST = date(1995, 1, 1)
"""No article was published on the web before."""


class State(StrEnum):
    """The one final state of a URL in a run; the coverage ledger's vocabulary."""

    PUBLISHED = "published"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DUPLICATE_EXACT = "duplicate-exact"
    DUPLICATE_NEAR = "duplicate-near"
    SKIPPED_ROBOTS = "skipped-robots"
    SKIPPED_RIGHTS = "skipped-rights"
    SKIPPED_RULE = "skipped-rule"
    SKIPPED_OLD = "skipped-old"
    SKIPPED_LIMIT = "skipped-limit"
    SKIPPED_UNSAFE = "skipped-unsafe"
    SKIPPED_UNAVAILABLE = "skipped-unavailable"
    FAILED_HTTP = "failed-http"
    FAILED_REDIRECT = "failed-redirect"
    FAILED_NETWORK = "failed-network"
    FAILED_TIMEOUT = "failed-timeout"
    FAILED_TOO_LARGE = "failed-too-large"
    REJECTED_NOT_HTML = "rejected-not-html"
    REJECTED_NOT_ARTICLE = "rejected-not-article"
    REJECTED_TOO_SHORT = "rejected-too-short"
    REJECTED_BLOCKED = "rejected-blocked"
    FAILED_EXTRACTION = "failed-extraction"
    FORGOTTEN = "forgotten"


FETCHED = "fetched"
"""Outcome of a visit whose page lies in the raw zone; extraction and publishing name its state."""

KNOWN = "known"
"""Outcome of a visit to a URL known from before and not asked again: counted, never a row."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the listing that named a page said about it.

    ``published`` and ``modified`` are aware datetimes, or dates where only the day is given;
    ``listing`` is the kind of listing that gave them: feed or sitemap.
    """

    title: str | None = None
    published: datetime | date | None = None
    modified: datetime | date | None = None
    section: str | None = None
    tags: tuple[str, ...] = ()
    listing: str | None = None

    @classmethod
    def of(cls, value: Hints | Mapping[str, Any] | None) -> Hints:
        """Hints from any mapping with these names; moments may be ISO 8601 strings.

        Raises ValueError on a moment that is not ISO 8601.
        """
        if isinstance(value, Hints):
            return value
        said = value or {}
        return cls(
            title=said.get("title") or None,
            published=_moment(said.get("published")),
            modified=_moment(said.get("modified")),
            section=said.get("section") or None,
            tags=tuple(said.get("tags") or ()),
            listing=said.get("listing") or None,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict without the empty fields; ``Hints.of`` reads it back."""
        said = {name: value for name, value in asdict(self).items() if value}
        for name in ("published", "modified"):
            if name in said:
                said[name] = said[name].isoformat()
        return said


def _moment(value: datetime | date | str | None) -> datetime | date | None:
    if not isinstance(value, str):
        return value
    if len(value) == len("2026-01-31"):
        return date.fromisoformat(value)
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """A fetched page, as extraction takes it.

    ``url`` is the address it was finally read from, ``body`` the decompressed bytes,
    ``fetched_at`` an aware datetime, ``headers`` the response's (looked up without regard to
    case), ``source`` the id of the source that led to it, ``hints`` what its listing said (a
    mapping of the same names will do), ``rights`` what its site said of the address when it was
    fetched (``processing.rights.Statement.to_json``).
    """

    url: str
    body: bytes
    fetched_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    source: str | None = None
    hints: Hints | Mapping[str, Any] | None = None
    rights: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hints", Hints.of(self.hints))
        lowered = {str(name).lower(): str(value) for name, value in self.headers.items()}
        object.__setattr__(self, "headers", lowered)


@dataclass(frozen=True, slots=True)
class Rights:
    """What the publisher lets us do: ``allowed``, ``denied`` or ``unknown``, each with evidence.

    ``licence`` is a licence's URL; ``evidence`` quotes what was read, as written.
    """

    robots: str | None = None
    tdm: str | None = None
    ai: str | None = None
    licence: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a page is not an article: its coverage state and one line of detail."""

    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class TopicScore:
    """A topic slug and how sure its classifier is, 0 to 1."""

    topic: str
    score: float


@dataclass(frozen=True, slots=True)
class WarcPointer:
    """Where one WARC record lies: object key, byte offset and length of its gzip member."""

    key: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Article:
    """One article, its attributes named as the dataset's columns.

    Extraction fills the first group; publishing decides the second with ``replace``. All
    moments are aware datetimes in UTC.
    """

    id: str
    url: str
    title: str
    text: str
    fetched_at: datetime
    first_seen_at: datetime
    content_hash: str
    word_count: int
    extractor: str
    canonical_url: str | None = None
    source: str | None = None
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None
    published_source: str = "first-seen"
    published_precision: str | None = None
    modified_at: datetime | None = None
    language: str | None = None
    section: str | None = None
    tags: tuple[str, ...] = ()
    summary: str | None = None
    image_url: str | None = None
    is_accessible_for_free: bool | None = None
    wire: str | None = None
    rights: Rights | None = None
    warc_key: str | None = None
    warc_offset: int | None = None
    warc_length: int | None = None

    topic: str = UNCLASSIFIED
    topic_score: float | None = None
    topic_method: str = "none"
    topics: tuple[TopicScore, ...] = ()
    cluster_id: str | None = None
    revision: int = 0
    run_id: str | None = None
    date: date | None = None

    def to_row(self) -> dict[str, Any]:
        """The article as a plain dict, nested records as dicts and tuples as lists."""
        # dataclasses.asdict copies every value deeply: half the time of a publish.
        row = {name: getattr(self, name) for name in _ARTICLE_FIELDS}
        row["authors"], row["tags"] = list(self.authors), list(self.tags)
        row["topics"] = [{"topic": said.topic, "score": said.score} for said in self.topics]
        row["rights"] = asdict(self.rights) if self.rights else None
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The article a row of any of the tables holds; columns that are not its own are left."""
        own = {name: row[name] for name in _ARTICLE_FIELDS if name in row}
        own["authors"] = tuple(own.get("authors") or ())
        own["tags"] = tuple(own.get("tags") or ())
        own["topics"] = tuple(TopicScore(**t) for t in own.get("topics") or ())
        if own.get("rights") is not None:
            own["rights"] = Rights(**own["rights"])
        return cls(**own)


_ARTICLE_FIELDS = tuple(f.name for f in fields(Article))


@dataclass(frozen=True, slots=True)
class Visit:
    """What a crawl did, or decided, about one URL it discovered: a line of its ledger.

    ``outcome`` is FETCHED (then ``warc`` says where the page lies), KNOWN, or a State.
    ``discovered_via`` is the listing's URL.
    """

    url: str
    outcome: str
    discovered_via: str
    at: datetime
    detail: str | None = None
    http_status: int | None = None
    warc: WarcPointer | None = None
    hints: Hints = Hints()

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; ``Visit.from_json`` reads it back."""
        said = asdict(self)
        said["at"] = self.at.isoformat()
        said["hints"] = self.hints.to_json()
        return said

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """The visit that ``to_json`` wrote."""
        visit = cls(**{**said, "hints": Hints.of(said["hints"])})
        return replace(
            visit,
            at=datetime.fromisoformat(said["at"]),
            warc=WarcPointer(**said["warc"]) if said["warc"] else None,
        )


def run_id_of(dag_id: str, airflow_run_id: str, run_after: datetime) -> str:
    """newslake's id of a run: ``YYYYMMDDTHHMMSSZ-`` and six hex digits.

    The moment is when the DAG run was due (``run_after``, aware), which Airflow keeps over
    retries, as it does both ids; so a retry has the same run_id.
    """
    moment = run_after.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    suffix = sha256(f"{dag_id}\n{airflow_run_id}".encode()).hexdigest()[:6]
    return f"{moment}-{suffix}"


def run_day(run_id: str) -> date:
    """The UTC day of a run, from its id."""
    return datetime.strptime(run_id[:8], "%Y%m%d").date()
