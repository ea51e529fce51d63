"""CeleryExecutor over Redis and Postgres: workers that share nothing but the lake, and die."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
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
    """Where something is held up until the test lets it go on: the first time it comes there."""

    def __init__(self) -> None:
        self._came: Queue[None] = Queue()
        self._go: Queue[None] = Queue()
        self._first = True

    def hold(self, _: object = None) -> bool:
        """Called by who comes there."""
        if self._first:
            self._first = False
            self._came.put(None)
            self._go.get(timeout=300)
        return False

    def reached(self) -> None:
        """Called by the test; so is ``release``."""
        self._came.get(timeout=300)

    def release(self) -> None:
        self._go.put(None)


def sites(half_crawled: Point) -> Callable[[Request], Answer]:
    """Two papers of three stories each; of one, the last is held up once."""

    def handler(request: Request) -> Answer:
        if request.url == STORIES[-1]:
            half_crawled.hold()
        if request.path == "/feed":
            links = "".join(f"<item><link>{s}</link></item>" for s in STORIES if request.host in s)
            return Answer(body=f"<rss><channel>{links}</channel></rss>".encode())
        if request.url in STORIES:
            name = request.url[7:]
            text = f"<title>{name}</title><article><h1>{name}</h1><p>{prose(name)}</p></article>"
            html = f'<html lang="en">{text}</html>'
            return Answer(headers={"Content-Type": "text/html"}, body=html.encode())
        return Answer(404)

    return handler


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
    socket = folder / "redis.sock"
    settings = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
    with serving("redis-server", *settings, "--unixsocket", socket, ready=socket.exists):
        yield f"redis://127.0.0.1:{port}/0"


@dataclass
class Machines:
    """The machine of the scheduler, and those of the workers, which have folders of their own."""

    api: Api
    folder: Path
    environ: dict[str, str]
    cleanup: ExitStack

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """A worker, once it takes tasks."""
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
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "airflow", *words, "--skip-serve-logs"],
                env={**self.environ, **own},
                stdout=output,
                stderr=output,
                cwd=home,
            )
        self.cleanup.callback(kill, process)
        until(lambda: f"worker@{name} ready" in log.read_text(), process)
        return process

    def states(self, dag_run_id: str) -> dict[str, str]:
        """Each task's state."""
        path = f"/api/v2/dags/news_manual/dagRuns/{dag_run_id}/taskInstances"
        found = self.api("GET", path, {})[1]["task_instances"]
        return {f"{ti['task_id']}/{ti['map_index']}": ti["state"] for ti in found}


def kill(worker: subprocess.Popen[bytes]) -> None:
    """As a machine that goes down: the worker, its tasks, their crawls, at once."""
    family = [*cmdlines(worker), psutil.Process(worker.pid)] if worker.poll() is None else []
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    worker.wait()
    until(lambda: left_of(family) == [])


@pytest.fixture
def half_crawled() -> Point:
    return Point()


@pytest.fixture
def half_extracted() -> Point:
    return Point()


def profile() -> dict[str, str]:
    """The documented variables."""
    lines = (ROOT / "deploy" / "celery.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def machines(object_store, half_crawled, half_extracted, tmp_path) -> Iterator[Machines]:
    for name in ("sources", "main"):
        (tmp_path / name).mkdir()
    for id_ in ("quick", "slow"):
        (tmp_path / "sources" / f"{id_}.yaml").write_text(SOURCE.format(id=id_))
    mine = ("AIRFLOW", "NEWSLAKE", "AWS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    staged = r"PUT .*/source=slow/articles\.parquet"
    with ExitStack() as cleanup:
        use = cleanup.enter_context
        site = use(SiteServer(sites(half_crawled)))
        proxy = use(FaultProxy(object_store["AWS_ENDPOINT_URL_S3"], staged, half_extracted.hold))
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
        yield Machines(Api(port, home), tmp_path, environ, use(ExitStack()))


def test_a_run_goes_on_elsewhere_when_workers_die_in_a_crawl_and_an_extraction(
    machines: Machines, half_crawled: Point, half_extracted: Point
):
    first = machines.start("first")
    run = triggered(machines)
    half_crawled.reached()
    until(lambda: machines.states(run).get("sources.extract/0") == "success")
    second = machines.start("second")
    kill(first)
    half_crawled.release()

    half_extracted.reached()
    machines.start("third")
    kill(second)
    half_extracted.release()

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
