"""The DAGs under Airflow's own services: side by side, killed, late, and heard downstream."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import psutil
import pytest
from prose import prose
from receivers import mailbox, statsd, webhook
from running_airflow import (
    UP,
    Api,
    cmdlines,
    descendants,
    free_port,
    left_of,
    listening,
    query,
    running,
    until,
)
from siteserver import Answer, Request, SiteServer

from processing import dataset
from processing.storage import Store

pytestmark = pytest.mark.timeout(900)

DAGS = Path(__file__).parents[2] / "dags"
DOWNSTREAM = """
from datetime import datetime, timedelta
from airflow.sdk import (
    AllowedKeyMapper, IdentityMapper, PartitionedAssetTimetable, ProductMapper, dag, task
)
from dags.shared import ARTICLES, ARTICLES_BY_PARTITION, alert_after

politics = PartitionedAssetTimetable(
    assets=ARTICLES_BY_PARTITION,
    default_partition_mapper=ProductMapper(IdentityMapper(), AllowedKeyMapper(["politics"])),
)

@task
def work():
    pass

@dag(schedule=[ARTICLES])
def on_articles():
    work()

@dag(schedule=politics)
def on_politics():
    work()

@dag(schedule=None, deadline=alert_after(timedelta()))
def never_in_time():
    work()

