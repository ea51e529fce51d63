"""No request to where none may go: addresses that are not public, and what is forgotten.

An URL in a stranger's feed must not make the crawl read what only its own network can reach, nor
a redirect what the lake shall never hold again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Self
from urllib.request import getproxies, proxy_bypass

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.utils.httpobj import urlparse_cached

from crawlers.refusals import Refusal, Refused
from processing.records import State
from processing.urls import address_id


class AddressGuard:
    """Downloader middleware that refuses addresses which are not public.

    Names are resolved here, except where a proxy does it. It stands before robots.txt and sees
    every redirect.
    """

    def __init__(self) -> None:
        self._proxies = getproxies()
        self._judged: dict[str, str | None] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way to make one."""
        return cls()

    async def process_request(self, request: Request) -> None:
        """Raises Refused with ``skipped-unsafe``."""
        if request.meta["source"].allow_private:
            return
        parts = urlparse_cached(request)
        host = (parts.hostname or "").rstrip(".")
        proxied = parts.scheme in self._proxies and not proxy_bypass(host)
        if host not in self._judged:
            self._judged[host] = private_address(host) or (
                None if proxied else await _resolves_to_private(host)
            )
        address = self._judged[host]
        if address is not None:
            detail = f"{address} is no public address; allow_private lets a source reach it"
            raise Refused(Refusal(State.SKIPPED_UNSAFE, detail, final=True))


class ForgottenGuard:
    """Downloader middleware that refuses article addresses that are forgotten; sees redirects."""

    def process_request(self, request: Request) -> None:
        """Raises Refused with ``forgotten``."""
        forgotten = request.meta["forgotten"] if request.meta["kind"] == "article" else ()
        if forgotten and address_id(request.url) in forgotten:
            raise Refused(Refusal(State.FORGOTTEN, "forgotten", final=True))


def private_address(host: str) -> str | None:
    """The address that a host's literal spelling stands for when it is not public, else None.

    Understands the short and numeric spellings that resolvers do (``127.1``, ``0x7f000001``).
    """
    if host == "localhost" or host.endswith(".localhost"):
        return host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))
        except OSError:
            return None
    return None if _public(address) else str(address)


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return _public(inner)
    return address.is_global and not address.is_multicast


async def _resolves_to_private(host: str) -> str | None:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return None  # the download itself tells that the name does not resolve
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    return next((f"{a} (of {host})" for a in addresses if not _public(a)), None)
