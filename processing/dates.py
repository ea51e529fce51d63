"""When an article was published and changed, and who says so.

htmldate judges the day: on labelled pages it is right more often than "JSON-LD first". The
page's machine-readable moments and the listing's hints then give that day its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from email.utils import parsedate_to_datetime

from htmldate import find_date
from lxml.html import HtmlElement

from processing.metadata import PageMetadata
from processing.records import EARLIEST, Hints

FIRST_SEEN = "first-seen"
_LISTINGS = ("feed", "sitemap")
_AHEAD = timedelta(days=1)  # clocks and time zones; what lies further ahead is no publication
_ISO = re.compile(
    r"\s*(?P<year>\d{4})[-/.]?(?P<month>\d{2})[-/.]?(?P<day>\d{2})"
    r"(?:[T\s]\s*(?P<hour>\d{1,2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?(?![\d:])",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"\s*(\d{10})(?:\d{3})?\s*")
_URL_DAY = re.compile(
    r"(?<![\d])(?P<year>(?:19|20)\d{2})([/_.-]?)(?P<month>0?[1-9]|1[0-2])\2(?P<day>[12]\d|3[01]|0?[1-9])(?![\d])"
)
_META_PUBLISHED = (
    "article:published_time",
    "article:published",
    "og:article:published_time",
    "og:published_time",
    "datepublished",
    "parsely-pub-date",
    "sailthru.date",
    "pubdate",
    "publishdate",
    "publish-date",
    "publish_date",
    "published_time",
    "published-date",
    "publication_date",
    "cxenseparse:recs:publishtime",
    "cxenseparse:publishtime",
    "dcterms.created",
    "dcterms.date",
    "dc.date.issued",
    "dc.date",
    "dc.created",
    "last-published",
    "date",
)
_META_MODIFIED = (
    "article:modified_time",
    "article:modified",
    "og:article:modified_time",
    "og:updated_time",
    "datemodified",
    "dcterms.modified",
    "dc.date.modified",
    "last-modified",
    "lastmod",
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment as somebody stated it.

    ``when`` is in UTC, ``day`` the calendar day as written there (which may be another one),
    ``precision`` is second, minute or day; ``zoned`` is whether a time zone was stated.
    """

    when: datetime
    day: date
    precision: str
    zoned: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class Dating:
    """The dates of an article: columns ``published_*`` and ``modified_at``."""

    published_at: datetime | None = None
    published_source: str = FIRST_SEEN
    published_precision: str | None = None
    modified_at: datetime | None = None


def date_article(
    tree: HtmlElement, said: PageMetadata, hints: Hints, fetched_at: datetime
) -> Dating:
    """The article's dates from all that was stated about them, as of ``fetched_at``.

    Does not change the tree.
    """
    stated = [moment for moment in _published(said, hints) if _plausible(moment.when, fetched_at)]
    published = _choose(stated, tree, said.url, fetched_at)
    modified = next(
        (
            moment.when
            for moment in _modified(said, hints)
            if _plausible(moment.when, fetched_at)
            and (not published or moment.when > published.when)
        ),
        None,
    )
    if not published:
        return Dating(modified_at=modified)
    return Dating(published.when, published.source, published.precision, modified)


def read_moment(text: object) -> Moment | None:
    """The moment a machine-readable date states: ISO 8601 and its kin, RFC 2822, Unix time.

    Without a time zone it is taken as UTC. None for anything else.
    """
    if isinstance(text, int | float):
        text = str(int(text)) if abs(text) < 1e15 else ""
    if not isinstance(text, str):
        return None
    try:
        epoch = _EPOCH.fullmatch(text)
        if epoch:
            when = datetime.fromtimestamp(int(epoch[1]), UTC)
            return Moment(when, when.date(), "second", zoned=True)
        iso = _ISO.match(text)
        return _from_iso(iso) if iso else _from_mail(text)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def day_in_url(url: str) -> date | None:
    """The day in a URL's path, as ``/2026/01/31/`` or ``-20260131``."""
    for match in _URL_DAY.finditer(url.partition("?")[0]):
        try:
            return date(int(match["year"]), int(match["month"]), int(match["day"]))
        except ValueError:
            continue
    return None