on_articles()
on_politics()
never_in_time()
"""
STORIES = [f"/politics/2024/01/15/the-council-{n}" for n in range(3)]
STORIES += ["/sport/2024/01/16/the-match"]
SOURCE = """
id: {id}
name: {id}
homepage: http://{id}.example/
feeds: [http://{id}.example/feed]
delay: {delay}
max_articles: 2
allow_private: true
enabled: false
topics: {{/politics/: politics, /sport/: sport}}
"""


def sites(request: Request) -> Answer:
    """A paper with an archive of January 2024."""
    if request.url == "http://paper.example/robots.txt":
        return Answer(body=b"Sitemap: http://paper.example/sitemap-2024-01.xml")
    if request.url == "http://paper.example/sitemap-2024-01.xml":
        named = "".join(f"<url><loc>http://paper.example{s}</loc></url>" for s in STORIES)
        return Answer(body=f"<urlset>{named}</urlset>".encode())
    if request.path == "/feed":
        return Answer(body=b"<rss><channel><item><link>/today</link></item></channel></rss>")
    if request.path in STORIES:
        return Answer(headers={"Content-Type": "text/html"}, body=page(request.path).encode())
    return Answer(404)


def page(path: str) -> str:
    day, name = path[-40:].partition("2024/")[2][:5].replace("/", "-"), path.rpartition("/")[2]
    return (
        f'<html lang="en"><meta property="article:published_time" content="2024-{day}">'
        f"<title>News of {name}</title>"
        f"<article><h1>News of {name}</h1><p>{prose(name)}</p></article>"
    )


@dataclass
class Services:
    api: Api
    port: int
    home: Path
    environ: dict[str, str]
    up: subprocess.Popen[bytes]
    store: Store
    posts: Queue[Any]
    mails: Queue[Any]
    metrics: Queue[str]

    def runs(self, dag_id: str) -> list[tuple[object, ...]]:
        return query(
            self.home,
            f"select state, partition_key, conf from dag_run where dag_id = '{dag_id}' order by id",
        )

    def crawls(self) -> list[psutil.Process]:
        """Those of the crawls under way, and their supervisors."""
        return [p for p, words in cmdlines(self.up).items() if "crawlers.crawl" in words]

    def ended(self, dag_id: str, count: int = 1) -> list[tuple[object, ...]]:
        """The runs of a DAG, once so many have ended."""
        until(lambda: sum(r[0] in ("success", "failed") for r in self.runs(dag_id)) == count)
        return self.runs(dag_id)


@pytest.fixture(scope="module")
def services(
    object_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    for name in ("dags", "sources", "home"):
        (folder / name).mkdir()
    for file in ("news.py", "lake.py"):
        (folder / "dags" / file).symlink_to(DAGS / file)
    (folder / "dags" / "downstream.py").write_text(DOWNSTREAM)
    for id_, delay in (("paper", 0), ("slow", 3600)):
        (folder / "sources" / f"{id_}.yaml").write_text(SOURCE.format(id=id_, delay=delay))
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AIRFLOW", "NEWSLAKE", "AWS"))}
    with (
        SiteServer(sites) as server,
        webhook() as (hook, posts),
        mailbox() as (smtp, mails),
        statsd() as (statsd_port, metrics),
    ):
        environ = {
            **kept,
            **object_store,
            "NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}",
            "NEWSLAKE_HOME": str(folder / "home"),
            "NEWSLAKE_SOURCES": str(folder / "sources"),
            "NEWSLAKE_NOTIFY_WEBHOOK": hook,
            "NEWSLAKE_NOTIFY_MAIL": "desk@mail.example",
            "AIRFLOW_CONN_SMTP_DEFAULT": smtp,
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(statsd_port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
            "http_proxy": server.proxy_url,
            "no_proxy": "127.0.0.1,localhost",
        }
        home = folder / "home"
        with running(home, folder / "dags", environ) as (process, port, log):
            until(lambda: "user admin" in log.read_text(), process)
            until(lambda: len(query(home, "select dag_id from serialized_dag")) == 9, process)
            yield Services(
                Api(port, home),
                port,
                home,
                environ,
                process,
                Store.from_environment(environ),
                posts,
                mails,
                metrics,
            )


@pytest.fixture(scope="module")
def long_run(services: Services) -> str:
    """A run by hand whose crawl takes hours: its run id in Airflow."""
    status, run = services.api.trigger("news_manual", sources=["slow"])
    assert status == 200, run
    # Not for its first request: on a machine that is up for less than ``delay``, Scrapy waits.
    until(lambda: len(services.crawls()) == 2)
    return str(run["dag_run_id"])


@pytest.mark.parametrize(
    ("dag_id", "params"),
    [
        ("news_backfill", {"sources": ["paper"], "from": "2024-01-32", "to": "2024-02-01"}),
        ("news_backfill", {"sources": ["papr"], "from": "2024-01-01", "to": "2024-02-01"}),
        ("news_backfill", {"sources": [], "from": "2024-01-01", "to": "2024-02-01"}),
        ("news_backfill", {"sources": ["paper"], "from": "2024-01-01"}),
        ("news_import", {"files": []}),
        ("news_import", {"files": ["a.warc.gz"], "source": "No Such"}),
        ("news_maintenance", {"keep_days": 0}),
        ("news_forget", {"target": "http://paper.example/a"}),
        ("news_forget", {"target": "http://paper.example/a", "confirm": False}),
        ("news_reprocess", {"from": "yesterday"}),
    ],
)
def test_wrong_params_are_refused_when_a_run_is_asked_for(services, dag_id, params):
    assert services.api.trigger(dag_id, **params)[0] == 400


def test_a_backfill_goes_on_by_itself_beside_a_long_run_and_wakes_who_waits(services, long_run):
    asked = {"sources": ["paper"], "from": "2024-01-01", "to": "2024-01-31"}
    assert services.api.trigger("news_backfill", **asked)[0] == 200
    rounds = services.ended("news_backfill", 2)
    assert [(state, json.loads(str(conf))) for state, _, conf in rounds] == [("success", asked)] * 2
    articles = dataset.scan(services.store, "articles").to_table(["url", "date", "topic"])
    assert sorted(articles["url"].to_pylist()) == [f"http://paper.example{s}" for s in STORIES]
    services.ended("on_articles", 2)
    woken = {key for _, key, _ in services.ended("on_politics", 2)}
    assert woken == {"2024-01-15|politics"}
    assert services.runs("news_manual")[0][0] == "running"


def test_the_backfill_was_counted_for_whoever_listens(services):
    counted: Counter[str] = Counter()
    # The four pages come in two rounds of two; their durations, and the rounds, each by itself.
    while counted["newslake.publish.duration|ms"] < 2:
        name, value, kind = re.split("[:|]", services.metrics.get(timeout=60))
        counted[f"{name}|{kind}"] += int(value) if kind == "c" else 1
    assert counted["newslake.pages,source=paper|c"] == len(STORIES)
    assert counted["newslake.urls.published,source=paper|c"] == len(STORIES)
    assert counted["newslake.bytes,source=paper|c"] > sum(len(page(s)) for s in STORIES)
    assert counted["newslake.crawl.duration,source=paper|ms"] == 2
    assert counted["newslake.extract.duration,source=paper|ms"] == 2


@pytest.mark.parametrize(
    ("task", "event", "facts"),
    [
        ("sources.crawl/0", "crawled", {"fetched": 2}),
        ("sources.crawl/0", "Spider opened", {"logger": "scrapy.core.engine"}),
        ("sources.extract/0", "extracted", {}),
        ("publish/-1", "published", {"published": 2}),
    ],
)
def test_a_log_s_lines_say_of_which_run_and_source_they_are(services, task, event, facts):
    run = query(
        services.home, "select run_id from dag_run where dag_id = 'news_backfill' order by id"
    )[0][0]
    lines = services.api.log(f"news_backfill/{run}/{task}")
    found = [line for line in lines if line["event"] == event]
    assert found, lines
    line = found[0]
    assert line["level"] == "info"
    assert services.store.get(f"runs/{line['run']}.json")
    assert line.get("source", "paper") == "paper"
    assert line.items() >= facts.items()
    assert line["run_id"] == run


def test_the_lake_is_kept_up_by_schedule(services):
    assert services.ended("news_maintenance")[0][0] == "success"


def test_a_wrong_setting_fails_at_once_and_is_told(services):
    assert services.api.trigger("news_import", files=["/nowhere.warc.gz"])[0] == 200
    assert services.ended("news_import")[0][0] == "failed"
    tries = "select task_id, state, try_number, max_tries from task_instance where dag_id = '{}'"
    tasks = {row[0]: row[1:] for row in query(services.home, tries.format("news_import"))}
    assert tasks["check"] == ("failed", 1, 2)
    assert "no file is at /nowhere.warc.gz" in told(services, "news_import")["text"]


def test_a_run_that_is_late_is_told(services):
    assert services.api.trigger("never_in_time")[0] == 200
    assert told(services, "never_in_time")["event"] == "late"


def test_a_crawl_ends_with_its_task_and_the_failed_run_is_told(services, long_run):
    crawls = services.crawls()
    assert len(crawls) == 2
    task = f"/api/v2/dags/news_manual/dagRuns/{long_run}/taskInstances/sources.crawl/0"
    status, answer = services.api("PATCH", task, {"new_state": "failed"})
    assert status == 200, answer
    until(lambda: not any(process.is_running() for process in crawls))
    assert services.ended("news_manual")[0][0] == "failed"
    notice = told(services, "news_manual")
    assert notice["event"] == "failed"
    # The run goes on at once: its next steps may come before the crawl has written its result.
    assert re.search("slow failed: the crawl (was cut short|left no result)", notice["text"])


def test_a_second_airflow_is_refused_and_a_sigterm_leaves_nothing(services):
    family = descendants(services.up)
    assert listening(family) == {("127.0.0.1", services.port)}
    second = subprocess.run(
        [sys.executable, "-c", UP, services.home, DAGS, str(free_port())],
        env=services.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.stderr.startswith("ConfigurationError: Airflow already runs out of")
    services.up.send_signal(signal.SIGTERM)
    assert services.up.wait(60) == 0
    assert left_of(family) == []


def told(services: Services, dag_id: str) -> dict[str, Any]:
    """What the webhook hears of a DAG; the mail says the same."""
    while (notice := services.posts.get(timeout=200))["dag_id"] != dag_id:
        pass
    while (mail := services.mails.get(timeout=200))["subject"].split(": ")[1] != dag_id:
        pass
    assert mail["to"] == "desk@mail.example"
    return notice
