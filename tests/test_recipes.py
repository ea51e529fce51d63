"""Every recipe of docs/reading.md that can run here runs, against a filled lake."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from filled_lake import FIRST, NOON, SECOND, fill

from processing.dataset import Tables
from processing.storage import Store
from processing.tables import SCHEMAS
from processing.upkeep import Upkeep

PAGE = (Path(__file__).parent.parent / "docs" / "reading.md").read_text(encoding="utf-8")
NOT_RUN = ("Spark", "Trino and Athena")


def blocks(language: str) -> list[tuple[str, str]]:
    """(heading, code) of each block of the page."""
    found = []
    for part in re.split(r"^##+ ", PAGE, flags=re.M)[1:]:
        heading = part.partition("\n")[0]
        found += [
            (heading, code) for code in re.findall(rf"^```{language}\n(.*?)^```", part, re.M | re.S)
        ]
    return found


RECIPES = [(heading, code) for heading, code in blocks("python") if heading not in NOT_RUN]
FIRST_SPORT = [(NOON.date(), "A title")]


@pytest.fixture(scope="module")
def filled(object_store: dict[str, str]) -> Iterator[tuple[Store, dict[str, str]]]:
    variables = {**object_store, "NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}/news"}
    store = Store.from_environment(variables)
    store.ensure_bucket()
    fill(store)
    return store, variables


@pytest.fixture
def cooked(filled, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a recipe in an environment that points at the filled lake; the names it leaves."""
    store, variables = filled
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def cook(code: str) -> dict[str, Any]:
        said: dict[str, Any] = {"options": store.delta_options, "seen": FIRST}
        exec(code.replace("s3://newslake", store.url), said)
        return said

    return cook


def recipe(heading: str, having: str) -> str:
    (code,) = [code for found, code in RECIPES if found == heading and having in code]
    return code


CHECKS: Mapping[tuple[str, str], Any] = {
    ("newslake", "lake.sql"): lambda said: (
        said["arrow"].num_rows == len(said["polars"]) == len(said["relation"]) == 1
        and said["week"].shape == (4, 3)
        and said["answer"].to_pylist() == [{"source": "herald", "n": 1}]
        and said["found"]["revision"] == 1
    ),
    ("newslake", "lake.dataset"): lambda said: (
        said["sports"].rows() == FIRST_SPORT
        and sorted(topic for topic, _ in said["topics"]) == ["politics", "sport"]
        and sum(said["partitions"]["rows"].to_pylist()) == 4
    ),
    ("What is new", "since_run"): lambda said: (
        [url[-2:] for url in said["fresh"]["url"].to_pylist()] == ["/a"]
        and len(said["gone"]) == 0
        and said["seen"] == SECOND
    ),
    ("As it was", "as_of"): lambda said: (
        said["count"] == 4
        and said["then"].revisions().count_rows() == 0
        and set(said["versions"]) == set(SCHEMAS)
    ),
    ("Without newslake", "options = "): lambda said: all(
        isinstance(value, str) for value in said["options"].values()
    ),
    ("Polars", "scan_delta"): lambda said: (
        said["sports"].rows() == FIRST_SPORT and len(said["before"]) == 4
    ),
    ("DuckDB", "duckdb.sql"): lambda said: (
        sorted(said["topics"])
        == [
            ("politics", 3),
            ("sport", 1),
        ]
    ),
    ("Plain Parquet", "read_parquet"): lambda said: (
        said["sports"]["title"].to_list() == ["A title"]
        and said["sports"]["topic"].to_list() == ["sport"]
    ),
}
WITH_PANDAS = [("newslake", "to_pandas"), ("pandas", "to_pandas")]


@pytest.mark.parametrize(("heading", "having"), CHECKS)
def test_a_recipe_gives_what_it_says(cooked, heading: str, having: str):
    said = cooked(recipe(heading, having))
    assert CHECKS[heading, having](said)


@pytest.mark.parametrize(("heading", "having"), WITH_PANDAS)
def test_a_recipe_with_pandas_gives_what_it_says(cooked, heading: str, having: str):
    pytest.importorskip("pandas", reason="pandas is not installed; the dev extra brings it")
    frame = cooked(recipe(heading, having))["frame"]
    assert frame.to_dict("records") == [{"date": NOON.date(), "title": "A title"}]


def test_every_recipe_is_run_or_said_not_to_be():
    assert {recipe(*which) for which in [*CHECKS, *WITH_PANDAS]} == {code for _, code in RECIPES}
    for heading in NOT_RUN:
        assert f"[{heading}]" in PAGE.partition("## ")[0]
        assert "not tested here" in PAGE.partition(f"### {heading}\n")[2].partition("```")[0]
    for heading, code in blocks("python"):
        compile(code, heading, "exec")


def test_the_tables_ask_no_more_of_a_reader_than_the_page_says(store: Store):
    fill(store)
    after = NOON + timedelta(days=400)
    upkeep = Upkeep(store, clock=lambda: after)
    upkeep.compact()
    upkeep.vacuum(timedelta(days=1))
    tables = Tables(store)
    for name in SCHEMAS:
        asked = tables.delta(name).protocol()
        assert (asked.min_reader_version, asked.reader_features) == (1, None)
    assert "Delta reader version 1" in PAGE
