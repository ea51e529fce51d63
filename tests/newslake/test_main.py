"""The process of ``newslake`` ends with its command's status, whatever Python's own end does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import newslake

# What Arrow's threads now and then do as Python is taken apart.
ABORTING = """
import os, sys

class Held:
    abort = os.abort

    def __del__(self):
        self.abort()

sys.held = Held()
"""


@pytest.fixture
def aborting(lake_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment in which Python aborts when it is taken apart."""
    (tmp_path / "sitecustomize.py").write_text(ABORTING)
    environ = {**lake_env, "PYTHONPATH": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", ""], env=environ, check=False).returncode < 0
    return environ


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [(["--version"], 0, newslake.__version__), (["--no-such"], 2, "No such option")],
)
def test_a_command_ends_with_its_own_status(aborting, words, status, said):
    command = [sys.executable, "-m", "newslake", *words]
    done = subprocess.run(command, env=aborting, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr


def test_the_installed_command_ends_so_too(aborting):
    command = [str(Path(sys.executable).with_name("newslake")), "--version"]
    assert subprocess.run(command, env=aborting, capture_output=True, check=False).returncode == 0


def test_output_that_cannot_be_written_is_a_failure(aborting):
    command = [sys.executable, "-m", "newslake", "--version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=aborting, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
