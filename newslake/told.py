"""Which alarms people have been told of, so that each is told once: ``state/alarms.json``.

A list of ``[date, source, alarm]``, with no address of a page. Days long over are let go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, timedelta

from newslake.health import Alarm
from processing.exceptions import ObjectNotFound, PreconditionFailed
from processing.storage import Store

KEY = "state/alarms.json"

_KEPT = timedelta(days=7)
_TRIES = 5  # runs of different schedules may end at once

_Told = tuple[str, str, str]


def untold(store: Store, alarms: Iterable[Alarm]) -> list[Alarm]:
    """Those of the alarms that nobody was told of yet."""
    told, _ = _read(store)
    return [alarm for alarm in alarms if _named(alarm) not in told]


def remember(store: Store, alarms: Iterable[Alarm]) -> None:
    """Keep that people were told of these; raises PreconditionFailed when others never cease to."""
    fresh = {_named(alarm) for alarm in alarms}
    for tries_left in reversed(range(_TRIES)):
        told, etag = _read(store)
        try:
            body = json.dumps(_kept(told | fresh)).encode()
            store.put(KEY, body, if_match=etag, if_none_match=etag is None)
            return
        except PreconditionFailed:
            if not tries_left:
                raise


def _read(store: Store) -> tuple[set[_Told], str | None]:
    try:
        blob = store.get(KEY)
    except ObjectNotFound:
        return set(), None
    return {(day, source, alarm) for day, source, alarm in json.loads(blob.data)}, blob.etag


def _kept(told: set[_Told]) -> list[_Told]:
    newest = max((date.fromisoformat(day) for day, _, _ in told), default=date.min)
    return sorted(each for each in told if date.fromisoformat(each[0]) > newest - _KEPT)


def _named(alarm: Alarm) -> _Told:
    return alarm.date.isoformat(), alarm.source, alarm.alarm
