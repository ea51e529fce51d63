"""What a failed download is called, and whether the next run asks again."""

from __future__ import annotations

import pytest
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
)

from crawlers.politeness import MAX_CRAWL_DELAY, Rules
from crawlers.refusals import Refusal, Refused, refusal_of, refusal_of_status
from processing.records import State
from processing.rights import RobotsTxt

ROBOTS = Refusal(State.SKIPPED_ROBOTS, "robots.txt forbids it", final=True)


@pytest.mark.parametrize(
    ("error", "state", "final"),
    [
        (Refused(ROBOTS), State.SKIPPED_ROBOTS, True),
        (DownloadTimeoutError("30 s"), State.FAILED_TIMEOUT, False),
        (DownloadCancelledError("size"), State.FAILED_TOO_LARGE, True),
        (CannotResolveHostError("x.example"), State.FAILED_NETWORK, False),
        (DownloadConnectionRefusedError(), State.FAILED_NETWORK, False),
        (DownloadFailedError([ValueError()]), State.FAILED_NETWORK, False),
        (ResponseDataLossError(), State.FAILED_NETWORK, False),
        (RuntimeError("several\nlines"), State.FAILED_NETWORK, False),
    ],
)
def test_every_failure_has_a_state(error: Exception, state: State, final: bool) -> None:
    refusal = refusal_of(error)
    assert (refusal.state, refusal.final) == (state, final)
    assert "\n" not in refusal.detail


@pytest.mark.parametrize(
    ("status", "state", "final"),
    [
        (304, State.FAILED_REDIRECT, True),
        (204, State.FAILED_HTTP, True),
        (404, State.FAILED_HTTP, True),
        (410, State.FAILED_HTTP, True),
        (429, State.FAILED_HTTP, False),
        (503, State.FAILED_HTTP, False),
        (599, State.FAILED_HTTP, False),
    ],
)
def test_a_server_in_trouble_is_asked_again(status: int, state: State, final: bool) -> None:
    refusal = refusal_of_status(status)
    assert (refusal.state, refusal.http_status, refusal.final) == (state, status, final)


@pytest.mark.parametrize(
    ("robots", "delay"),
    [
        ("User-agent: *\nCrawl-delay: 5", 5.0),
        ("User-agent: newslake\nCrawl-delay: 2\n\nUser-agent: *\nCrawl-delay: 9", 2.0),
        ("User-agent: *\nCrawl-delay: 86400", MAX_CRAWL_DELAY),
        ("User-agent: *\nCrawl-delay: soon", 0.0),
        ("User-agent: *\nDisallow: /", 0.0),
    ],
)
def test_the_crawl_delay_is_ours_and_bounded(robots: str, delay: float) -> None:
    assert Rules(RobotsTxt(robots)).crawl_delay == delay
