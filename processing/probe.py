"""Whether a store can carry a lake at all: conditional writes that are atomic, clocks that agree.

Asked before the first write of a publish, and by ``newslake doctor``. What a store that cannot
would do is lose one of two publishers' commits without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from secrets import token_hex
from threading import Barrier
from typing import Any
from weakref import WeakSet

from botocore.exceptions import ClientError

from processing.exceptions import PreconditionFailed, StoreError
from processing.storage import MENDS, Store

MOST_SKEW = timedelta(minutes=10)
"""How far this machine's clock may be from the store's; S3 itself refuses at 15 minutes."""

CONDITIONAL_MEND = (
    "use a store with conditional writes, such as AWS S3, MinIO, Ceph, R2 or SeaweedFS"
)
_proven: WeakSet[Store] = WeakSet()


def check(store: Store, now: datetime) -> None:
    """Refuse to write to a store that would break the lake, or by a clock that is wrong.

    ``now`` is this machine's time. Nothing is written before the clocks are seen to agree. Raises
    StoreError.
    """
    skewed = clock_fault(store.stated_time(), now)
    if skewed:
        raise StoreError(f"{skewed}; {MENDS['RequestTimeTooSkewed']}")
    check_writes(store)


def check_writes(store: Store) -> None:
    """Refuse to write to a store whose conditional writes are none; each ``Store`` is tried once.

    Takes some ten requests. Raises StoreError.
    """
    if store in _proven:
        return
    fault = conditional_write_fault(store)
    if fault:
        raise StoreError(f"cannot write to {store.url}: {fault}; {CONDITIONAL_MEND}")
    _proven.add(store)


def clock_fault(stated: datetime | None, now: datetime) -> str | None:
    """What is wrong with this machine's clock, ``stated`` being the store's; None when nothing."""
    if stated is None or abs(now - stated) <= MOST_SKEW:
        return None
    minutes = round(abs(now - stated).total_seconds() / 60)
    ahead = "ahead of" if now > stated else "behind"
    return f"this machine's clock is {minutes} minutes {ahead} the store's"


def conditional_write_fault(store: Store) -> str | None:
    """What is wrong with the store's conditional writes (RFC 9110 §13.1); None when nothing.

    Two writers race for the same key, first where nothing lies and then over the same ETag: of
    each pair one must win. Leaves nothing behind. Raises StoreError where the store does not
    answer.
    """
    # Under staged/, so that what a kill leaves here expires with the other leftovers.
    key = f"staged/probe-{token_hex(8)}"
    ignored = []
    try:
        for header, over_nothing in (("If-None-Match", True), ("If-Match", False)):
            etag = None if over_nothing else store.put(key, b"before")
            condition = {"if_match": etag, "if_none_match": over_nothing}
            # A store may answer 409 to both of a pair: then one alone must get through.
            winners = _race(store, key, condition, 2) or _race(store, key, condition, 1)
            if winners == 0:
                return f"the store refuses every write with {header}"
            if winners > 1:
                ignored.append(header)
    except StoreError as error:
        if _unknown(error):
            return "the store does not know conditional writes"
        raise
    finally:
        store.delete([key])
    if ignored:
        return f"the store does not honour {' and '.join(ignored)}: writers would lose data"
    return None


def _race(store: Store, key: str, condition: Mapping[str, Any], racers: int) -> int:
    """How many of the racing writers were told that their write holds."""
    start = Barrier(racers)

    def write(number: int) -> bool:
        start.wait()
        try:
            store.put(key, b"writer %d" % number, **condition)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(racers) as writers:
        return sum(writers.map(write, range(racers)))


def _unknown(error: StoreError) -> bool:
    cause = error.__cause__
    return isinstance(cause, ClientError) and (
        cause.response.get("Error", {}).get("Code") in ("NotImplemented", "501")
    )
