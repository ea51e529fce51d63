"""The embedded store: closed to all but its owner, shared by commands, gone with the last one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from newslake import objectstore
from processing.exceptions import StoreError
from processing.storage import Store

# A command that uses the store: says where it is, then waits for its standard input to close.
COMMAND = """
import sys
from pathlib import Path
from newslake import objectstore
with objectstore.serving(Path(sys.argv[1])) as variables:
    print(variables["AWS_ENDPOINT_URL_S3"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for process in of_home(tmp_path):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def test_it_listens_on_loopback_only_and_is_gone_afterwards(home: Path) -> None:
    with objectstore.serving(home):
        listening = {
            connection.laddr.ip
            for process in of_home(home)
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        ports = port_numbers(home)
        sockets = [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]
    assert listening == {"127.0.0.1"}
    assert sockets
    assert of_home(home) == []
    assert not any(path.exists() for path in sockets)


def test_no_http_door_takes_unsigned_requests(home: Path) -> None:
    with objectstore.serving(home) as variables:
        lake = Store.from_environment(variables)
        lake.ensure_bucket()
        lake.put("mine", b"private")
        ports = objectstore._settings(home / "objectstore")["ports"]
        for port, path in (
            (ports["s3"], "/newslake/mine"),
            (ports["filer"], "/buckets/newslake/mine"),
            (ports["master"], "/dir/assign"),
            (ports["volume"], "/1,01637037d6"),
            (ports["admin"], "/"),
        ):
            # That of the administrator may open after the store answers.
            until(partial(is_open, port))
            for method, body in (("GET", None), ("PUT", b"forged"), ("DELETE", None)):
                assert request(port, method, path, body) in (401, 403, 404)
        assert lake.get("mine").data == b"private"


def test_credentials_are_generated_kept_and_the_owners_only(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    with objectstore.serving(first) as variables, objectstore.serving(other) as others:
        assert variables["AWS_SECRET_ACCESS_KEY"] != others["AWS_SECRET_ACCESS_KEY"]
        assert not set(port_numbers(first)) & set(port_numbers(other))
        Store.from_environment(variables).ensure_bucket()
        mixed = {**variables, "AWS_ENDPOINT_URL_S3": others["AWS_ENDPOINT_URL_S3"]}
        with pytest.raises(StoreError, match="403"):
            Store.from_environment(mixed).ensure_bucket()
    assert (first / "objectstore").stat().st_mode & 0o777 == 0o700
    assert (first / "objectstore" / "settings.json").stat().st_mode & 0o777 == 0o600


def test_the_data_the_ports_and_the_credentials_stay(home: Path) -> None:
    with objectstore.serving(home) as variables:
        lake = Store.from_environment(variables)
        lake.ensure_bucket()
        lake.put("kept", b"1")
    with objectstore.serving(home) as again:
        assert again == variables
        assert Store.from_environment(again).get("kept").data == b"1"


def test_a_taken_port_is_replaced_and_the_data_are_there(home: Path) -> None:
    with objectstore.serving(home) as variables:
        lake = Store.from_environment(variables)
        lake.ensure_bucket()
        lake.put("kept", b"1")
        taken = objectstore._settings(home / "objectstore")["ports"]["master"]
    blocker = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(taken)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: not objectstore._free(taken))
        with objectstore.serving(home) as again:
            lake = Store.from_environment(again)
            assert lake.get("kept").data == b"1"
            lake.put("new", b"2")
            assert (lake.get("kept").data, lake.get("new").data) == (b"1", b"2")
            assert taken not in port_numbers(home)
    finally:
        blocker.kill()
        blocker.wait()


def test_commands_share_it_and_the_last_one_stops_it(home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(lambda _: start_command(home), range(4)))
    try:
        assert len({endpoint for _, endpoint in started}) == 1
        servers = [process for process in of_home(home) if process.name() == "weed"]
        assert len(servers) == 1
        for command, _ in started[:3]:
            end_command(command)
        assert servers[0].is_running()
        end_command(started[3][0])
        assert of_home(home) == []
    finally:
        for command, _ in started:
            command.kill()


def test_coming_and_going_at_once_never_finds_it_stopping(home: Path) -> None:
    start = threading.Barrier(3)

    def come_and_go(number: int) -> list[bytes]:
        read = []
        start.wait()
        for turn in range(3):
            with objectstore.serving(home) as variables:
                lake = Store.from_environment(variables, retries=1)
                lake.ensure_bucket()
                lake.put(f"{number}/{turn}", b"%d" % turn)
                read.append(lake.get(f"{number}/{turn}").data)
        return read

    with ThreadPoolExecutor(3) as pool:
        for read in pool.map(come_and_go, range(3)):
            assert read == [b"0", b"1", b"2"]
    assert of_home(home) == []


@pytest.mark.parametrize("victim", ["command", "guardian"])
def test_nothing_is_left_when_one_is_killed(home: Path, victim: str) -> None:
    command, _ = start_command(home)
    if victim == "command":
        command.kill()
    else:
        guardian = objectstore._guardian(home / "objectstore")
        assert guardian
        guardian.kill()
    until(lambda: of_home(home) == [])
    command.kill()
    command.communicate()


def test_a_killed_server_is_started_again_and_has_what_it_acknowledged(home: Path) -> None:
    with objectstore.serving(home) as variables:
        lake = Store.from_environment(variables)
        lake.ensure_bucket()
        acknowledged: list[str] = []
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                key = f"n/{len(acknowledged):05}"
                lake.put(key, key.encode())
                acknowledged.append(key)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for written in (20, 60):
                until(lambda: len(acknowledged) > written)  # noqa: B023 - called at once
                (server,) = (process for process in of_home(home) if process.name() == "weed")
                server.kill()
            until(lambda: len(acknowledged) > 100)
        finally:
            stop.set()
            writer.join()
        assert [entry.key for entry in lake.objects("n/")] == acknowledged
        assert all(lake.get(key).data == key.encode() for key in acknowledged)


def test_a_new_command_starts_it_after_all_of_it_was_killed(home: Path) -> None:
    with objectstore.serving(home) as variables:
        lake = Store.from_environment(variables)
        lake.ensure_bucket()
        lake.put("kept", b"1")
        for process in of_home(home):
            process.kill()
    with objectstore.serving(home) as again:
        assert Store.from_environment(again).get("kept").data == b"1"


def test_a_server_that_cannot_start_is_a_sentence_that_names_the_log(home: Path) -> None:
    broken = home / "objectstore" / "data" / "filerldb2"
    broken.parent.mkdir(parents=True)
    broken.write_text("not a folder")
    with pytest.raises(StoreError, match=r"ended as soon.*logs/objectstore\.log"):  # noqa: SIM117
        with objectstore.serving(home):
            pass
    assert objectstore.log_file(home).stat().st_size > 0
    assert of_home(home) == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "c"}, False),
        ({"NEWSLAKE_LAKE": ""}, False),
        ({"NEWSLAKE_LAKE": "s3://mine"}, True),
        ({"AWS_ENDPOINT_URL_S3": "http://store"}, True),
        ({"AWS_ENDPOINT_URL": "http://store"}, True),
    ],
)
def test_only_a_lake_or_an_endpoint_configures_a_store(
    environ: dict[str, str], expected: bool
) -> None:
    assert objectstore.configured(environ) is expected


