"""The DAG file: what it declares, and that it stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("boto3", "deltalake", "duckdb", "pyarrow", "scrapy", "trafilatura")
LOOK = f"""
import json, sys
from dags import news
dags = {{name: dag for name, dag in vars(news).items() if isinstance(dag, news.DAG)}}
print(json.dumps({{
    "heavy": [m for m in {HEAVY!r} if m in sys.modules],
    "dags": {{
        name: {{
            "schedule": dag.timetable.expression if dag.schedule else None,
            "tasks": {{t.task_id: [t.pool, t.trigger_rule, t.retries] for t in dag.tasks}},
            "outlets": [a.name for a in dag.get_task("publish").outlets],
            "flow": sorted(dag.get_task("publish").upstream_task_ids),
            "doc": bool(dag.doc_md),
            "runs": dag.max_active_runs,
            "catchup": dag.catchup,
        }}
        for name, dag in dags.items()
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
    )


def test_there_is_a_dag_for_each_schedule_with_enabled_sources_and_one_by_hand(seen):
    schedules = {name: dag["schedule"] for name, dag in seen["dags"].items()}
    assert schedules == {
        "news_manual": None,
        "news_every_15_minutes": "*/15 * * * *",
        "news_daily": "0 3 * * *",
    }


def test_parsing_the_dags_imports_nothing_heavy(seen):
    assert seen["heavy"] == []


def test_publish_takes_what_there_is_and_the_verdict_comes_last(seen):
    for dag in seen["dags"].values():
        assert list(dag["tasks"]) == [
            "plan",
            "sources.crawl",
            "sources.extract",
            "publish",
            "verdict",
        ]
        pools = {name: pool for name, (pool, _, _) in dag["tasks"].items()}
        assert (pools["sources.crawl"], pools["publish"]) == ("crawl", "publish")
        for task in ("sources.extract", "publish", "verdict"):
            assert dag["tasks"][task][1] == "all_done"
        assert dag["outlets"] == ["articles", "articles_by_partition"]
        assert (dag["runs"], dag["catchup"], dag["doc"]) == (1, False, True)


def test_a_broken_source_file_does_not_break_the_dags(tmp_path):
    seen = look(tmp_path, good=("hourly", "true"), bad=("sometimes", "true"))
    assert set(seen["dags"]) == {"news_manual", "news_hourly"}
