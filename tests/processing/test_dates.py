"""Dates: what is read, what is believed, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from processing.dates import Dating, date_article
from processing.metadata import read_metadata
from processing.moments import Moment, day_in_url, find_day, read_moment
from processing.records import Hints

FETCHED = datetime(2026, 11, 22, 12, tzinfo=UTC)
PLAIN_URL = "https://courier.example/tram"
DATED_URL = "https://courier.example/2026/11/20/tram"
DAY = date(2026, 11, 20)
MORNING = datetime(2026, 11, 20, 6, 15, 30, tzinfo=UTC)
HEADLINE = "<h1>The tram line opens</h1>"

days = st.dates(date(1995, 1, 1), date(2099, 12, 31))
moments = st.datetimes(datetime(1995, 1, 1), datetime(2099, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)
zones = st.integers(-12 * 4, 14 * 4).map(lambda n: timezone(timedelta(minutes=15 * n)))


def dated(head: str = "", body: str = "", url: str = PLAIN_URL, **hints: object) -> Dating:
    tree = html.document_fromstring(f"<html><head>{head}</head><body><p>x</p>{body}</body></html>")
    return date_article(tree, read_metadata(tree, url), Hints.of(hints), FETCHED)


def ld(type_: str = "NewsArticle", **said: str) -> str:
    fields = "".join(f',"{name}":"{value}"' for name, value in said.items())
    return f'<script type="application/ld+json">{{"@type":"{type_}"{fields}}}</script>'


def meta(name: str, content: str) -> str:
    return f'<meta property="{name}" content="{content}">'


# --- what is read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "when", "precision"),
    [
        ("2026-11-20T06:15:30Z", datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("2026-11-20T06:15:30.123+01:00", datetime(2026, 11, 20, 5, 15, 30), "second"),
        ("2026-11-20T06:15+0530", datetime(2026, 11, 20, 0, 45), "minute"),
        ("2026-11-20 06:15 -08", datetime(2026, 11, 20, 14, 15), "minute"),
        ("2026-11-5T6:15:30z", datetime(2026, 11, 5, 6, 15, 30), "second"),
        ("20261120T061530Z", datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("202611200615", datetime(2026, 11, 20, 6, 15), "minute"),
        ("Fri, 20 Nov 2026 06:15:30 GMT", datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("Fri, 20 Nov 26 06:15:30 EST", datetime(2026, 11, 20, 11, 15, 30), "second"),
        ("Fri Nov 20 06:15:30 2026", datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("Fri Nov 20 06:15:30 +0100 2026", datetime(2026, 11, 20, 5, 15, 30), "second"),
        ("Fri Nov 20 2026 06:15:30 GMT+0100 (CET)", datetime(2026, 11, 20, 5, 15, 30), "second"),
        ("Friday, November 20, 2026, 06:15 PM", datetime(2026, 11, 20, 18, 15), "minute"),
        ("20 November 2026 12:05 a.m. CET", datetime(2026, 11, 19, 23, 5), "minute"),
        ("Fr., 20.11.2026 - 06:15", datetime(2026, 11, 20, 6, 15), "minute"),
        ("2026年11月20日 06時15分", datetime(2026, 11, 20, 6, 15), "minute"),
        ("le 20 novembre 2026 à 6h15", datetime(2026, 11, 20, 6, 15), "minute"),
        ("2026-11-20T23:59:60Z", datetime(2026, 11, 20, 23, 59, 59), "second"),
        ("2026-11-20T24:30Z", datetime(2026, 11, 21, 0, 30), "minute"),
        ("/Date(1795155330000)/", datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("1795155330", datetime(2026, 11, 20, 6, 15, 30), "second"),
        (1795155330, datetime(2026, 11, 20, 6, 15, 30), "second"),
        (1795155330000, datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("2026-11-20", datetime(2026, 11, 20), "day"),
        ("20261120", datetime(2026, 11, 20), "day"),
        ("2026/11/5", datetime(2026, 11, 5), "day"),
        ("11/20/2026", datetime(2026, 11, 20), "day"),
        ("20/11/2026", datetime(2026, 11, 20), "day"),
        ("11/11/2026", datetime(2026, 11, 11), "day"),
        ("20 de noviembre de 2026", datetime(2026, 11, 20), "day"),
        ("20 juil. 2026", datetime(2026, 7, 20), "day"),
    ],
)
def test_moments_are_read(text: object, when: datetime, precision: str) -> None:
    moment = read_moment(text)
    assert moment is not None
    assert (moment.when, moment.precision) == (when.replace(tzinfo=UTC), precision)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-45",
        "31/12",
        "2026",
        "12/2026",
        "03/04/2026",
        "20 Marathon 2026",
        "20 jui 2026",
        "10.1.2.2026",
        "2026-11-20T25:15Z",
        None,
        [],
        {},
        True,
        5,
    ],
)
def test_what_is_no_moment(text: object) -> None:
    assert read_moment(text) is None


def test_a_zone_is_known_or_not() -> None:
    zoned, bare, strange = map(
        read_moment,
        ("2026-11-20T06:15:30+01:00", "2026-11-20T06:15:30", "2026-11-20T06:15:30 XYZ"),
    )
    assert zoned == Moment(MORNING - timedelta(hours=1), DAY, "second", zoned=True)
    assert bare == strange == Moment(MORNING, DAY, "second", zoned=False)


@pytest.mark.parametrize("zone", ["", "Z", "+02:00", "-0800"])
def test_midnight_is_a_day(zone: str) -> None:
    assert read_moment(f"2026-11-20T00:00:00{zone}") == Moment.of_day(DAY)


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.floats(allow_nan=True), st.none()))
def test_any_value_is_a_moment_or_none(text: object) -> None:
    moment = read_moment(text)
    assert moment is None or moment.when.tzinfo is UTC


@settings(deadline=None)
@given(st.text(alphabet="0123456789-/:.TZ+, 年月日AMPmayNov", max_size=40))
def test_what_looks_like_a_date_is_a_moment_or_none(text: str) -> None:
    moment, found = read_moment(text), find_day(text)
    assert moment is None or moment.precision in ("second", "minute", "day")
    assert found is None or text[found[1]].isalnum()
    assert day_in_url(f"https://a.example/{text}") is None or any(map(str.isdigit, text))


@settings(deadline=None)
@given(moments, zones, st.sampled_from([datetime.isoformat, str, format_datetime]))
def test_moments_are_read_back(naive: datetime, zone: timezone, written: object) -> None:
    stated = naive.replace(tzinfo=zone)
    moment = read_moment(written(stated))  # type: ignore[operator]
    assert moment is not None
    assert moment.day == stated.date()
    if stated.time() == time():
        assert moment == Moment.of_day(stated.date())
    else:
        assert (moment.when, moment.zoned) == (stated, True)


_LINES = ["{:%d.%m.%Y}", "{:%Y-%m-%d}", "{:%Y/%m/%d}", "{:%d %B %Y}", "{:%B %d, %Y}", "{:%d %b %Y}"]


@settings(deadline=None)
@given(days, st.sampled_from(_LINES), st.sampled_from(["", "Posted on ", "By Ann Lee | "]))
def test_days_in_lines_are_found(day: date, form: str, before: str) -> None:
    assert find_day(f"{before}{form.format(day)} in Oslo") == (day, len(before))


def test_the_first_day_of_a_line_is_found_whatever_its_form() -> None:
    assert find_day("20 November 2026 (2026-11-21)") == (DAY, 0)


@settings(deadline=None)
@given(days)
def test_a_month_is_told_from_a_day_or_asked_for(day: date) -> None:
    american, british = f"{day:%m/%d/%Y}", f"{day:%d/%m/%Y}"
    assert find_day(american, month_first=True) == (day, 0)
    assert find_day(british) == (day, 0)
    if day.day > 12:
        assert find_day(british, month_first=True) == (day, 0)
    ambiguous = day.day <= 12 and day.day != day.month
    assert (read_moment(american) is None) == (read_moment(british) is None) == ambiguous


@settings(deadline=None)
@given(days, st.sampled_from(["/{:%Y/%m/%d}/x", "/{:%Y-%m-%d}-x", "/x-{:%Y%m%d}.html"]))
def test_days_in_urls_are_found(day: date, path: str) -> None:
    assert day_in_url(f"https://a.example{path.format(day)}") == day


@pytest.mark.parametrize(
    ("path", "day"),
    [
        ("2026/11/20/x", DAY),
        ("2026/nov/20/x", DAY),
        ("2026/1120/x", DAY),
        ("2026/11/5/x", date(2026, 11, 5)),
        ("2026/02/31/2026-02-28", date(2026, 2, 28)),
        ("12345678901?d=2026-11-20", None),
        ("2026/11/3-questions", None),
        ("191211_variables", None),
        ("artikel/2039026", None),
        ("2026/tag/20", None),
    ],
)
def test_days_in_urls(path: str, day: date | None) -> None:
    assert day_in_url(f"https://a.example/{path}") == day


# --- what is believed -----------------------------------------------------------------------


def test_the_page_is_believed() -> None:
    said = dated(ld(datePublished="2026-11-20T06:15:30Z", dateModified="2026-11-21T06:15:30Z"))
    assert said.published_at == MORNING
    assert (said.published_source, said.published_precision) == ("json-ld", "second")
    assert said.modified_at == MORNING + timedelta(days=1)


@pytest.mark.parametrize(
    "name",
    [
        "article:published_time",
        "og:published_time",
        "datePublished",
        "parsely-pub-date",
        "pubdate",
        "sailthru.date",
        "cXenseParse:recs:publishtime",
        "dc.date.issued",
        "vr:published-time",
        "article_date_original",
        "date",
        "dcterms.created",
    ],
)
def test_meta_tags_of_publication(name: str) -> None:
    said = dated(meta(name, "2026-11-20T06:15Z"))
    assert (said.published_source, said.published_precision) == ("meta", "minute")


@pytest.mark.parametrize(
    "name",
    [
        "article:modified_time",
        "og:updated_time",
        "article:expiration_time",
        "last-published",
        "article:publisher",
        "unpublish-date",
        "viewport",
    ],
)
def test_meta_tags_of_anything_else(name: str) -> None:
    assert dated(meta(name, "2026-11-20T06:15Z")).published_source != "meta"


def test_what_most_sources_say_is_believed() -> None:
    early, late = "2026-11-10T06:15:30Z", "2026-11-20T06:15:30Z"
    told = meta("article:published_time", early) + ld(datePublished=late)
    assert dated(told).published_source == "meta"
    for witness in (
        dated(told, published=MORNING),
        dated(told, url=DATED_URL),
        dated(told, f"{HEADLINE}<p>20 November 2026</p>"),
    ):
        assert (witness.published_at, witness.published_source) == (MORNING, "json-ld")


def test_a_time_with_a_zone_is_preferred_where_sources_agree() -> None:
    local = meta("article:published_time", "2026-11-20 22:15:30")
    zoned = dated(local + ld(datePublished="2026-11-20T22:15:30-08:00"))
    assert zoned.published_at == datetime(2026, 11, 21, 6, 15, 30, tzinfo=UTC)
    listed = dated(local, published=MORNING + timedelta(days=1), listing="sitemap")
    assert listed.published_at == MORNING + timedelta(days=1)
    assert listed.published_source == "sitemap"
    assert dated(local).published_at == datetime(2026, 11, 20, 22, 15, 30, tzinfo=UTC)
    assert dated(local).published_precision == "second"


def test_a_time_is_preferred_to_a_day() -> None:
    day = meta("pubdate", "2026-11-20")
    said = dated(day + ld(datePublished="2026-11-20T06:15:30Z"))
    assert (said.published_at, said.published_source) == (MORNING, "json-ld")
    assert dated(day + meta("date", "2026-11-20T06:15:30Z")).published_at == MORNING
    article = ld(datePublished="2026-11-20") + ld("WebPage", datePublished="2026-11-20T06:15:30Z")
    assert dated(article).published_at == MORNING


def test_readers_see_the_time_or_the_zone_that_machines_were_not_told() -> None:
    seen = f'{HEADLINE}<time datetime="2026-11-20T07:15:30+01:00">x</time>'
    for head in (
        meta("date", "2026-11-20"),
        ld(datePublished="2026-11-20"),
        ld(datePublished="2026-11-20T07:15:30"),
    ):
        said = dated(head, seen)
        assert (said.published_at, said.published_source) == (MORNING, "html")
    zoned = dated(ld(datePublished="2026-11-20T06:15Z"), seen)
    assert (zoned.published_source, zoned.published_precision) == ("json-ld", "minute")


def test_the_time_is_that_of_a_firm_statement() -> None:
    said = dated(
        meta("article:published_time", "2026-11-20 06:15:30") + meta("date", "2026-11-20T09:00:00Z")
    )
    assert said.published_at == MORNING
    both = meta("pubdate", "2026-11-10T06:15:30Z") + meta(
        "article:published_time", "2026-11-20T06:15:30Z"
    )
    assert dated(both).published_at == MORNING


def test_a_url_carries_the_newsrooms_own_day() -> None:
    said = dated(ld(datePublished="2026-11-21T02:15:30Z"), url=DATED_URL)
    assert said.published_at == datetime(2026, 11, 21, 2, 15, 30, tzinfo=UTC)
    assert said.published is not None
    assert said.published.day == DAY


def test_a_url_alone() -> None:
    said = dated(url=DATED_URL)
    assert (said.published_source, said.published_precision) == ("url", "day")
    assert said.published_at == datetime(2026, 11, 20, tzinfo=UTC)
    seen = dated(body=f'{HEADLINE}<time datetime="2026-11-20T06:15:30Z">x</time>', url=DATED_URL)
    assert (seen.published_at, seen.published_source) == (MORNING, "html")


def test_a_url_of_an_event_to_come_is_no_publication() -> None:
    said = dated(
        ld(datePublished="2026-11-20T06:15:30Z"), url="https://courier.example/2026/12/24/eve"
    )
    assert said.published_at == MORNING


def test_a_bare_date_tag_gives_way_to_what_readers_see() -> None:
    head = meta("date", "2026-11-21T06:15:30Z")
    assert dated(head).published_source == "meta"
    said = dated(head, f"{HEADLINE}<p>16 November 2026</p>")
    assert (said.published_at, said.published_source) == (
        datetime(2026, 11, 16, tzinfo=UTC),
        "html",
    )


def test_microdata_is_read() -> None:
    spot = '<span itemprop="datePublished" content="2026-11-20T06:15:30Z">today</span>'
    said = dated(body=f"{HEADLINE}<p>{'text ' * 200}</p>{spot}")
    assert (said.published_at, said.published_source) == (MORNING, "html")


def test_json_ld_of_the_page_speaks_for_an_article_that_has_none() -> None:
    said = dated(ld("WebPage", datePublished="2026-11-20T06:15:30Z"))
    assert (said.published_at, said.published_source) == (MORNING, "json-ld")
    pictures = ld("ImageObject", datePublished="2026-11-20T06:15:30Z") + ld(
        "ImageObject", datePublished="2026-11-10T06:15:30Z"
    )
    assert dated(pictures).published_at is None
    broken = (
        '<script type="application/ld+json">{"datePublished": "2026-11-20T06:15:30Z",,}</script>'
    )
    assert dated(broken).published_at == MORNING


def test_a_listing_knows_better_than_a_date_in_the_text() -> None:
    told = dated(body=f"{HEADLINE}<p>Posted on 3 May 2019</p>", published=MORNING)
    assert (told.published_at, told.published_source) == (MORNING, "feed")
    assert dated(published=DAY).published_precision == "day"
    midnight = datetime.combine(DAY, time(), UTC)
    assert dated(published=midnight).published_precision == "day"


def test_an_american_reads_the_month_first() -> None:
    for language, day in (("en-US", date(2026, 3, 4)), ("en-GB", date(2026, 4, 3))):
        tree = html.document_fromstring(
            f'<html lang="{language}"><body>{HEADLINE}<p>03/04/2026</p></body></html>'
        )
        said = date_article(tree, read_metadata(tree, PLAIN_URL), Hints(), FETCHED)
        assert said.published is not None
        assert said.published.day == day


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "2027-05-01T00:00:00Z",
        "2026-11-23T12:00:01Z",
        "1970-01-01T00:00:00Z",
        "1994-12-31",
        "2026-11-22T11:59:30Z",
        "2026-11-22T12:00:20Z",
    ],
)
def test_implausible_moments_are_refused_and_the_next_is_taken(wrong: str) -> None:
    told = meta("article:published_time", wrong) + meta("og:updated_time", wrong)
    assert dated(told) == Dating()
    right = dated(told + ld(datePublished="2026-11-20T06:15:30Z"))
    assert (right.published_at, right.published_source) == (MORNING, "json-ld")
    assert dated(told + meta("pubdate", "2026-11-20T06:15:30Z")).published_at == MORNING


@pytest.mark.parametrize(
    "body",
    [
        '<img src="/pictures/2026/11/20/tram.jpg">',
        '<img src="/pictures/tram-2026-11-20.jpg">',
        '<link href="/style.css?v=2026-11-20.css" rel="stylesheet">',
        "<footer>© 2026 The Courier</footer>",
        "<footer>Copyright 2019-2026</footer>",
        "<p>Vol. 1 of the chronicle, 2026 edition</p><footer>© 2026</footer>",
    ],
)
def test_names_of_files_and_copyright_lines_date_nothing(body: str) -> None:
    assert dated(body=HEADLINE + body) == Dating()


def test_a_date_far_from_the_headline_is_found_when_nothing_else_speaks() -> None:
    said = dated(body=f"{HEADLINE}<p>{'text ' * 200}</p><div class='date'>20.11.2026</div>")
    assert (said.published_at, said.published_source, said.published_precision) == (
        datetime(2026, 11, 20, tzinfo=UTC),
        "html",
        "day",
    )


def test_the_day_of_the_fetch_far_from_the_headline_is_the_sites_clock() -> None:
    assert (
        dated(body=f"{HEADLINE}<p>{'text ' * 200}</p><div class='date'>22.11.2026</div>")
        == Dating()
    )


def test_the_day_of_the_fetch_by_the_headline_counts_if_nothing_was_stated() -> None:
    clock = f"<p>22 November 2026</p>{HEADLINE}"
    assert dated(body=clock).published_at == datetime(2026, 11, 22, tzinfo=UTC)
    said = dated(meta("date", "2026-11-10"), clock)
    assert said.published_at == datetime(2026, 11, 10, tzinfo=UTC)
    later = dated(meta("date", "2026-11-10"), f"{clock}<p>16 November 2026</p>")
    assert later.published_at == datetime(2026, 11, 16, tzinfo=UTC)


def test_a_change_is_no_publication_where_readers_see_one() -> None:
    changed = meta("og:updated_time", "2026-11-21T06:15:30Z")
    said = dated(changed, f"{HEADLINE}<p>16 November 2026</p>")
    assert said.published_at == datetime(2026, 11, 16, tzinfo=UTC)
    assert said.modified_at == MORNING + timedelta(days=1)


def test_a_change_before_or_at_publication_is_none() -> None:
    same = "2026-11-20T06:15:30Z"
    assert dated(ld(datePublished=same, dateModified=same)).modified_at is None
    earlier = dated(ld(datePublished=same, dateModified="2026-11-01T00:00:00Z"))
    assert earlier.modified_at is None
    told = dated(
        ld(datePublished=same, dateModified=same)
        + meta("article:modified_time", "2026-11-21T06:15:30Z")
    )
    assert told.modified_at == MORNING + timedelta(days=1)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(["pubdate", "date", "og:updated_time"]), moments), max_size=3
    ),
    st.one_of(st.none(), moments),
    st.one_of(st.none(), days),
)
def test_whatever_is_said_the_dates_are_sane(
    metas: list[tuple[str, datetime]], published: datetime | None, listed: date | None
) -> None:
    head = "".join(meta(name, f"{moment.isoformat()}Z") for name, moment in metas)
    if published:
        head += ld(datePublished=published.isoformat())
    said = dated(head, HEADLINE, published=listed)
    if said.published_at:
        assert datetime(1995, 1, 1, tzinfo=UTC) <= said.published_at <= FETCHED + timedelta(days=1)
        assert said.published_source in ("meta", "json-ld", "feed", "html")
        if said.published_precision == "day":
            assert said.published_at.time() == time()
        assert said.modified_at is None or said.modified_at > said.published_at
    else:
        assert said.published_source == "first-seen"
