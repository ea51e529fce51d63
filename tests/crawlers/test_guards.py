"""Which addresses are not public, however they are spelled."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request

from crawlers.catalogue import Source
from crawlers.guards import AddressGuard, private_address
from crawlers.refusals import Refused
from processing.records import State

SOURCE = Source(
    id="paper", name="Paper", homepage="http://paper.example/", feeds=["http://paper.example/feed"]
)
FORBIDDEN = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carriers' own",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local, where clouds tell their secrets",
    "172.16.0.0/12": "private",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarks",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved, broadcast",
}
PRIVATE = st.sampled_from(sorted(FORBIDDEN)).flatmap(
    lambda network: st.ip_addresses(network=ipaddress.IPv4Network(network))
)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "127.0.0.1.", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.01",
     "0", "0.0.0.0", "10.0.0.8", "100.64.0.1", "169.254.169.254", "192.168.1.1", "224.0.0.1",
     "255.255.255.255", "%31%32%37.0.0.1", "::", "::1", "0:0:0:0:0:0:0:1", "::127.0.0.1",
     "::ffff:10.0.0.1", "::ffff:7f00:1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1",
     "64:ff9b:1::1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "fe80::1", "fe80::1%eth0",
     "fe80::1%25eth0", "fec0::1", "fc00::1", "ff02::1",
     "localhost", "LOCALHOST", "localhost.", "x.localhost"],
)  # fmt: skip
def test_private_addresses_are_known_in_every_spelling(host: str) -> None:
    assert private_address(host)


@pytest.mark.parametrize(
    "host",
    ["93.184.215.14", "0x5d.0xb8.215.14", "2606:2800::1", "::ffff:93.184.215.14",
     "64:ff9b::93.184.215.14", "2002:5db8:d70e::", "paper.example", "paper.example.", "10.example",
     "localhost.example", "127.0.0.1.example", "%", "\x00", "x" * 300, ""],
)  # fmt: skip
def test_public_addresses_and_names_pass(host: str) -> None:
    assert private_address(host) is None


@given(PRIVATE)
def test_no_spelling_hides_an_address_that_is_not_public(address: ipaddress.IPv4Address) -> None:
    first, *rest = address.packed
    tail = int.from_bytes(rest)
    words = f"{address.packed[:2].hex()}:{address.packed[2:].hex()}"
    for spelling in (
        str(address),
        f"{address}.",
        str(int(address)),
        f"{int(address):#x}",
        f"0{int(address):o}",
        f"{first}.{tail}",
        f"{first:#X}.0{tail:o}",
        f"::ffff:{address}",
        f"64:ff9b::{words}",
        f"2002:{words}::1",
        "".join(f"%{ord(character):02x}" for character in str(address)),
    ):
        assert private_address(spelling), spelling


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "https://127.0.0.1:8443/", "http://127.0.0.1./", "http://2130706433/",
     "http://good.example@127.0.0.1/", "http://good.example:80@127.0.0.1/",
     "http://127.0.0.1\\@good.example/", "http://127.0.0.1#@good.example/",
     "http://127.0.0.1?@good.example/", "http://127。0。0。1/", "http://１２７.0.0.1/",
     "http://①②⑦.⓪.⓪.①/", "http://ⓛocalhost/", "http://%31%32%37.0.0.1/", "http://\t127.0.0.1/",
     "http://127.0.0.1 /", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[fe80::1%25lo]/"],
)  # fmt: skip
def test_no_address_hides_where_it_leads(url: str) -> None:
    request = Request(url, meta={"source": SOURCE})

    with pytest.raises(Refused) as refused:
        asyncio.run(AddressGuard().process_request(request))

    assert refused.value.refusal.state == State.SKIPPED_UNSAFE
    assert refused.value.refusal.final


def test_a_source_that_may_reaches_all() -> None:
    source = SOURCE.model_copy(update={"allow_private": True})
    request = Request("http://127.0.0.1/", meta={"source": source})

    asyncio.run(AddressGuard().process_request(request))
