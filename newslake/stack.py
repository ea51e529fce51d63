"""Airflow on one machine: its settings under NEWSLAKE_HOME, its database, its four services.

Not ``airflow standalone``, which leaves processes behind and listens on every interface: here
the API server listens on one loopback port, the log servers of scheduler and triggerer are left
out (all logs lie on this machine, where the API server reads them), and every service runs under
``newslake.processes``, so that nothing outlives the command.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import click

from newslake import processes
from newslake.objectstore import past_proxies
from processing.exceptions import ConfigurationError, ServiceError

POOLS = {
    "crawl": (8, "Crawls at a time; a run takes at most four"),
    "extract": (2, "Extractions at a time; each takes all processors"),
    "publish": (1, "One publisher at a time"),
    "backfill": (1, "Crawls and extractions of backfills at a time"),
    "import": (1, "WARC files imported at a time"),
}
"""Airflow pools that the DAGs use: slots and description. What takes hours has pools of its own."""

PARALLELISM = 20
"""Tasks at a time: the slots of all pools, and room for those in none, so that nothing waits for
what takes hours."""

# Each service's arguments, and the seconds it has to end. The scheduler would wait for running
# tasks as long as they take; the triggerer takes ten for nothing, its triggers are in the
# database.
_SERVICES = {
    "api-server": (("api-server",), 2.0),
    "scheduler": (("scheduler", "--skip-serve-logs"), 5.0),
    "dag-processor": (("dag-processor",), 2.0),
    "triggerer": (("triggerer", "--skip-serve-logs"), 1.0),
}
_READY_SECONDS = 300.0  # 20 s on two idle cores, a minute and more on busy ones
_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


def dags_folder() -> Path:
    """Where newslake's own DAG files lie."""
    spec = importlib.util.find_spec("dags")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("newslake's DAG files are missing; install newslake again")
    return Path(spec.submodule_search_locations[0])


def airflow_environment(
    home: Path, environ: Mapping[str, str], *, dags: Path, port: int | None = None
) -> dict[str, str]:
    """The variables to add to ``environ`` so that Airflow runs on this machine, out of ``home``.

    Every ``AIRFLOW__*`` variable already set wins: another database, more parallelism. ``port``
    is that of the API server; None where no services run (``dag.test()`` in one process).
    Secrets are made once and kept in ``home``, readable by its owner only. Set the variables
    before anything imports airflow.
    """
    folder = home.absolute() / "airflow"
    (folder / "plugins").mkdir(parents=True, exist_ok=True)
    kept = _secrets(folder)
    settings = {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags.absolute()),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "plugins"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks DNS
        "AIRFLOW__CORE__FERNET_KEY": kept["fernet_key"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(home)),
        # Whoever finds another writing waits a minute, not five seconds.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}?timeout=60",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__LOGGING__UVICORN_LOGGING_LEVEL": "WARNING",
        "AIRFLOW__API__SECRET_KEY": kept["api_secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt_secret"],
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # A small machine under load is slower than the defaults of 5, 30 and 50 s allow.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        # The scheduler may be up before the API server: what is due then would fail after 5 tries.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "10",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
    }
    if port is not None:
        settings |= {
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        }
    own = {name: value for name, value in environ.items() if name.startswith("AIRFLOW__")}
    return {"AIRFLOW_HOME": str(folder), **settings, **own, **past_proxies(environ)}


def password_file(home: Path) -> Path:
    """Where the password of the web page's user ``admin`` lies."""
    return home.absolute() / "airflow" / "passwords.json"


def _secrets(folder: Path) -> dict[str, str]:
    with _locked(folder / "secrets.lock"):
        path = folder / "secrets.json"
        if not path.exists():
            _write_private(folder / "passwords.json", {"admin": secrets.token_urlsafe(12)})
            made = {
                "fernet_key": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "api_secret_key": secrets.token_hex(32),
                "jwt_secret": secrets.token_hex(32),
            }
            _write_private(path, made)
        kept: dict[str, str] = json.loads(path.read_text())
    return kept


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
    temporary.replace(path)


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold ``path``'s lock; raises BlockingIOError when it is held and ``wait`` is False."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def migrate(env: Mapping[str, str]) -> None:
    """Bring Airflow's database up to the installed version and make the pools, where needed.

    ``env`` is a whole environment with ``airflow_environment`` in it. Costs nothing when this
    version has done it before. Raises ServiceError, naming the log.
    """
    folder = Path(env["AIRFLOW_HOME"])
    connection = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    wanted = json.dumps([version("apache-airflow-core"), connection, POOLS])
    stamp = folder / "migrated.json"
    with _locked(folder / "migrate.lock"):
        there = not connection.startswith("sqlite") or (folder / "airflow.db").exists()
        if there and stamp.exists() and stamp.read_text() == wanted:
            return
        log = folder.parent / "logs" / "airflow-migrate.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            process = processes.start(
                [sys.executable, "-P", "-m", "newslake.stack"], env=env, output=output
            )
            try:
                status = process.wait()
            finally:
                processes.stop(process)
        if status:
            raise ServiceError(
                f"Airflow's database {connection.split('@')[-1]} could not be made ready;"
                f" the end of {log} says why"
            )
        stamp.write_text(wanted)


