"""Small downloader middlewares: pages as they came over the wire, refusals with their reason."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from scrapy import Request, Spider
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from crawlers.refusals import Refusal, Refused
from crawlers.warc import WireResponse
from processing.records import State


class WireCapture:
    """Keeps an article's response as ``meta["wire"]`` before it is decompressed.

    Stands between RedirectMiddleware and HttpCompressionMiddleware: no redirects, wire bytes.
    Whether it goes into a WARC file is decided when the page has been judged.
    """

    def process_response(self, request: Request, response: Response) -> Response:
        """Takes the headers as bytes at once, for decompression changes them in place."""
        if request.meta["kind"] == "article" and response.status == HTTPStatus.OK:
            address = None if request.meta.get("proxy") else response.ip_address
            request.meta["wire"] = WireResponse(
                http_head(response), response.body, str(address) if address else None
            )
        return response


def http_head(response: Response) -> bytes:
    """The status line and headers of a good response, with the empty line that ends them."""
    head = f"{response.protocol or 'HTTP/1.1'} {response.status} OK\r\n".encode()
    if response.headers:
        head += response.headers.to_string() + b"\r\n"
    return head + b"\r\n"


class Redirects(RedirectMiddleware):
    """Scrapy's, but a chain that does not end says so, and so does an address that is none."""

    def handle_referer(self, request: Request, response: Response) -> None:
        """Sends none: where a redirect came from is nobody's business."""
        request.headers.pop("Referer", None)

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Raises Refused with ``failed-redirect``."""
        try:
            return super().process_response(request, response)
        except (IgnoreRequest, ValueError) as error:
            detail = f"{error} ({response.status} at {request.url})"
            raise Refused(
                Refusal(State.FAILED_REDIRECT, detail, response.status, final=True)
            ) from error


MAX_LAYERS = 5
"""The most encodings that a body is unpacked of, one after the other; as many as curl's."""

_IN_A_THREAD = 64 * 1024  # packed bytes, of which unpacking may take seconds


class Decompression(HttpCompressionMiddleware):
    """Scrapy's, but a body that grows over the limit, or does not unpack, says so.

    What may take long is unpacked in a thread, so that other hosts need not wait for it.
    """

    async def process_response(  # type: ignore[override]
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Raises Refused with ``failed-too-large`` or ``failed-network``."""
        encodings = response.headers.getlist("Content-Encoding")
        if not encodings:
            return response
        layers = b",".join(encodings).count(b",") + 1
        if layers > MAX_LAYERS:
            raise Refused(Refusal(State.FAILED_NETWORK, f"the body is packed {layers} times over"))
        unpack = super().process_response
        try:
            if len(response.body) < _IN_A_THREAD:
                return unpack(request, response)
            return await asyncio.to_thread(unpack, request, response)
        except IgnoreRequest as error:
            refusal = Refusal(
                State.FAILED_TOO_LARGE, "larger than the limit when unpacked", final=True
            )
            raise Refused(refusal) from error
        except (OSError, EOFError, ValueError) as error:
            refusal = Refusal(State.FAILED_NETWORK, f"the body does not unpack: {error}")
            raise Refused(refusal) from error