def test_the_embedded_store_stays_out_when_another_is_configured(home: Path) -> None:
    with objectstore.lake_environment({"NEWSLAKE_LAKE": "s3://mine"}, home) as variables:
        assert variables == {}
    assert list(home.iterdir()) == []


def test_a_proxy_in_the_environment_is_passed_by(home: Path) -> None:
    environ = {"http_proxy": "http://127.0.0.1:1", "no_proxy": "intranet"}
    with objectstore.lake_environment(environ, home) as variables:
        assert variables["no_proxy"] == "intranet,127.0.0.1,localhost"
        script = "import os; from processing.storage import Store;"
        script += "Store.from_environment(os.environ, retries=1).ensure_bucket()"
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, **environ, **variables}, check=True
        )


def start_command(home: Path) -> tuple[subprocess.Popen[str], str]:
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout
    return command, command.stdout.readline().strip()


def end_command(command: subprocess.Popen[str]) -> None:
    command.communicate(timeout=60)
    assert command.returncode == 0


def of_home(home: Path) -> list[psutil.Process]:
    """The guardian, the server and its supervisor, as far as they run."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            own = any(f"{home}/objectstore" in argument for argument in process.cmdline())
            if own and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def port_numbers(home: Path) -> list[int]:
    ports = objectstore._settings(home / "objectstore")["ports"].values()
    return [number for port in ports for number in (port, port + objectstore._GRPC)]


def is_open(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


def request(port: int, method: str, path: str, body: bytes | None) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        return connection.getresponse().status
    finally:
        connection.close()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
