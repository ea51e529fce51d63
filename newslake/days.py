"""A range of days, as options of the command line name it."""

from __future__ import annotations

from datetime import date

from processing.exceptions import ConfigurationError


def parse_days(said: str | None) -> tuple[date | None, date | None]:
    """``2026-01-31`` or ``2026-01-01..2026-01-31`` as first and last day; None: all days.

    Raises ConfigurationError when it is neither.
    """
    if said is None:
        return None, None
    first, dots, last = said.partition("..")
    try:
        days = date.fromisoformat(first), date.fromisoformat(last if dots else first)
    except ValueError:
        days = date.max, date.min
    if days[0] > days[1]:
        raise ConfigurationError(
            f"--date {said!r} is no day and no range of days;"
            " write 2026-01-31 or 2026-01-01..2026-01-31"
        )
    return days
