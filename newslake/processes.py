"""Child processes that end with their parent and leave nothing behind.

Every child runs under a small supervisor, a Python process of its own (this file run as a
script), which starts the command in a process group and ends it when a signal says so or when
the parent is gone: the command gets the signal and a grace period to end its own children; what
is left then, or when the command ends by itself, gets SIGTERM, another such period, and SIGKILL.

Why a supervisor that asks for its parent's id twice a second: the kernel's own
``PR_SET_PDEATHSIG`` exists on Linux only, fires when the *thread* that started the child ends,
needs code between fork and exec (unsafe in a process with threads) and does not reach
grandchildren; a pipe whose end of file means "the parent died" stays open in every process the
parent has forked. The parent's id works everywhere, after kill -9 too, and whatever was forked.
The supervisor itself has one thread, so there ``PR_SET_PDEATHSIG`` is safe: on Linux it ends the
command when the supervisor is killed. It also makes itself the one that orphans fall to, so that
a grandchild in a session of its own is found too; elsewhere such a one is found as long as its
parent lives.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

_LOOK_EVERY = 0.5  # seconds between two looks at the parent
_KILL_SECONDS = 5.0  # how long killed processes may take to be gone
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def start(
    command: Sequence[str | Path],
    *,
    output: IO[bytes] | int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = 10.0,
    pass_fds: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """Start ``command`` under a supervisor, in a session of its own.

    ``output`` takes both its standard output and error; its standard input is empty. ``grace``
    is how many seconds it has to end when it is asked to, and then its descendants. The process
    given back is the supervisor: its ``wait`` is the command's exit status (128 + n after signal
    n), and ``send_signal`` of SIGTERM, SIGINT or SIGHUP ends the command and all descendants.
    """
    supervisor = [sys.executable, "-P", __file__, str(os.getpid()), str(grace)]
    return subprocess.Popen(
        [*supervisor, *map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        env=env,
        cwd=cwd,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """End what ``start`` gave, all at once; returns when every descendant is gone.

    Takes at most twice the longest ``grace`` and a few seconds.
    """
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        process.wait()


def supervise(parent: int, grace: float, command: Sequence[str]) -> int:
    """Run ``command`` until it ends, a signal comes or ``parent`` is gone; its exit status."""
    noticed, notify = os.pipe()
    os.set_blocking(noticed, False)
    os.set_blocking(notify, False)
    signal.set_wakeup_fd(notify)
    for number in (*_PASSED_ON, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command,
        process_group=0,
        close_fds=False,  # all that is inheritable here, the parent meant for the command
        preexec_fn=_end_with_supervisor,  # noqa: PLW1509 - this process has one thread
    )
    asked = None
    while child.returncode is None and asked is None:
        select.select([noticed], [], [], _LOOK_EVERY)
        asked = _asked(noticed, parent)
        _reap(child)
    _end(child, asked or signal.SIGTERM, grace)
    status = child.returncode if child.returncode is not None else -signal.SIGKILL
    return 128 - status if status < 0 else status


def _asked(noticed: int, parent: int) -> int | None:
    with suppress(BlockingIOError):
        for number in os.read(noticed, 512):
            if number in _PASSED_ON:
                return number
    return signal.SIGTERM if os.getppid() != parent else None


def _end(child: subprocess.Popen[bytes], number: int, grace: float) -> None:
    """The command first, for it knows best how to end its own; then whatever is left."""
    if child.returncode is None:
        os.kill(child.pid, number)
    deadline = time.monotonic() + grace
    while child.returncode is None and time.monotonic() < deadline:
        time.sleep(0.05)
        _reap(child)
    for process in _descendants(child):
        with suppress(psutil.Error):
            process.terminate()
    deadline = time.monotonic() + grace
    while _descendants(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := _descendants(child)) and time.monotonic() < deadline:
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
    with suppress(ProcessLookupError, PermissionError):  # the latter: macOS, only zombies left
        os.killpg(child.pid, signal.SIGKILL)


def _descendants(child: subprocess.Popen[bytes]) -> list[psutil.Process]:
    _reap(child)
    return psutil.Process().children(recursive=True)


def _reap(child: subprocess.Popen[bytes]) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child.pid:
                child.returncode = os.waitstatus_to_exitcode(ended[1])


def _end_with_supervisor() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
