"""Many web sites on one loopback port, for tests and for the demo.

The server answers as an HTTP proxy (``GET http://host/path``: the request line names the site)
and directly (the Host header names it), so a crawler with ``http_proxy`` set reads
``http://some-paper.example/`` from 127.0.0.1 under its real-looking name. It resolves no name
and forwards nothing: what the handler does not know does not exist.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler
from itertools import chain
from socket import SHUT_RDWR, socket
from socketserver import ThreadingTCPServer
from threading import Lock, Thread
from typing import Self
from urllib.parse import urlsplit

CLOSE = 0
"""Status of an answer that is no HTTP: its body goes out as it stands and the line is closed."""

_ENTITY_HEADERS = ("content-type", "content-encoding", "content-language")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was received.

    ``host`` is lower-case and without its port, ``path`` includes the query, the names of
    ``headers`` are lower-case. ``status`` is what was answered; the handler sees None.
    """

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    status: int | None = None

    @property
    def url(self) -> str:
        """The address asked for, as a crawler would write it."""
        return f"http://{self.host}{self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers; Content-Length is the server's business.

    A 200 that carries an ETag or a Last-Modified becomes a 304 when the request's conditions
    say so (RFC 9110, section 13). With the status ``CLOSE`` the body is written raw, without
    status line or headers, and the connection closed: an empty one hangs up on the client. Before
    it is closed, ``more`` follows, without end if need be: until the client goes.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    more: Iterable[bytes] = ()


Handler = Callable[[Request], Answer]


class SiteServer:
    """Serves ``handler`` on 127.0.0.1 while its ``with`` block runs (port 0: any free one).

    The handler is called from several threads. One that raises gives a 500 with the traceback.
    """

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self.handler = handler
        self._lock = Lock()
        self._requests: list[Request] = []
        self._tcp = _TCPServer(self, port)
        self._thread = Thread(target=self._tcp.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._tcp.shutdown()
        self._thread.join()
        self._tcp.server_close()
        self._tcp.hang_up()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._tcp.server_address[1])

    @property
    def url(self) -> str:
        """The server's own address, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def proxy_url(self) -> str:
        """The value for ``http_proxy``; the same address, for it is both."""
        return self.url

    @property
    def requests(self) -> list[Request]:
        """Every request answered so far, in order: a copy."""
        with self._lock:
            return list(self._requests)

    def forget_requests(self) -> None:
        """Empties ``requests``, between two phases of a test."""
        with self._lock:
            self._requests.clear()

    def _answer(self, request: Request) -> Answer:
        try:
            answer = self.handler(request)
        except Exception:  # a wrong handler must show in the client's hands, not hang it
            answer = Answer(500, {"Content-Type": "text/plain"}, traceback.format_exc().encode())
        if answer.status == 200 and _not_modified(request.headers, answer.headers):
            kept = {n: v for n, v in answer.headers.items() if n.lower() not in _ENTITY_HEADERS}
            answer = Answer(304, kept)
        with self._lock:
            self._requests.append(replace(request, status=answer.status))
        return answer


def _not_modified(asked: Mapping[str, str], carried: Mapping[str, str]) -> bool:
    """RFC 9110, section 13.2.2: If-None-Match decides alone when it is there."""
    has = {name.lower(): value for name, value in carried.items()}
    if "if-none-match" in asked:
        if "etag" not in has:
            return False
        named = [tag.strip().removeprefix("W/") for tag in asked["if-none-match"].split(",")]
        return "*" in named or has["etag"].removeprefix("W/") in named
    if "if-modified-since" in asked and "last-modified" in has:
        since, changed = _http_date(asked["if-modified-since"]), _http_date(has["last-modified"])
        return since is not None and changed is not None and changed <= since
    return False


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _TCPServer(ThreadingTCPServer):
    """Threads for the connections, and a way to end those that are kept alive."""

    # HTTPServer is not used: it looks up the machine's name, and nothing here may resolve.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, sites: SiteServer, port: int) -> None:
        self.sites = sites
        self._open: set[socket] = set()
        self._open_lock = Lock()
        super().__init__(("127.0.0.1", port), _Connection)

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:  # type: ignore[no-untyped-def]
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(SHUT_RDWR)
                except OSError:
                    continue  # the client was quicker

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        """A client that hangs up is an everyday thing; nothing is printed."""


class _Connection(BaseHTTPRequestHandler):
    """One connection, with as many requests as it likes to carry."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _TCPServer

    def do_GET(self) -> None:
        target = urlsplit(self.path) if "://" in self.path else None
        netloc = target.netloc if target else self.headers.get("Host", "")
        path = self.path.partition(netloc)[2] if target else self.path
        request = Request(
            method=self.command,
            host=(urlsplit(f"//{netloc}").hostname or "").lower(),
            path=path if path.startswith("/") else f"/{path}",
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        self._write(self.server.sites._answer(request))

    do_HEAD = do_GET

    def do_CONNECT(self) -> None:
        self.close_connection = True
        self._write(Answer(405, {"Allow": "GET, HEAD"}))

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_CONNECT

    def _write(self, answer: Answer) -> None:
        if answer.status == CLOSE:
            self.close_connection = True
            for piece in chain([answer.body], answer.more):
                self.wfile.write(piece)
                self.wfile.flush()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 304:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and answer.status != 304:
            self.wfile.write(answer.body)

    def version_string(self) -> str:
        return "siteserver"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: ``SiteServer.requests`` has it all."""
