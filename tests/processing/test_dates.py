"""Dates: what is read, what is believed, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from processing.dates import Dating, date_article, day_in_url, read_moment
from processing.metadata import read_metadata
from processing.records import Hints

FETCHED = datetime(2026, 11, 22, 12, tzinfo=UTC)
PLAIN_URL = "https://courier.example/tram"


def dated(head: str = "", body: str = "", url: str = PLAIN_URL, **hints: object) -> Dating:
    tree = html.document_fromstring(f"<html><head>{head}</head><body><p>x</p>{body}</body></html>")
    return date_article(tree, read_metadata(tree, url), Hints.of(hints), FETCHED)


def ld(**said: str) -> str:
    fields = "".join(f',"{name}":"{value}"' for name, value in said.items())
    return f'<script type="application/ld+json">{{"@type":"NewsArticle"{fields}}}</script>'


@pytest.mark.parametrize(
    ("text", "when", "precision"),
    [
        ("2026-11-20T06:15:30Z", datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("2026-11-20T06:15:30.123+01:00", datetime(2026, 11, 20, 5, 15, 30), "second"),
        ("2026-11-20T06:15+0530", datetime(2026, 11, 20, 0, 45), "minute"),
        ("2026-11-20 06:15 -08", datetime(2026, 11, 20, 14, 15), "minute"),
        ("2026-11-20", datetime(2026, 11, 20), "day"),
        ("20261120", datetime(2026, 11, 20), "day"),
        ("20261120T061530Z", datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("Fri, 20 Nov 2026 06:15:30 GMT", datetime(2026, 11, 20, 6, 15, 30), "second"),
        ("1795155330", datetime(2026, 11, 20, 6, 15, 30), "second"),
        (1795155330, datetime(2026, 11, 20, 6, 15, 30), "second"),
        (1795155330000, datetime(2026, 11, 20, 6, 15, 30), "second"),
    ],
)
def test_moments_are_read(text: object, when: datetime, precision: str) -> None:
    moment = read_moment(text)
    assert moment is not None
    assert (moment.when, moment.precision) == (when.replace(tzinfo=UTC), precision)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-45", "31/12", None, [], {}, True, 5])
def test_what_is_no_moment(text: object) -> None:
    assert read_moment(text) is None


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.floats(allow_nan=True), st.none()))
def test_any_value_is_a_moment_or_none(text: object) -> None:
    moment = read_moment(text)
    assert moment is None or moment.when.tzinfo is UTC


@settings(deadline=None)
@given(st.datetimes(datetime(1995, 1, 1), datetime(2100, 1, 1)), st.integers(-14, 14))
def test_iso_moments_are_read_back(naive: datetime, hours: int) -> None:
    stated = naive.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours)))
    moment = read_moment(stated.isoformat())
    assert moment is not None
    assert moment.when == stated
    assert moment.day == stated.date()


def test_the_time_comes_from_the_statement_that_agrees_with_the_day() -> None:
    said = dated(ld(datePublished="2026-11-20T06:15:30Z", dateModified="2026-11-21T06:15:30Z"))
    assert said == Dating(
        datetime(2026, 11, 20, 6, 15, 30, tzinfo=UTC),
        "json-ld",
        "second",
        datetime(2026, 11, 21, 6, 15, 30, tzinfo=UTC),
    )
    meta = '<meta property="article:published_time" content="2026-11-20T06:15Z">'
    assert dated(meta).published_source == "meta"
    assert dated(meta).published_precision == "minute"


def test_implausible_dates_are_refused_and_the_next_is_taken() -> None:
    future = ld(datePublished="2027-05-01T00:00:00Z")
    early = ld(datePublished="1970-01-01T00:00:00Z")
    meta = '<meta property="article:published_time" content="2026-11-20T06:15:30Z">'
    for wrong in (future, early):
        assert dated(wrong).published_at is None
        assert dated(wrong + meta).published_at == datetime(2026, 11, 20, 6, 15, 30, tzinfo=UTC)


def test_listing_url_and_nothing() -> None:
    listed = datetime(2026, 11, 20, 6, tzinfo=UTC)
    assert dated(published=listed).published_at == listed
    assert dated(published=date(2026, 11, 20)).published_precision == "day"
    told = dated(body="<p>Posted on 3 May 2019</p>", published=listed)
    assert told.published_at == listed
    in_url = dated(url="https://courier.example/2026/11/20/tram")
    assert (in_url.published_source, in_url.published_precision) == ("url", "day")
    assert in_url.published_at == datetime(2026, 11, 20, tzinfo=UTC)
    assert dated() == Dating()


def test_a_change_before_or_at_publication_is_none() -> None:
    same = "2026-11-20T06:15:30Z"
    assert dated(ld(datePublished=same, dateModified=same)).modified_at is None
    earlier = dated(ld(datePublished=same, dateModified="2026-11-01T00:00:00Z"))
    assert earlier.modified_at is None


def test_days_in_urls() -> None:
    assert day_in_url("https://a.example/2026/11/20/x") == date(2026, 11, 20)
    assert day_in_url("https://a.example/x-20261120.html") == date(2026, 11, 20)
    assert day_in_url("https://a.example/2026/02/31/2026-02-28") == date(2026, 2, 28)
    assert day_in_url("https://a.example/12345678901?d=2026-11-20") is None
