"""The lake's memory of what it has forgotten: no address, no content, only hashes of URL keys.

One object for each URL key (``urls.tombstone``). What carries such an address is turned away by
the crawl, and by publishing what the crawl could not see: pages that redirects led to, and pages
fetched before they were forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from processing.exceptions import ObjectNotFound
from processing.records import State
from processing.storage import Store
from processing.urls import TOMBSTONES, address_id, forgotten_ids, mask, tombstone

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One forgetting, as each of its URL keys' tombstones tells it: the audit line.

    A publish leaves one too, for addresses by which it met what was forgotten.
    ``forgotten_at`` is ISO 8601, UTC; ``run_id`` the run that committed it; ``keys`` the ids of
    all its URL keys. ``rows`` counts the rows taken out of each table (of coverage: masked),
    ``objects`` what was rewritten or deleted, by kind. While not ``done``, it has to be repeated.
    """

    forgotten_at: str
    run_id: str
    keys: tuple[str, ...]
    with_copies: bool = False
    done: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)

    def put(self, store: Store) -> None:
        """Write it under each of its keys."""
        body = json.dumps({**asdict(self), "keys": list(self.keys)}, indent=1).encode()
        for id_ in self.keys:
            store.put(tombstone(id_), body)

    @classmethod
    def read(cls, store: Store, id_: str) -> Self | None:
        """The tombstone of a URL key by its id; None where none stands."""
        try:
            said = json.loads(store.get(tombstone(id_)).data)
        except ObjectNotFound:
            return None
        return cls(**{**said, "keys": tuple(said["keys"])})


def all_forgotten(store: Store) -> frozenset[str]:
    """The ids of every URL key forgotten."""
    return forgotten_ids(found.key for found in store.objects(TOMBSTONES))


def masked(row: Row) -> Row:
    """A coverage row, staged or published, without the address and what became of it."""
    return {
        **row,
        "url": mask(row["url"]),
        "state": State.FORGOTTEN.value,
        "detail": None,
        "http_status": None,
        "article_id": None,
    }


def withhold(
    forgotten: Collection[str],
    coverage: Iterable[Row],
    articles: Iterable[Row],
    published: Collection[str],
) -> tuple[list[Row], list[Row]]:
    """Staged coverage and articles without what is forgotten: its coverage is masked.

    An article goes by the address it was listed under, the one it was read from, and its
    canonical one; the last tells nothing of a page that is published under its own address (an
    id in ``published``), which loses that canonical.
    """
    kept = []
    gone: set[tuple[str, str]] = set()
    for row in articles:
        fetched = address_id(row["url"])
        if fetched in forgotten or address_id(row["listed_url"]) in forgotten:
            gone.add((row["source"], row["listed_url"]))
        elif row["id"] not in forgotten:
            kept.append(row)
        elif fetched in published:
            kept.append({**row, "id": fetched, "canonical_url": None})
        else:
            gone.add((row["source"], row["listed_url"]))
    rows = [
        masked(row)
        if (row["source"], row["url"]) in gone or address_id(row["url"]) in forgotten
        else row
        for row in coverage
    ]
    return rows, kept
