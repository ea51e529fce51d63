"""The dates that listings state, in the forms that strangers give them.

Read by rules alone: no clock, no guess at which of two numbers is the month.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

from processing.records import EARLIEST

# English, German, French, Spanish, Italian, Portuguese, Dutch, Danish and Swedish months by the
# first letters that tell them apart.
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan jän ene gen",
            "feb fév fev",
            "mar mär mrz maa mrt",
            "apr avr abr",
            "may mai mag mei maj",
            "jun juin giu",
            "jul juil lug",
            "aug aoû aou ago",
            "sep set",
            "oct okt ott out",
            "nov",
            "dec dez déc dic des",
        ),
        start=1,
    )
    for name in names.split()
}
# Hours from UTC: RFC 822's names and those that feeds use beside them.
_ZONES = {
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "AKST": -9, "AKDT": -8, "HST": -10, "BRT": -3, "ART": -3, "WEST": 1, "BST": 1, "CET": 1,
    "MEZ": 1, "CEST": 2, "MESZ": 2, "SAST": 2, "EET": 2, "EEST": 3, "MSK": 3, "IST": 5.5,
    "PKT": 5, "WIB": 7, "ICT": 7, "SGT": 8, "HKT": 8, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11,
    "NZST": 12, "NZDT": 13,
}  # fmt: skip

_WORD = r"(?P<name>[^\W\d_]{3,})\.?"
_DAY = r"(?<![\d:])(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.|º)?"
_YEAR = r"(?P<year>\d{4})(?!\d)"
_DATES = tuple(
    re.compile(form)
    for form in (
        rf"{_DAY}[\s-]*(?:de\s+)?{_WORD}[\s,-]*(?:de\s+)?(?P<year>\d{{4}}|\d\d)(?![\d:])",
        r"(?<!\d)(?P<year>\d{4})(?P<by>[-/.])(?P<month>\d{1,2})(?P=by)(?P<day>\d{1,2})(?!\d)",
        r"^(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?=T|$)",
        rf"{_WORD}\s+{_DAY},?\s+{_YEAR}",
        rf"{_WORD}\s+{_DAY}\s+(?=\d\d?:.*\s{_YEAR}$)",
        rf"(?<!\d)(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.{_YEAR}",
        rf"(?<!\d)(?P<day>1[3-9]|2\d|3[01])/(?P<month>\d{{1,2}})/{_YEAR}",
        rf"(?<!\d)(?P<month>\d{{1,2}})/(?P<day>1[3-9]|2\d|3[01])/{_YEAR}",
    )
)
_CLOCK = re.compile(
    r"(?<!\d)(?P<hour>\d\d?):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<part>\d+))?)?"
    r"(?:\s*(?P<half>[AP])\.?M\b\.?)?",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d\d?)(?::?(?P<minutes>\d\d))?")
_NAME = re.compile(r"[A-Za-z]{3,4}")
_EPOCH = re.compile(r"(?P<seconds>1\d{9})(?:\d{3})?")
_LONGEST = 80


def read_moment(text: str) -> datetime | date | None:
    """An aware datetime in UTC, a date where no time is given, or None for anything else.

    Reads ISO 8601 and RFC 822/2822 dates as they should be and as they often are: other
    separators, names of months in other languages, of zones, no seconds, seconds since 1970.
    What has no zone is taken for UTC; 03/04/2026 may be two days and is none, nor is what lies
    before the web.
    """
    text = text.strip()
    try:
        moment = _from_iso(text) or (_from_free(text) if len(text) <= _LONGEST else None)
    except (ValueError, OverflowError):
        return None
    # Software that knows no date says the year 1 or 1970, and nothing is as old as that.
    return moment if moment and moment.year >= EARLIEST.year else None


def _from_iso(text: str) -> datetime | date | None:
    """The forms that most listings keep to, quickly."""
    if text[4:5] != "-" or len(text) not in (10, 19, 20, 24, 25, 29, 32):
        return None
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _from_free(text: str) -> datetime | date | None:
    epoch = _EPOCH.fullmatch(text)
    if epoch:
        return datetime.fromtimestamp(int(epoch["seconds"]), UTC)
    stated = next((found for form in _DATES if (found := form.search(text))), None)
    day = stated and _day(stated.groupdict())
    if not stated or not day:
        return None
    rest = text[stated.end() :]
    clock = _CLOCK.search(rest)
    if not clock:
        return day
    hour = int(clock["hour"])
    if clock["half"]:
        hour = hour % 12 + (12 if clock["half"] in "pP" else 0)
    moment = datetime.combine(
        day + timedelta(days=hour == 24),
        time(
            0 if hour == 24 else hour,
            int(clock["minute"]),
            min(int(clock["second"] or 0), 59),  # a leap second has no place in a datetime
            int((clock["part"] or "0")[:6].ljust(6, "0")),
        ),
        _zone(rest[clock.end() :]),
    )
    return moment.astimezone(UTC)


def _day(said: dict[str, str | None]) -> date | None:
    year, name = int(said["year"] or 0), said.get("name")
    if len(said["year"] or "") == 2:
        year += 2000 if year < 50 else 1900  # RFC 2822, 4.3
    month = _month(name) if name else int(said["month"] or 0)
    return date(year, month, int(said["day"] or 0)) if month else None


def _month(name: str) -> int | None:
    name = name.lower()
    return _MONTHS.get(name[:4]) or _MONTHS.get(name[:3])


def _zone(said: str) -> timezone:
    offset = _OFFSET.search(said)
    if offset:
        away = timedelta(hours=int(offset["hours"]), minutes=int(offset["minutes"] or 0))
        return timezone(away if offset["sign"] == "+" else -away)
    name = _NAME.search(said)
    return timezone(timedelta(hours=_ZONES.get(name[0].upper(), 0) if name else 0))
