"""Extraction in processes that are ended when a page takes too much of anything."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from processing.cleaning import SiteTemplate
from processing.exceptions import ConfigurationError
from processing.extraction import Reading
from processing.pool import PAGE_MEMORY, ExtractionPool
from processing.records import Page, Rejection, State

AT = datetime(2026, 11, 20, tzinfo=UTC)


def page(name: str) -> Page:
    return Page(f"https://courier.example/{name}", b"<html><body><p>Tram</p></body></html>", AT)


def resident() -> int:
    return psutil.Process().memory_info().rss


def named(page: Page, template: SiteTemplate | None) -> Reading:
    """An extractor that answers with the page's name, unless that says what to do else."""
    name = page.url.rpartition("/")[2]
    if name == "hangs":
        threading.Event().wait()
    if name == "dies":
        os._exit(11)
    held = []
    while name == "grows" or (name == "is-big" and resident() < 0.9 * PAGE_MEMORY):
        held.append(b"x" * 4 * 1024 * 1024)
    return Reading(Rejection(State.REJECTED_TOO_SHORT, name))


def details(*names: str, **options: object) -> list[str]:
    with ExtractionPool(extractor=named, **options) as pool:
        return [outcome.detail for outcome in pool.outcomes(map(page, names))]


def test_outcomes_keep_the_order_of_the_pages() -> None:
    names = [f"p{n}" for n in range(40)]
    assert details(*names, workers=2) == names


def test_a_page_that_takes_too_long_is_ended_and_the_next_is_read() -> None:
    said = details("a", "hangs", "b", workers=1, page_timeout=3.0)
    assert said == ["a", "the page took longer than 3 s", "b"]


def test_a_page_that_kills_its_process_costs_itself_alone() -> None:
    said = details("dies", "a", "dies", "b", workers=1)
    assert said[1::2] == ["a", "b"]
    assert said[0] == said[2] == "the page killed its process (exit code 11)"


def test_memory_is_bounded() -> None:
    said = details("grows", "a", "is-big", "b", workers=1)
    assert said[1::2] == ["a", "b"]
    assert said[0] == said[2] == "the page took more than 1024 MB of memory"


def test_eight_megabytes_that_would_take_a_minute_are_given_up() -> None:
    endless = Page("https://courier.example/endless", b"<div>x</div>" * 700_000, AT)
    with ExtractionPool(workers=1, page_timeout=2.0) as pool:
        given_up, read = pool.outcomes([endless, page("tram")])
    assert given_up == Rejection(State.FAILED_EXTRACTION, "the page took longer than 2 s")
    assert read.state == State.REJECTED_TOO_SHORT


def test_a_page_that_could_not_be_read_has_an_outcome() -> None:
    with ExtractionPool(workers=1, extractor=named) as pool:
        missing, read = pool.outcomes([None, page("a")])
    assert (missing.state, read.detail) == (State.FAILED_EXTRACTION, "a")


def test_few_pages_are_held_at_once() -> None:
    taken = []

    def pages() -> Iterator[Page]:
        for number in range(1000):
            taken.append(number)
            yield page(str(number))

    with ExtractionPool(workers=2, extractor=named) as pool:
        next(pool.outcomes(pages()))
        assert len(taken) <= 8


def test_no_worker_is_left() -> None:
    before = set(psutil.Process().children(recursive=True))
    with ExtractionPool(workers=2, extractor=named) as pool:
        next(pool.outcomes([page("a"), *[page("hangs")] * 7]))
        during = set(psutil.Process().children(recursive=True)) - before
    # The server that starts processes, and the tracker beside it, are kept for the next pool.
    assert len([process for process in during if process.is_running()]) == len(during) - 2


CELERY = """
import billiard
from test_pool import details

worker = billiard.Process(target=lambda: print(details("a", workers=1)), daemon=True)
worker.start()
worker.join()
"""


def test_pages_are_read_in_a_worker_of_celery_s() -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", CELERY]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout == "['a']\n", done.stderr


@pytest.mark.parametrize("more", [0, 1])
def test_a_temporary_folder_has_room_for_sockets_or_is_refused(more):
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short, "x" * (75 + more - len(short) - 1))
        folder.mkdir()
        program = (
            "from datetime import UTC, datetime\n"
            "from processing.pool import ExtractionPool\n"
            "from processing.records import Page\n"
            "html = b'<html><body><p>Tram</p></body></html>'\n"
            "page = Page('https://a.example/', html, datetime(2026, 11, 20, tzinfo=UTC))\n"
            "with ExtractionPool(workers=1) as pool:\n"
            "    print([outcome.state.value for outcome in pool.outcomes([page])])"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program],
            check=False,
            env={**os.environ, "TMPDIR": str(folder)},
            capture_output=True,
            text=True,
        )
    if more:
        assert (
            f"{ConfigurationError.__name__}: TMPDIR is {folder}, which is too long" in ended.stderr
        )
    else:
        assert ended.stdout.startswith("['rejected-"), ended.stderr
