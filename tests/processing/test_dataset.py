"""The tables' files: every row in its own partition, whatever came in whatever order."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from random import Random

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from test_publishing import DAY, FIRST, article

from processing import dataset
from processing.records import TOPICS
from processing.tables import ARTICLES, FINGERPRINTS, to_table

NOW = datetime(2026, 11, 10, 13, tzinfo=UTC)


def fingerprints(draw: Random, count: int) -> pa.Table:
    """Rows of random days; the article_id tells each one's day."""
    days = [date(2026, 11, 1) + timedelta(days=draw.randrange(12)) for _ in range(count)]
    return to_table(
        [
            {
                "key": f"{draw.randrange(1 << 60):032x}",
                "source": "herald",
                "id": f"{number:032x}",
                "article_id": day.isoformat(),
                "run_id": FIRST,
                "date": day,
            }
            for number, day in enumerate(days)
        ],
        FINGERPRINTS,
    )


@pytest.mark.parametrize("seed", range(8))
def test_every_row_lies_in_the_folder_of_its_own_day_and_topic(store, seed):
    draw = Random(seed)
    rows = []
    for number in range(draw.randint(1, 40)):
        day, topic = DAY - timedelta(days=draw.randrange(12)), draw.choice(TOPICS)
        one = article(f"https://herald.example/{number}", title=f"{day.date()} {topic}")
        rows.append({**one.to_row(), "date": day.date(), "topic": topic, "run_id": FIRST})
    files = dataset.write_files(
        store, "articles", to_table([{**r, "cluster_id": r["id"]} for r in rows], ARTICLES), FIRST
    )
    found = 0
    for file in files:
        held = pq.read_table(io.BytesIO(store.get(f"articles/{file.path}").data))
        said = f"{file.partition['date']} {file.partition['topic']}"
        assert set(held["title"].to_pylist()) == {said}
        assert file.path.startswith(f"date={said.replace(' ', '/topic=')}/part-")
        assert len(held) == file.rows
        found += len(held)
    assert found == len(rows)


def test_rows_are_taken_out_and_their_neighbours_carried_over(store):
    dataset.initialise(store)
    tables = dataset.Tables(store)
    rows = fingerprints(Random(1), 40)
    first = dataset.change_rows(tables, "fingerprints", rows, FIRST)
    dataset.commit(tables, first, "first", 0, NOW)
    leaving = rows.slice(7, 1).to_pylist()[0]
    gone = dataset.rows_of({(leaving["id"], "herald"): leaving["date"]})
    none = FINGERPRINTS.empty_table()
    second = dataset.change_rows(
        tables, "fingerprints", none, FIRST, gone=gone, days=[leaving["date"]]
    )
    assert len(second.removes) == 1
    dataset.commit(tables, second, "second", 1, NOW)
    left = {row["id"] for row in tables.rows("fingerprints", ds.scalar(True))}
    assert left == set(rows["id"].to_pylist()) - {leaving["id"]}


def test_values_are_found_wherever_they_lie_and_nothing_else(store):
    dataset.initialise(store)
    tables = dataset.Tables(store)
    rows = fingerprints(Random(2), 60)
    change = dataset.change_rows(tables, "fingerprints", rows, FIRST)
    dataset.commit(tables, change, "first", 0, NOW)
    wanted = rows["key"].to_pylist()[::7]
    found = tables.find("fingerprints", "key", [*wanted, "no such key"])
    assert sorted(row["key"] for row in found) == sorted(wanted)
    one_day = found[0]["date"]
    there = tables.find("fingerprints", "key", wanted, [one_day])
    assert {row["date"] for row in there} == {one_day}
    assert tables.find("fingerprints", "key", []) == []
