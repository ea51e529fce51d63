"""What the steps count, through Airflow's own hooks for StatsD and OpenTelemetry.

Nothing is counted outside of Airflow's tasks, or where its section ``metrics`` names no receiver.
Durations are in milliseconds, as Airflow's own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def crawled(result: Mapping[str, Any]) -> None:
    """Count what a crawl brought of one source; ``result`` is what it left of it."""
    tags = {"source": result["source"]}
    _count("newslake.discovered", result["discovered"], tags)
    _count("newslake.pages", result["fetched"], tags)
    _count("newslake.bytes", result["bytes"], tags)
    _count("newslake.crawl.failed", int(not result["ok"]), tags)
    took("crawl", result["seconds"], result["source"])


def published(manifest: Mapping[str, Any]) -> None:
    """Count what became of a run's URLs."""
    for source, states in manifest["counts"].items():
        for state, count in states.items():
            # In the name, for plain StatsD has no tags.
            _count(f"newslake.urls.{state}", count, {"source": source})


def took(step: str, seconds: float, source: str | None = None) -> None:
    """Tell how long a step took, of one source where it is named."""
    if stats := _stats():
        tags = {"source": source} if source else None
        stats.timing(f"newslake.{step}.duration", seconds * 1000, tags=tags)


def _count(name: str, count: int, tags: Mapping[str, str]) -> None:
    if stats := _stats():
        stats.incr(name, count, tags=tags)


def _stats() -> Any:
    # A task has Airflow loaded; a command need not load it, for seconds, to count nothing.
    if "airflow.sdk" not in sys.modules:
        return None
    from airflow.sdk.observability import stats

    return stats
