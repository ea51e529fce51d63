"""The code on the screen, run for real: it gives what the screen shows."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from filled_lake import NOON, fill

from newslake.page.snippets import COLUMNS, Selection, Snippet, snippets
from newslake.reader import Lake
from processing.storage import Store

DAY = NOON.date()
SELECTIONS = {
    "counts": Selection(DAY, DAY.replace(day=11), counted=True),
    "counts of a topic": Selection(DAY, DAY.replace(day=11), "sport", counted=True),
    "a day": Selection(DAY, DAY),
    "a partition": Selection(DAY, DAY, "sport"),
}
READERS = ("newslake", "DuckDB", "Polars", "pandas")


@pytest.fixture(scope="module")
def filled(object_store: dict[str, str]) -> tuple[Store, dict[str, str]]:
    variables = {**object_store, "NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}/news"}
    store = Store.from_environment(variables)
    store.ensure_bucket()
    fill(store)
    return store, variables


def code(store: Store, selection: Selection, reader: str) -> Snippet:
    (found,) = [each for each in snippets(store, selection) if each.name == reader]
    return found


def rows(answer: Any) -> list[tuple[Any, ...]]:
    """The rows of any reader's table."""
    if hasattr(answer, "to_arrow_table"):
        answer = answer.to_arrow_table()
    if hasattr(answer, "to_pylist"):
        return [tuple(row.values()) for row in answer.to_pylist()]
    if hasattr(answer, "iter_rows"):
        return list(answer.iter_rows())
    return list(answer.itertuples(index=False, name=None))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shown", SELECTIONS)
def test_a_reader_gets_what_is_shown(filled, monkeypatch, reader: str, shown: str):
    if reader == "pandas":
        pytest.importorskip("pandas", reason="pandas is not installed; the dev extra brings it")
    store, variables = filled
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    selection = SELECTIONS[shown]
    said: dict[str, Any] = {}
    exec(code(store, selection, reader).code, said)
    with Lake(store) as lake:
        topic = f"AND topic = '{selection.topic}'" if selection.topic else ""
        what = "date, topic, count(*)" if selection.counted else ", ".join(COLUMNS)
        asked = (
            f"SELECT {what} FROM articles WHERE date BETWEEN '{selection.first}'"
            f" AND '{selection.last}' {topic} {'GROUP BY ALL' if selection.counted else ''}"
        )
        expected = [tuple(row.values()) for row in lake.sql(asked).to_pylist()]
    found = [row[:3] if not selection.counted else row for row in rows(said["answer"])]
    assert expected
    assert sorted(found) == sorted(row[:3] for row in expected)


@pytest.mark.parametrize("shown", SELECTIONS)
def test_sparks_is_python_that_names_the_selection(filled, shown: str):
    store, _ = filled
    selection = SELECTIONS[shown]
    found = code(store, selection, "Spark").code
    compile(found, "spark", "exec")
    assert f"date BETWEEN DATE '{selection.first}' AND DATE '{selection.last}'" in found
    assert (f"topic = '{selection.topic}'" in found) == bool(selection.topic)
    assert f"s3a://{store.bucket}/news/articles" in found


def test_no_secret_is_shown(filled):
    store, variables = filled
    for selection in SELECTIONS.values():
        for each in snippets(store, selection):
            assert variables["AWS_SECRET_ACCESS_KEY"] not in each.code
            assert variables["AWS_ACCESS_KEY_ID"] not in each.code
