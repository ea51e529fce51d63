"""The store against a real S3 server, and against one that loses its answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from processing.exceptions import (
    ConfigurationError,
    ObjectNotFound,
    PreconditionFailed,
    StoreError,
)
from processing.storage import Store, parse_lake_url


def test_what_is_put_is_read_back_whole_and_in_part(store: Store) -> None:
    etag = store.put("raw/a.warc.gz", b"0123456789")
    blob = store.get("raw/a.warc.gz")
    assert (blob.data, blob.etag) == (b"0123456789", etag)
    assert 0 <= blob.age < 3600
    assert store.get_range("raw/a.warc.gz", 3, 4) == b"3456"
    assert store.exists("raw/a.warc.gz")
    assert not store.exists("raw/b.warc.gz")


def test_a_missing_key_is_named(store: Store) -> None:
    with pytest.raises(ObjectNotFound, match=r"runs/none\.json"):
        store.get("runs/none.json")
    with pytest.raises(ObjectNotFound, match=r"runs/none\.json"):
        store.get_range("runs/none.json", 0, 1)


def test_a_missing_bucket_is_not_made_by_a_write(lake_env: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="NoSuchBucket"):
        Store.from_environment(lake_env).put("a", b"")


def test_listing_is_in_key_order_and_goes_over_pages(store: Store) -> None:
    keys = [f"staged/run=1/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"xy"), keys))
    store.put("staged/run=2/other", b"")
    found = list(store.objects("staged/run=1/"))
    assert [entry.key for entry in found] == keys
    assert found[0].size == 2
    assert found[0].etag == store.get(keys[0]).etag
    store.delete(keys)
    assert [entry.key for entry in store.objects()] == ["staged/run=2/other"]


def test_deleting_passes_over_what_is_not_there(store: Store) -> None:
    store.put("a", b"1")
    store.delete(["a", "never"])
    store.delete([])
    assert list(store.objects()) == []


def test_a_prefix_keeps_lakes_of_one_bucket_apart(store: Store, lake_env: dict[str, str]) -> None:
    lake = {**lake_env, "NEWSLAKE_LAKE": f"{lake_env['NEWSLAKE_LAKE']}/some/lake/"}
    inner = Store.from_environment(lake)
    inner.put("a/b", b"inner")
    assert inner.url == f"s3://{store.bucket}/some/lake"
    assert [entry.key for entry in inner.objects()] == ["a/b"]
    assert [entry.key for entry in store.objects()] == ["some/lake/a/b"]


def test_a_file_is_uploaded_in_parts_when_large(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 40_000)
    store.put_file("large", path)
    assert store.get("large").data == path.read_bytes()


def test_ensuring_a_bucket_twice_is_no_error(store: Store) -> None:
    store.put("a", b"1")
    store.ensure_bucket()
    assert store.get("a").data == b"1"


def test_if_none_match_writes_only_where_nothing_lies(store: Store) -> None:
    store.put("lease", b"mine", if_none_match=True)
    with pytest.raises(PreconditionFailed, match="lease"):
        store.put("lease", b"yours", if_none_match=True)
    assert store.get("lease").data == b"mine"


def test_if_match_writes_only_over_what_was_read(store: Store) -> None:
    first = store.put("state", b"1")
    second = store.put("state", b"2", if_match=first)
    with pytest.raises(PreconditionFailed, match="state"):
        store.put("state", b"3", if_match=first)
    store.delete(["state"])
    with pytest.raises(PreconditionFailed, match="state"):
        store.put("state", b"4", if_match=second)


@pytest.mark.parametrize("over", ["nothing", "something"])
def test_of_eight_racing_writers_one_wins(store: Store, over: str) -> None:
    etag = store.put("contested", b"before") if over == "something" else None
    start = threading.Barrier(8)

    def write(number: int) -> bytes | None:
        data = b"writer %d" % number
        start.wait()
        try:
            store.put("contested", data, if_match=etag, if_none_match=etag is None)
        except PreconditionFailed:
            return None
        return data

    with ThreadPoolExecutor(8) as pool:
        won = [data for data in pool.map(write, range(8)) if data]
    assert won == [store.get("contested").data]


def test_ones_own_write_after_a_lost_answer_is_a_success(
    store: Store, lake_env: dict[str, str]
) -> None:
    with losing_the_first_answer(lake_env["AWS_ENDPOINT_URL_S3"]) as (address, methods):
        flaky = Store.from_environment({**lake_env, "AWS_ENDPOINT_URL_S3": address})
        etag = flaky.put("manifest", b"{}", if_none_match=True)
    assert methods == ["PUT", "PUT", "GET"]
    assert (store.get("manifest").data, store.get("manifest").etag) == (b"{}", etag)


def test_anothers_write_is_not_taken_for_ones_own_after_a_lost_answer(
    store: Store, lake_env: dict[str, str]
) -> None:
    etag = store.put("manifest", b"old")
    with losing_the_first_answer(
        lake_env["AWS_ENDPOINT_URL_S3"], then=lambda: store.put("manifest", b"another's")
    ) as (address, _):
        flaky = Store.from_environment({**lake_env, "AWS_ENDPOINT_URL_S3": address})
        with pytest.raises(PreconditionFailed, match="manifest"):
            flaky.put("manifest", b"mine", if_match=etag)
    assert store.get("manifest").data == b"another's"


def test_an_unreachable_store_is_one_sentence_with_the_mend(lake_env: dict[str, str]) -> None:
    with socket.socket() as taken:  # bound, not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        lake = Store.from_environment({**lake_env, "AWS_ENDPOINT_URL_S3": address}, retries=1)
        for attempt in (
            lake.ensure_bucket,
            lambda: lake.get("a"),
            lambda: lake.exists("a"),
            lambda: lake.put("a", b""),
            lambda: list(lake.objects()),
            lambda: lake.delete(["a"]),
        ):
            with pytest.raises(StoreError, match=f"{address}.*'newslake doctor'"):
                attempt()


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_refused(lake_env: dict[str, str], wrong: str) -> None:
    lake = Store.from_environment({**lake_env, wrong: "f" * 20})
    for attempt in (lake.ensure_bucket, lambda: lake.put("a", b"")):
        with pytest.raises(StoreError, match=r"check the credentials|correct AWS_ACCESS_KEY_ID"):
            attempt()


@pytest.mark.parametrize("url", ["newslake", "s3://", "s3://A", "https://bucket", "s3://a_b"])
def test_a_wrong_lake_address_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match="NEWSLAKE_LAKE"):
        parse_lake_url(url)


def test_lake_addresses() -> None:
    assert parse_lake_url("s3://bucket") == ("bucket", "")
    assert parse_lake_url("s3://bucket/") == ("bucket", "")
    assert parse_lake_url("s3://bucket/a/b/") == ("bucket", "a/b")


@contextmanager
def losing_the_first_answer(
    endpoint: str, then: Callable[[], object] = lambda: None
) -> Iterator[tuple[str, list[str]]]:
    """A way to the store that drops the connection instead of its first answer.

    ``then`` is called once between that write and its repetition. Yields the address and the
    methods asked for so far.
    """
    methods: list[str] = []

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            methods.append(self.command)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = HTTPConnection(urlsplit(endpoint).netloc)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if len(methods) == 1:
                then()
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = relay

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", methods
        finally:
            server.shutdown()
