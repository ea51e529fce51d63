"""The date by the headline: where it is looked for, and what it is told from."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from processing.datelines import by_headline

TODAY = date(2026, 11, 22)
DAY = date(2026, 11, 20)
HEADLINE = "<h1>The tram line opens</h1>"
WRITTEN = "<p>20 November 2026</p>"
OTHER = "<p>3 May 2019</p>"
FILLER = f"<p>{'word ' * 100}</p>"


def seen(body: str, title: str = "") -> list[date]:
    tree = html.document_fromstring(
        f"<html><head><title>{title}</title></head><body>{body}</body></html>"
    )
    return [moment.day for moment in by_headline(tree, TODAY)]


@pytest.mark.parametrize(
    "line",
    [
        "20 November 2026",
        "November 20th, 2026",
        "20.11.2026, 06:15 Uhr",
        "20.11.26",
        "20/11/2026",
        "2026/11/20",
        "By Ann Lee | Nov 20, 2026 6:15 AM",
        "Published on 20th of November 2026 in Oslo",
        "vendredi 20 novembre 2026",
        "20 de noviembre de 2026",
        "2026年11月20日(金)",
        "2026년 11월 20일",
        "20 listopada 2026",
        "20 ноября 2026",
        "20 Kasım 2026",
    ],
)
def test_dates_are_read_in_the_forms_that_papers_use(line: str) -> None:
    assert seen(f"{HEADLINE}<p>{line}</p>") == [DAY]


@pytest.mark.parametrize(
    "opening", ["20.11.2026 – ", "(20 November 2026) ", "Oslo, 20 November 2026. "]
)
def test_a_dateline_opens_a_paragraph(opening: str) -> None:
    assert seen(f"{HEADLINE}<p>{opening}{'The tram line opened. ' * 9}</p>") == [DAY]


@pytest.mark.parametrize(
    "prose",
    [
        "The council decided on 20 November 2026 that the line would be built at last, not later",
        "The next meeting of the harbour board is on 20 November 2026 at noon",
        "Room 20 2026",
        "1.20.11.2026",
    ],
)
def test_a_date_in_a_sentence_is_no_dateline(prose: str) -> None:
    assert seen(f"{HEADLINE}<p>{prose}</p>") == []


@pytest.mark.parametrize(
    "body",
    [
        WRITTEN + HEADLINE,
        HEADLINE + WRITTEN,
        FILLER + WRITTEN + HEADLINE + FILLER,
        f"{HEADLINE}<!-- {OTHER} -->20 November 2026",
        f"<form>{HEADLINE}{WRITTEN}</form>",
        f"<div class='comments-on'>{HEADLINE}{WRITTEN}</div>",
    ],
)
def test_dates_near_the_headline_are_seen(body: str) -> None:
    assert seen(body) == [DAY]


@pytest.mark.parametrize(
    "body",
    [
        WRITTEN,
        WRITTEN + FILLER + HEADLINE,
        HEADLINE + FILLER + WRITTEN,
        "<h1>The tram line opens on 20 November 2026</h1>",
        f"{HEADLINE}<div class='comments'>{WRITTEN}</div>",
        f"{HEADLINE}<ul id='related'>{WRITTEN}</ul>",
        f"{HEADLINE}<figure><figcaption>The tram, 20 November 2026</figcaption></figure>",
        f"{HEADLINE}<blockquote>The Herald, 20 November 2026</blockquote>",
        f"{HEADLINE}<script>'20 November 2026'</script>",
    ],
)
def test_dates_of_other_things_are_not(body: str) -> None:
    assert seen(body) == []


def test_the_nearest_comes_first() -> None:
    assert seen(f"{OTHER}{HEADLINE}{WRITTEN}") == [DAY, date(2019, 5, 3)]
    assert seen(f"{WRITTEN}{HEADLINE}<p>By Ann Lee, our reporter</p>{OTHER}") == [
        DAY,
        date(2019, 5, 3),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "<p>Updated: 3 May 2019</p>",
        "<p>Last updated</p><p>3 May 2019</p>",
        "<p>Aktualisiert 3. Mai 2019</p>",
        '<p>Updated <time datetime="2019-05-03">3 May 2019</time></p>',
        '<time class="modified" datetime="2019-05-03">x</time>',
        '<p itemprop="dateModified">3 May 2019</p>',
    ],
)
def test_a_change_comes_last(change: str) -> None:
    assert seen(HEADLINE + change + WRITTEN)[0] == DAY
    assert seen(HEADLINE + change)[0] == date(2019, 5, 3)


def test_a_date_before_the_word_of_change_is_none_of_it() -> None:
    assert seen(f"{HEADLINE}<p>20 November 2026 (updated)</p>{OTHER}") == [DAY, date(2019, 5, 3)]
    kept = '<time class="published updated" datetime="2026-11-20">x</time>'
    assert seen(HEADLINE + kept + OTHER) == [DAY, date(2019, 5, 3)]


def test_today_before_the_headline_may_be_a_clock() -> None:
    clock = "<p>Sunday, 22 November 2026</p>"
    byline = "<p>By Ann Lee, our reporter in the harbour</p>"
    assert seen(clock + HEADLINE + byline + WRITTEN) == [DAY, TODAY]
    assert seen(HEADLINE + clock + WRITTEN) == [TODAY, DAY]


def test_a_time_element_states_its_moment() -> None:
    tree = html.document_fromstring(
        f'{HEADLINE}<time datetime="2026-11-20T06:15:30+01:00">three hours ago</time>'
    )
    (moment,) = by_headline(tree, TODAY)
    assert (f"{moment.when:%H:%M:%S}", moment.precision) == ("05:15:30", "second")


def test_the_headline_is_what_the_title_repeats() -> None:
    name = "<h1>The Courier of Oslo</h1>"
    headline = "<h2>The tram line to the harbour opens</h2>"
    body = f"{name}{OTHER}{FILLER}{headline}{WRITTEN}"
    assert seen(body, "The tram line to the harbour opens - The Courier of Oslo") == [DAY]
    assert seen(body) == [date(2019, 5, 3)]


PIECES = [
    *("<div>", "</div>", "<h1>", "</h1>", "<form>", "</form>", "<p>", "<!--", "-->", "<?x"),
    *("<time datetime='1'>", "20.11.2026 ", "35 ноября 2026 ", "The tram line ", "\x0b", "\ud800"),
]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_markup_has_dates_or_none(pieces: list[str]) -> None:
    body = "".join(pieces).encode("utf-8", "replace")
    tree = html.document_fromstring(b"<html><body>x" + body + b"</body></html>")
    assert {moment.day for moment in by_headline(tree, TODAY)} <= {DAY}
