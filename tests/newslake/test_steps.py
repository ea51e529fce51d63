"""The DAG's steps where they meet trouble: a stopped crawl, retries, verdicts."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import structlog
from siteserver import Answer, Request, SiteServer
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from newslake import steps
from processing.exceptions import ConfigurationError, CrawlError

RUN = "20261121T100000Z-aaaaaa"
FEED = """<rss version="2.0"><channel><title>Paper</title>
<item><title>First</title><link>http://paper.example/news/2026/first-story</link></item>
<item><title>Slow</title><link>http://paper.example/news/2026/slow-story</link></item>
</channel></rss>"""
PAGE = (
    "<html><title>First</title><p>" + "The tram ran again on Friday morning. " * 20 + "</p></html>"
)


def declare(folder: Path, id_: str, listing: str) -> None:
    (folder / f"{id_}.yaml").write_text(
        f"id: {id_}\nname: Paper\nhomepage: http://paper.example/\nfeeds: [{listing}]\n"
        "delay: 0\nallow_private: true\n"
    )


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    declare(folder, "paper", "http://paper.example/feed")
    return folder


class Site:
    """A paper whose second story never comes; ``asked`` is set once it is asked for."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.release = threading.Event()

    def __call__(self, request: Request) -> Answer:
        if request.path == "/feed":
            return Answer(headers={"Content-Type": "application/rss+xml"}, body=FEED.encode())
        if "slow" in request.path:
            self.asked.set()
            self.release.wait(60)
        elif "first" in request.path:
            return Answer(headers={"Content-Type": "text/html"}, body=PAGE.encode())
        return Answer(404)


def environment(lake_env: dict[str, str], sources: Path, site: SiteServer) -> dict[str, str]:
    proxies = {"http_proxy": site.proxy_url, "no_proxy": "127.0.0.1,localhost"}
    return {**lake_env, **proxies, "NEWSLAKE_SOURCES": str(sources)}


def test_a_stopped_crawl_ends_and_keeps_what_it_fetched(lake_env, store, sources):
    site = Site()
    told: list[str] = []
    with SiteServer(site) as server:
        environ = environment(lake_env, sources, server)
        crawl = steps.Crawl(environ)

        def run() -> None:
            try:
                crawl.run(["paper"], RUN, 1)
            except CrawlError as error:
                told.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        assert site.asked.wait(60)
        crawl.stop()
        thread.join(60)
        site.release.set()
        assert not thread.is_alive()
    assert told and "cut short" in told[0]
    assert [o for o in store.objects("raw/") if o.size]
    assert steps.results(environ, RUN, ["paper"])["paper"]["fetched"] == 1


OUT_OF_TIME = """
import os, signal, sys
import psutil
from newslake import steps

class OutOfTime(BaseException):
    pass

def ring(*_):
    raise OutOfTime

signal.signal(signal.SIGALRM, ring)
try:
    steps.Crawl(os.environ).run(["paper"], sys.argv[1], 1)
except OutOfTime:
    print(len(psutil.Process().children(recursive=True)), "left")
"""


