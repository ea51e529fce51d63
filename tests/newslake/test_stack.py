"""Airflow's services for real: however they end, nothing is left."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
from pathlib import Path

import pytest
import yaml
from running_airflow import (
    cmdlines,
    descendants,
    left_of,
    query,
    running,
    until,
)

from newslake import stack
from processing.exceptions import ConfigurationError, ServiceError


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """The environment, without what would say how Airflow is to be run."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dags")


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
