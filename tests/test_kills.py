"""kill -9 at each stage of a run: a re-run completes it, and nothing is lost or doubled."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from demo.sites import SOURCES, expected, handler
from faultproxy import FaultProxy
from siteserver import SiteServer

from processing import dataset
from processing.records import State
from processing.storage import Store

PIPELINE = Path(__file__).parent / "pipeline.py"
FIRST, SECOND = "20261121T100000Z-aaaaaa", "20261121T110000Z-bbbbbb"
SOURCE = "meridian-wire"
STAGES = {
    "the WARC file is uploaded": (r"PUT /[^/]+/raw/", "next"),
    "the crawl's ledger is uploaded": (r"PUT .*/crawl-1\.jsonl", "retry"),
    "the source's state is uploaded": (r"PUT /[^/]+/state/", "next"),
    "the crawl's result is kept": (r"PUT .*/result-1\.json", "next", "retry"),
    "articles are staged": (r"PUT .*/articles\.parquet", "next"),
    "coverage is staged": (r"PUT .*/coverage\.parquet", "retry"),
    "the first Parquet object is put": (r"PUT /[^/]+/articles/date", "next"),
    "the commit plan is put": (r"PUT .*/commit\.json", "retry"),
    "articles are committed": (r"PUT /[^/]+/articles/_delta_log/0*1\.json", "next"),
    "coverage is committed": (r"PUT /[^/]+/coverage/_delta_log/0*1\.json", "retry"),
    "the manifest is put": (r"PUT /[^/]+/runs/", "next", "retry"),
    "staged input is deleted": (r"POST /[^/?]+/?\?delete", "next"),
}
"""When the run is killed: at which request, and who completes it: a retry, or the next run."""
FINISHERS = {"retry": (FIRST, 2), "next": (SECOND, 1)}
CASES = [(stage, finisher) for stage, (_, *finishers) in STAGES.items() for finisher in finishers]


@pytest.fixture
def environ(lake_env: dict[str, str], tmp_path: Path):
    (tmp_path / "sources").mkdir()
    declared = (SOURCES / f"{SOURCE}.yaml").read_text()
    (tmp_path / "sources" / f"{SOURCE}.yaml").write_text(declared)
    with SiteServer(handler(1)) as sites:
        yield lake_env | {
            "NEWSLAKE_SOURCES": str(tmp_path / "sources"),
            "http_proxy": sites.proxy_url,
            "no_proxy": "127.0.0.1,localhost",
        }


def start(environ: dict[str, str], run_id: str, attempt: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", PIPELINE, run_id, str(attempt)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and all its descendants, as a machine that goes down."""
    family = [psutil.Process(pid)]
    family += family[0].children(recursive=True)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.parametrize(("stage", "finisher"), CASES)
def test_a_run_killed_there_is_completed(environ, store: Store, stage, finisher):
    running: list[subprocess.Popen[bytes]] = []

    def kill(_: object) -> bool:
        kill_tree(running[0].pid)
        return False

    with FaultProxy(environ["AWS_ENDPOINT_URL_S3"], STAGES[stage][0], kill) as proxy:
        running.append(start({**environ, "AWS_ENDPOINT_URL_S3": proxy.url}, FIRST, 1))
        said = running[0].communicate()[0].decode()
    assert proxy.met == 1, f"the run never came to where {stage}:\n{said[-3000:]}"
    again = start(environ, *FINISHERS[finisher])
    said = again.communicate()[0].decode()
    assert again.returncode == 0, said[-3000:]
    check_complete(store)


def test_a_store_that_goes_away_fails_the_run_and_a_rerun_continues(environ, store: Store):
    gone = FaultProxy(environ["AWS_ENDPOINT_URL_S3"], r"/lease\.json", lambda _: False, 10**6)
    with gone as proxy:
        run = start({**environ, "AWS_ENDPOINT_URL_S3": proxy.url}, FIRST, 1)
        said = run.communicate()[0].decode()
    assert run.returncode != 0 and "newslake doctor" in said, said[-3000:]
    again = start(environ, FIRST, 2)
    said = again.communicate()[0].decode()
    assert again.returncode == 0, said[-3000:]
    check_complete(store)


def check_complete(store: Store) -> None:
    """The lake holds each page of the source once, in the state it must have."""
    wanted = {page.url: page for page in expected(1) if page.source == SOURCE}
    articles = dataset.scan(store, "articles").to_table(columns=["id", "url"]).to_pylist()
    published = sorted(url for url, page in wanted.items() if page.state == State.PUBLISHED)
    assert sorted(row["url"] for row in articles) == published
    assert len({row["id"] for row in articles}) == len(articles)
    assert dataset.scan(store, "copies").count_rows() == 0
    states: dict[str, set[str]] = {}
    for row in dataset.scan(store, "coverage").to_table().to_pylist():
        states.setdefault(row["url"], set()).add(row["state"])
    for url, page in wanted.items():
        assert page.state in states.get(url, set()), f"{url}: {states.get(url)}"
    assert not [o.key for o in store.objects("staged/") if o.key.endswith("commit.json")]
