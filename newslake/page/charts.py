"""Charts as SVG made here: without script, and coloured by ``static/style.css`` alone.

pygal draws axes and bars. Its own styles and scripts are taken out, for the page allows none
inline, and what it says of each value becomes a ``title``, which browsers show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pygal
from lxml import etree
from markupsafe import Markup

from processing.records import KNOWN, State

_SVG = "{http://www.w3.org/2000/svg}"
_SHAPE: Mapping[str, Any] = {
    "width": 620,
    "height": 170,
    "margin": 4,
    "margin_right": 16,
    "truncate_label": -1,
    "css": [],
    "js": [],
    "disable_xml_declaration": True,
    "show_legend": False,
    "show_minor_x_labels": False,
    "include_x_axis": True,
    "max_scale": 5,
    "min_scale": 3,
}
_FEW = 5
_LABELS = 7  # of days, below a chart


def bars(days: Mapping[date, int], what: str) -> Markup:
    """A bar for each day."""
    return _drawn(pygal.Bar(spacing=4, **_SHAPE), days, what)


def line(days: Mapping[date, int], what: str) -> Markup:
    """A line over the days."""
    lowest = min(days.values(), default=0)
    shape = {**_SHAPE, "include_x_axis": lowest == 0}
    return _drawn(pygal.Line(dots_size=2, **shape), days, what)


def _drawn(chart: Any, days: Mapping[date, int], what: str) -> Markup:
    labels = [f"{day:%-d %b}" for day in days]
    chart.x_labels = labels
    chart.x_labels_major = labels[:: max(1, len(labels) // _LABELS)]
    most = max(days.values(), default=0)
    if most < _FEW:  # else halves of articles would be drawn
        chart.y_labels = range(most + 1)
    chart.add(what, list(days.values()), formatter=lambda value: f"{value:,}")
    chart.value_formatter = lambda value: f"{value:,.0f}"
    chart.add_xml_filter(_bare)
    return Markup(chart.render(is_unicode=True))  # noqa: S704 numbers and dates only


def _bare(root: Any) -> Any:
    for name in ("style", "script"):
        for element in list(root.iter(f"{_SVG}{name}", name)):
            element.getparent().remove(element)
    for element in list(root.iter(etree.Comment)):
        element.getparent().remove(element)
    for value in list(root.iter(f"{_SVG}desc", "desc")):
        parent = value.getparent()
        if value.get("class") == "value":
            day = next((d.text for d in parent if d.get("class") == "x_label"), "")
            title = etree.SubElement(parent, "title")
            title.text = f"{day}: {value.text}"
            parent.insert(0, title)
        elif value.get("class") != "x_label":
            parent.remove(value)
    for value in list(root.iter(f"{_SVG}desc", "desc")):
        value.getparent().remove(value)
    for element in root.iter():
        element.attrib.pop("style", None)
    root.attrib.pop("id", None)
    root.set("aria-hidden", "true")  # the same figures stand in a table
    return root


# --- what became of URLs --------------------------------------------------------------------

GROUPS: Mapping[str, tuple[str, ...]] = {
    "new": (State.PUBLISHED, State.UPDATED),
    "copies": (State.DUPLICATE_EXACT, State.DUPLICATE_NEAR),
    "known": (State.UNCHANGED, KNOWN),
    "skipped": tuple(s for s in State if s.startswith("skipped-")),
    "rejected": (*(s for s in State if s.startswith("rejected-")), State.FAILED_EXTRACTION),
    "failed": tuple(
        s for s in State if s.startswith("failed-") and s is not State.FAILED_EXTRACTION
    ),
    "forgotten": (State.FORGOTTEN,),
}
"""The states of a URL as one colour each, in the order of a bar."""

GROUP_OF = {str(state): group for group, states in GROUPS.items() for state in states}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a bar, in per cent of its width."""

    group: str
    urls: int
    start: float
    width: float


def stacked(states: Mapping[str, int]) -> list[Part]:
    """What became of URLs as the parts of one bar, by groups."""
    total = sum(states.values())
    parts = []
    start = 0.0
    for group, own in GROUPS.items():
        urls = sum(states.get(state, 0) for state in own)
        if urls:
            parts.append(Part(group, urls, round(start, 3), round(100 * urls / total, 3)))
            start += 100 * urls / total
    return parts


def levels(counts: Sequence[int]) -> list[int]:
    """The shade of each number, 0 (none) to 6 (the most)."""
    most = max(counts, default=0)
    # By the root: a quiet topic is still told from none where another has a hundred times as many.
    return [min(6, 1 + int(5.999 * (n / most) ** 0.5)) if n else 0 for n in counts]
