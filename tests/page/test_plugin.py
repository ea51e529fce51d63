"""The plugin as Airflow loads it: found by its entry point, light, and right below any path."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from served_page import environment

from newslake import stack

HEAVY = ("pyarrow", "duckdb", "deltalake", "boto3", "pygal", "newslake.reader")
LOAD = f"""
import json, sys
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
plugin = next(p for p in plugins if p.name == "newslake")
views = plugins_manager._get_ui_plugins()[0]
print(json.dumps({{
    "errors": errors,
    "views": views,
    "heavy": [name for name in {HEAVY!r} if name in sys.modules],
    "apps": [[a["name"], a["url_prefix"], type(a["app"]).__name__] for a in plugin.fastapi_apps],
    "once": plugin.fastapi_apps[0]["app"] is plugin.fastapi_apps[0]["app"],
}}))
"""


def test_airflow_finds_it_and_loads_nothing_heavy_before_it_serves(tmp_path: Path):
    env = {**environment(), "AIRFLOW__API__BASE_URL": "https://intranet.example/airflow/"}
    env |= stack.airflow_environment(tmp_path, env, dags=tmp_path)
    ran = subprocess.run(
        [sys.executable, "-P", "-c", LOAD], env=env, capture_output=True, text=True, check=True
    )
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["errors"] == {}
    assert said["heavy"] == []
    assert said["apps"] == [["newslake", "/newslake", "FastAPI"]]
    assert said["once"]
    (view,) = said["views"]
    assert view["href"] == "/airflow/newslake/"
    assert view["url_route"] == "newslake"
    assert (Path(__file__).parents[2] / "newslake/page/static" / Path(view["icon"]).name).exists()
