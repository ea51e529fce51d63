"""Manifests listed by day and read many at once."""

from __future__ import annotations

import json
from datetime import date

import pytest

from processing.manifests import list_manifests, read_manifests

RUNS = [f"{day}T120000Z-abcdef" for day in ("20251231", "20261109", "20261110", "20261120")]


@pytest.fixture
def lake(store):
    for run_id in RUNS:
        store.put(f"runs/{run_id}.json", json.dumps({"run_id": run_id}).encode())
    return store


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ((), RUNS),
        ((date(2026, 11, 10), date(2026, 11, 10)), RUNS[2:3]),
        ((date(2026, 11, 9), date(2026, 11, 20)), RUNS[1:]),
        ((date(2025, 12, 31), date(2026, 11, 9)), RUNS[:2]),
        ((date(2026, 11, 11), date(2026, 11, 19)), []),
    ],
)
def test_the_runs_of_some_days_are_listed_oldest_first(lake, days, found):
    assert list(list_manifests(lake, *days)) == found


def test_manifests_come_in_the_order_asked_for_without_those_that_are_not_there(lake):
    asked = [RUNS[2], "20270101T000000Z-abcdef", RUNS[0]]
    assert [said["run_id"] for said in read_manifests(lake, asked)] == [RUNS[2], RUNS[0]]
