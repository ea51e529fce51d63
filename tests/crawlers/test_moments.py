"""The dates that listings state."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.moments import read_moment

DAY = date(2026, 3, 10)


def at(hour: int, minute: int = 0, day: int = 10) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        # as they should be
        ("2026-03-10T12:00:00+01:00", at(11)),
        ("2026-03-10T12:00:00Z", at(12)),
        ("2026-03-10", DAY),
        ("Tue, 10 Mar 2026 12:00:00 +0100", at(11)),
        ("Tue, 10 Mar 2026 12:00:00 GMT", at(12)),
        # zones
        ("Tue, 10 Mar 2026 12:00:00 EST", at(17)),
        ("Tue, 10 Mar 2026 12:00:00 CEST", at(10)),
        ("Tue, 10 Mar 2026 12:00:00 MEZ", at(11)),
        ("Tue, 10 Mar 2026 12:00:00 UT", at(12)),
        ("Tue, 10 Mar 2026 12:00:00 Z", at(12)),
        ("Tue, 10 Mar 2026 12:00:00 IST", at(6, 30)),
        ("Tue, 10 Mar 2026 12:00:00 +01:00", at(11)),
        ("Tue, 10 Mar 2026 12:00:00 GMT+0100", at(11)),
        ("Tue, 10 Mar 2026 12:00:00", at(12)),
        ("Tue, 10 Mar 2026 12:00:00 Europe/Berlin", at(12)),
        ("2026-03-10T12:00:00", at(12)),
        ("2026-03-10T12:00:00z", at(12)),
        ("2026-03-10T12:00:00 Z", at(12)),
        ("2026-03-10T12:00:00+00:00Z", at(12)),
        ("2026-03-10T12:00:00+0100", at(11)),
        ("2026-03-10T12:00:00 +01:00", at(11)),
        ("2026-03-10T12:00:00+01", at(11)),
        ("2026-03-10 12:00:00 UTC", at(12)),
        # clocks
        ("2026-03-10 12:00:00", at(12)),
        ("2026-03-10T12:00Z", at(12)),
        ("2026-03-10T24:00:00Z", at(0, day=11)),
        ("2026-03-10T12:00:00.1234567Z", at(12).replace(microsecond=123456)),
        ("Tue, 10 Mar 2026 12:00 +0100", at(11)),
        ("Mar 10, 2026 1:05 PM", at(13, 5)),
        ("10 March 2026 12:30 am", at(0, 30)),
        # days
        ("Tue, 10 Mar 26 12:00:00 GMT", at(12)),
        ("Tue,10 Mar 2026 12:00:00 GMT", at(12)),
        ("Tue, 10-Mar-2026 12:00:00 GMT", at(12)),
        ("10 March 2026", DAY),
        ("March 10, 2026", DAY),
        ("Tue Mar 10 12:00:00 2026", at(12)),
        ("Tue Mar 10 12:00:00 CET 2026", at(11)),
        ("Tue Mar 10 2026 12:00:00 GMT+0100 (CET)", at(11)),
        ("2026/3/10 12:00:00", at(12)),
        ("2026-3-10", DAY),
        ("20260310", DAY),
        ("20260310T120000Z", at(12)),
        ("10.03.2026 12:00", at(12)),
        ("03/13/2026 12:00", at(12, day=13)),
        ("13/03/2026 12:00", at(12, day=13)),
        ("1773144000", at(12)),
        ("1773144000000", at(12)),
        # languages
        ("Di, 10 Mrz 2026 12:00:00 +0100", at(11)),
        ("Dienstag, 10. März 2026, 12:00", at(12)),
        ("mar., 10 mars 2026 12:00:00 +0100", at(11)),
        ("1er mars 2026", date(2026, 3, 1)),
        ("10 juil. 2026", date(2026, 7, 10)),
        ("10 de marzo de 2026 12:00", at(12)),
        ("lun, 10 ene 2026", date(2026, 1, 10)),
        ("10 maart 2026", DAY),
        # nothing, rather than a guess
        ("10/03/2026 12:00", None),
        ("2026-03", None),
        ("2026", None),
        ("12", None),
        ("Friday", None),
        ("13:00", None),
        ("today", None),
        ("2 hours ago", None),
        ("soon", None),
        ("", None),
        ("2026-13-40", None),
        ("Tue, 31 Feb 2026 12:00:00 GMT", None),
        ("Tue, 10 Mar 2026 25:00:00 GMT", None),
        # what software says that knows no date
        ("0000-00-00 00:00:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("Mon, 01 Jan 0001 00:00:00 +0000", None),
        ("Thu, 01 Jan 1970 00:00:00 +0000", None),
    ],
)
def test_a_date_is_read_or_left_but_never_guessed(said: str, meant: datetime | date | None) -> None:
    moment = read_moment(f" {said}\n")
    assert (type(moment), moment) == (type(meant), meant)


TOKENS = ["10", "2026", "Mar", "12:00", ":", "+99:99", "-", "/", ".", "T", "Z", " ", "PM", "٣"]


@given(st.lists(st.sampled_from(TOKENS) | st.text(max_size=3), max_size=12).map("".join))
def test_any_text_is_a_moment_in_utc_a_day_or_nothing(said: str) -> None:
    moment = read_moment(said)
    assert moment is None or not isinstance(moment, datetime) or moment.tzinfo is UTC
