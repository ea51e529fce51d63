"""What lies in the lake and what the last run did, for a person and for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from newslake.health import alarms_of_run, lines
from newslake.reader import VIEWS, Lake
from processing.records import run_day

_RELATIONS = "SELECT relation, count(*) AS count FROM copies GROUP BY ALL ORDER BY ALL"
# Of what each is a copy is told by the tables: here they are counted.
_STATES = (
    "SELECT source, state, regexp_replace(detail, '^(\\S+ copy) of \\w+$', '\\1') AS detail,"
    " count(*) AS count FROM coverage WHERE run_id = '{run_id}' AND date = DATE '{day}'"
    " GROUP BY ALL ORDER BY ALL"
)
_DETAIL_WIDTH = 120
_DAYS_SHOWN = 14


def rows(lake: Lake) -> list[dict[str, Any]]:
    """The summary as flat rows, each with its ``section``.

    ``articles`` by date and topic, ``copies`` by relation, ``revisions``, the URLs of the last
    run by source, ``state`` and detail, which tells duplicates by relation (section ``coverage``;
    ``known`` ones included), its ``alarms`` (``newslake.health.Alarm``), and ``sizes``: rows,
    files and bytes of Parquet of each table.
    """
    found = [
        {"section": "articles", "date": row["date"], "topic": row["topic"], "count": row["rows"]}
        for row in lake.counts().to_pylist()
    ]
    found += [{"section": "copies", **row} for row in lake.sql(_RELATIONS).to_pylist()]
    found.append({"section": "revisions", "count": _size(lake, "revisions")["rows"]})
    last = lake.last_run()
    if last is not None:
        day = run_day(last["run_id"])
        states = lake.sql(_STATES.format(run_id=last["run_id"], day=day)).to_pylist()
        found += [{"section": "coverage", "run_id": last["run_id"], **row} for row in states]
        found += [
            {"section": "coverage", "run_id": last["run_id"], "source": source, "state": "known"}
            | {"detail": None, "count": count}
            for source, count in last["known"].items()
            if count
        ]
        found += [{"section": "alarms", **asdict(alarm)} for alarm in alarms_of_run(lake, last)]
    return found + [_size(lake, name) for name in VIEWS]


def _size(lake: Lake, name: str) -> dict[str, Any]:
    partitions = lake.counts(name).to_pylist()
    sums = {what: sum(part[what] for part in partitions) for what in ("rows", "files", "bytes")}
    return {"section": "sizes", "table": name, **sums}


def show(console: Console, lake: Lake, where: Mapping[str, str]) -> None:
    """Print the summary: the dataset, the last run's states, where it lies, how to query it."""
    said = rows(lake)
    articles = [row for row in said if row["section"] == "articles"]
    total = sum(row["count"] for row in articles)
    copies = {row["relation"]: row["count"] for row in said if row["section"] == "copies"}
    revisions = next(row["count"] for row in said if row["section"] == "revisions")
    console.print(_days(articles))
    console.print(
        f"{total} articles, {sum(copies.values())} copies"
        + (f" ({', '.join(f'{n} {relation}' for relation, n in copies.items())})" if copies else "")
        + f", {revisions} earlier texts"
    )
    coverage = [row for row in said if row["section"] == "coverage"]
    if coverage:
        console.print()
        console.print(_states(coverage))
    for line in lines(row for row in said if row["section"] == "alarms"):
        console.print(line, soft_wrap=True)
    console.print(f"\nThe lake is {lake.store.url}", soft_wrap=True)
    for name, place in where.items():
        console.print(f"{name}: {place}", soft_wrap=True)
    console.print(
        "Query it: newslake dataset sql"
        ' "SELECT date, topic, title FROM articles ORDER BY date DESC LIMIT 10"',
        soft_wrap=True,
    )


def _days(articles: list[dict[str, Any]]) -> Table:
    table = Table(title="Articles by date and topic", title_justify="left")
    table.add_column("date", no_wrap=True)
    table.add_column("articles", justify="right")
    table.add_column("topics")
    days = sorted({row["date"] for row in articles}, reverse=True)
    for day in days[:_DAYS_SHOWN]:
        own = sorted((r for r in articles if r["date"] == day), key=lambda r: -r["count"])
        topics = ", ".join(f"{row['topic']} {row['count']}" for row in own)
        table.add_row(str(day), str(sum(row["count"] for row in own)), topics)
    earlier = [row for row in articles if row["date"] in days[_DAYS_SHOWN:]]
    if earlier:
        count = str(sum(row["count"] for row in earlier))
        table.add_row("earlier", count, f"on {len(days) - _DAYS_SHOWN} more days")
    return table


def _states(coverage: list[dict[str, Any]]) -> Table:
    table = Table(
        title=f"What became of each URL of run {coverage[0]['run_id']}", title_justify="left"
    )
    for column in ("state", "URLs", "sources", "reasons"):
        table.add_column(column, justify="right" if column == "URLs" else "left")
    for state in sorted({row["state"] for row in coverage}):
        own = [row for row in coverage if row["state"] == state]
        reasons = "; ".join(sorted({row["detail"] for row in own if row["detail"]}))
        if state.startswith("duplicate"):
            reasons = _counted(own)
        elif state.startswith(("published", "updated")):
            reasons = ""
        table.add_row(
            state,
            str(sum(row["count"] for row in own)),
            str(len({row["source"] for row in own})),
            reasons if len(reasons) <= _DETAIL_WIDTH else reasons[: _DETAIL_WIDTH - 1] + "…",
        )
    return table


def _counted(rows: list[dict[str, Any]]) -> str:
    """How many of the rows have each detail."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["detail"] or "met again"] += row["count"]
    return ", ".join(f"{count} {detail}" for detail, count in sorted(counts.items()))
