"""The *Dataset* view: how much there is of each day and topic, how it grows, how fresh it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

import pyarrow as pa
from fastapi import APIRouter, Request
from fastapi.responses import Response

from newslake.page import charts, snippets
from newslake.page.lake import OpenLake, PageNumber
from newslake.page.remembered import Remembered
from newslake.page.rendering import templates
from newslake.page.runs import last_manifest
from newslake.page.snippets import Selection
from newslake.page.tallies import Standing, days_to, standing, tallies
from newslake.reader import Lake
from processing.records import KNOWN, TOPICS, UNCLASSIFIED

router = APIRouter()

SLUGS = (*sorted(TOPICS), UNCLASSIFIED)
SPAN = 28
"""Days on one screen."""

_A_PAGE = 50
_MOST = 15  # of sources and languages; the others are summed up
_LISTED = ("id", "title", "source", "language", "topic", "published_at", "first_seen_at")


@dataclass(frozen=True, slots=True)
class Cell:
    """One topic on one day of the heat map, ``level`` its shade."""

    day: date
    topic: str
    articles: int
    level: int


@dataclass(frozen=True, slots=True)
class Share:
    """A name, its articles, and these in per cent of the greatest number."""

    name: str | None
    articles: int
    width: float


@router.get("/", name="dataset")
def dataset(request: Request, lake: OpenLake, until: date | None = None) -> Response:
    """The heat map of the days up to ``until``, else of the newest, and what goes with it."""
    now: datetime = request.app.state.clock()
    found = standing(lake)
    of_days = found.by_day()
    newest = max(of_days, default=now.astimezone(UTC).date())
    oldest = min(of_days, default=newest)
    days = days_to(min(max(until or newest, oldest), newest), SPAN)
    shown = {day: of_days[day] for day in days}
    before = sum(n for day, n in of_days.items() if day < days[0])
    growth = dict(zip(days, list(accumulate(shown.values(), initial=before))[1:], strict=True))
    last = last_manifest(lake, now)
    of_run = _states(last)
    sources, languages = _shares(lake, days, request.app.state.remembered)
    selection = Selection(days[0], days[-1], counted=True)
    return templates.TemplateResponse(
        request,
        "dataset.html",
        {
            "here": "dataset",
            "lake": lake,
            "found": found,
            "now": now,
            "days": days,
            "rows": _rows(found, days),
            "shown": shown,
            "growth": growth,
            "oldest": oldest,
            "newest": newest,
            "older": days[0] - timedelta(days=1),
            "newer": min(newest, days[-1] + timedelta(days=SPAN)),
            "bars": charts.bars(shown, "articles"),
            "line": charts.line(growth, "articles"),
            "sources": sources,
            "languages": languages,
            "most": _MOST,
            "last": last,
            "finished": datetime.fromisoformat(last["finished_at"]) if last else None,
            "of_run": of_run.most_common(),
            "made": charts.stacked(of_run),
            "snippets": snippets.snippets(lake.store, selection),
        },
    )


@router.get("/days/{day}", name="day")
def of_day(request: Request, lake: OpenLake, day: date, page: PageNumber = 1) -> Response:
    """The articles of one date, newest first."""
    return _articles(request, lake, day, None, page)


@router.get("/days/{day}/{topic}", name="partition")
def of_partition(
    request: Request, lake: OpenLake, day: date, topic: str, page: PageNumber = 1
) -> Response:
    """The articles of one partition, newest first."""
    return _articles(request, lake, day, topic, page)


def _articles(request: Request, lake: Lake, day: date, topic: str | None, page: int) -> Response:
    held = lake.articles(date=day, topic=topic, columns=_LISTED)
    newest_first = held.sort_by([("published_at", "descending"), ("id", "ascending")])
    rows = newest_first.slice((page - 1) * _A_PAGE, _A_PAGE).to_pylist()
    topics = Counter(str(slug) for slug in held["topic"].cast(pa.string()))
    return templates.TemplateResponse(
        request,
        "articles.html",
        {
            "here": "dataset",
            "day": day,
            "topic": topic,
            "topics": topics.most_common(),
            "rows": rows,
            "total": len(held),
            "page": page,
            "pages": max(1, -(-len(held) // _A_PAGE)),
            "first": (page - 1) * _A_PAGE + 1,
            "until": day,
            "snippets": snippets.snippets(lake.store, Selection(day, day, topic)),
        },
    )


def _states(manifest: Mapping[str, Any] | None) -> Counter[str]:
    """What became of a run's URLs, its sources together."""
    states: Counter[str] = Counter()
    for counts in manifest["counts"].values() if manifest else ():
        states.update(counts)
    known = sum(manifest["known"].values()) if manifest else 0
    return states + Counter({KNOWN: known})


def _rows(found: Standing, days: list[date]) -> list[dict[str, Any]]:
    """The heat map's rows: every topic, with its cells and its sum."""
    counts = [found.counts.get((day, topic), 0) for topic in SLUGS for day in days]
    shades = charts.levels(counts)
    rows = []
    for n, topic in enumerate(SLUGS):
        own = slice(n * len(days), (n + 1) * len(days))
        cells = [
            Cell(day, topic, count, level)
            for day, count, level in zip(days, counts[own], shades[own], strict=True)
        ]
        rows.append({"topic": topic, "cells": cells, "articles": sum(counts[own])})
    return rows


def _shares(
    lake: Lake, days: list[date], remembered: Remembered
) -> tuple[list[Share], list[Share]]:
    """Articles of these days by source and by language, the most first."""
    sources: Counter[str] = Counter()
    languages: Counter[str | None] = Counter()
    for tally in tallies(lake, days, remembered):
        sources[tally.source] += tally.articles
        languages[tally.language] += tally.articles
    return _ranked(sources), _ranked(languages)


def _ranked(counts: Counter[Any]) -> list[Share]:
    most = max(counts.values(), default=1)
    ranked = sorted(counts.items(), key=lambda each: (-each[1], str(each[0])))
    return [Share(name, n, round(100 * n / most, 2)) for name, n in ranked]
