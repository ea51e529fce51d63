"""Airflow's services as ``newslake up`` runs them, in a process of their own, for tests."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import psutil

from newslake import stack

UP = """
import os, sys
from pathlib import Path
from typing import Any
from newslake import stack
from processing.exceptions import NewslakeError
try:
    stack.up(Path(sys.argv[1]), os.environ, dags=Path(sys.argv[2]), port=int(sys.argv[3]))
except NewslakeError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@contextmanager
def running(
    home: Path, dags: Path, environ: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """``up`` in a process of its own: the process, its port, what it prints."""
    port = free_port()
    log = home / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", UP, home, dags, str(port)],
            env=environ,
            stdout=output,
            stderr=output,
        )
    try:
        yield process, port, log
    finally:
        family = descendants(process) if process.poll() is None else []
        process.kill()
        process.wait()
        until(lambda: left_of(family) == [])


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def cmdlines(process: subprocess.Popen[bytes]) -> dict[psutil.Process, list[str]]:
    lines = {}
    for descendant in descendants(process):
        with suppress(psutil.Error):
            lines[descendant] = descendant.cmdline()
    return lines


def left_of(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; zombies are gone but for init's taking note of it."""
    left = []
    for process in family:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    return left


def listening(family: list[psutil.Process]) -> set[tuple[str, int]]:
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in left_of(family)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


class Api:
    """Airflow's REST API on ``port``, for the user ``admin``."""

    def __init__(self, port: int, home: Path):
        self._address = f"http://127.0.0.1:{port}"
        self._token = ""
        password = json.loads(stack.password_file(home).read_text())["admin"]
        user = {"username": "admin", "password": password}
        self._token = self("POST", "/auth/token", user)[1]["access_token"]

    def __call__(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """The answer's status and JSON."""
        request = Request(
            f"{self._address}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
            method=method,
        )
        try:
            with urlopen(request) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    def log(self, task: str, attempt: int = 1) -> list[dict[str, Any]]:
        """The lines of a task's log, as the log view gets them; ``task`` as in the API's paths."""
        dag, run, name, index = task.split("/")
        path = f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances/{name}/logs/{attempt}"
        status, answer = self("GET", f"{path}?map_index={index}&full_content=true", {})
        assert status == 200, answer
        content: list[dict[str, Any]] = answer["content"]
        return content

    def trigger(self, dag_id: str, **params: Any) -> tuple[int, Any]:
        """Start a run by hand, as the form does."""
        return self(
            "POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": params}
        )


def query(home: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home / "airflow" / "airflow.db", timeout=30)) as database:
        return database.execute(sql).fetchall()


def ended_runs(home: Path) -> list[tuple[object, ...]]:
    return query(home, "select dag_id, state from dag_run where state in ('success', 'failed')")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def until(
    condition: Callable[[], bool],
    process: subprocess.Popen[bytes] | None = None,
    seconds: float = 200.0,
) -> None:
    """Wait for ``condition``; fails when ``process`` ends first."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
