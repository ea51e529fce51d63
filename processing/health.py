"""Whether a source is well: what a day brought of it, held against what is usual for it.

Pure statistics over counts of the coverage ledger and of the articles. A source is held against
itself alone: a day against the same weekday of the four weeks before, or, where the source is too
small for that, a week against the three before. Of four days the second least (or most) bounds
what is usual: one bad day in the history changes nothing, and what has gone on for two weeks is
the usual.

An alarm takes three things at once: the difference is large; counting alone gives it once in
22,000 times at the most; and it is far more than this source varies from week to week.
tests/processing/test_health.py measures on made-up sources how seldom chance raises one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from math import log
from statistics import median
from typing import Any

from processing.records import State

HISTORY = timedelta(days=28)
"""How far back a day is compared: every weekday comes four times, and growth is followed."""

SAMPLE = 30
"""Texts of a source's day that are looked through for repeated paragraphs."""

REFUSING = (401, 403, 429, 451)
"""HTTP statuses by which a site turns us away, whatever page is asked for."""

_LEAST = 10
"""Pages below which nothing is told; a source that brings fewer a day is judged by weeks."""
_LEAST_DAYS = 7  # fewer have not shown every weekday
_LEAST_ALIKE = 3  # of the four same weekdays

_COLLAPSED = 0.3  # of the usual, as in the gate
_BURST = 3.0  # times the usual; a night of elections brings twice
_RISEN = 0.25  # of all pages, more than usual
_REPEATED = 0.1  # of the text, more than usual; an agency's or author's line is a hundredth

_RARE = 10.0
"""Counting alone gives a figure at most once in e^10 (22,000) times, by Chernoff's bound of the
tail of the Poisson or binomial distribution. So none where 10 are usual is just rare enough."""
_SELDOM = 3.0  # the same, once in 20 times
_DEVIATIONS = 5.0  # standard deviations from week to week, which 28 days tell but roughly
_QUARTILE = 0.75
_NORMAL = 1.07  # upper quartile of the distances from the median of four -> standard deviation

_DAY = timedelta(days=1)
_WEEK = 7


class Kind(StrEnum):
    """What an alarm says of a source."""

    GONE_DARK = "gone-dark"
    VOLUME_COLLAPSE = "volume-collapse"
    VOLUME_BURST = "volume-burst"
    STALE_LISTING = "stale-listing"
    BLOCKED = "blocked"
    FAILING = "failing"
    LOW_YIELD = "low-yield"
    MISSING_DATES = "missing-dates"
    MISSING_AUTHORS = "missing-authors"
    REPEATED_TEXT = "repeated-text"
    ROBOTS_CHANGED = "robots-changed"
    RIGHTS_CHANGED = "rights-changed"


