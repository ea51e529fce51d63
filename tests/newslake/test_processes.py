"""Supervised children: what they say, how they end, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from newslake import processes

# Writes its process id, then sleeps; "stubborn" ignores SIGTERM.
SLEEPER = """
import os, signal, sys, time
from pathlib import Path
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""
# A child with one grandchild in its own group and one in a session of its own.
FAMILY = f"""
import subprocess, sys
sleeper, folder, manner = {SLEEPER!r}, *sys.argv[1:]
for name, alone in (("near", False), ("far", True)):
    arguments = [sys.executable, "-c", sleeper, f"{{folder}}/{{name}}", manner]
    subprocess.Popen(arguments, start_new_session=alone)
sys.argv[1] += "/child"
exec(sleeper)
"""
PARENT = """
import subprocess, sys, threading
from newslake import processes
started = []
def start():
    started.append(processes.start([sys.executable, "-c", *sys.argv[1:]]))
thread = threading.Thread(target=start)  # whose end must not be taken for the parent's
thread.start()
thread.join()
print(started[0].pid, flush=True)
sys.stdin.read()
"""


def test_output_and_status_are_the_commands_own(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = processes.start(
            [
                sys.executable,
                "-c",
                "import sys; print('out'); print(sys.stdin.read()); sys.exit(7)",
            ],
            output=log,
        )
    assert process.wait(60) == 7
    assert (tmp_path / "log").read_text() == "out\n\n"


def test_a_command_that_a_signal_ends_says_so() -> None:
    process = processes.start(["sh", "-c", "kill -KILL $$"])
    assert process.wait(60) == 128 + signal.SIGKILL


def test_environment_and_folder_are_passed(tmp_path: Path) -> None:
    process = processes.start(
        ["sh", "-c", 'test "$PWD $WORD" = "$EXPECTED"'],
        env={"PATH": os.environ["PATH"], "WORD": "a b", "EXPECTED": f"{tmp_path.resolve()} a b"},
        cwd=tmp_path.resolve(),
    )
    assert process.wait(60) == 0


def test_stop_ends_every_descendant(tmp_path: Path) -> None:
    process = start_family(tmp_path, "obedient")
    family = await_family(tmp_path, process)
    processes.stop(process)
    assert gone(family)
    assert process.returncode == 128 + signal.SIGTERM


def test_stop_kills_what_ignores_it(tmp_path: Path) -> None:
    process = start_family(tmp_path, "stubborn", grace=0.2)
    family = await_family(tmp_path, process)
    processes.stop(process)
    assert gone(family)
    assert process.returncode == 128 + signal.SIGKILL


def test_stop_again_and_after_the_end_is_harmless() -> None:
    process = processes.start(["true"])
    process.wait(60)
    processes.stop(process, process)
    assert process.returncode == 0


def test_an_interrupt_reaches_the_command_as_such() -> None:
    script = (
        "import signal, sys; print(1, flush=True); signal.sigwait({signal.SIGINT}); sys.exit(3)"
    )
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT});"
    process = processes.start([sys.executable, "-c", block + script], output=subprocess.PIPE)
    assert process.stdout
    with process.stdout:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 3


def test_what_a_command_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    process = processes.start(
        ["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/child; exit 5"], grace=0.2
    )
    assert process.wait(60) == 5
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_children_end_with_their_parent(tmp_path: Path, how: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, FAMILY, tmp_path, "obedient"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdin
    assert parent.stdout
    with parent.stdin, parent.stdout:
        supervisor = psutil.Process(int(parent.stdout.readline()))
        family = [supervisor, *await_family(tmp_path, None)]
        assert all(process.is_running() for process in family)
        if how == "killed":
            parent.kill()
        else:
            parent.stdin.close()
        parent.wait(60)
        until(lambda: gone(family))


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: PR_SET_PDEATHSIG")
def test_the_command_ends_with_a_killed_supervisor(tmp_path: Path) -> None:
    process = start_family(tmp_path, "obedient")
    family = await_family(tmp_path, process)
    process.kill()
    process.wait(60)
    child = int((tmp_path / "child").read_text())
    until(lambda: not psutil.pid_exists(child))
    for left in family:  # without a supervisor, the grandchildren are ours to end
        if left.is_running():
            left.kill()


def start_family(folder: Path, manner: str, grace: float = 10.0) -> subprocess.Popen[bytes]:
    return processes.start([sys.executable, "-c", FAMILY, folder, manner], grace=grace)


def await_family(folder: Path, process: subprocess.Popen[bytes] | None) -> list[psutil.Process]:
    """The child and both grandchildren, once all three run."""
    files = [folder / name for name in ("child", "near", "far")]
    until(lambda: all(file.exists() and file.read_text() for file in files))
    assert process is None or process.poll() is None
    return [psutil.Process(int(file.read_text())) for file in files]


def gone(family: list[psutil.Process]) -> bool:
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family
    )


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
