"""The data contract in docs/data-format.md, and in the lake, says what the tables are."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from processing.publishing import RunFacts, publish
from processing.records import State
from processing.schema_documents import (
    COLUMNS,
    MANIFEST,
    STATES,
    VALUES,
    column_table,
    documents,
    json_schema,
    listing,
    promises,
)
from processing.tables import PARTITIONS, SCHEMAS

PAGE = (Path(__file__).parent.parent / "docs" / "data-format.md").read_text(encoding="utf-8")
HOW = "put this into docs/data-format.md:\n"


def section(heading: str) -> str:
    """The part of the page under a heading, up to the next of any level."""
    match = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
    assert match, f"docs/data-format.md has no heading {heading!r}"
    return match[1]


def names_in(part: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", part, re.M)


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_column_is_described_and_no_other(table):
    assert list(COLUMNS[table]) and set(COLUMNS[table]) == set(SCHEMAS[table].names)
    expected = column_table(table)
    assert expected in section(table), HOW + expected
    inherited = SCHEMAS["articles"].names if table in ("copies", "revisions") else []
    own = [name for name in SCHEMAS[table].names if name not in inherited]
    assert names_in(section(table)) == own


def test_the_page_promises_what_the_lake_promises():
    assert section("What is promised").strip() == promises(), HOW + promises()


def test_every_state_is_described_and_no_other():
    assert list(STATES) == list(State)
    assert listing(STATES, "state") in section("Coverage states"), HOW + listing(STATES, "state")
    assert names_in(section("Coverage states")) == list(State)


def test_every_manifest_field_is_described_and_no_other(store):
    facts = RunFacts("20261110T120000Z-abcdef", (), datetime(2026, 11, 10, tzinfo=UTC), {}, {}, {})
    assert list(publish(store, facts)) == list(MANIFEST)
    assert listing(MANIFEST, "field") in section("Manifests"), HOW + listing(MANIFEST, "field")
    assert names_in(section("Manifests")) == list(MANIFEST)


@pytest.mark.parametrize("table", SCHEMAS)
def test_a_column_that_may_not_be_null_is_not_said_to_be(table):
    for field in SCHEMAS[table]:
        never = not field.nullable or field.name in PARTITIONS[table]
        if never:
            assert not COLUMNS[table][field.name].null, field.name


def test_the_lake_gets_a_readme_and_a_schema_for_each_table():
    said = documents()
    assert set(said) == {"README.md", *(f"schema/{name}.json" for name in SCHEMAS)}
    readme = said["README.md"].decode()
    assert promises() in readme
    for table in SCHEMAS:
        assert column_table(table) in readme
        assert json.loads(said[f"schema/{table}.json"]) == json_schema(table)


@pytest.mark.parametrize("table", SCHEMAS)
def test_json_schemas_follow_the_arrow_schemas(table):
    said = json_schema(table)
    assert list(said["properties"]) == said["required"] == SCHEMAS[table].names
    for field in SCHEMAS[table]:
        column = said["properties"][field.name]
        kinds = column["type"] if isinstance(column["type"], list) else [column["type"]]
        assert ("null" in kinds) == bool(COLUMNS[table][field.name].null)
        assert ("items" in column) == pa.types.is_list(field.type)
        assert (column.get("format") == "date-time") == pa.types.is_timestamp(field.type)
        assert set(VALUES.get(field.name, ())) <= set(column.get("enum", ()))
