"""The DAG files: what they declare, and that they stay light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("boto3", "deltalake", "duckdb", "pyarrow", "scrapy", "trafilatura", "aiosmtplib")
LOOK = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
from newslake.stack import dags_folder
from processing import exceptions
bag = DagBag(str(dags_folder()))

def decision(task, error):
    policy = task.retry_policy
    raised = getattr(exceptions, error)("x")
    return policy.evaluate(raised, 1, 2).action.value if policy else None

print(json.dumps({{
    "heavy": [m for m in {HEAVY!r} if m in sys.modules],
    "errors": bag.import_errors,
    "dags": {{
        name: {{
            "schedule": dag.timetable.expression if dag.schedule else None,
            "tasks": {{t.task_id: [t.pool, t.trigger_rule, t.retries] for t in dag.tasks}},
            "outlets": {{t.task_id: [a.name for a in t.outlets] for t in dag.tasks if t.outlets}},
            "told": [t.task_id for t in dag.tasks if t.on_failure_callback],
            "leaves": [t.task_id for t in dag.leaves],
            "doc": bool(dag.doc_md),
            "runs": dag.max_active_runs,
            "catchup": dag.catchup,
            "types": sorted(kind.value for kind in dag.allowed_run_types),
            "weight": {{t.priority_weight for t in dag.tasks}}.pop(),
            "deadline": [d.interval.total_seconds() for d in dag.deadline or ()],
            "params": {{n: dag.params.get_param(n).schema for n in dag.params}},
            "permanent": {{decision(t, "ConfigurationError") for t in dag.tasks}} == {{"fail"}},
            "again": {{decision(t, "StoreError") for t in dag.tasks}} == {{"default"}},
            "backoff": all(t.retry_exponential_backoff for t in dag.tasks),
        }}
        for name, dag in bag.dags.items()
    }},
}}))
"""
SOURCE = """
id: {id}
name: A source
homepage: https://{id}.example/
feeds: [https://{id}.example/rss]
schedule: {schedule}
enabled: {enabled}
"""
PIPELINE = ["alarms", "plan", "publish", "sources.crawl", "sources.extract", "verdict"]
LONG = ["sources.crawl", "sources.extract", "publish"]
SCHEDULED = {"news_every_15_minutes": "*/15 * * * *", "news_daily": "0 3 * * *"}
PIPELINES = (*SCHEDULED, "news_manual", "news_backfill")
LAKE = ("news_import", "news_maintenance", "news_forget", "news_reprocess")


def look(tmp_path: Path, **sources: tuple[str, str]) -> dict:
    folder = tmp_path / "sources"
    folder.mkdir()
    for id_, (schedule, enabled) in sources.items():
        declared = SOURCE.format(id=id_, schedule=schedule, enabled=enabled)
        (folder / f"{id_}.yaml").write_text(declared)
    environ = os.environ | {
        "NEWSLAKE_SOURCES": str(folder),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return look(
        tmp_path_factory.mktemp("dags"),
        quick=("every-15-minutes", "true"),
        daily=("daily", "true"),
        asleep=("weekly", "false"),
        bad=("sometimes", "true"),
    )


def test_there_is_a_dag_for_each_schedule_with_enabled_sources_and_those_of_the_lake(seen):
    assert seen["errors"] == {}, "a broken source file breaks no DAG"
    schedules = {name: dag["schedule"] for name, dag in seen["dags"].items()}
    by_hand = dict.fromkeys((*PIPELINES, *LAKE))
    assert schedules == {**by_hand, **SCHEDULED, "news_maintenance": "30 4 * * *"}


def test_parsing_the_dags_imports_nothing_heavy(seen):
    assert seen["heavy"] == []


def test_no_dag_catches_up_or_runs_twice_at_a_time_or_lets_airflow_fill_back(seen):
    for dag in seen["dags"].values():
        assert (dag["runs"], dag["catchup"], dag["doc"]) == (1, False, True)
        assert dag["types"] == ["manual", "operator_triggered", "scheduled"]


def test_publish_takes_what_there_is_and_the_verdict_comes_last(seen):
    for name in PIPELINES:
        dag = seen["dags"][name]
        tasks = dag["tasks"]
        assert sorted(tasks) == sorted(PIPELINE + ["next_round"] * (name == "news_backfill"))
        for task in ("sources.extract", "publish", "verdict"):
            assert tasks[task][1] == "all_done"
        assert dag["outlets"] == {"publish": ["articles", "articles_by_partition"]}
        assert {"verdict"} <= set(dag["leaves"]) == set(dag["told"])


def test_what_takes_hours_has_pools_of_its_own_and_who_is_due_soon_goes_first(seen):
    pools = {name: [seen["dags"][name]["tasks"][task][0] for task in LONG] for name in PIPELINES}
    assert pools.pop("news_backfill") == ["backfill", "backfill", "publish"]
    assert set(map(tuple, pools.values())) == {("crawl", "extract", "publish")}
    assert seen["dags"]["news_import"]["tasks"]["take"][0] == "import"
    weights = [seen["dags"][name]["weight"] for name in PIPELINES]
    assert weights == [5, 2, 5, 1]


def test_a_wrong_setting_fails_at_once_and_the_network_is_tried_again(seen):
    for dag in seen["dags"].values():
        assert dag["permanent"] and dag["again"] and dag["backoff"]
        assert {retries for _, _, retries in dag["tasks"].values()} <= {0, 2}


def test_scheduled_runs_are_late_when_the_next_is_due_at_the_latest_after_three_hours(seen):
    deadlines = {name: dag["deadline"] for name, dag in seen["dags"].items() if dag["deadline"]}
    assert deadlines == {"news_every_15_minutes": [900.0], "news_daily": [3 * 3600.0]}


def test_who_changes_articles_says_so_and_every_failure_is_told(seen):
    both = ["articles", "articles_by_partition"]
    found = {name: (seen["dags"][name]["outlets"], seen["dags"][name]["told"]) for name in LAKE}
    assert found == {
        "news_import": ({"take": both}, ["verdict"]),
        "news_maintenance": ({}, ["maintain"]),
        "news_forget": ({"forget": both}, ["forget"]),
        "news_reprocess": ({"tell": both}, ["reprocess", "tell"]),
    }


def test_forms_offer_the_sources_there_are(seen):
    for name in PIPELINES:
        field = seen["dags"][name]["params"]["sources"]
        assert field["examples"] == field["items"]["enum"] == ["asleep", "daily", "quick"]
    days = seen["dags"]["news_backfill"]["params"]
    assert days["from"]["format"] == days["to"]["format"] == "date"
