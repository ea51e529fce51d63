"""What a publish refuses, and what it flags."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import Field
from deltalake.schema import PrimitiveType
from test_publishing import DAY, FIRST, SECOND, article, facts, rows, stage

from processing import dataset, gate
from processing.exceptions import GateError
from processing.publishing import publish
from processing.tables import STAGED_ARTICLES

STAGED = f"staged/run={FIRST}/source=herald/articles.parquet"


def put_staged(store, table: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    store.put(STAGED, sink.getvalue())


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("id", None, "rows with no id"),
        ("id", "", "has an empty id"),
        ("text", "", "has an empty text"),
        ("content_hash", None, "rows with no content_hash"),
        ("published_at", DAY + timedelta(days=3), "implausible published_at"),
        ("published_at", DAY.replace(year=1970), "implausible published_at"),
    ],
)
def test_a_row_that_breaks_the_promise_stops_the_publish_before_it_changes_anything(
    store, column, value, said
):
    good = article("https://herald.example/good")
    stage(store, FIRST, good, article("https://herald.example/bad", "Other."))
    held = pq.read_table(io.BytesIO(store.get(STAGED).data))
    values = held[column].to_pylist()
    values[1] = value
    kind = STAGED_ARTICLES.field(column)
    bad = held.set_column(held.column_names.index(column), kind, pa.array(values, kind.type))
    put_staged(store, bad)
    with pytest.raises(GateError, match=said):
        publish(store, facts(FIRST))
    assert rows(store, "articles") == rows(store, "coverage") == []
    assert store.exists(STAGED), "what was staged is still there"


def test_staged_columns_of_another_version_are_refused_with_the_file_and_the_column(store):
    stage(store, FIRST, article("https://herald.example/a"))
    held = pq.read_table(io.BytesIO(store.get(STAGED).data))
    put_staged(store, held.drop_columns(["wire"]))
    with pytest.raises(GateError, match=rf"{STAGED} lacks the column wire"):
        publish(store, facts(FIRST))
    put_staged(store, held.append_column("mood", pa.array(["good"])))
    with pytest.raises(GateError, match="a column mood that this newslake does not know"):
        publish(store, facts(FIRST))


def test_an_empty_staged_file_is_refused(store):
    stage(store, FIRST, article("https://herald.example/a"))
    store.put(STAGED, b"")
    with pytest.raises(GateError, match="is empty or damaged"):
        publish(store, facts(FIRST))


def test_a_table_with_a_column_too_many_is_refused(store):
    stage(store, FIRST, article("https://herald.example/a"))
    dataset.initialise(store)
    table = dataset.open_table(store, "articles")
    table.alter.add_columns([Field("mood", PrimitiveType("string"))])
    with pytest.raises(GateError, match=r"the table articles of .* has a column mood"):
        publish(store, facts(FIRST))


def manifest(run_id: str, **discovered: int) -> dict:
    schedules = dict.fromkeys(discovered, "hourly")
    return {"run_id": run_id, "discovered": discovered, "failures": {}, "schedules": schedules}


def history(*counts: int) -> list[dict]:
    return [manifest(f"2026111{n}T000000Z-abcdef", herald=c) for n, c in enumerate(counts)]


@pytest.mark.parametrize(
    ("before", "now", "flagged"),
    [
        ((100, 110, 90), 20, True),
        ((100, 110, 90), 0, True),
        ((100, 110, 90), 40, False),
        ((100, 110), 0, False),  # too few runs to tell
        ((5, 6, 5, 7), 0, False),  # a small source varies by chance
        ((100, 0, 0, 0, 110, 90), 20, True),  # runs without it tell nothing
    ],
)
def test_a_volume_collapse_is_flagged(before, now, flagged):
    found = gate.flags(manifest("20261120T000000Z-abcdef", herald=now), history(*before))
    assert [f["flag"] for f in found] == ["volume-collapse"] * flagged
    assert all(f["source"] == "herald" and f"{now} URLs" in f["detail"] for f in found)


def test_a_source_that_failed_is_not_flagged_besides():
    failed = manifest("20261120T000000Z-abcdef", herald=0) | {"failures": {"herald": "no answer"}}
    assert gate.flags(failed, history(100, 100, 100)) == []


def test_a_collapse_is_published_and_flagged_in_the_manifest(store):
    hourly = {"herald": "hourly"}
    for number in range(3):
        run_id = f"20261110T0{number}0000Z-abcdef"
        gone = [(f"https://herald.example/{n}", "failed-http") for n in range(12)]
        stage(store, run_id, others=gone)
        assert publish(store, replace(facts(run_id), schedules=hourly))["flags"] == []
    stage(store, SECOND, article("https://herald.example/a"))
    said = publish(store, replace(facts(SECOND), schedules=hourly))
    assert [f["source"] for f in said["flags"]] == ["herald"]
    assert len(rows(store, "articles")) == 1


def test_an_import_says_nothing_of_what_a_source_usually_shows():
    brought_in = [said | {"schedules": {}} for said in history(1000, 1000, 1000)]
    assert gate.flags(manifest("20261120T000000Z-abcdef", herald=20), brought_in) == []
