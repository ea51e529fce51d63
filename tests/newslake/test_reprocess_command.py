"""``newslake dataset reprocess`` as its users meet it: what it shows, asks, and commits."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from older_lake import FIRST, STUB, crawl, story

from newslake.days import parse_days
from processing.exceptions import ConfigurationError
from processing.manifests import list_manifests
from processing.storage import Store

HERALD, TRIBUNE = "https://herald.example", "https://tribune.example"
TITLE = "The harbour race was won by the smallest boat of the fleet"
PAGES = {
    f"{HERALD}/cut": story(TITLE, section="Sport"),
    f"{HERALD}/stub": STUB,
    f"{HERALD}/missed": story("The bridge over the river was opened again after long repairs"),
    f"{TRIBUNE}/same": story("The council voted late at night to keep the old market hall"),
}


@pytest.fixture
def lake(lake_env: dict[str, str], store: Store, tmp_path: Path) -> dict[str, str]:
    """The environment of a lake with one article changed, one lost, one gained by today's code."""
    crawl(store, FIRST, tmp_path, PAGES)
    return lake_env


def reprocess(
    environ: Mapping[str, str], *words: str, stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "newslake", "dataset", "reprocess", *words],
        env=environ,
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


@contextmanager
def typing(said: str) -> Iterator[int]:
    """A terminal at which somebody types."""
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, said.encode())
        yield terminal
    finally:
        os.close(keyboard)
        os.close(terminal)


def runs(store: Store) -> set[str]:
    return set(list_manifests(store)) - {FIRST}


def test_without_a_terminal_it_shows_the_difference_and_changes_nothing(lake, store):
    before = {found.key: found.etag for found in store.objects()}
    done = reprocess(lake)
    assert done.returncode == 0
    assert "2026-11-10: 4 looked at, 3 differ" in done.stderr
    assert "nothing was changed; repeat with --yes" in done.stderr
    counts = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert counts["herald"] == ["3", "1", "1", "1", "0"]
    assert f"title: {TITLE} | Herald -> {TITLE}" in done.stdout
    assert f"+{TITLE}, " in done.stdout
    assert f"lost {HERALD}/stub\n  now rejected-too-short:" in done.stdout
    assert f"gained {HERALD}/missed\n  was rejected-not-article; now: The bridge" in done.stdout
    assert {found.key: found.etag for found in store.objects()} == before


def test_on_a_terminal_it_asks_and_takes_no_for_an_answer(lake, store):
    with typing("n\n") as terminal:
        done = reprocess(lake, stdin=terminal)
    assert (done.returncode, "Commit this?" in done.stderr) == (0, True)
    assert runs(store) == set()


def test_on_a_terminal_a_yes_commits_what_was_shown(lake, store):
    with typing("y\n") as terminal:
        done = reprocess(lake, "--source", "herald", stdin=terminal)
    said = {line.removeprefix("committed as run ") for line in done.stdout.splitlines()}
    assert (done.returncode, runs(store) <= said, len(runs(store))) == (0, True, 2)


def test_yes_commits_and_a_second_time_there_is_nothing_to_do(lake, store):
    (herald, tribune) = json.loads(reprocess(lake, "--yes", "--json").stdout)
    assert (herald["source"], herald["looked_at"]) == ("herald", 3)
    assert (herald["changed"], herald["lost"], herald["gained"]) == (1, 1, 1)
    assert herald["columns"]["text"] == 1
    assert herald["words"] > 100
    assert set(herald["runs"]) == runs(store)
    assert [each["kind"] for each in herald["samples"]] == ["changed", "lost", "gained"]
    assert (tribune["changed"], tribune["runs"]) == (0, [])
    again = reprocess(lake, "--yes")
    assert again.returncode == 0
    assert "today's code makes nothing else of these pages" in again.stdout
    assert again.stderr.startswith("2026-11-10: 5 looked at, 0 differ\n")
    assert set(herald["runs"]) == runs(store)


@given(st.dates(), st.dates())
def test_a_range_of_days_is_read_as_written(first, last):
    assert parse_days(str(first)) == (first, first)
    if first <= last:
        assert parse_days(f"{first}..{last}") == (first, last)
    else:
        with pytest.raises(ConfigurationError):
            parse_days(f"{first}..{last}")


@pytest.mark.parametrize("days", ["yesterday", "2026-11-10..2026-11-09", "2026-11-10.."])
def test_what_is_no_range_of_days_has_status_2(lake_env, store, days):
    done = reprocess(lake_env, "--date", days)
    assert done.returncode == 2
    assert "write 2026-01-31 or 2026-01-01..2026-01-31" in done.stderr


def test_a_source_that_nothing_knows_has_status_2(lake):
    done = reprocess(lake, "--source", "harald")
    assert done.returncode == 2
    assert "no source 'harald' is in the catalogue" in done.stderr
