"""One publisher at a time per lake: a lease object, held by conditional puts.

No clock of ours decides: a lease is stale when the store itself says that nobody has renewed it
for longer than its time to live, or when we have watched it unchanged for that long. Each holder
raises the fencing token by one (Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Any

from processing.exceptions import LeaseLost, ObjectNotFound, PreconditionFailed, StoreError
from processing.storage import Blob, Store

KEY = "lease.json"
log = logging.getLogger(__name__)

TIME_TO_LIVE = 30.0
"""Seconds without renewal after which a holder counts as dead."""


class Lease:
    """A lease in our hands: ``confirm`` it before every commit."""

    def __init__(self, store: Store, holder: str, token: int, etag: str):
        self.token = token
        self._store = store
        self._holder = holder
        self._etag = etag
        self._beat = 0
        self._lost: Exception | None = None
        self._lock = threading.Lock()

    def confirm(self) -> None:
        """Renew the lease; raises LeaseLost when another has taken it over."""
        with self._lock:
            if self._lost is None:
                self._beat += 1
                try:
                    body = _body(self._holder, self.token, self._beat)
                    self._etag = self._store.put(KEY, body, if_match=self._etag)
                except PreconditionFailed as error:
                    self._lost = error
            if self._lost is not None:
                raise LeaseLost(
                    f"another publisher took over {self._store.url}; run this publish again"
                ) from self._lost

    def release(self) -> None:
        """Mark the lease free, if it is still ours."""
        with self._lock, suppress(PreconditionFailed, StoreError):
            if self._lost is None:
                self._store.put(KEY, _body("", self.token, 0), if_match=self._etag)


@contextmanager
def lease(
    store: Store,
    holder: str,
    *,
    time_to_live: float = TIME_TO_LIVE,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Lease]:
    """Hold the lake's lease, waiting for whoever holds it; renewed in the background.

    ``holder`` is a run_id, for the one who reads the object. ``time_to_live`` is seconds.
    """
    # A retry of the same run is another holder: its bytes must differ from its twin's.
    held = _acquire(store, f"{holder} {token_hex(8)}", time_to_live, wait, clock)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(time_to_live / 4):
            try:
                held.confirm()
            except LeaseLost:
                return
            except StoreError:
                continue  # the store may be back before the lease is stale

    beat = threading.Thread(target=renew, name="lease", daemon=True)
    beat.start()
    try:
        yield held
    finally:
        stop.set()
        beat.join()
        held.release()


def _acquire(
    store: Store,
    holder: str,
    time_to_live: float,
    wait: Callable[[float], object],
    clock: Callable[[], float],
) -> Lease:
    watched, since = "", clock()
    while True:
        found = _read(store)
        said: dict[str, Any] = json.loads(found.data) if found else {"holder": "", "token": 0}
        etag = found.etag if found else ""
        if etag != watched:
            if said["holder"]:
                log.info("waiting for %s, which publishes to %s", said["holder"], store.url)
            watched, since = etag, clock()
        stale = bool(found) and max(found.age if found else 0, clock() - since) > time_to_live
        if not said["holder"] or stale:
            token = said["token"] + 1
            body = _body(holder, token, 0)
            with suppress(PreconditionFailed):
                if found:
                    return Lease(store, holder, token, store.put(KEY, body, if_match=etag))
                return Lease(store, holder, token, store.put(KEY, body, if_none_match=True))
        else:
            wait(min(1.0, time_to_live / 10))


def _read(store: Store) -> Blob | None:
    try:
        return store.get(KEY)
    except ObjectNotFound:
        return None


def _body(holder: str, token: int, beat: int) -> bytes:
    return json.dumps({"holder": holder, "token": token, "beat": beat}).encode()
