"""The summary of a filled lake, as rows and as a person sees it."""

from __future__ import annotations

from datetime import date

import pytest
from filled_lake import SECOND, fill
from rich.console import Console

from newslake import summary
from newslake.reader import Lake
from processing.storage import Store


@pytest.fixture
def lake(store: Store) -> Lake:
    fill(store)
    return Lake(store)


def section(rows: list[dict], name: str) -> list[dict]:
    return [
        {key: value for key, value in row.items() if key != "section"}
        for row in rows
        if row["section"] == name
    ]


def test_the_summary_counts_what_the_tables_hold(lake: Lake):
    rows = summary.rows(lake)
    first, second = date(2026, 11, 10), date(2026, 11, 11)
    assert section(rows, "articles") == [
        {"date": first, "topic": "politics", "count": 2},
        {"date": first, "topic": "sport", "count": 1},
        {"date": second, "topic": "politics", "count": 1},
    ]
    assert section(rows, "copies") == [{"relation": "exact", "count": 1}]
    assert section(rows, "revisions") == [{"count": 1}]
    last = {
        (row["run_id"], row["source"], row["state"]): row["count"]
        for row in section(rows, "coverage")
    }
    states = {"duplicate-exact": 1, "failed-http": 1, "known": 1, "updated": 1}
    assert last == {(SECOND, "herald", state): count for state, count in states.items()}
    details = {row["detail"] for row in section(rows, "coverage") if row["count"]}
    assert "exact copy" in details
    sizes = {row["table"]: (row["rows"], row["files"]) for row in section(rows, "sizes")}
    assert sizes == {"articles": (4, 3), "copies": (1, 1), "revisions": (1, 1), "coverage": (8, 2)}


def test_a_person_sees_the_same(lake: Lake, capsys: pytest.CaptureFixture[str]):
    summary.show(Console(width=120, markup=False), lake, {"Log": "run.log"})
    said = capsys.readouterr().out
    assert "sport 1" in said
    assert "4 articles, 1 copies (1 exact), 1 earlier texts" in said
    assert "1 exact copy" in said
    assert lake.url in said
