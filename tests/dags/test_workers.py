"""CeleryExecutor over Redis and Postgres: workers that share nothing but the lake, and die."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import psutil
import psycopg
import pytest
from faultproxy import FaultProxy
from prose import prose
from running_airflow import Api, cmdlines, free_port, left_of, running, until
from siteserver import Answer, Request, SiteServer

from newslake import processes
from newslake.stack import dags_folder
from processing import dataset
from processing.storage import Store

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)
MISSING = [
    package
    for package, there in (
        ("postgresql", POSTGRES or shutil.which("postgres")),
        ("redis-server", shutil.which("redis-server")),
    )
    if not there
]
if MISSING:
    pytest.skip(f"needs Debian's {' and '.join(MISSING)}", allow_module_level=True)

IMPATIENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}
SOURCE = """
id: {id}
name: {id}
homepage: http://{id}.example/
feeds: [http://{id}.example/feed]
delay: 0
allow_private: true
enabled: false
"""
STORIES = [f"http://{paper}.example/the-{n}-day" for paper in ("quick", "slow") for n in range(3)]


class Point:
    """A request to the store that is held up until the test has killed who asks."""

    def __init__(self) -> None:
        self.came, self.gone_by = Event(), Event()

    def hold(self, _: object) -> bool:
        """Called by the proxy: what was held up breaks off, what comes later goes on."""
        if self.gone_by.is_set():
            return True
        self.came.set()
        self.gone_by.wait(600)
        return False

    def reached(self) -> None:
        assert self.came.wait(300)


def sites(request: Request) -> Answer:
    """Two papers of three stories each."""
    if request.path == "/feed":
        links = "".join(f"<item><link>{s}</link></item>" for s in STORIES if request.host in s)
        return Answer(body=f"<rss><channel>{links}</channel></rss>".encode())
    if request.url in STORIES:
        name = request.url[7:]
        text = f"<title>{name}</title><article><h1>{name}</h1><p>{prose(name)}</p></article>"
        html = f'<html lang="en">{text}</html>'
        return Answer(headers={"Content-Type": "text/html"}, body=html.encode())
    return Answer(404)


@contextmanager
def serving(*command: str | Path, ready: Callable[[], bool]) -> Iterator[None]:
    process = processes.start(command, output=subprocess.DEVNULL, grace=30)
    try:
        until(ready, process, 60)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # Postgres: at once, though clients are there
        process.wait()


@contextmanager
def postgres() -> Iterator[str]:
    """A cluster of its own, its SQLAlchemy address."""
    port, initdb = free_port(), Path(POSTGRES or shutil.which("postgres") or "").with_name("initdb")
    # Not below pytest's folder, into which only its owner may look; and Postgres will not be root.
    with TemporaryDirectory() as folder:
        where = Path(folder, "data")
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        else:
            become = []
        made = [initdb, "-D", where, "-U", "airflow", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run([*become, *made], check=True, stdout=subprocess.DEVNULL, cwd="/")
        server = [initdb.with_name("postgres"), "-D", where, "-k", folder, "-F", "-p", str(port)]
        address = f"://airflow@127.0.0.1:{port}/postgres"

        def answers() -> bool:
            with suppress(psycopg.OperationalError):
                psycopg.connect(f"postgresql{address}").close()
                return True
            return False

        with serving(*become, *server, "-h", "127.0.0.1", ready=answers):
            yield f"postgresql+psycopg{address}"


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A server of its own that keeps nothing, its address."""
    port = free_port()

    def answers() -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    settings = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
    with serving("redis-server", *settings, ready=answers):
        yield f"redis://127.0.0.1:{port}/0"


@dataclass
class Machines:
    """The machine of the scheduler, and those of the workers, which have disks of their own."""

    api: Api
    folder: Path
    environ: dict[str, str]
    half_crawled: Point
    half_extracted: Point
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Add a worker; returns when it takes tasks."""
        home = self.folder / name
        (home / "tmp").mkdir(parents=True)
        own = {
            "NEWSLAKE_HOME": str(home / "newslake"),
            "AIRFLOW_HOME": str(home / "airflow"),
            "TMPDIR": str(home / "tmp"),
        }
        words = ["celery", "worker", "--concurrency", "2", "--celery-hostname", f"worker@{name}"]
        log = home / "worker.log"
        with log.open("wb") as output:
            self.workers[name] = processes.start(
                [sys.executable, "-P", "-m", "airflow", *words, "--skip-serve-logs"],
                env={**self.environ, **own},
                output=output,
                cwd=home,
            )
        until(lambda: f"worker@{name} ready" in log.read_text(), self.workers[name])

    def lose(self, name: str) -> None:
        """A machine goes down: the worker, its tasks, their crawls and the disk, at once."""
        worker = self.workers.pop(name)
        family = [*cmdlines(worker), psutil.Process(worker.pid)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        worker.wait()
        until(lambda: left_of(family) == [])
        shutil.rmtree(self.folder / name)

    def tell(self) -> None:
        """Print what the workers logged: shown when the test fails."""
        for name in self.workers:
            for log in sorted((self.folder / name).rglob("*.log")):
                print(log, *log.read_text().splitlines()[-15:], sep="\n")

    def states(self, dag_run_id: str) -> dict[str, str]:
        """Each task's state."""
        path = f"/api/v2/dags/news_manual/dagRuns/{dag_run_id}/taskInstances"
        found = self.api("GET", path, {})[1]["task_instances"]
        return {f"{ti['task_id']}/{ti['map_index']}": ti["state"] for ti in found}


def profile() -> dict[str, str]:
    """The documented variables."""
    lines = (ROOT / "deploy" / "celery.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def machines(object_store: dict[str, str], tmp_path: Path) -> Iterator[Machines]:
    for name in ("sources", "main"):
        (tmp_path / name).mkdir()
    for id_ in ("quick", "slow"):
        (tmp_path / "sources" / f"{id_}.yaml").write_text(SOURCE.format(id=id_))
    mine = ("AIRFLOW", "NEWSLAKE", "AWS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    half_crawled, half_extracted = Point(), Point()

    def hold(request: BaseHTTPRequestHandler) -> bool:
        return (half_crawled if "/raw/" in request.path else half_extracted).hold(request)

    pages_or_articles = r"PUT .*(/raw/.*source(=|%3D)slow/|source(=|%3D)slow/articles\.parquet)"
    with ExitStack() as cleanup:
        use = cleanup.enter_context
        site = use(SiteServer(sites))
        store = object_store["AWS_ENDPOINT_URL_S3"]
        proxy = use(FaultProxy(store, pages_or_articles, hold, 10**6))
        filled = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": use(postgres()),
            "AIRFLOW__CELERY__BROKER_URL": use(redis(tmp_path)),
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            **object_store,
            "AWS_ENDPOINT_URL_S3": proxy.url,
            "NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}",
            **IMPATIENT,
        }
        documented = profile()
        address = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
        assert documented.keys() - filled.keys() <= {"AIRFLOW__CORE__EXECUTOR", address}
        del documented[address]
        environ = {
            **kept,
            **documented,
            **filled,
            "NEWSLAKE_SOURCES": str(tmp_path / "sources"),
            "http_proxy": site.proxy_url,
            "no_proxy": "127.0.0.1,localhost",
        }
        home = tmp_path / "main"
        process, port, log = use(running(home, dags_folder(), environ))
        until(lambda: "user admin" in log.read_text(), process)
        environ[address] = f"http://127.0.0.1:{port}/execution/"
        environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(dags_folder())
        # Not below pytest's folder: a socket in TMPDIR may have a path of 107 bytes at the most.
        folder = Path(use(TemporaryDirectory()))
        found = Machines(Api(port, home), folder, environ, half_crawled, half_extracted)
        cleanup.callback(lambda: [found.lose(name) for name in list(found.workers)])
        cleanup.callback(found.tell)
        yield found


def test_a_run_goes_on_elsewhere_when_workers_die_in_a_crawl_and_an_extraction(machines: Machines):
    machines.start("first")
    run = triggered(machines)
    machines.half_crawled.reached()
    until(lambda: machines.states(run).get("sources.extract/0") == "success")
    machines.start("second")
    machines.lose("first")
    machines.half_crawled.gone_by.set()

    machines.half_extracted.reached()
    machines.start("third")
    machines.lose("second")
    machines.half_extracted.gone_by.set()

    until(lambda: machines.states(run)["verdict/-1"] == "success")
    check_complete(Store.from_environment(machines.environ))


def triggered(machines: Machines) -> str:
    """A run by hand, once the DAG is known."""
    answers: list[Any] = []

    def asked() -> bool:
        answers[:] = machines.api.trigger("news_manual", sources=["quick", "slow"])
        return answers[0] == 200

    until(asked)
    return str(answers[1]["dag_run_id"])


def check_complete(store: Store) -> None:
    """Each story is published once, of one run that knows of no failure."""
    articles = dataset.scan(store, "articles").to_table(["id", "url"]).to_pydict()
    assert sorted(articles["url"]) == sorted(STORIES)
    assert len(set(articles["id"])) == len(STORIES)
    coverage = dataset.scan(store, "coverage").to_table(["url", "state"]).to_pylist()
    assert [(row["url"], row["state"]) for row in sorted(coverage, key=lambda row: row["url"])] == [
        (url, "published") for url in sorted(STORIES)
    ]
    (manifest,) = [json.loads(store.get(found.key).data) for found in store.objects("runs/")]
    assert manifest["failures"] == {}
    assert list(store.objects("staged/")) == []
