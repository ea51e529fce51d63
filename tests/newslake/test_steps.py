"""The DAG's steps where they meet trouble: a stopped crawl, retries, verdicts."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from siteserver import Answer, Request, SiteServer

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
                crawl.run(["paper"], RUN, 1, lambda line: None)
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


def test_a_retry_crawls_only_what_has_not_succeeded(lake_env, store, sources):
    site = Site()
    site.release.set()
    declare(sources, "dead", "http://dead.example/nothing")
    with SiteServer(site) as server:
        environ = environment(lake_env, sources, server)
        for attempt in (1, 2):
            with pytest.raises(CrawlError, match=r"^dead: no listing could be read"):
                steps.Crawl(environ).run(["dead", "paper"], RUN, attempt, lambda line: None)
    keys = [o.key for o in store.objects(f"staged/run={RUN}/")]
    assert [k for k in keys if "result-2" in k] == [f"staged/run={RUN}/source=dead/result-2.json"]


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
    with pytest.raises(CrawlError, match="nothing was published"):
        steps.judge(None, {})