@dataclass(slots=True)
class Tally:
    """What a day, or several, brought of one source.

    ``counts``: of URLs, ``wanted`` (a page was asked for, or would have been), ``pages``
    (answered with one for the first time), ``read`` (those but for bot checks), ``lost`` (read
    and no article), ``blocked``, ``failing``, ``robots`` and ``rights`` (closed to us by these);
    of articles by their date, ``articles``, ``undated``, ``unsigned`` (without authors), ``told``
    (their rights were read) and ``reserved`` (from text mining or AI). ``listings``: pages by the
    listing that named them.
    """

    counts: Counter[str] = field(default_factory=Counter)
    listings: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Runs:
    """How a source's crawls of a day went: done well, due by its schedule, why others failed."""

    done: int = 1
    due: int = 0
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that is not as usual.

    ``figure`` and ``usual`` are numbers of pages, or shares from 0 to 1; ``usual`` is None where
    the source has no history. ``days`` is 1, or 7 of a small source. What can be looked at is
    either ``part``, the part of the tally that is unusual, or ``listing``, its address.
    """

    kind: Kind
    figure: float
    usual: float | None
    detail: str
    days: int = 1
    part: str | None = None
    listing: str | None = None


_PAGE = ("wanted", "pages", "read")
_COUNTED: Mapping[State, tuple[str, ...]] = {
    State.PUBLISHED: _PAGE,
    State.DUPLICATE_EXACT: _PAGE,
    State.DUPLICATE_NEAR: _PAGE,
    State.REJECTED_NOT_HTML: (*_PAGE, "lost"),
    State.REJECTED_NOT_ARTICLE: (*_PAGE, "lost"),
    State.REJECTED_TOO_SHORT: (*_PAGE, "lost"),
    State.FAILED_EXTRACTION: (*_PAGE, "lost"),
    State.REJECTED_BLOCKED: ("wanted", "pages", "blocked"),
    State.FAILED_HTTP: ("wanted", "failing"),
    State.FAILED_REDIRECT: ("wanted", "failing"),
    State.FAILED_NETWORK: ("wanted", "failing"),
    State.FAILED_TIMEOUT: ("wanted", "failing"),
    State.FAILED_TOO_LARGE: ("wanted", "failing"),
    State.SKIPPED_UNAVAILABLE: ("wanted", "failing"),
    State.SKIPPED_ROBOTS: ("wanted", "robots"),
    State.SKIPPED_RIGHTS: ("wanted", "rights"),
}
_REFUSED = ("wanted", "blocked")

STATES = {
    part: tuple(state for state, counts in _COUNTED.items() if part in counts)
    for part in ("wanted", "pages", "lost", "failing", "robots", "rights")
} | {"blocked": (State.REJECTED_BLOCKED, State.FAILED_HTTP)}
"""The states of a URL that count for each part of a tally; ``failed-http`` is blocked with a
REFUSING status, else failing. Pages asked again, and URLs that the operator rules out, count for
none."""


@dataclass(frozen=True, slots=True)
class _Share:
    """A part of a tally that must not become a greater share of the whole than is usual."""

    kind: Kind
    part: str
    whole: str
    said: str


_SHARES = (
    _Share(Kind.BLOCKED, "blocked", "wanted", "URLs were refused, or gave a bot check or wall"),
    _Share(Kind.FAILING, "failing", "wanted", "URLs failed"),
    _Share(Kind.ROBOTS_CHANGED, "robots", "wanted", "URLs are closed to us by robots.txt"),
    _Share(Kind.RIGHTS_CHANGED, "rights", "wanted", "URLs are reserved, as the source honours"),
    _Share(Kind.RIGHTS_CHANGED, "reserved", "told", "articles are reserved from mining or AI"),
    _Share(Kind.LOW_YIELD, "lost", "read", "pages were no article"),
    _Share(Kind.MISSING_DATES, "undated", "articles", "articles have no date"),
    _Share(Kind.MISSING_AUTHORS, "unsigned", "articles", "articles name no author"),
)
_REFUSALS = {Kind.BLOCKED, Kind.FAILING, Kind.ROBOTS_CHANGED, Kind.RIGHTS_CHANGED}
"""What says why few pages came, so that they are not told of besides."""


def tallies(
    urls: Iterable[Mapping[str, Any]], articles: Iterable[Mapping[str, Any]]
) -> dict[str, dict[date, Tally]]:
    """Source -> day -> its tally.

    ``urls`` are counts by ``date``, ``source``, ``listing``, ``state`` and ``refused`` (its HTTP
    status is in REFUSING): ``urls`` of each, every URL counted once a day. ``articles`` are the
    counts of articles by ``date`` and ``source`` that a Tally names.
    """
    found: dict[str, dict[date, Tally]] = defaultdict(lambda: defaultdict(Tally))
    for row in urls:
        tally = found[row["source"]][row["date"]]
        refused = row["refused"] and row["state"] == State.FAILED_HTTP
        parts = _REFUSED if refused else _COUNTED[State(row["state"])]
        tally.counts.update(dict.fromkeys(parts, row["urls"]))
        if "pages" in parts:
            tally.listings[row["listing"]] += row["urls"]
    for row in articles:
        counts = found[row["source"]][row["date"]].counts
        for part in ("articles", "undated", "unsigned", "told", "reserved"):
            counts[part] += row[part]
    return {source: dict(days) for source, days in found.items()}


def judge(history: Mapping[date, Tally], day: date, runs: Runs, *, over: bool) -> list[Signal]:
    """What is not as usual with one source on one day.

    ``history`` are its tallies up to that day, HISTORY before it and more; a day without one
    brought nothing. ``runs`` are the day's crawls of it. That too little came is told only when
    the day is ``over``, and half of the due crawls were done: else that is no fault of the
    source's.
    """
    compared = _compared(history, day)
    now = history.get(day, Tally())
    if over and runs.failures and not (runs.done or now.counts["pages"]):
        return [_unreadable(runs, compared)]
    if compared is None:
        return []
    found: dict[Kind, Signal] = {}
    for share in _SHARES:
        signal = _risen(share, compared)
        if signal:
            found.setdefault(share.kind, signal)
    signals = list(found.values())
    if over and 2 * runs.done >= runs.due and not found.keys() & _REFUSALS:
        signals += _too_few(compared, day)
    # After an outage of ours more than a day's news comes at once.
    before = history.get(day - _DAY)
    if compared.days > 1 or (before and before.counts["pages"]):
        signals += _burst(compared, day)
    return signals


def repeated_shares(texts: Sequence[str]) -> list[float]:
    """The share of each text, by characters, in paragraphs that many of the texts have.

    Many are a fifth of them, three at least: two reports of one event share a paragraph, too.
    """
    paragraphs = [set(text.split("\n")) for text in texts]
    seen = Counter(line for lines in paragraphs for line in lines)
    many = max(3, len(texts) / 5)
    return [
        sum(len(line) for line in lines if seen[line] >= many) / max(1, sum(map(len, lines)))
        for lines in paragraphs
    ]


def judge_repeated(now: Sequence[float], before: Sequence[Sequence[float]]) -> Signal | None:
    """Whether more of a source's texts is the same than usual.

    ``now`` and ``before`` are what ``repeated_shares`` gives for a day and for each of some days
    before it.
    """
    usual = [_mean(shares) for shares in before if len(shares) >= _LEAST]
    if len(now) < _LEAST or len(usual) < _LEAST_ALIKE:
        return None
    figure, middle = _mean(now), median(usual)
    if figure < max(middle + _REPEATED, 2 * middle):
        return None
    detail = (
        f"{figure:.0%} of the text stands in paragraphs that several articles have;"
        f" {middle:.0%} is usual"
    )
    return Signal(Kind.REPEATED_TEXT, figure, middle, detail)


def may_be_repeated(now: Sequence[float]) -> bool:
    """Whether ``judge_repeated`` could tell anything, whatever came before."""
    return len(now) >= _LEAST and _mean(now) >= _REPEATED


# --- what a day is held against -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Compared:
    """A window of ``days`` days, and windows before it that are like it.

    ``groups`` hold the windows before by what they have in common, weekday by weekday; the first
    is ``alike``: the windows like this one. ``few`` where these are not four days of one weekday:
    then the least and the most of them bound what is usual.
    """

    days: int
    now: Tally
    groups: list[list[Tally]]
    few: bool = False

    @property
    def alike(self) -> list[Tally]:
        return self.groups[0]

    def usual(self, part: str) -> float:
        return median(tally.counts[part] for tally in self.alike)

    def bounds(self, values: Iterable[float]) -> tuple[float, float]:
        """Between what the values of windows alike usually lie."""
        ranked = sorted(values)
        second = 0 if self.few or len(ranked) < 3 else 1
        return ranked[second], ranked[-1 - second]

    def listing(self) -> str | None:
        """The listing that usually names most."""
        named = _total(self.alike).listings
        return max(sorted(named), key=named.__getitem__, default=None)

    def deviation(self, measure: Callable[[Tally], float | None]) -> float:
        """How much the windows before vary within their groups; None measures nothing."""
        apart: list[float] = []
        for group in self.groups:
            values = [value for value in map(measure, group) if value is not None]
            if values:
                middle = median(values)
                apart += [abs(value - middle) for value in values]
        # The upper quartile: half of the values next to a median of four are no distance at all.
        return _NORMAL * sorted(apart)[int(_QUARTILE * (len(apart) - 1))] if apart else 0.0


def _compared(history: Mapping[date, Tally], day: date) -> _Compared | None:
    """What the day is held against; None when the source is too new."""
    crawled = [known for known, tally in history.items() if tally.counts["wanted"]]
    if not crawled:
        return None
    # Its first day brought the backlog of days before; of an older source that is out of sight.
    first = min(crawled)
    begun = first + _DAY if first > day - HISTORY else first

    def window(before: int, days: int = 1) -> Tally:
        return _total(history.get(day - _DAY * (before + n), Tally()) for n in range(days))

    def windows(before: Iterable[int], days: int = 1) -> list[Tally]:
        """Windows that end so many days before, as far as the source goes back."""
        return [window(n, days) for n in before if day - _DAY * (n + days - 1) >= begun]

    weeks = windows((7, 14, 21), _WEEK)
    if len(weeks) == 3 and median(week.counts["pages"] for week in weeks) < _WEEK * _LEAST:
        return _Compared(_WEEK, window(0, _WEEK), [weeks], few=True)
    weekdays = [windows(range(n or _WEEK, HISTORY.days + 1, _WEEK)) for n in range(_WEEK)]
    if len(weekdays[0]) >= _LEAST_ALIKE:
        return _Compared(1, window(0), weekdays)
    recent = windows(range(1, HISTORY.days + 1))
    return _Compared(1, window(0), [recent], few=True) if len(recent) >= _LEAST_DAYS else None


def _total(several: Iterable[Tally]) -> Tally:
    whole = Tally()
    for tally in several:
        whole.counts.update(tally.counts)
        whole.listings.update(tally.listings)
    return whole


# --- shares ---------------------------------------------------------------------------------


def _risen(share: _Share, compared: _Compared) -> Signal | None:
    def measure(tally: Tally) -> float | None:
        whole = tally.counts[share.whole]
        return tally.counts[share.part] / whole if whole >= _LEAST else None

    part, whole = compared.now.counts[share.part], compared.now.counts[share.whole]
    known = [said for said in map(measure, compared.alike) if said is not None]
    if whole < _LEAST or len(known) < _LEAST_ALIKE:
        return None
    figure, usual, most = part / whole, median(known), compared.bounds(known)[1]
    if figure - most < max(_RISEN, _DEVIATIONS * compared.deviation(measure)):
        return None
    # On a quiet day the same few make a greater share: there have to be more of them, too. And
    # where one or none is usual, four may be one evening's quirk.
    before = max(1, compared.usual(share.part))
    if part <= before or _rarity(part, before) < _SELDOM:
        return None
    everything = _total(tally for group in compared.groups for tally in group).counts
    # One more of each, so that what was never seen is not taken for impossible.
    expected = max(most, (everything[share.part] + 1) / (everything[share.whole] + 2))
    if figure <= expected or _rarity_of_share(part, whole, expected) < _RARE:
        return None
    detail = f"{part} of {whole} {share.said}{_span(compared)} ({figure:.0%}); {usual:.0%} is usual"
    return Signal(share.kind, figure, usual, detail, compared.days, part=share.part)


# --- volume ---------------------------------------------------------------------------------


def _unreadable(runs: Runs, compared: _Compared | None) -> Signal:
    """No crawl of the day succeeded: that is no chance, and needs no history."""
    detail = f"every crawl failed ({len(runs.failures)}): {runs.failures[-1]}"
    usual = compared.usual("pages") if compared and compared.days == 1 else None
    listing = compared.listing() if compared else None
    return Signal(Kind.GONE_DARK, 0, usual, detail, listing=listing)


def _too_few(compared: _Compared, day: date) -> list[Signal]:
    pages = compared.now.counts["pages"]
    stale = _stale_listings(compared, day)
    if not _collapsed(compared, _pages) or (pages and stale):
        return stale
    kind = Kind.VOLUME_COLLAPSE if pages else Kind.GONE_DARK
    detail = f"{pages or 'no'} new pages{_span(compared)}; {_said(compared, day)}"
    usual = compared.usual("pages")
    return [Signal(kind, pages, usual, detail, compared.days, listing=compared.listing())]


def _pages(tally: Tally) -> int:
    return tally.counts["pages"]


def _collapsed(compared: _Compared, count: Callable[[Tally], int]) -> bool:
    now, (least, _) = count(compared.now), compared.bounds(map(count, compared.alike))
    if least < _LEAST or now > _COLLAPSED * least or _rarity(now, least) < _RARE:
        return False
    # Three weeks of a few pages do not tell how much they vary: only silence does.
    if compared.days > 1:
        return not now
    return _ratio(least, now) >= _DEVIATIONS * _variation(compared, count)


def _stale_listings(compared: _Compared, day: date) -> list[Signal]:
    """Listings that name nothing new any more, where no other names it in their place."""
    if compared.few:
        return []
    missing = compared.usual("pages") - compared.now.counts["pages"]
    found = []
    for listing in sorted(_total(compared.alike).listings):

        def named(tally: Tally, listing: str = listing) -> int:
            return tally.listings[listing]

        usual = median(map(named, compared.alike))
        if not named(compared.now) and 2 * missing >= usual and _collapsed(compared, named):
            detail = f"the listing names nothing new; {usual:g} pages are usual on a {day:%A}"
            found.append(Signal(Kind.STALE_LISTING, 0, usual, detail, listing=listing))
    return found


def _burst(compared: _Compared, day: date) -> list[Signal]:
    pages = compared.now.counts["pages"]
    _, most = compared.bounds(map(_pages, compared.alike))
    enough = pages >= _BURST * max(most, _LEAST)
    if not enough or _ratio(pages, most) < _DEVIATIONS * _variation(compared, _pages):
        return []
    detail = f"{pages} new pages{_span(compared)}; {_said(compared, day)}"
    usual = compared.usual("pages")
    return [Signal(Kind.VOLUME_BURST, pages, usual, detail, compared.days, part="pages")]


def _ratio(more: float, less: float) -> float:
    return log((more + 1) / (less + 1))


def _variation(compared: _Compared, count: Callable[[Tally], int]) -> float:
    """How much a count varies from week to week, as the logarithm of a ratio."""
    return compared.deviation(
        lambda tally: log(count(tally) + 1) if count(tally) >= _LEAST else None
    )


def _span(compared: _Compared) -> str:
    return f" in {compared.days} days" if compared.days > 1 else ""


def _said(compared: _Compared, day: date) -> str:
    usual = compared.usual("pages")
    if compared.days > 1:
        return f"{usual:g} are usual in a week"
    return f"{usual:g} are usual on a {'day' if compared.few else f'{day:%A}'}"


# --- chance ---------------------------------------------------------------------------------


def _rarity(count: float, usual: float) -> float:
    """How rarely, at the most, counting gives this much or this little: once in e^this times.

    Chernoff's bound of the Poisson distribution's tail, whichever side ``count`` lies.
    """
    return usual - count + (count * log(count / usual) if count else 0.0)


def _rarity_of_share(part: int, whole: int, usual: float) -> float:
    """The same of a part of a whole: Chernoff's bound of the binomial distribution's tail."""
    rest = whole - part
    return part * log(part / (whole * usual)) + (
        rest * log(rest / (whole * (1 - usual))) if rest else 0.0
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
