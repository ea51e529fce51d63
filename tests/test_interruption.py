"""``newslake run`` cut off by signals: it leaves no process behind, and a re-run completes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from demo.sites import SOURCES
from test_run import QUIET

from newslake import objectstore
from processing import dataset
from processing.storage import Store

GONE_WITHIN = 60  # seconds; graces add up to less


def start(home: Path, sources: Path) -> subprocess.Popen[str]:
    kept = {name: v for name, v in os.environ.items() if not name.startswith(QUIET)}
    return subprocess.Popen(
        [sys.executable, "-m", "newslake", "run", "--demo", "--source", sources.stem],
        env={**kept, "NEWSLAKE_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_word(run: subprocess.Popen[str], word: str) -> None:
    said = ""
    for line in run.stdout or ():
        said += line
        if word in line:
            return
    pytest.fail(f"the run ended before it said {word!r}:\n{said}")


def family(home: Path, run: subprocess.Popen[str]) -> list[psutil.Process]:
    """The run's descendants, and whatever names its home: the store's guardian is detached."""
    found = {p.pid: p for p in psutil.Process(run.pid).children(recursive=True)}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(home) in word for word in process.cmdline()):
                found[process.pid] = process
    return list(found.values())


def left(processes: list[psutil.Process]) -> list[list[str]]:
    """Those that have not ended in time."""
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN)
    found = []
    for process in alive:
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
    return found


def attempts_until_end(run: subprocess.Popen[str]) -> list[list[str]]:
    """The attempts of the crawls that ran until the run ended."""
    seen = []
    while run.poll() is None:
        seen += attempts(run)
        with suppress(subprocess.TimeoutExpired):
            run.communicate(timeout=0.2)
    return seen


def attempts(run: subprocess.Popen[str]) -> list[list[str]]:
    """The attempts of the crawls that run now."""
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(run.pid).children(recursive=True):
            words = process.cmdline()
            if "--attempt" in words:
                found.append(words[words.index("--attempt") :][:2])
    return found


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_an_interrupted_run_leaves_nothing_behind(tmp_path, number, status):
    run = start(tmp_path, SOURCES / "old-mill-post.yaml")
    await_word(run, "plan:")
    while not attempts(run):  # its Crawl-delay makes this crawl last
        assert run.poll() is None
    processes = family(tmp_path, run)
    run.send_signal(number)
    assert ["--attempt", "2"] not in attempts_until_end(run), "no task is tried again"
    assert run.returncode == status
    assert processes and not left(processes)


def test_a_killed_run_takes_everything_down_and_a_rerun_completes_it(tmp_path):
    source = SOURCES / "meridian-wire.yaml"
    run = start(tmp_path, source)
    await_word(run, "crawl:")
    processes = family(tmp_path, run)
    run.kill()
    run.communicate()
    assert processes and not left(processes)
    again = start(tmp_path, source)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    with objectstore.serving(tmp_path) as variables:
        articles = dataset.scan(Store.from_environment(variables), "articles").to_table(["url"])
        assert articles.num_rows == len(set(articles["url"].to_pylist())) == 9
