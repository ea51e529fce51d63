"""The moments and days that pages, listings and addresses state, in the forms strangers give them.

Read by rules alone: no clock, no guess at which of two numbers is the month unless told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

# English, German, French, Spanish, Italian, Portuguese, Dutch, Danish, Norwegian and Swedish.
_NAMES = (
    "january januar jänner janvier enero gennaio janeiro januari",
    "february februar feber février fevrier febrero febbraio fevereiro februari",
    "march märz maerz mrz mars marzo março maart mrt marts",
    "april avril abril aprile",
    "may mai mayo maggio maio mei maj",
    "june juni juin junio giugno junho",
    "july juli juillet julio luglio julho",
    "august août aout agosto augustus augusti",
    "september septembre septiembre settembre setembro",
    "october oktober octobre octubre ottobre outubro",
    "november novembre noviembre novembro",
    "december dezember décembre decembre diciembre dicembre dezembro desember",
)
_MONTHS = {
    name[:length]: number
    for number, names in enumerate(_NAMES, start=1)
    for name in names.split()
    for length in range(3, len(name) + 1)
    if name[:length] != "jui"  # juin or juillet
}
# Hours from UTC: RFC 822's names and those that publishers use beside them.
_ZONES = {
    "Z": 0, "UT": 0, "UTC": 0, "GMT": 0, "WET": 0,
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "AKST": -9, "AKDT": -8, "HST": -10, "BRT": -3, "ART": -3, "WEST": 1, "BST": 1, "CET": 1,
    "MEZ": 1, "CEST": 2, "MESZ": 2, "SAST": 2, "EET": 2, "EEST": 3, "MSK": 3, "IST": 5.5,
    "PKT": 5, "WIB": 7, "ICT": 7, "SGT": 8, "HKT": 8, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11,
    "NZST": 12, "NZDT": 13,
}  # fmt: skip

_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?<![\d:./-])(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.|º|ª)?"
_NAME = r"(?P<name>[^\W\d_]{3,12})\.?"
_DAYS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?<![\d/.-]){_YEAR}(?P<by>[-/.])(?P<month>\d{{1,2}})(?P=by)(?P<day>\d{{1,2}})(?!\d)",
        rf"(?<!\d){_YEAR}\s?[年년]\s?(?P<month>\d{{1,2}})\s?[月월]\s?(?P<day>\d{{1,2}})(?!\d)",
        rf"{_DAY}[\s-]*(?:(?:of|de)\s+)?{_NAME}[\s,-]*(?:del?\s+)?{_YEAR}(?!\d)",
        rf"{_DAY}[\s-]*{_NAME}[\s-]*(?P<year>\d\d)(?=\s+\d\d?:)",
        rf"{_NAME}\s+{_DAY},?\s+{_YEAR}(?![\d:])",
        rf"{_NAME}\s+{_DAY}\s+(?=[\d:]+\s(?:\S+\s)?{_YEAR})",
        r"(?<![\w/.-])(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4}|\d\d)(?![\d.])",
        rf"(?<![\d/.-])(?P<one>\d{{1,2}})(?P<by>[/-])(?P<two>\d{{1,2}})(?P=by){_YEAR}(?!\d)",
    )
)
_COMPACT = re.compile(rf"{_YEAR}(?P<month>\d\d)(?P<day>\d\d)(?=T|\s|$|\d{{4}}(?:\d\d)?$)")
_CLOCK = re.compile(
    r"(?:\D{0,12}(?<!\d)(?P<hour>\d\d?)[:h時]|T?(?P<hour_>\d\d))(?P<minute>\d\d)分?"
    r"(?::?(?P<second>\d\d)(?:[.,]\d+)?)?(?!\d)(?:\s*(?P<half>[AP])\.?\s?M\b\.?)?",
    re.IGNORECASE,
)
_ZONE = re.compile(
    r"\s*\(?(?:(?:GMT|UTC)?(?P<sign>[+-])(?P<hours>\d\d?)(?::?(?P<minutes>\d\d))?(?!\d)"
    r"|(?P<name>z|[A-Z]{1,4})\b)"
)
_EPOCH = re.compile(r"(?:/Date\()?(?P<seconds>\d{10})(?:\d{3})?(?:\)/)?")
_IN_URL = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?:"
    r"(?P<by>[/_.-])(?P<month>\d{1,2}|[a-z]{3})(?P=by)(?P<day>\d\d|\d(?=/|$))"
    r"|/?(?P<month_>\d\d)(?P<day_>\d\d))(?!\d)"
)
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment as somebody stated it.

    ``when`` is in UTC, ``day`` the calendar day as written there (which may be another one),
    ``precision`` is second, minute or day; ``zoned`` is whether a time zone was stated;
    ``source`` is who stated it, as in the column ``published_source``.
    """

    when: datetime
    day: date
    precision: str
    zoned: bool
    source: str = ""

    @classmethod
    def of_day(cls, day: date, source: str = "") -> Moment:
        """A day without a time: its midnight in UTC stands for it."""
        return cls(datetime.combine(day, time(), UTC), day, "day", zoned=False, source=source)

    @classmethod
    def of_time(cls, stated: datetime, precision: str = "second", source: str = "") -> Moment:
        """A time as stated, with its zone or without one; then it is taken as UTC.

        Midnight to the second is what software writes that knows the day alone.
        """
        if stated.time() == time():
            return cls.of_day(stated.date(), source)
        when = stated.replace(microsecond=0, tzinfo=stated.tzinfo or UTC).astimezone(UTC)
        return cls(when, stated.date(), precision, stated.tzinfo is not None, source)


