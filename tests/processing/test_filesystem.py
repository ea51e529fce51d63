"""Reading a folder through Arrow, and ending right afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from processing.filesystem import filesystem

READERS = 6
"""Processes tried: of those that do not wait for Arrow, more than half abort."""

READ = """
import sys
import pyarrow.dataset as ds
from processing.filesystem import filesystem
for _ in range(2):
    ds.dataset("", filesystem=filesystem(sys.argv[1], {})).to_table()
"""

DECODE = """
import sys
from pathlib import Path
from processing.parquet import decode
for file in Path(sys.argv[1].removeprefix("file://")).iterdir():
    decode(file.read_bytes())
"""


@pytest.fixture
def folder(tmp_path) -> str:
    rows = pa.table({"number": range(1_000), "text": [f"row {n}" * 50 for n in range(1_000)]})
    for number in range(200):
        pq.write_table(rows, tmp_path / f"{number}.parquet")
    return f"file://{tmp_path}"


def ends(script: str, folder: str) -> Sequence[tuple[int, str]]:
    """Exit status and last words of some processes that run a script side by side."""
    command = [sys.executable, "-c", script, folder]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(READERS)]
    return [(process.wait(), process.communicate()[1]) for process in running]


@pytest.mark.parametrize("script", [READ, DECODE])
def test_a_process_that_ends_right_after_reading_ends_well(folder, script):
    assert set(ends(script, folder)) == {(0, "")}


def test_sizes_that_are_known_spare_nothing_of_the_rows(folder, tmp_path):
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    held = ds.dataset("", filesystem=filesystem(folder, {}, sizes))
    assert held.count_rows() == 200_000