def _from_iso(iso: re.Match[str]) -> Moment:
    day = date(int(iso["year"]), int(iso["month"]), int(iso["day"]))
    if not iso["hour"]:
        return _whole_day(day)
    clock = time(int(iso["hour"]) % 24, int(iso["minute"]), int(iso["second"] or 0))
    when = datetime.combine(day, clock, _zone(iso["zone"])).astimezone(UTC)
    precision = "second" if iso["second"] else "minute"
    return Moment(when, day, precision, zoned=bool(iso["zone"]))


def _from_mail(text: str) -> Moment | None:
    stated = parsedate_to_datetime(text)
    when = stated.replace(tzinfo=stated.tzinfo or UTC).astimezone(UTC)
    return Moment(when, stated.date(), "second", zoned=stated.tzinfo is not None)


def _zone(text: str | None) -> timezone:
    if not text or text[0] not in "+-":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[3:].lstrip(":") or 0)
    return timezone(timedelta(minutes=minutes if text[0] == "+" else -minutes))


def _whole_day(day: date) -> Moment:
    return Moment(datetime.combine(day, time(), UTC), day, "day", zoned=False)


def _from_hint(hint: datetime | date | None) -> Moment | None:
    if isinstance(hint, datetime):
        return Moment(hint.astimezone(UTC), hint.date(), "second", zoned=True)
    return _whole_day(hint) if hint else None


def _published(said: PageMetadata, hints: Hints) -> Iterator[Moment]:
    """What was stated, most trusted first."""
    for name in ("datePublished", "dateCreated"):
        yield from _labelled(read_moment(said.article.get(name)), "json-ld")
    for name in _META_PUBLISHED:
        yield from _labelled(read_moment(said.meta.get(name)), "meta")
    yield from _labelled(_from_hint(hints.published), _listing(hints))


def _listing(hints: Hints) -> str:
    return hints.listing if hints.listing in _LISTINGS else "feed"


def _modified(said: PageMetadata, hints: Hints) -> Iterator[Moment]:
    yield from _labelled(read_moment(said.article.get("dateModified")), "json-ld")
    for name in _META_MODIFIED:
        yield from _labelled(read_moment(said.meta.get(name)), "meta")
    yield from _labelled(_from_hint(hints.modified), _listing(hints))


def _labelled(moment: Moment | None, source: str) -> Iterator[Moment]:
    if moment:
        yield replace(moment, source=source)


def _plausible(when: datetime, fetched_at: datetime) -> bool:
    return when.date() >= EARLIEST and when <= fetched_at + _AHEAD


def _choose(
    stated: list[Moment], tree: HtmlElement, url: str, fetched_at: datetime
) -> Moment | None:
    in_url = day_in_url(url)
    if stated and stated[0].source in _LISTINGS and not in_url:
        # The page's markup says nothing; the listing knows better than a date in its text.
        return stated[0]
    judged = _judge(tree, url, fetched_at)
    if judged is None:
        return stated[0] if stated else None
    agreeing = [moment for moment in stated if moment.day == judged] or [
        # A URL carries the newsroom's own day, which is off by one from another zone's.
        moment
        for moment in stated
        if judged == in_url and abs(moment.day - judged) <= timedelta(days=1)
    ]
    if agreeing:
        return next((m for m in agreeing if m.precision != "day"), agreeing[0])
    return replace(_whole_day(judged), source="url" if judged == in_url else "html")


def _judge(tree: HtmlElement, url: str, fetched_at: datetime) -> date | None:
    try:
        found = find_date(
            tree,
            url=url,
            original_date=True,
            min_date=EARLIEST.isoformat(),
            max_date=(fetched_at + _AHEAD).date().isoformat(),
        )
    except Exception:  # htmldate on damaged markup: whatever it raises, it has no opinion
        return None
    return date.fromisoformat(found) if found else None
