"""A loopback proxy before the object store that can cut in at a chosen request."""

from __future__ import annotations

import re
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

Fault = Callable[[BaseHTTPRequestHandler], bool]


class FaultProxy:
    """Forwards every request to ``endpoint``; the first that matches meets the fault.

    ``pattern`` is searched in "METHOD /bucket/key". ``fault`` is called in its place; where it
    returns True the request is forwarded after all.
    """

    def __init__(self, endpoint: str, pattern: str, fault: Fault, times: int = 1):
        self._target = urlsplit(endpoint).netloc
        self._pattern = re.compile(pattern)
        self._fault = fault
        self._left = times
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
        if self._due(f"{request.command} {request.path}") and not self._fault(request):
            request.close_connection = True
            return
        upstream = HTTPConnection(self._target, timeout=60)
        try:
            upstream.putrequest(
                request.command, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():  # Host too: it is part of the signature
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            request.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
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
