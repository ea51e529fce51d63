"""Whom things are told, on loopback: a webhook, a mail and a StatsD server that keep what comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from socketserver import (
    BaseRequestHandler,
    BaseServer,
    StreamRequestHandler,
    ThreadingTCPServer,
    UDPServer,
)
from threading import Thread
from typing import Any


@contextmanager
def webhook(status: int = 200) -> Iterator[tuple[str, Queue[Any]]]:
    """A webhook's address, and the JSON it gets; it answers with ``status``."""
    got: Queue[Any] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        yield from _serve(server, f"http://127.0.0.1:{server.server_port}/hook", got)


@contextmanager
def mailbox() -> Iterator[tuple[str, Queue[EmailMessage]]]:
    """A mail server as an Airflow connection, and the mail it gets."""
    got: Queue[EmailMessage] = Queue()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 mail.example")
            for line in self.rfile:
                verb = line.split()[0].upper()
                if verb == b"DATA":
                    self._say("354 go on")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    got.put(message_from_bytes(body, policy=policy.default))  # type: ignore[arg-type]
                self._say("221 bye" if verb == b"QUIT" else "250 mail.example")
                if verb == b"QUIT":
                    break

        def _say(self, answer: str) -> None:
            self.wfile.write(f"{answer}\r\n".encode())

    with _MailServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_address[1]
        options = "disable_ssl=true&disable_tls=true&from_email=lake%40mail.example"
        yield from _serve(server, f"smtp://127.0.0.1:{port}/?{options}", got)


@contextmanager
def statsd() -> Iterator[tuple[int, Queue[str]]]:
    """A StatsD server's port, and what it gets of newslake's own metrics."""
    got: Queue[str] = Queue()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            for line in self.request[0].decode().splitlines():
                if line.startswith("airflow.newslake."):
                    got.put(line.removeprefix("airflow."))

    with UDPServer(("127.0.0.1", 0), Handler) as server:
        yield from _serve(server, server.server_address[1], got)


class _MailServer(ThreadingTCPServer):
    daemon_threads = True


def _serve(server: BaseServer, address: Any, got: Queue[Any]) -> Iterator[Any]:
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield address, got
    finally:
        server.shutdown()
        thread.join()
