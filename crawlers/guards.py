"""No request to where none may go: addresses that are not public, and what is forgotten.

An URL in a stranger's feed must not make the crawl read what only its own network can reach, nor
a redirect what the lake shall never hold again.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Self
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import CannotResolveHostError
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet.error import DNSLookupError

from crawlers.refusals import Refusal, Refused
from processing.records import State
from processing.urls import address_id


class AddressGuard:
    """Downloader middleware that refuses addresses which are not public.

    Names are resolved here, except where a proxy does it, and by Scrapy's own resolver, whose
    answer the connection then takes. It stands before robots.txt and sees every redirect.
    """

    def __init__(self) -> None:
        self._proxies = getproxies()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way to make one."""
        return cls()

    async def process_request(self, request: Request) -> None:
        """Raises Refused with ``skipped-unsafe``, and CannotResolveHostError."""
        if request.meta["source"].allow_private:
            return
        parts = urlparse_cached(request)
        host = parts.hostname or ""
        address = private_address(host)
        if address is not None:
            raise unsafe(address)
        if parts.scheme in self._proxies and not proxy_bypass(host):
            return
        address = private_address(await _resolved(host))
        if address is not None:
            raise unsafe(f"{address} (of {host})")


class ForgottenGuard:
    """Downloader middleware that refuses article addresses that are forgotten; sees redirects.

    Of what a rendered page asks for, too.
    """

    def process_request(self, request: Request) -> None:
        """Raises Refused with ``forgotten``."""
        pages = ("article", "subresource")
        forgotten = request.meta["forgotten"] if request.meta["kind"] in pages else ()
        if forgotten and address_id(request.url) in forgotten:
            raise Refused(Refusal(State.FORGOTTEN, "forgotten", final=True))


def unsafe(address: str) -> Refused:
    """What ends a request that would reach an address which is not public."""
    detail = f"{address} is no public address; allow_private lets a source reach it"
    return Refused(Refusal(State.SKIPPED_UNSAFE, detail, final=True))


_ALLOCATED = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that is public so far (RFC 4291)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # holds an IPv4 address (RFC 6052)


def private_address(host: str) -> str | None:
    """The address that a host's literal spelling stands for when it is not public, else None.

    Understands the short and numeric spellings that resolvers do (``127.1``, ``0x7f000001``),
    escapes, zones and a dot at the end.
    """
    host = unquote(host).rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return None if _public(address) else str(address)


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(address.packed[-4:])
        if inner is not None:
            return _public(inner)
        if address not in _ALLOCATED:
            return False
    return address.is_global and not address.is_multicast


async def _resolved(host: str) -> str:
    from twisted.internet import reactor  # here, since to import it is to install it

    found: Any = reactor
    try:
        return str(await maybe_deferred_to_future(found.resolve(host)))
    except DNSLookupError as error:
        raise CannotResolveHostError(str(error)) from error