def read_moment(value: object) -> Moment | None:
    """The moment that a machine-readable value states, or None for anything else.

    Reads ISO 8601, RFC 2822 and Unix time as they should be and as they often are: other
    separators, names of months in other languages, AM and PM, names of zones. 03/04/2026 may be
    two days and is none.
    """
    if isinstance(value, int | float) and abs(value) < 1e15:
        value = str(int(value))
    if not isinstance(value, str):
        return None
    text = value.strip()[:_LONGEST]
    try:
        epoch = _EPOCH.fullmatch(text)
        if epoch:
            return Moment.of_time(datetime.fromtimestamp(int(epoch["seconds"]), UTC))
        compact = _COMPACT.match(text)
        stated = (_date(compact), compact) if compact else next(_days(text, None), None)
        return _timed(stated[0], text[stated[1].end() :]) if stated else None
    except (ValueError, OverflowError):
        return None


def find_day(text: str, *, month_first: bool = False) -> tuple[date, int] | None:
    """The first day written in a text and where it begins.

    ``month_first`` is how 03/04/2026 is read, where the numbers leave it open.
    """
    found = [(day, match.start()) for day, match in _days(text, month_first)]
    return min(found, key=lambda day_at: day_at[1], default=None)


def day_in_url(url: str) -> date | None:
    """The day in a URL's path, as ``/2026/01/31/`` or ``-20260131``."""
    for match in _IN_URL.finditer(url.partition("?")[0]):
        try:
            month = match["month"] or match["month_"]
            return date(
                int(match["year"]),
                int(month) if month.isdecimal() else _MONTHS.get(month, 0),
                int(match["day"] or match["day_"]),
            )
        except ValueError:
            continue
    return None


def _days(text: str, month_first: bool | None) -> Iterator[tuple[date, re.Match[str]]]:
    """The days that the forms find, each form's first; one that may be two if told how."""
    for form in _DAYS:
        for match in form.finditer(text):
            try:
                day = _date(match, month_first)
            except ValueError:
                continue
            if day:
                yield day, match
                break


def _date(match: re.Match[str], month_first: bool | None = None) -> date | None:
    """The day of a match; None when its name is no month or its order is open."""
    said = match.groupdict()
    year = int(said["year"])
    if year < 100:
        year += 2000 if year < 50 else 1900  # RFC 2822, 4.3
    if "one" in said:
        one, two = int(said["one"]), int(said["two"])
        if month_first is None and one != two and max(one, two) <= 12:
            return None
        month_leads = two > 12 or (bool(month_first) and one <= 12)
        return date(year, *((one, two) if month_leads else (two, one)))
    month = _MONTHS.get(said["name"].lower()) if said.get("name") else int(said["month"])
    return date(year, month, int(said["day"])) if month else None


def _timed(day: date | None, rest: str) -> Moment | None:
    """The moment of a day and of the clock that follows it, if one does."""
    if not day:
        return None
    clock = _CLOCK.match(rest)
    if not clock:
        return Moment.of_day(day)
    hour = int(clock["hour"] or clock["hour_"])
    if clock["half"]:
        hour = hour % 12 + (12 if clock["half"] in "pP" else 0)
    at = time(
        0 if hour == 24 else hour,
        int(clock["minute"]),
        min(int(clock["second"] or 0), 59),  # a leap second has no place in a datetime
    )
    stated = datetime.combine(day + timedelta(days=hour == 24), at, _zone(rest[clock.end() :]))
    return Moment.of_time(stated, "second" if clock["second"] else "minute")


def _zone(said: str) -> timezone | None:
    """The zone named at the beginning of a text."""
    match = _ZONE.match(said)
    if not match:
        return None
    if match["sign"]:
        away = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"] or 0))
        return timezone(away if match["sign"] == "+" else -away)
    hours = _ZONES.get(match["name"].upper())
    return None if hours is None else timezone(timedelta(hours=hours))
