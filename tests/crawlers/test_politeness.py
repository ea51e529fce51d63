"""What hosts ask for, and what becomes of one that cannot or will not answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import scrapy
from crawl_support import HTML, RUNS, CrawlRunner, Sites, outcomes, publish
from scrapy.core.downloader import Slot
from scrapy.http import Response
from siteserver import CLOSE, Answer, Request

from crawlers.politeness import (
    FAILURES_TO_OPEN,
    MAX_THROTTLED_DELAY,
    Politeness,
    _retry_after,
)
from crawlers.state import SourceState
from processing.records import FETCHED, KNOWN, State
from processing.storage import Store

PAPER = "http://paper.example"
OTHER = "http://other.example"
FEED = f"{PAPER}/feed"
ROBOTS = f"{PAPER}/robots.txt"


def once(first: Answer, then: Answer) -> Callable[[Request], Answer]:
    """Answers ``first`` to the first request, ``then`` to all others."""
    answers = [first]
    return lambda request: answers.pop() if answers else then


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_says_when_is_asked_again_then(
    crawl: CrawlRunner, sites: Sites, store: Store, status: int
) -> None:
    sites.article(f"{PAPER}/a")
    page = sites.pages[f"{PAPER}/a"]
    assert isinstance(page, Answer)
    sites.pages[f"{PAPER}/a"] = once(Answer(status, {"Retry-After": "1"}), page)
    sites.feed(FEED, f"{PAPER}/a")
    crawl.source("paper", feeds=[FEED])

    crawl("paper")

    assert outcomes(store, "paper") == {f"{PAPER}/a": FETCHED}
    assert sites.asked() == [FEED, f"{PAPER}/a", f"{PAPER}/a"]


def test_a_host_that_asks_for_a_long_pause_is_left_alone_by_later_runs_too(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    stories = [f"{PAPER}/{n}" for n in range(3)]
    sites.feed(FEED, *stories, f"{OTHER}/story")
    sites.pages[stories[0]] = Answer(429, {"Retry-After": "3600"})
    sites.article(stories[1])
    sites.article(f"{OTHER}/story")
    crawl.source("paper", feeds=[FEED])

    crawl("paper")

    assert outcomes(store, "paper") == {
        stories[0]: State.FAILED_HTTP,
        **dict.fromkeys(stories[1:], State.SKIPPED_UNAVAILABLE),
        f"{OTHER}/story": FETCHED,
    }
    publish(store, RUNS[0])
    sites.server.forget_requests()
    result = crawl("paper", run=RUNS[1]).results["paper"]
    assert "asked for no request before" in result["reason"]
    assert sites.server.requests == []
    state = SourceState.load(store, "paper")
    origin = state.origin(PAPER)
    assert origin is not None
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    state.put(replace(origin, closed_until=past))
    state.save(store, "paper")
    sites.article(stories[0])
    crawl("paper", run=RUNS[2])
    assert set(stories) < set(sites.asked())


@pytest.mark.parametrize("failing", [Answer(500, HTML, b"oops"), Answer(CLOSE)])
def test_a_host_that_fails_time_after_time_is_left_alone_for_the_run(
    crawl: CrawlRunner, sites: Sites, store: Store, failing: Answer
) -> None:
    dead, alive = ([f"{host}/{n}" for n in range(10)] for host in (OTHER, PAPER))
    sites.feed(FEED, *dead, *alive)
    for url in dead:
        sites.pages[url] = failing
    for url in alive:
        sites.article(url)
    crawl.source("paper", feeds=[FEED])

    crawl("paper")

    found = outcomes(store, "paper")
    assert [found[url] for url in alive] == [FETCHED] * 10
    asked = [url for url in sites.asked() if url.startswith(OTHER)]
    # Twisted itself tries once more where a kept connection is hung up.
    assert FAILURES_TO_OPEN <= len(asked) <= FAILURES_TO_OPEN + 1
    states = [found[url] for url in dead]
    assert states[-1] == State.SKIPPED_UNAVAILABLE
    assert len(set(states)) == 2
    publish(store, RUNS[0])
    crawl("paper", run=RUNS[1])
    assert any(url.startswith(OTHER) for url in sites.asked())


def test_one_failure_among_answers_closes_no_host(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    stories = [f"{PAPER}/{n}" for n in range(8)]
    sites.feed(FEED, *stories)
    for url in stories[::2]:
        sites.article(url)
    for url in stories[1::2]:
        sites.pages[url] = Answer(500)
    crawl.source("paper", feeds=[FEED])
    crawl("paper")
    found = outcomes(store, "paper")
    assert [found[url] for url in stories] == [FETCHED, State.FAILED_HTTP] * 4


def test_robots_txt_is_asked_once_a_day_and_obeyed_all_the_time(
    crawl: CrawlRunner, sites: Sites, store: Store
) -> None:
    sites.pages[ROBOTS] = Answer(200, body=b"User-agent: *\nDisallow: /b")
    sites.feed(FEED, f"{PAPER}/a")
    sites.article(f"{PAPER}/a")
    crawl.source("paper", feeds=[FEED])
    crawl("paper")
    publish(store, RUNS[0])
    sites.feed(FEED, f"{PAPER}/a", f"{PAPER}/b")
    sites.server.forget_requests()

    crawl("paper", run=RUNS[1])

    assert [request.url for request in sites.server.requests] == [FEED]
    assert outcomes(store, "paper", RUNS[1]) == {
        f"{PAPER}/a": KNOWN,
        f"{PAPER}/b": State.SKIPPED_ROBOTS,
    }
    state = SourceState.load(store, "paper")
    origin = state.origin(PAPER)
    assert origin is not None
    state.put(replace(origin, asked_at=(datetime.now(UTC) - timedelta(hours=25)).isoformat()))
    state.save(store, "paper")
    sites.server.forget_requests()
    crawl("paper", run=RUNS[2])
    assert ROBOTS in [request.url for request in sites.server.requests]


@pytest.mark.parametrize(
    ("said", "date", "seconds"),
    [
        ("120", None, 120.0),
        ("0", None, 0.0),
        ("Wed, 25 Nov 2026 10:02:00 GMT", "Wed, 25 Nov 2026 10:00:00 GMT", 120.0),
        ("Wed, 25 Nov 2026 10:00:00 GMT", "Wed, 25 Nov 2026 10:02:00 GMT", 0.0),
        ("-5", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(
    said: str, date: str | None, seconds: float | None
) -> None:
    headers = {"Retry-After": said, **({"Date": date} if date else {})}
    assert _retry_after(Response("http://x.example/", headers=headers)) == seconds


# --- the pace of a host ---------------------------------------------------------------------


def downloader() -> Any:
    """A crawler as far as the pace of a host goes: Scrapy's own slots, and no engine."""
    held = SimpleNamespace(per_slot_settings={}, slots={"paper.example": Slot(16, 0.0)})
    return SimpleNamespace(engine=SimpleNamespace(downloader=held))


