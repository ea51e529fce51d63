"""What the finished runs said of themselves: the objects ``runs/<run_id>.json``, many at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from processing.exceptions import ObjectNotFound
from processing.storage import Store, StoredObject

Manifest = dict[str, Any]

_READERS = 16
_AHEAD = 256  # held at a time: the manifest of a run over a thousand sources takes a megabyte


def list_manifests(
    store: Store, first: date = date.min, last: date = date.max
) -> dict[str, StoredObject]:
    """run_id -> manifest object of the runs of these days (UTC, both included), oldest first.

    A run's day is the one its run_id begins with. Raises StoreError when the store does not
    answer.
    """
    days = [day.isoformat().replace("-", "") for day in (first, last)]
    common = next((n for n in range(8) if days[0][n] != days[1][n]), 8)
    found = {_run_of(said.key): said for said in store.objects(f"runs/{days[0][:common]}")}
    return {run_id: said for run_id, said in found.items() if days[0] <= run_id[:8] <= days[1]}


def read_manifests(store: Store, run_ids: Sequence[str]) -> Iterator[Manifest]:
    """The manifests of these runs in the order given; a run that has none is passed over.

    Raises StoreError when the store does not answer.
    """
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(run_ids), _AHEAD):
            some = run_ids[start : start + _AHEAD]
            found = readers.map(lambda run_id: _content(store, run_id), some)
            yield from (json.loads(data) for data in found if data is not None)


def _content(store: Store, run_id: str) -> bytes | None:
    try:
        return store.get(f"runs/{run_id}.json").data
    except ObjectNotFound:
        return None


def _run_of(key: str) -> str:
    return key.removeprefix("runs/").removesuffix(".json")
