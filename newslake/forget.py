"""Forgetting as an operator asks for it: what will go is shown, and goes on consent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from crawlers import state
from newslake.steps import software
from processing import forgetting
from processing.forgetting import Found
from processing.records import run_id_of
from processing.storage import Store


def forget(
    store: Store,
    target: str,
    consent: Callable[[Found], bool],
    now: datetime,
    *,
    with_copies: bool,
) -> dict[str, Any] | None:
    """Forget an article by id or URL; its tombstone as a dict, None where ``consent`` says no.

    Raises as ``processing.forgetting.forget``.
    """
    if not consent(forgetting.find(store, target, with_copies=with_copies)):
        return None
    stone = forgetting.forget(
        store,
        target,
        run_id=run_id_of(forgetting.DAG_ID, target, now),
        with_copies=with_copies,
        software=software(),
        forget_state=state.forget,
    )
    return asdict(stone)


def lines(found: Found) -> list[str]:
    """What will go, for a person to read."""
    said = []
    for kind, rows in (("article", found.articles), ("copy", found.copies)):
        for row in rows:
            said.append(f"{kind} of {row['date']}, {row['source']}: {row['title']}")
            said.append(f"    {row['url']}")
    if not said:
        said.append("nothing is published under it; it will never be fetched again")
    counts = [(len(found.revisions), "earlier texts"), (len(found.coverage), "coverage rows")]
    said.append(", ".join(f"{count} {what}" for count, what in counts))
    if found.staying:
        said.append(f"{len(found.staying)} copies stay: the earliest takes the article's place")
    return said
