"""What hostile servers answer, as SiteServer answers: endless, slow, packed, broken, misleading."""

from __future__ import annotations

import gzip
import os
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, repeat
from pathlib import Path
from socket import create_server, socket
from typing import Any, ClassVar, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scrapy.resolver import CachingThreadedResolver
from siteserver import CLOSE, Answer
from twisted.internet import defer

from crawlers.discovery import read_listing

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
_PACKED = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
_MB = 1024 * 1024


@dataclass(frozen=True)
class _Pieces:
    """What follows, anew for each request; ``pause`` seconds apart."""

    pieces: Callable[[], Iterable[bytes]]
    pause: float = 0.0

    def __iter__(self) -> Iterator[bytes]:
        never = threading.Event()
        for piece in self.pieces():
            if self.pause:
                never.wait(self.pause)
            yield piece


def raw(*pieces: bytes) -> Answer:
    """These bytes and no more; then the connection is closed."""
    return Answer(CLOSE, body=b"".join(pieces))


def forever(start: bytes, *again: bytes) -> Answer:
    """``again`` and again, as fast as the client takes it."""
    return Answer(CLOSE, body=start, more=_Pieces(lambda: cycle(again)))


def dripping(start: bytes, again: bytes) -> Answer:
    """A few bytes ten times a second for a minute: never idle, and never done."""
    return Answer(CLOSE, body=start, more=_Pieces(lambda: repeat(again, 600), pause=0.1))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def layers(body: bytes, count: int) -> Answer:
    """A page that is packed, and packed again, as its headers say."""
    for _ in range(count):
        body = gzip.compress(body, mtime=0)
    return Answer(200, {**_PACKED, "Content-Encoding": ", ".join(["gzip"] * count)}, body)


ENDLESS_CHUNKS = forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"<p>more" * 9000))
ENDLESS_UNTIL_CLOSED = forever(OK + b"\r\n", b"<p>more" * 9000)
A_TERABYTE = raw(OK, b"Content-Length: 1000000000000\r\n\r\n", b"<p>")
DRIPPING_BODY = dripping(OK + b"Content-Length: 1000000\r\n\r\n", b"<p>")
DRIPPING_CHUNKS = dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"<p>"))
DRIPPING_HEADERS = dripping(OK, b"X-More: and more\r\n")
SILENT = dripping(b"", b"")
ENDLESS_HEADERS = forever(OK, *(b"X-%d: %s\r\n" % (n, b"y" * 100) for n in range(500)))
ENDLESS_HEADER = forever(OK + b"X-Endless: ", b"y" * 9000)
ENDLESS_FOLDED_HEADER = forever(OK + b"X-Folded: y\r\n", b" y\r\n" * 3000)
ENDLESS_CONTINUES = forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500)
A_MILLION_COOKIES = Answer(
    CLOSE,
    body=OK,
    more=_Pieces(lambda: (b"Set-Cookie: c%d=v\r\n" * 100 % ((n,) * 100) for n in range(10_000))),
)
HANGS_UP = raw()
HANGS_UP_EARLY = raw(OK)
GARBAGE = raw(bytes(range(256)) * 40)
NO_HTTP = raw(b"SSH-2.0-OpenSSH_9.6\r\n")
BROKEN_OFF = raw(OK, b"Content-Length: 9000\r\n\r\n", b"<p>no more")
TWO_LENGTHS = raw(OK, b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n", b"<p>no more")
MINUS_ONE = raw(OK, b"Content-Length: -1\r\n\r\n", b"<p>no more")
BAD_CHUNKS = raw(OK, b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n<p>\r\n")
MORE_THAN_SAID = raw(
    OK, b"Content-Length: 12\r\n\r\n", b"<p>a page</p>" + b"HTTP/1.1 200 OK\r\n" * 99
)
CONTROL_BYTES = raw(OK, b"X-Bell: \x07\x00\x1b[2J\xff\r\nno colon\r\n\r\n", b"<p>a page</p>")
CONTROL_BYTES_IN_A_NAME = raw(OK, b"X\x01Y: z\r\n\r\n", b"<p>a page</p>")
_MEGABYTE = gzip.compress(bytes(_MB), mtime=0)
BOMB = Answer(200, _PACKED, _MEGABYTE * 100)
BOMB_IN_A_BOMB = Answer(
    200,
    {**_PACKED, "Content-Encoding": "gzip, gzip"},
    gzip.compress(_MEGABYTE * 1000, mtime=0),
)
MANY_LAYERS = layers(b"<p>a page</p>", 1000)
EMPTY_MEMBERS = Answer(200, _PACKED, gzip.compress(b"", mtime=0) * 400_000)
ENDLESS_FEED = forever(
    b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n<rss><channel>",
    b"<item><link>http://listings.example/</link></item>" * 1000,
)
PACKED_SITEMAP = Answer(
    200,
    {"Content-Type": "application/xml"},
    gzip.compress(b"<urlset>", mtime=0) + gzip.compress(b"<a/>" * 262_144, mtime=0) * 63,
)
LYING_ENCODING = Answer(200, _PACKED, b"<p>not packed</p>")


def read_or_die(body: bytes, *args: Any, **more: Any) -> Any:
    """A parser that a large body kills, and its process with it."""
    if len(body) > 100_000:
        os._exit(9)
    return read_listing(body, *args, **more)


class Listener:
    """Takes connections on loopback, keeps what comes over them, and never answers."""

    def __init__(self) -> None:
        self._socket = create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.received.append(_all_of(connection))


def _all_of(connection: socket) -> bytes:
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except OSError:
        pass  # hung up in anger is hung up too
    return received


PUBLIC, LOOPBACK = "93.184.215.14", "127.0.0.1"


class HostileNames(CachingThreadedResolver):
    """A resolver as an attacker's name server makes it answer: now this, now that."""

    answers: ClassVar[dict[str, list[str]]] = {
        # The guard asks for a page and for its robots.txt; then the connection is made.
        "page.rebinding.example": [PUBLIC, PUBLIC, LOOPBACK],
        "tls.rebinding.example": [PUBLIC, PUBLIC, LOOPBACK],
        # A source that may connects; then the guard asks for one that may not.
        "shared.rebinding.example": [LOOPBACK, PUBLIC, LOOPBACK],
    }

    def getHostByName(self, name, timeout=()):  # type: ignore[no-untyped-def]  # noqa: N802
        answers = self.answers.get(name, [LOOPBACK])  # such as the proxy's
        return defer.succeed(answers.pop(0) if len(answers) > 1 else answers[0])


def self_signed(directory: Path) -> ssl.SSLContext:
    """TLS for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = directory / "self-signed.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
