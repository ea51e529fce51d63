"""The DAGs run when completeness says that their schedules are due."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from croniter import croniter

from crawlers.catalogue import SCHEDULES
from processing.completeness import due

NEWS = Path(__file__).parents[2] / "dags" / "news.py"
FORTNIGHT = [date(2026, 2, 23) + timedelta(days=n) for n in range(14)]


def cron() -> dict[str, str]:
    """CRON as dags/news.py has it, without loading Airflow."""
    assigned = {
        node.targets[0].id: node.value
        for node in ast.parse(NEWS.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return ast.literal_eval(assigned["CRON"])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_is_due_when_its_dag_runs(schedule):
    moment = datetime.combine(FORTNIGHT[0], datetime.min.time(), UTC) - timedelta(seconds=1)
    end = moment + timedelta(days=len(FORTNIGHT))
    times = croniter(cron()[schedule], moment)
    runs = []
    while (at := times.get_next(datetime)) <= end:
        runs.append(at)
    assert [at for day in FORTNIGHT for at in due(schedule, day)] == runs
