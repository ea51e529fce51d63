"""The *Sources* view: one line for each source, and what became of every URL of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any

import pyarrow.dataset as ds
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from crawlers import catalogue
from crawlers.catalogue import Catalogue, Source
from newslake.configuration import sources_directory
from newslake.health import Alarm
from newslake.page import charts
from newslake.page.alarms import Alarms
from newslake.page.lake import OpenLake, PageNumber
from newslake.page.rendering import templates
from newslake.page.runs import History, Recent, Run
from newslake.page.tallies import days_to
from newslake.reader import Lake
from processing import health
from processing.exceptions import StoreError
from processing.records import KNOWN, State

router = APIRouter()

WEEK, MONTH = 7, 28
_A_PAGE = 100
_RUNS = 20
_COLUMNS = ("url", "state", "detail", "http_status", "article_id", "at", "run_id", "discovered_via")


class Declared:
    """The catalogue that ``environ`` names, read anew when one of its files has changed."""

    def __init__(self, environ: Mapping[str, str]):
        self._directory = sources_directory(environ)
        self._lock = threading.Lock()
        self._seen: tuple[tuple[str, int], ...] | None = None
        self._catalogue = Catalogue({})

    def catalogue(self) -> Catalogue:
        """Sources and errors. Raises ConfigurationError when there is no directory of sources."""
        with self._lock:
            files = sorted(self._directory.glob("*.y*ml"))
            seen = tuple((file.name, file.stat().st_mtime_ns) for file in files)
            if seen != self._seen or not seen:
                self._catalogue = catalogue.load(self._directory)
                self._seen = seen
            return self._catalogue


@dataclass(frozen=True, slots=True)
class Line:
    """One source as the table shows it.

    ``declared`` is None for one that the catalogue does not have (any more), ``error`` why its
    file is broken. ``yields`` are the share of its new pages that were articles or copies, this
    week and in the three before; None without pages.
    """

    id: str
    declared: Source | None = None
    error: str | None = None
    last: Run | None = None
    states: Mapping[str, int] = field(default_factory=dict)
    yields: tuple[float | None, float | None] = (None, None)
    alarms: list[Alarm] = field(default_factory=list)

    @property
    def failure(self) -> str | None:
        """Why its last crawl failed as a whole."""
        return self.last.failures.get(self.id) if self.last else None

    @property
    def discovered(self) -> int:
        """The URLs of its bar."""
        return sum(self.states.values())

    @property
    def parts(self) -> list[charts.Part]:
        """Its bar."""
        return charts.stacked(self.states)

    @property
    def trouble(self) -> int:
        """What is to be looked at first: 0 a broken file, 1 a failed crawl, 2 an alarm, 3 none."""
        return next((n for n, bad in enumerate((self.error, self.failure, self.alarms)) if bad), 3)


FILTERS: Mapping[str, tuple[str, Callable[[Line], bool]]] = {
    "all": ("All", lambda line: True),
    "alarms": ("With alarms", lambda line: bool(line.alarms)),
    "failed": ("Failed or broken", lambda line: line.trouble < 2),
    "silent": ("Not run lately", lambda line: line.last is None),
}


@router.get("/sources", name="sources")
def sources(request: Request, lake: OpenLake, show: str = "all") -> Response:
    """One line for each source, those with trouble first."""
    lines, alarms = _lines(request, lake)
    show = show if show in FILTERS else "all"
    chosen = [line for line in lines if FILTERS[show][1](line)]
    chosen.sort(key=lambda line: (line.trouble, line.id))
    return templates.TemplateResponse(
        request,
        "sources.html",
        {
            "here": "sources",
            "lines": chosen,
            "filters": {
                key: (label, sum(test(line) for line in lines))
                for key, (label, test) in FILTERS.items()
            },
            "show": show,
            "alarms": alarms,
            "groups": list(charts.GROUPS),
            "now": request.app.state.clock(),
        },
    )


@router.get("/sources/{id_}", name="source")
def source(
    request: Request,
    lake: OpenLake,
    id_: Annotated[str, Path(pattern="^[a-z0-9-]+$")],
    state: str | None = None,
    page: PageNumber = 1,
) -> Response:
    """One source: alarms, states by day, runs; its URLs of the week, of one state or all."""
    now: datetime = request.app.state.clock()
    lines, alarms = _lines(request, lake)
    # An import's source, or one taken out of the catalogue, has no line, and may have articles.
    line = next((line for line in lines if line.id == id_), Line(id_))
    history = request.app.state.runs.look(lake, now).of_source.get(id_, History())
    days = days_to(now.astimezone(UTC).date(), WEEK)
    urls, total = _urls(lake, id_, days, state, page)
    return templates.TemplateResponse(
        request,
        "source.html",
        {
            "here": "sources",
            "line": line,
            "alarms": alarms,
            "days": [(day, history.states([day])) for day in reversed(days)],
            "stacked": charts.stacked,
            "group_of": charts.GROUP_OF,
            "groups": list(charts.GROUPS),
            "runs": history.runs[:_RUNS],
            "state": state,
            "known": KNOWN,
            "states": sorted(line.states.items(), key=lambda each: (-each[1], each[0])),
            "urls": urls,
            "total": total,
            "page": page,
            "pages": max(1, -(-total // _A_PAGE)),
            "now": now,
        },
    )


def _lines(request: Request, lake: Lake) -> tuple[list[Line], Alarms]:
    """A line for each source that is declared, broken, or has run lately; and the alarms."""
    state = request.app.state
    now: datetime = state.clock()
    recent: Recent = state.runs.look(lake, now)
    past = recent.of_source
    alarms = state.alarms.after(recent.last.run_id) if recent.last else Alarms()
    declared: Catalogue = state.declared.catalogue()
    broken = {str(error).partition(".y")[0]: str(error) for error in declared.errors}
    lines = []
    for id_ in sorted(declared.sources.keys() | broken.keys() | past.keys()):
        history = past.get(id_, History())
        days = days_to(now.astimezone(UTC).date(), MONTH)
        lines.append(
            Line(
                id_,
                declared.sources.get(id_),
                broken.get(id_),
                history.runs[0] if history.runs else None,
                history.states(days[-WEEK:]),
                (_yield(history, days[-WEEK:]), _yield(history, days[:-WEEK])),
                alarms.of_source.get(id_, []),
            )
        )
    return lines, alarms


def _yield(history: History, days: list[date]) -> float | None:
    states = history.states(days)
    pages = sum(states[state] for state in health.STATES["pages"])
    lost = sum(states[state] for state in health.STATES["lost"]) + states[State.REJECTED_BLOCKED]
    return (pages - lost) / pages if pages else None


def _urls(
    lake: Lake, source: str, days: list[date], state: str | None, page: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of the rows of coverage of these days, newest first, and how many there are."""
    where = ds.field("source") == source
    if state:
        where &= ds.field("state") == state
    lake.tables.look("coverage")
    try:
        held = lake.tables.dataset("coverage", days).to_table(
            columns=list(_COLUMNS), filter=where, fragment_readahead=16
        )
    except OSError as error:
        raise StoreError(
            f"cannot read {lake.url}/coverage: {str(error).splitlines()[0]}; check the store with"
            " 'newslake doctor'"
        ) from error
    rows = held.sort_by([("at", "descending"), ("url", "ascending")])
    return rows.slice((page - 1) * _A_PAGE, _A_PAGE).to_pylist(), len(held)
