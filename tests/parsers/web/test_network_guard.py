"""Which addresses a web source may be read from: one table, by the registries of IANA."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from ingestion.parsers.web.network_guard import AddressRefused, Clock, GuardedBackend, is_allowed

REFUSED = {
    "this network": "0.0.0.0 0.1.2.3",
    "loopback": "127.0.0.1 127.8.8.8 ::1",
    "unspecified": "::",
    "private": "10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1",
    "shared, behind a provider's NAT": "100.64.0.1 100.127.255.255",
    "link-local, with the metadata of clouds": "169.254.169.254 fe80::1 fe80::a9fe:a9fe%eth0",
    "protocol assignments": "192.0.0.1 192.0.0.8 192.0.0.170 192.0.0.255 2001:1::5 2001:5::1",
    "documentation": "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1 3fff:fff:ffff::1",
    "benchmarks": "198.18.0.1 198.19.255.255 2001:2::1",
    "relays of 6to4": "192.88.99.1",
    "multicast": "224.0.0.1 239.1.2.3 ff02::1 ff0e::1",
    "reserved": "240.0.0.1 255.255.255.255 4000::1 8000::1 e000::1 200::1 400::1",
    "unique local": "fc00::1 fd00:ec2::254",
    "site-local": "fec0::1 fec0::a00:1 feff::1",
    "discard only": "100::1 100:0:0:1::1",
    "segment routing": "5f00::1",
    "IPv4-mapped": "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.0.0.8",
    "IPv4-compatible": "::127.0.0.1 ::10.0.0.1 ::169.254.169.254 ::1.1.1.1",
    "IPv4-translated": "::ffff:0:127.0.0.1 ::ffff:0:10.0.0.1 ::ffff:0:1.1.1.1",
    "NAT64": "64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::10.0.0.1 64:ff9b::c000:8",
    "NAT64 of a network's own": "64:ff9b:1::7f00:1 64:ff9b:1::1.1.1.1 64:ff9b:1:a:b::101:101",
    "beside NAT64": "64:ff9b::1:7f00:1 64:ff9b:2::1 64::1",
    "6to4": "2002:7f00:1:: 2002:a9fe:a9fe::1 2002:101:101::1",
    "Teredo": "2001:0:7f00:1:0:0:fefe:fefe 2001:0:101:101:0:0:f5ff:fffe 2001::1",
    "ORCHID": "2001:10::1 2001:20::1",
}
ADMITTED = {
    "IPv4": "93.184.216.34 1.1.1.1 8.8.8.8 172.32.0.1 100.128.0.1 192.0.1.1 223.255.255.254",
    "IPv6": "2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001::200e 2001:200::1",
    "IPv4-mapped": "::ffff:1.1.1.1",
    "NAT64": "64:ff9b::101:101 64:ff9b::8.8.8.8",
}


def rows(table: dict[str, str]) -> list[Any]:
    return [
        pytest.param(address, id=f"{kind}: {address}")
        for kind, addresses in table.items()
        for address in addresses.split()
    ]


@pytest.mark.parametrize("address", rows(REFUSED))
def test_what_is_not_globally_reachable_is_refused(address: str) -> None:
    assert not is_allowed(ip_address(address), ())


@pytest.mark.parametrize("address", rows(ADMITTED))
def test_public_addresses_are_admitted(address: str) -> None:
    assert is_allowed(ip_address(address), ())


@pytest.mark.parametrize("network", ["0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "240.0.0.0/4"])
@pytest.mark.parametrize(
    "wrapping", ["{}", "::{}", "::ffff:{}", "::ffff:0:{}", "64:ff9b::{}", "64:ff9b:1::{}"]
)
def test_no_wrapping_makes_an_address_public(network: str, wrapping: str) -> None:
    for address in (ip_network(network)[1], ip_network(network)[-2]):
        assert not is_allowed(ip_address(wrapping.format(address)), ())


def test_a_network_can_be_allowed_and_others_stay_refused() -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32"))
    for address in ("10.1.9.9", "::ffff:10.1.9.9", "64:ff9b::10.1.9.9", "fd00:1::9"):
        assert is_allowed(ip_address(address), allowed)
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "64:ff9b::10.2.0.1", "fd00:2::9", "::1"):
        assert not is_allowed(ip_address(address), allowed)


@pytest.mark.parametrize("address", ["::127.0.0.1", "fec0::1", "64:ff9b:1::7f00:1"])
def test_a_name_that_leads_there_is_not_connected_to(address: str) -> None:
    """Also if another of its addresses is public."""

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET6, 1, 6, "", (a, 80, 0, 0)) for a in ("2606:4700::1", address)]

    backend = GuardedBackend((), Clock(), resolve)
    with pytest.raises(AddressRefused, match="WEB_ALLOW_NETWORKS"):
        backend.connect_tcp("docs.example.com", 80)
