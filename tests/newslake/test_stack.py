"""Airflow's services for real: a DAG runs under them, and however they end, nothing is left."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest
import yaml

from newslake import stack
from processing.exceptions import ConfigurationError, ServiceError

UP = """
import os, sys
from pathlib import Path
from newslake import stack
from processing.exceptions import NewslakeError
try:
    stack.up(Path(sys.argv[1]), os.environ, dags=Path(sys.argv[2]), port=int(sys.argv[3]))
except NewslakeError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

DAG = """
import os
from datetime import datetime, timedelta
from pathlib import Path
from airflow.sdk import dag, task

@dag(schedule="@once", start_date=datetime(2026, 1, 1), catchup=False,
     default_args={"retries": 3, "retry_delay": timedelta(seconds=1)})
def trivial():
    @task(pool="crawl")
    def write():
        Path(os.environ["RESULT"]).write_text("done")
    write()

trivial()
"""


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """The environment, without what would say how Airflow is to be run."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "trivial.py").write_text(DAG)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, dags: Path, environ: dict[str, str]) -> Path:
    """A home whose database is ready."""
    home = tmp_path_factory.mktemp("home")
    stack.migrate({**environ, **stack.airflow_environment(home, environ, dags=dags)})
    return home


def test_every_option_is_one_that_airflow_knows(
    home: Path, dags: Path, environ: dict[str, str]
) -> None:
    # Read, not imported: importing airflow here would fix the test process's own settings.
    airflow = importlib.util.find_spec("airflow")
    assert airflow
    assert airflow.origin
    known = yaml.safe_load(
        (Path(airflow.origin).parent / "config_templates" / "config.yml").read_text()
    )
    variables = stack.airflow_environment(home, environ, dags=dags, port=1)
    options = [name.split("__")[1:] for name in variables if name.startswith("AIRFLOW__")]
    unknown = [
        (section, option)
        for section, option in options
        if option.lower() not in known[section.lower()]["options"]
    ]
    assert len(options) > 15
    assert unknown == []


def test_secrets_stay_the_same_and_are_the_owners_only(
    home: Path, dags: Path, environ: dict[str, str]
) -> None:
    first, again = (stack.airflow_environment(home, environ, dags=dags) for _ in range(2))
    assert first == again
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) == 64
    for name in ("secrets.json", "passwords.json"):
        assert (home / "airflow" / name).stat().st_mode & 0o777 == 0o600


def test_what_the_operator_set_wins(home: Path, dags: Path, environ: dict[str, str]) -> None:
    given = {**environ, "AIRFLOW__CORE__PARALLELISM": "32", "no_proxy": "intranet"}
    variables = stack.airflow_environment(home, given, dags=dags)
    assert variables["AIRFLOW__CORE__PARALLELISM"] == "32"
    assert variables["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_a_migrated_database_has_the_pools_and_is_left_alone(
    home: Path, dags: Path, environ: dict[str, str]
) -> None:
    database = home / "airflow" / "airflow.db"
    rows = query(home, "select pool, slots from slot_pool where pool != 'default_pool'")
    assert dict(rows) == {name: slots for name, (slots, _) in stack.POOLS.items()}
    before = (database.stat().st_mtime_ns, (home / "logs" / "airflow-migrate.log").stat().st_size)
    stack.migrate({**environ, **stack.airflow_environment(home, environ, dags=dags)})
    after = (database.stat().st_mtime_ns, (home / "logs" / "airflow-migrate.log").stat().st_size)
    assert before == after


def test_a_database_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, dags: Path, environ: dict[str, str]
) -> None:
    env = {**environ, **stack.airflow_environment(tmp_path, environ, dags=dags)}
    (tmp_path / "airflow" / "airflow.db").mkdir()
    with pytest.raises(ServiceError, match=r"airflow\.db.*airflow-migrate\.log"):
        stack.migrate(env)


def test_a_taken_port_is_a_sentence(home: Path, dags: Path, environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} .*--port"):
            stack.up(home, environ, dags=dags, port=port)


def test_a_dag_runs_and_a_sigterm_leaves_nothing(
    home: Path, dags: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    result = tmp_path / "result"
    with running(home, dags, {**environ, "RESULT": str(result)}) as (process, port, log):
        until(lambda: "user admin" in log.read_text(), process)
        until(lambda: ended_runs(home) != [], process)
        assert ended_runs(home) == [("trivial", "success")]
        assert result.read_text() == "done"
        family = descendants(process)
        assert listening(family) == {("127.0.0.1", port)}
        assert log_in(port, home) == 201
        second = subprocess.run(
            [sys.executable, "-c", UP, home, dags, str(free_port())],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.stderr.startswith("ConfigurationError: Airflow already runs out of")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert left_of(family) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_it_starts_leaves_nothing(
    home: Path, dags: Path, environ: dict[str, str], number: signal.Signals
) -> None:
    with running(home, dags, environ) as (process, _, _):
        until(lambda: "LocalExecutor" in str(cmdlines(process).values()), process)
        family = descendants(process)
        process.send_signal(number)
        assert process.wait(60) == (0 if number == signal.SIGINT else -signal.SIGKILL)
        until(lambda: left_of(family) == [])


def test_a_service_that_dies_ends_the_others_and_is_named(
    home: Path, dags: Path, environ: dict[str, str]
) -> None:
    with running(home, dags, environ) as (process, _, log):
        service = ["-P", "-m", "airflow", "triggerer"]
        until(lambda: any(cmdline[1:5] == service for cmdline in cmdlines(process).values()))
        family = descendants(process)
        for victim, cmdline in cmdlines(process).items():
            if cmdline[1:5] == service:
                victim.kill()
        assert process.wait(60) == 1
        assert left_of(family) == []
    said = log.read_text().splitlines()[-1]
    assert said.startswith("ServiceError: Airflow's triggerer ended by itself")
    assert said.endswith("airflow-triggerer.log says why")


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


def log_in(port: int, home: Path) -> int:
    password = json.loads(stack.password_file(home).read_text())["admin"]
    body = json.dumps({"username": "admin", "password": password}).encode()
    request = Request(
        f"http://127.0.0.1:{port}/auth/token", body, {"Content-Type": "application/json"}
    )
    with urlopen(request) as answer:
        status: int = answer.status
    return status


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
