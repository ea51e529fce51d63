"""The downloader's connections: only to addresses that a request may reach, and never endless.

The guard judges a name before its connection is made, but a hostile name server may answer
differently the second time. So the address that counts is the one at the other end.
"""

from __future__ import annotations

from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import (
    HTTP11DownloadHandler,
    _LenientHTTP11ClientFactory,
    _LenientHTTP11ClientProtocol,
    _LenientHTTPClientParser,
)
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadFailedError
from scrapy.http import Response
from twisted.internet.defer import Deferred

from crawlers.guards import private_address, unsafe
from crawlers.refusals import Refusal, Refused
from processing.records import State

MAX_HEAD_BYTES = 256 * 1024
"""The most that status line and headers may hold, interim answers (1xx) included."""


class Connections(HTTP11DownloadHandler):
    """Scrapy's download handler for http and https, but not a byte leaves for a private address.

    Where that is allowed, or a proxy makes the connection, the connections are kept apart, for
    an open one may be used again by whoever asks the same host.
    """

    def __init__(self, crawler: Crawler):
        super().__init__(crawler)
        self._pool._factory = _Public
        self._anywhere = HTTP11DownloadHandler(crawler)
        self._anywhere._pool._factory = _Anywhere

    async def download_request(self, request: Request) -> Response:
        """Raises Refused with ``skipped-unsafe`` or ``failed-too-large``, else as Scrapy's."""
        trusted = request.meta["source"].allow_private or request.meta.get("proxy")
        download = self._anywhere.download_request if trusted else super().download_request
        try:
            return await download(request)
        except DownloadFailedError as error:
            for reason in getattr(error.__cause__, "reasons", ()):
                if reason.check(Refused):
                    raise reason.value from error
            raise

    async def close(self) -> None:
        """Closes what is open."""
        await super().close()
        await self._anywhere.close()


class _Parser(_LenientHTTPClientParser):
    """Scrapy's, but a head has an end: Twisted bounds each line, not how many there are."""

    _head = 0

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 Twisted's
        self._head += len(line) + 1
        if self._head > MAX_HEAD_BYTES:
            self.lineLengthExceeded(line)
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802 Twisted's
        raise Refused(Refusal(State.FAILED_TOO_LARGE, "its headers have no end", final=True))


class _Connection(_LenientHTTP11ClientProtocol):
    def request(self, request: Any) -> Deferred[Any]:
        answered = super().request(request)
        # Scrapy's own way to change it: Twisted names the class in the middle of its method.
        self._parser.__class__ = _Parser
        return answered


class _Anywhere(_LenientHTTP11ClientFactory):
    def buildProtocol(self, addr: Any) -> _Connection:  # noqa: N802 Twisted's
        return _Connection(self._quiescentCallback)  # type: ignore[no-untyped-call]


class _Public(_Anywhere):
    def buildProtocol(self, addr: Any) -> _Connection:  # noqa: N802 Twisted's
        """Called when the other end is known and nothing has been sent, TLS's greeting included."""
        address = private_address(addr.host)
        if address is not None:
            raise unsafe(address)
        return super().buildProtocol(addr)
