"""What crawls did, out of their manifests: each is read once, and what is no crawl is left out."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from faultproxy import FaultProxy
from filled_lake import FIRST, NOON, SECOND, fill

from newslake.page.remembered import Remembered
from newslake.page.runs import LOOKED_BACK, Runs, last_manifest
from newslake.reader import Lake
from processing import dataset
from processing.storage import Store

NOW = NOON + timedelta(days=4)
SOON = timedelta(seconds=31)


def declare(store: Store, run_id: str, **more: object) -> None:
    """Correct a manifest, as forgetting does."""
    key = f"runs/{run_id}.json"
    said = json.loads(store.get(key).data)
    store.put(key, json.dumps({**said, **more}).encode())


def test_manifests_are_read_once_and_again_when_corrected(
    lake_env: dict[str, str], store: Store, tmp_path: Path
):
    fill(store)
    declare(store, FIRST, schedules={"herald": "hourly"})
    with FaultProxy(
        lake_env["AWS_ENDPOINT_URL_S3"], r"GET .*/runs/\d", lambda _: True, times=10**6
    ) as proxy:
        through = Store.from_environment({**lake_env, "AWS_ENDPOINT_URL_S3": proxy.url})
        runs = Runs(Remembered(tmp_path))
        with Lake(through) as lake:
            found = runs.look(lake, NOW)
            assert proxy.met == 2
            assert runs.look(lake, NOW) is found
            assert Runs(Remembered(tmp_path)).look(lake, NOW) == found, "another process knows"
            assert proxy.met == 2
            assert found.last is not None
            assert found.last.run_id == SECOND
            herald = found.of_source["herald"]
            assert [run.run_id for run in herald.runs] == [FIRST], "the other was no crawl"
            states = {"failed-http": 1, "known": 1, "published": 4}
            assert herald.states([run.day for run in herald.runs]) == states
            declare(store, SECOND, schedules={"herald": None})
            assert runs.look(lake, NOW + SOON / 2) is found, "half a minute may pass"
            assert len(runs.look(lake, NOW + SOON).of_source["herald"].runs) == 2
            assert proxy.met == 3
            declare(store, SECOND, dag_id="news_backfill")
            assert len(runs.look(lake, NOW + 2 * SOON).of_source["herald"].runs) == 1
            assert runs.look(lake, NOW + LOOKED_BACK).of_source == {}


def test_the_last_run_is_found_however_long_ago(store: Store):
    dataset.initialise(store)
    with Lake(store) as lake:
        assert last_manifest(lake, NOW) is None
        fill(store)
        for now in (NOON + timedelta(days=3), NOON + timedelta(days=300)):
            found = last_manifest(lake, now)
            assert found is not None
            assert found["run_id"] == SECOND
        declare(store, FIRST, failures={})  # corrected later, but it is not the last
        assert last_manifest(lake, NOON + timedelta(days=3)) == found
