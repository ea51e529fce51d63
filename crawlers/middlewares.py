"""Small downloader middlewares: pages as they came over the wire, refusals with their reason."""

from __future__ import annotations

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
            version = response.protocol or "HTTP/1.1"
            head = f"{version} {response.status} OK\r\n".encode()
            if response.headers:
                head += response.headers.to_string() + b"\r\n"
            address = None if request.meta.get("proxy") else response.ip_address
            request.meta["wire"] = WireResponse(
                head + b"\r\n", response.body, str(address) if address else None
            )
        return response


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


class Decompression(HttpCompressionMiddleware):
    """Scrapy's, but a body that grows over the limit, or does not unpack, says so."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """Raises Refused with ``failed-too-large`` or ``failed-network``."""
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            refusal = Refusal(
                State.FAILED_TOO_LARGE, "larger than the limit when unpacked", final=True
            )
            raise Refused(refusal) from error
        except (OSError, EOFError, ValueError) as error:
            refusal = Refusal(State.FAILED_NETWORK, f"the body does not unpack: {error}")
            raise Refused(refusal) from error