def request_of(delay: float, concurrency: int, **meta: Any) -> scrapy.Request:
    source = SimpleNamespace(delay=delay, concurrency=concurrency)
    about = {"source": source, "kind": "article", "download_slot": "paper.example"}
    return scrapy.Request(f"{PAPER}/a", meta={**about, **meta})


def test_sources_that_share_a_host_share_its_slowest_pace() -> None:
    crawler = downloader()
    politeness = Politeness(crawler)
    for delay, concurrency in ((0.5, 8), (2.0, 4), (1.0, 1)):
        politeness._host(request_of(delay, concurrency))
    held = crawler.engine.downloader
    assert held.per_slot_settings == {"paper.example": {"delay": 2.0, "concurrency": 1}}
    assert (held.slots["paper.example"].delay, held.slots["paper.example"].concurrency) == (2.0, 1)


@pytest.mark.parametrize(
    ("delay", "concurrency", "latencies", "status", "pace"),
    [
        (1.0, 1, [0.1] * 9, 200, 1.0),  # never faster than asked for
        (0.0, 1, [4.0], 200, 4.0),  # as long as an answer takes
        (0.0, 4, [4.0], 200, 1.0),  # of four at once
        (0.0, 1, [400.0], 200, MAX_THROTTLED_DELAY),
        (0.0, 1, [4.0, 0.0, 0.0], 200, 1.0),  # faster again by halves
        (0.0, 1, [4.0, 0.0], 404, 4.0),  # but an error page is no sign of health
    ],
)
def test_slow_answers_slow_the_crawl_down(
    delay: float, concurrency: int, latencies: list[float], status: int, pace: float
) -> None:
    crawler = downloader()
    politeness = Politeness(crawler)
    for latency in latencies:
        request = request_of(delay, concurrency, download_latency=latency)
        answer = Response(request.url, status=status if latency < 1 else 200)
        assert politeness.process_response(request, answer) is answer
    assert crawler.engine.downloader.slots["paper.example"].delay == pytest.approx(pace)