def test_a_crawl_that_takes_too_long_ends_with_its_task(lake_env, store, sources):
    site = Site()
    with SiteServer(site) as server:
        task = subprocess.Popen(
            [sys.executable, "-P", "-c", OUT_OF_TIME, RUN],
            env=environment(lake_env, sources, server),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert site.asked.wait(60)
        task.send_signal(signal.SIGALRM)  # as Airflow's execution_timeout interrupts a task
        said = task.communicate(timeout=60)[0]
        site.release.set()
    assert said.splitlines()[-1] == "0 left"
    assert [o for o in store.objects("raw/") if o.size], "what was fetched is kept"


def test_a_crawl_that_cannot_begin_is_a_wrong_setting(lake_env, store, sources):
    (sources / "paper.yaml").write_text("id: paper\nnme: Paper\n")
    environ = {**lake_env, "NEWSLAKE_SOURCES": str(sources)}
    with pytest.raises(ConfigurationError, match="did you mean 'name'"):
        steps.Crawl(environ).run(["paper"], RUN, 1)


def test_a_retry_crawls_only_what_has_not_succeeded(lake_env, store, sources):
    site = Site()
    site.release.set()
    declare(sources, "dead", "http://dead.example/nothing")
    with SiteServer(site) as server:
        environ = environment(lake_env, sources, server)
        for attempt in (1, 2):
            with pytest.raises(CrawlError, match=r"^dead: no listing could be read"):
                steps.Crawl(environ).run(["dead", "paper"], RUN, attempt)
    keys = [o.key for o in store.objects(f"staged/run={RUN}/")]
    assert [k for k in keys if "result-2" in k] == [f"staged/run={RUN}/source=dead/result-2.json"]


@pytest.fixture
def fresh_log(monkeypatch) -> Iterator[None]:
    """A step's log as it is at first, whatever Airflow or the command line made of structlog."""
    before = structlog.get_config()
    structlog.reset_defaults()
    monkeypatch.setattr(steps, "log", structlog.get_logger(steps.__name__))
    yield
    structlog.configure(**before)


def test_a_crawl_s_log_comes_into_the_step_s_with_level_source_and_run(
    lake_env, store, sources, fresh_log
):
    store.put("state/sources/paper.sqlite", b"this is no database" * 100)
    with (
        SiteServer(Site()) as server,
        capture_logs(processors=[merge_contextvars]) as lines,
        pytest.raises(CrawlError, match=r"^paper: "),
    ):
        steps.Crawl(environment(lake_env, sources, server)).run(["paper"], RUN, 1)
    assert {line["run"] for line in lines} == {RUN}
    opened, wrong = (
        next(line for line in lines if line.get("logger") == logger)
        for logger in ("scrapy.core.engine", "newslake.crawl")
    )
    assert (opened["event"], opened["log_level"]) == ("Spider opened", "info")
    assert (wrong["source"], wrong["log_level"]) == ("paper", "error")


def test_the_plan_deals_enabled_sources_and_names_broken_files(sources):
    (sources / "broken.yaml").write_text("id: broken\nnme: x\n")
    for n in range(5):
        declare(sources, f"more-{n}", "http://paper.example/feed")
    batches, errors = steps.plan("hourly", [], {"NEWSLAKE_SOURCES": str(sources)})
    assert len(batches) == steps.BATCHES
    assert sorted(id_ for b in batches for id_ in b["sources"])[:2] == ["more-0", "more-1"]
    assert "did you mean 'name'?" in errors["broken.yaml"]
    assert steps.plan("weekly", [], {"NEWSLAKE_SOURCES": str(sources)})[0] == []
    with pytest.raises(ConfigurationError, match="did you mean 'paper'"):
        steps.plan(None, ["papr"], {"NEWSLAKE_SOURCES": str(sources)})


def test_a_run_whose_plan_failed_publishes_nothing(lake_env, store):
    with pytest.raises(ConfigurationError, match="no source was planned"):
        steps.publish([], RUN, datetime.now(UTC), lake_env)
    assert not list(store.objects())


def test_the_verdict_names_what_failed():
    steps.judge({"failures": {}}, {})
    with pytest.raises(CrawlError, match=r"dead failed: no listing; broken\.yaml: name: missing"):
        steps.judge({"failures": {"dead": "no listing"}}, {"b": "broken.yaml: name: missing"})
    with pytest.raises(CrawlError, match="nothing was published; see the log"):
        steps.judge(None, {})
    with pytest.raises(CrawlError, match="nothing was published; no source 'papr'"):
        steps.judge(None, {}, "no source 'papr'")


def test_days_are_a_range():
    assert steps.days("2026-01-31", "2026-02-01") == (date(2026, 1, 31), date(2026, 2, 1))
    for first, last in (("2026-02-01", "2026-01-31"), ("2026-02-30", "2026-03-01")):
        with pytest.raises(ConfigurationError):
            steps.days(first, last)


def test_a_publish_repeated_after_its_end_says_the_same(lake_env, store, sources):
    site = Site()
    site.release.set()
    declare(sources, "dead", "http://dead.example/nothing")
    with SiteServer(site) as server:
        environ = environment(lake_env, sources, server)
        with pytest.raises(CrawlError, match=r"^dead: "):
            steps.Crawl(environ).run(["dead", "paper"], RUN, 1)
    batches = [{"name": "both", "sources": ["dead", "paper"]}]
    first, again = (steps.publish(batches, RUN, datetime.now(UTC), environ) for _ in range(2))
    assert list(first["failures"]) == ["dead"]
    assert again["failures"] == first["failures"]
