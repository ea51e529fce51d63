"""What is told of a source, and what is not: failures on their first day, chance never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.health import (
    STATES,
    Kind,
    Runs,
    Tally,
    judge,
    judge_repeated,
    may_be_repeated,
    repeated_shares,
    tallies,
)
from processing.records import State

DAY = timedelta(days=1)
TODAY = date(2026, 11, 11)  # a Wednesday
WEEKDAY, WEEKEND = 60, 3
FEED, SITEMAP = "https://herald.example/feed.xml", "https://herald.example/news.xml"

History = dict[date, Tally]


def tally(pages: int, **parts: int) -> Tally:
    """A usual day of so many pages: nine in ten become articles, one in ten of these unsigned."""
    lost = pages // 10
    counts = {"lost": lost, "articles": pages - lost, "unsigned": pages // 10, **parts}
    counts.setdefault("told", counts["articles"])
    counts |= {"pages": pages, "read": pages - counts.get("blocked", 0)}
    refused = sum(counts.get(part, 0) for part in ("failing", "robots", "rights"))
    return Tally(
        Counter({"wanted": pages + refused, **counts}),
        Counter({FEED: pages - pages // 3, SITEMAP: pages // 3}),
    )


def history(days: int = 40, pages: Callable[[date], int] | None = None) -> History:
    """A source that begins so many days ago, quiet at weekends; its last day is TODAY."""

    def usual(day: date) -> int:
        return WEEKDAY if day.weekday() < 5 else WEEKEND

    dates = [TODAY - DAY * n for n in range(days)]
    return {day: tally((pages or usual)(day)) for day in reversed(dates)}


def kinds(known: History, day: date = TODAY, runs: Runs | None = None, *, over: bool = True):
    before = {d: said for d, said in known.items() if d <= day}
    return [signal.kind for signal in judge(before, day, runs or Runs(), over=over)]


# --- failures -------------------------------------------------------------------------------

FAILURES = {
    Kind.GONE_DARK: tally(0),
    Kind.VOLUME_COLLAPSE: tally(12),
    Kind.VOLUME_BURST: tally(400),
    Kind.BLOCKED: tally(60, blocked=40, lost=2, articles=18),
    Kind.FAILING: tally(0, failing=60),
    Kind.LOW_YIELD: tally(60, lost=60, articles=0, unsigned=0),
    Kind.MISSING_DATES: tally(60, undated=54),
    Kind.MISSING_AUTHORS: tally(60, unsigned=54),
    Kind.ROBOTS_CHANGED: tally(0, robots=60),
    Kind.RIGHTS_CHANGED: tally(60, reserved=54),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each_failure_is_told_on_its_first_day_and_nothing_else(kind):
    assert kinds(history() | {TODAY: FAILURES[kind]}) == [kind]


@pytest.mark.parametrize("kind", FAILURES)
def test_it_is_told_for_two_weeks_and_then_is_the_usual(kind):
    known = history()
    told = []
    for n in range(35):
        day = TODAY + DAY * n
        known[day] = FAILURES[kind] if day.weekday() < 5 else tally(WEEKEND)
        if day.weekday() == TODAY.weekday():
            told.append(kind in kinds(known, day))
    assert told == [True, True, False, False, False]


@pytest.mark.parametrize("kind", FAILURES)
def test_one_bad_day_in_the_history_hides_nothing(kind):
    known = history() | {TODAY - 7 * DAY: FAILURES[kind], TODAY: FAILURES[kind]}
    assert kinds(known) == [kind]


def test_what_a_publisher_reserves_is_told_by_skipped_urls_too():
    assert kinds(history() | {TODAY: tally(0, rights=60)}) == [Kind.RIGHTS_CHANGED]


def test_a_listing_that_names_nothing_new_is_told_where_no_other_makes_up_for_it():
    known = history()
    known[TODAY].counts["pages"] -= 20
    known[TODAY].listings = Counter({FEED: 40})
    (signal,) = judge(known, TODAY, Runs(), over=True)
    assert (signal.kind, signal.listing, signal.usual) == (Kind.STALE_LISTING, SITEMAP, 20)
    known[TODAY].counts["pages"] += 20
    known[TODAY].listings = Counter({FEED: 60})
    assert kinds(known) == []


def test_a_stale_listing_stands_for_the_collapse_that_it_makes():
    known = history() | {TODAY: tally(12)}
    known[TODAY].listings = Counter({SITEMAP: 12})
    assert kinds(known) == [Kind.STALE_LISTING]


def test_a_source_of_which_every_crawl_failed_is_dark_whatever_its_history():
    runs = Runs(done=0, due=24, failures=("no answer", "no listing could be read"))
    (signal,) = judge({}, TODAY, runs, over=True)
    assert (signal.kind, signal.figure, signal.usual) == (Kind.GONE_DARK, 0, None)
    assert signal.detail == "every crawl failed (2): no listing could be read"
    assert kinds({}, runs=runs, over=False) == []
    # A crawl that is cut short fails as well, and has brought what it could.
    assert kinds(history(), runs=runs) == []


def test_a_signal_says_the_figure_and_the_usual():
    (signal,) = judge(history() | {TODAY: FAILURES[Kind.BLOCKED]}, TODAY, Runs(), over=True)
    assert (signal.figure, signal.usual, signal.days, signal.part) == (40 / 60, 0, 1, "blocked")
    assert signal.detail == (
        "40 of 60 URLs were refused, or gave a bot check or wall (67%); 0% is usual"
    )
    (signal,) = judge(history() | {TODAY: tally(0)}, TODAY, Runs(), over=True)
    assert (signal.figure, signal.usual, signal.listing) == (0, 60, FEED)
    assert signal.detail == "no new pages; 60 are usual on a Wednesday"


# --- what is no failure ---------------------------------------------------------------------


def test_a_quiet_weekend_is_usual():
    known = history()
    for n in range(14):
        assert kinds(known, TODAY - DAY * n) == []
    saturday = TODAY - 4 * DAY
    # The same few refusals as on any day are most of what a Saturday has.
    for day in known:
        known[day].counts.update({"robots": 6, "wanted": 6, "blocked": 2})
    assert kinds(known, saturday) == []


def test_a_site_that_never_names_dates_or_authors_is_as_usual():
    known = history()
    for said in known.values():
        said.counts |= {"undated": said.counts["articles"], "unsigned": said.counts["articles"]}
    assert kinds(known) == []


def test_rights_that_were_not_read_before_have_not_changed():
    known = history()
    for day, said in known.items():
        said.counts["told"] = said.counts["articles"] if day == TODAY else 0
    known[TODAY].counts["reserved"] = 54
    assert kinds(known) == []


def test_a_share_that_other_weekdays_have_is_no_alarm():
    known = history()
    for day, said in known.items():
        said.counts["unsigned"] = 6 if day.weekday() == TODAY.weekday() else 50
    known[TODAY].counts["unsigned"] = 25
    assert kinds(known) == []


def test_a_few_pages_are_no_alarm():
    known = history(pages=lambda _: 12)
    assert kinds(known | {TODAY: tally(12, blocked=4)}) == []
    assert kinds(known | {TODAY: tally(12, blocked=6)}) == [Kind.BLOCKED]


def test_on_a_holiday_the_same_few_are_a_greater_share_and_no_alarm():
    known = history(pages=lambda _: 120)
    for said in known.values():
        said.counts.update({"robots": 60, "wanted": 60})
    assert kinds(known | {TODAY: tally(40, robots=60)}) == []
    assert kinds(known | {TODAY: tally(40, robots=140)}) == [Kind.ROBOTS_CHANGED]


def test_an_erratic_source_is_dark_when_nothing_comes_not_when_little_does():
    def pages(day: date) -> int:
        return (60, 160, 35, 100)[(TODAY - day).days // 7 % 4]

    known = history(pages=pages)
    assert kinds(known | {TODAY: tally(8)}) == []
    assert kinds(known | {TODAY: tally(0)}) == [Kind.GONE_DARK]
    assert kinds(history(pages=lambda _: 60) | {TODAY: tally(8)}) == [Kind.VOLUME_COLLAPSE]


def test_the_odd_shares_of_quiet_weekends_hide_no_failure():
    known = history()
    for day, said in known.items():
        if day.weekday() >= 5:
            said.counts["unsigned"] = 3 * (day.toordinal() // 7 % 2)
    assert kinds(known | {TODAY: FAILURES[Kind.MISSING_AUTHORS]}) == [Kind.MISSING_AUTHORS]


def test_of_a_day_under_way_it_is_not_told_that_little_came():
    for kind in (Kind.GONE_DARK, Kind.VOLUME_COLLAPSE):
        assert kinds(history() | {TODAY: FAILURES[kind]}, over=False) == []
    assert kinds(history() | {TODAY: FAILURES[Kind.BLOCKED]}, over=False) == [Kind.BLOCKED]


def test_an_outage_of_ours_is_no_fault_of_the_source():
    assert kinds(history() | {TODAY: tally(8)}, runs=Runs(done=5, due=24)) == []
    assert kinds(history() | {TODAY: tally(8)}, runs=Runs(done=12, due=24)) != []
    # Three days off, then all of it at once.
    outage = {TODAY - DAY * n: tally(0) for n in (1, 2, 3)}
    assert kinds(history() | outage | {TODAY: tally(240)}) == []


def test_a_new_source_has_no_alarms_and_an_alarm_when_it_has_a_week_of_days():
    def begins(days: int, last: Tally) -> History:
        known = history(days, lambda _: WEEKDAY)
        known[min(known)] = tally(7 * WEEKDAY)  # the backlog
        return known | {TODAY: last}

    for days in range(1, 29):
        assert kinds(begins(days, tally(WEEKDAY))) == []
    for days in range(1, 9):
        for kind, failure in FAILURES.items():
            assert kinds(begins(days, failure)) == [], (days, kind)
    for kind, failure in FAILURES.items():
        assert kinds(begins(9, failure)) == [kind]
    # Before there are three of each weekday, the quietest day is the measure.
    rests = history(9, lambda day: 0 if day.weekday() == TODAY.weekday() else WEEKDAY)
    assert kinds(rests) == []


def small(pages: Callable[[int], int], days: int = 60) -> History:
    return {TODAY - DAY * n: tally(pages(n)) for n in reversed(range(days))}


def test_a_small_source_is_judged_by_its_weeks():
    def silent_for(days: int) -> History:
        return small(lambda n: 0 if n < days else 3)

    for days in range(7):
        assert kinds(silent_for(days)) == []
    (signal,) = judge(silent_for(7), TODAY, Runs(), over=True)
    assert (signal.kind, signal.figure, signal.usual, signal.days) == (Kind.GONE_DARK, 0, 21, 7)
    assert signal.detail == "no new pages in 7 days; 21 are usual in a week"
    redesigned = small(lambda n: 3)
    for n in range(7):
        redesigned[TODAY - DAY * n].counts["undated"] = 3
    assert Kind.MISSING_DATES in kinds(redesigned)


@given(st.lists(st.integers(0, 3), min_size=60, max_size=60))
def test_no_alarm_of_nought_to_three_pages_a_day_but_after_a_silent_week(volumes):
    found = kinds(small(lambda n: volumes[n]))
    assert not found or (found == [Kind.GONE_DARK] and not any(volumes[:7]))


@given(st.integers(0, 500), st.lists(st.floats(0.6, 1.4), min_size=60, max_size=60))
def test_no_alarm_of_a_volume_within_two_fifths_of_the_usual(mean, factors):
    def pages(n: int) -> int:
        weekend = (TODAY - DAY * n).weekday() >= 5
        return round(mean * factors[n] * (0.1 if weekend else 1))

    assert kinds(small(pages)) == []


def noisy(rng: np.random.Generator, mean: float, weekend: float, spread: float) -> History:
    """A year of a source whose volumes and shares vary more than counting alone makes them."""

    def part(whole: int, share: float) -> int:
        return int(rng.binomial(whole, rng.beta(60 * share, 60 * (1 - share))))

    known = {}
    for n in reversed(range(365)):
        day = TODAY - DAY * n
        level = mean * (weekend if day.weekday() >= 5 else 1)
        pages = int(rng.poisson(rng.gamma(1 / spread**2, level * spread**2)))
        lost = part(pages, 0.2)
        articles = pages - lost
        known[day] = tally(
            pages,
            lost=lost,
            articles=articles,
            undated=part(articles, 0.05),
            unsigned=part(articles, 0.3),
            failing=part(pages, 0.02),
            robots=int(rng.poisson(3)),
        )
    return known


def alarms(known: History) -> Iterator[Kind]:
    for n in range(365):
        day = TODAY - DAY * n
        window = {d: said for d, said in known.items() if day - 28 * DAY <= d <= day}
        yield from kinds(window, day)


@pytest.mark.parametrize(
    ("mean", "weekend", "spread"),
    [(100, 0.1, 0.2), (30, 0.3, 0.1), (300, 1, 0.2), (1.5, 1, 0.3), (4, 0.2, 0.3)],
    ids=["quiet weekends", "medium", "large", "one or two a day", "few, none at weekends"],
)
def test_chance_raises_no_alarm_in_two_years_of_days(mean, weekend, spread):
    rng = np.random.default_rng(20261111)
    assert [kind for _ in range(2) for kind in alarms(noisy(rng, mean, weekend, spread))] == []


# --- repeated paragraphs --------------------------------------------------------------------


def texts(count: int, furniture: str = "") -> list[str]:
    body = "The council voted on item {n}, and its members went home after a long evening."
    return [body.format(n=n) + furniture for n in range(count)]


COOKIES = "\nWe and our partners use cookies to improve what you see on this site."


def test_paragraphs_of_many_texts_are_a_share_of_each():
    shares = repeated_shares([*texts(9, COOKIES), "A text of its own."])
    assert shares[-1] == 0
    assert all(0.4 < share < 0.6 for share in shares[:-1])
    assert repeated_shares(texts(10)) == [0] * 10
    # Two reports of one event share a paragraph.
    assert repeated_shares([*texts(8), *texts(1)]) == [0] * 9
    assert repeated_shares([]) == [] and repeated_shares([""]) == [0]


def test_furniture_in_the_texts_is_told_where_it_is_new():
    clean, dirty = repeated_shares(texts(20)), repeated_shares(texts(20, COOKIES))
    signal = judge_repeated(dirty, [clean, clean, clean])
    assert signal is not None and signal.kind is Kind.REPEATED_TEXT
    assert signal.usual == 0 and 0.4 < signal.figure < 0.6
    assert judge_repeated(dirty, [clean, clean, dirty]) is not None
    assert judge_repeated(dirty, [clean, dirty, dirty]) is None
    assert judge_repeated(clean, [clean, clean, clean]) is None
    assert judge_repeated(dirty[:9], [clean, clean, clean]) is None
    assert judge_repeated(dirty, [clean, clean]) is None
    assert judge_repeated(dirty, [clean, clean, clean[:9]]) is None
    # Those who carry others' copy have the same lines every day, some days more.
    aggregated = [[0.25] * 20] * 3
    assert judge_repeated([0.4] * 20, aggregated) is None
    assert judge_repeated([0.5] * 20, aggregated) is not None
    assert may_be_repeated(dirty)
    assert not may_be_repeated(clean) and not may_be_repeated(dirty[:9])


# --- counting -------------------------------------------------------------------------------


def test_the_ledger_is_counted_by_what_became_of_a_url():
    rows = [
        {"date": TODAY, "source": "herald", "listing": FEED, "state": state, "refused": refused}
        | {"urls": urls}
        for state, refused, urls in (
            ("published", False, 10),
            ("duplicate-exact", False, 2),
            ("rejected-too-short", False, 3),
            ("rejected-blocked", False, 4),
            ("failed-http", True, 5),
            ("failed-http", False, 4),
            ("skipped-unavailable", True, 2),
            ("skipped-robots", False, 7),
            ("skipped-rights", False, 8),
        )
    ]
    counted = {"articles": 11, "undated": 1, "unsigned": 2, "told": 10, "reserved": 3}
    found = tallies(rows, [{"date": TODAY, "source": "herald", **counted}])
    said = found["herald"][TODAY]
    assert said.counts == counted | {
        "wanted": 45,
        "pages": 19,
        "read": 15,
        "lost": 3,
        "blocked": 9,
        "failing": 6,
        "robots": 7,
        "rights": 8,
    }
    assert said.listings == {FEED: 19}


def test_every_state_that_tells_of_a_request_counts():
    operators_own = {State.SKIPPED_RULE, State.SKIPPED_OLD, State.SKIPPED_LIMIT}
    again = {State.UPDATED, State.UNCHANGED}
    left_out = operators_own | again | {State.SKIPPED_UNSAFE, State.FORGOTTEN}
    assert set(STATES["wanted"]) == set(State) - left_out