def _migrate_here() -> None:
    """What ``migrate`` runs in a process of its own, for importing airflow fixes its settings."""
    from airflow.models.pool import Pool
    from airflow.utils.db import upgradedb

    upgradedb()
    for name, (slots, description) in POOLS.items():
        if Pool.get_pool(name) is None:  # an operator's own number of slots stays
            Pool.create_or_update_pool(name, slots, description, include_deferred=False)


def up(home: Path, environ: Mapping[str, str], *, dags: Path, port: int = 8080) -> None:
    """Run Airflow's services until SIGINT or SIGTERM; then no process of theirs is left.

    ``environ`` is a whole environment in which the lake is reachable. Raises ConfigurationError
    when the port is taken or Airflow runs out of this home already, ServiceError when a service
    does not start or ends by itself. Call it from the main thread.
    """
    _check_free(port)
    env = {**environ, **airflow_environment(home, environ, dags=dags, port=port)}
    asked: list[int] = []
    with ExitStack() as cleanup:
        try:
            cleanup.enter_context(_locked(Path(env["AIRFLOW_HOME"]) / "up.lock", wait=False))
        except BlockingIOError:
            raise ConfigurationError(
                f"Airflow already runs out of {home}; stop that one, or set NEWSLAKE_HOME to"
                " another folder"
            ) from None
        for number in (signal.SIGINT, signal.SIGTERM):
            cleanup.callback(signal.signal, number, signal.getsignal(number))
            signal.signal(number, lambda number, _: asked.append(number))
        click.echo("Preparing Airflow's database")
        migrate(env)
        if asked:
            return
        running: dict[str, subprocess.Popen[bytes]] = {}
        cleanup.callback(_stop, running)
        for name in _SERVICES:
            running[name] = _start_service(name, home, env)
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _READY_SECONDS
        while not asked and not _healthy(address):
            _check_running(running, home)
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"Airflow was not healthy after {_READY_SECONDS:.0f} s;"
                    f" see {service_log(home, 'api-server').parent}"
                )
            time.sleep(0.25)
        if not asked:
            click.echo(f"Airflow: {address} (user admin, password in {password_file(home)})")
        while not asked:
            _check_running(running, home)
            time.sleep(0.25)
        click.echo("Stopping Airflow")


def service_log(home: Path, service: str) -> Path:
    """The log file of one of Airflow's services."""
    return home.absolute() / "logs" / f"airflow-{service}.log"


def _start_service(name: str, home: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    arguments, grace = _SERVICES[name]
    log = service_log(home, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    click.echo(f"Starting {name}, log in {log}")
    with log.open("ab") as output:
        return processes.start(
            [sys.executable, "-P", "-m", "airflow", *arguments],
            env=env,
            output=output,
            grace=grace,
        )


def _stop(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """The API server last, for the others tell it how their tasks ended."""
    processes.stop(*(process for name, process in running.items() if name != "api-server"))
    processes.stop(*running.values())


def _check_running(running: Mapping[str, subprocess.Popen[bytes]], home: Path) -> None:
    for name, process in running.items():
        if process.poll() is not None:
            raise ServiceError(
                f"Airflow's {name} ended by itself with status {process.returncode};"
                f" the end of {service_log(home, name)} says why"
            )


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on 127.0.0.1 cannot be used ({error.strerror});"
                " end the program that has it, or choose another with --port"
            ) from error


def _healthy(address: str) -> bool:
    """Whether the API server answers and every part says that it is well."""
    try:
        with build_opener(ProxyHandler({})).open(
            f"{address}/api/v2/monitor/health", timeout=10
        ) as answer:
            said = json.load(answer)
    except (OSError, ValueError):
        return False
    return all((said.get(part) or {}).get("status") == "healthy" for part in _PARTS)


if __name__ == "__main__":
    _migrate_here()
