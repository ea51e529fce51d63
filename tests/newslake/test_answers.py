"""Answers as files, read back."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newslake import answers
from processing.exceptions import ConfigurationError

TABLE = pa.table(
    {
        "title": pa.array(['Say "no", twice\nand go', None, "ünïcode"]),
        "at": pa.array(
            [datetime(2026, 11, 10, 12, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")
        ),
        "date": [date(2026, 11, 10), None, None],
        "tags": pa.array([["é", "b"], [], None], pa.list_(pa.string())),
        "n": pa.array([1, None, 3], pa.int32()),
    }
)


def test_a_parquet_file_is_the_table(tmp_path: Path):
    file = tmp_path / "answer.parquet"
    answers.writer(file)(TABLE)
    assert pq.read_table(file).equals(TABLE)
    assert [found.name for found in tmp_path.iterdir()] == [file.name]


def test_a_csv_file_has_iso_moments_and_lists_in_json(tmp_path: Path):
    file = tmp_path / "Answer.CSV"
    file.write_text("what was there before")
    answers.writer(file)(TABLE)
    with file.open(encoding="utf-8", newline="") as lines:
        first, *others = csv.DictReader(lines)
    assert first == {
        "title": 'Say "no", twice\nand go',
        "at": "2026-11-10T12:00:00+00:00",
        "date": "2026-11-10",
        "tags": '["é", "b"]',
        "n": "1",
    }
    assert [json.loads(row["tags"] or "null") for row in others] == [[], None]
    assert [row["n"] for row in others] == ["", "3"]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1))
def test_any_text_survives_csv(tmp_path_factory: pytest.TempPathFactory, texts: list[str]):
    file = tmp_path_factory.mktemp("csv") / "answer.csv"
    answers.writer(file)(pa.table({"text": texts}))
    with file.open(encoding="utf-8", newline="") as lines:
        assert [row["text"] for row in csv.DictReader(lines)] == texts


@pytest.mark.parametrize("name", ["answer", "answer.xlsx", "missing/answer.csv"])
def test_a_wrong_place_is_told_before_the_query_runs(tmp_path: Path, name: str):
    with pytest.raises(ConfigurationError, match=r"answer|missing"):
        answers.writer(tmp_path / name)


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    (tmp_path / "answer.csv").mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot write .*answer\.csv: Is a directory"):
        answers.writer(tmp_path / "answer.csv")(TABLE)
    assert [found.name for found in tmp_path.iterdir()] == ["answer.csv"]
