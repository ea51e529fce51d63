"""A loopback proxy before the object store that can cut in at a chosen request."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

Fault = Callable[[BaseHTTPRequestHandler], bool]
CONDITIONS = ("if-none-match", "if-match")


def answering(status: int, code: str) -> Fault:
    """The fault of a store that answers an S3 error instead of doing what it is asked."""

    def fault(request: BaseHTTPRequestHandler) -> bool:
        body = f"<Error><Code>{code}</Code><Message>not now</Message></Error>".encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/xml")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)
        return False

    return fault


def cut(_: BaseHTTPRequestHandler) -> bool:
    """The fault of a connection that breaks."""
    return False


class FaultProxy:
    """Forwards every request to ``endpoint``; the first ``times`` that match meet the fault.

    ``pattern`` is searched in "METHOD /bucket/key". ``fault`` is called in its place, or with
    ``after`` once the store has done it and before its answer goes back; where it returns True
    all goes on, else the connection ends. ``strip`` names headers that are taken off every
    request, which is then signed anew by ``keys``, the variables of the store. ``ahead`` is how
    far the store's clock goes ahead of its own.
    """

    def __init__(
        self,
        endpoint: str,
        pattern: str = "",
        fault: Fault = cut,
        times: int = 1,
        *,
        after: bool = False,
        strip: Collection[str] = (),
        keys: Mapping[str, str] | None = None,
        ahead: timedelta = timedelta(),
    ):
        self._target = urlsplit(endpoint).netloc
        self._pattern = re.compile(pattern)
        self._fault = fault
        self._left = times if pattern else 0
        self._after = after
        self._strip = strip
        self._keys = keys or {}
        self._ahead = ahead
        self._lock = Lock()
        self.met = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                proxy._serve(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultProxy:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _due(self, line: str) -> bool:
        with self._lock:
            if self._left and self._pattern.search(line):
                self._left -= 1
                self.met += 1
                return True
        return False

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        due = self._due(f"{request.command} {request.path}")
        if due and not self._after and not self._fault(request):
            request.close_connection = True
            return
        upstream = HTTPConnection(self._target, timeout=60)
        try:
            upstream.putrequest(
                request.command, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self._headers(request, body).items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            if due and self._after and not self._fault(request):
                request.close_connection = True
                return
            request.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() == "date":
                    request.send_header(name, self._time(value))
                elif name.lower() not in ("transfer-encoding", "connection"):
                    request.send_header(name, value)
            if answer.getheader("Content-Length") is None:
                request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(content)
        except OSError:
            request.close_connection = True
        finally:
            upstream.close()

    def _time(self, stated: str) -> str:
        return format_datetime(parsedate_to_datetime(stated) + self._ahead, usegmt=True)

    def _headers(self, request: BaseHTTPRequestHandler, body: bytes) -> dict[str, str]:
        # The Host header goes on as it came: it is part of the signature.
        headers = dict(request.headers.items())
        if not self._strip:
            return headers
        kept = {n: v for n, v in headers.items() if n.lower() not in self._strip}
        address = f"http://{request.headers['Host']}{request.path}"
        again = AWSRequest(request.command, address, headers=kept, data=body)
        keys = Credentials(self._keys["AWS_ACCESS_KEY_ID"], self._keys["AWS_SECRET_ACCESS_KEY"])
        S3SigV4Auth(keys, "s3", self._keys.get("AWS_REGION", "us-east-1")).add_auth(again)
        return dict(again.headers.items())
