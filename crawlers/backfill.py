"""Which days a backfill is after, and what addresses and dates tell of the day of a page.

Archives are sitemaps by year, month, day or number; what they name is dated by them, by itself,
or not at all. What is of no day that can be told, a backfill leaves alone: else a single day's
would fetch a whole site.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

from crawlers.finding import Place, pointless
from processing.records import Hints

_SLACK = timedelta(days=1)  # a publisher's day is not that of UTC


@dataclass(frozen=True, slots=True)
class Days:
    """The days from ``first`` to ``last`` (UTC), both included."""

    first: date
    last: date

    def __contains__(self, moment: datetime | date) -> bool:
        return self.first <= day_of(moment) <= self.last

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"

    def meets(self, other: Days) -> bool:
        """Whether the two have a day in common."""
        return self.first <= other.last and other.first <= self.last


def day_of(moment: datetime | date) -> date:
    """The day (UTC) of a moment, or the day itself."""
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment


def archives(named: Iterable[tuple[str, datetime | date | None]], days: Days) -> list[str]:
    """The sitemaps of an index that may name pages of these days, the likeliest first.

    Each is given with the moment of its last change, where the index says so: numbered archives
    grow at their end, so the first that changed after ``days.first`` is the one that reaches it.
    """
    near = Days(days.first - _SLACK, days.last + _SLACK)
    kept = []
    for url, changed in named:
        own = days_of_archive(url)
        if own is not None and not own.meets(near):
            continue
        if changed is not None and day_of(changed) < near.first:
            continue
        if pointless(Place(url, "index")) is None:
            ends = own.last if own else day_of(changed) if changed else date.max
            kept.append((ends, url))
    kept.sort(key=lambda found: found[0])
    return [url for _, url in kept]


def outside(days: Days, url: str, said: Hints, listing: str) -> str | None:
    """Why a page is not of these days; None when it is, or was published in an archive of them.

    ``said`` is what ``listing`` and others said of it. A page that changed later may have been
    published before, so that date alone does not speak for it.
    """
    if said.published is not None:
        return None if said.published in days else f"dated {said.published.isoformat()}"
    own = days_of_page(url)
    if own is not None:
        return None if own.meets(days) else f"its address is of {own}"
    changed = said.modified
    if changed is not None and day_of(changed) <= days.last:
        return None if changed in days else f"last changed {changed.isoformat()}"
    archive = days_of_archive(listing)
    if archive is not None and archive.meets(days):
        return None
    return "nothing says of which day it is"


# --- addresses ------------------------------------------------------------------------------

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NUMBERS = {name[:3]: number for number, name in enumerate(_MONTHS, 1)}
_NAME = rf"(?P<name>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)})(?![a-z])"
_YEAR = r"(?<!\d)(?P<year>199\d|20\d\d)"
_DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])(?!\d)"
_OF_PAGES = tuple(
    map(
        re.compile,
        (
            rf"{_YEAR}(?P<by>[-/_.])(?P<month>0?[1-9]|1[0-2])(?P=by){_DAY}",
            rf"{_YEAR}(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])(?!\d)",
            rf"{_YEAR}(?P<by>[-/_.]){_NAME}(?P=by){_DAY}",
            rf"/{_YEAR}/(?P<month>0[1-9]|1[0-2])/",
        ),
    )
)
_OF_ARCHIVES = _OF_PAGES + tuple(
    map(
        re.compile,
        (
            rf"\by(?:yyy|ear)?={_YEAR}&m(?:m|onth)?=(?P<month>\d\d?)(?:&d(?:d|ay)?={_DAY})?",
            rf"{_YEAR}(?P<by>[-/_.])(?P<month>0?[1-9]|1[0-2])(?!\d)",
            rf"{_YEAR}(?P<month>0[1-9]|1[0-2])(?!\d)",
            rf"{_YEAR}[-/_.]{_NAME}",
            rf"(?<![a-z]){_NAME}[-/_.]{_YEAR}(?!\d)",
        ),
    )
)
_YEARS = re.compile(rf"{_YEAR}(?!\d)")


def days_of_page(url: str) -> Days | None:
    """The day that an article's address names, or the month of a folder; None: neither."""
    return _days(url, _OF_PAGES)


def days_of_archive(url: str) -> Days | None:
    """The day, month or years that a sitemap's address names; None: no such thing."""
    named = _days(url, _OF_ARCHIVES)
    if named is None:
        years = [int(found["year"]) for found in _YEARS.finditer(_told(url))]
        named = Days(date(min(years), 1, 1), date(max(years), 12, 31)) if years else None
    return named


def _days(url: str, forms: Iterable[re.Pattern[str]]) -> Days | None:
    text = _told(url)
    for form in forms:
        for found in form.finditer(text):
            said = found.groupdict()
            year = int(said["year"])
            month = _NUMBERS[said["name"][:3]] if said.get("name") else int(said["month"])
            try:
                if said.get("day"):
                    day = date(year, month, int(said["day"]))
                    return Days(day, day)
                return Days(date(year, month, 1), date(year, month, monthrange(year, month)[1]))
            except ValueError:  # the 31st of June is a number that means something else
                continue
    return None


def _told(url: str) -> str:
    parts = urlsplit(url.lower())
    return f"{parts.path}?{parts.query}"
