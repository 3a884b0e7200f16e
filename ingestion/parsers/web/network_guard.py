"""The network guard: which addresses may be read, and connections to those only."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from ingestion.exceptions import DocumentError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[..., list[tuple[Any, ...]]]
SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)

# Special blocks of IANA's registries that are not globally reachable, besides those that every
# Python counts as private.
SPECIAL_IPV4 = [
    ipaddress.IPv4Network(block)
    for block in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays, given up
        "240.0.0.0/4",  # reserved
    )
]
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")  # all unicast that IANA has given out
SPECIAL_IPV6 = [
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
# Where an IPv4 address lies in the last bits of an IPv6 address.
IPV4_AT_THE_END = [
    ipaddress.IPv6Network(block)
    for block in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of a network's own
    )
]
SAME_AS_IPV4 = [ipaddress.IPv6Network(b) for b in ("::ffff:0:0/96", "64:ff9b::/96")]


class AddressRefused(DocumentError):
    """The name resolves to an address that this installation must not read."""


class Clock:
    """The deadline of the current request."""

    def __init__(self) -> None:
        self.deadline = float("inf")

    def start(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def left(self, timeout: float | None) -> float:
        """The timeout of one step. Raises httpcore.ReadTimeout when the time is up."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise httpcore.ReadTimeout("the request took too long")
        return remaining if timeout is None else min(timeout, remaining)


def is_allowed(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether an address is globally reachable or in an allowed network.

    IPv4 addresses that an IPv6 address carries have to be so, too. One that only stands for an
    IPv4 address (IPv4-mapped, NAT64) is as good as that; 6to4, Teredo and others are refused.
    """
    carried = _carried(address)
    if any(a in network for a in (address, *carried[-1:]) for network in allowed):
        return True
    if not all(map(_is_global_ipv4, carried)):
        return False
    return isinstance(address, ipaddress.IPv4Address) or _is_global_ipv6(address)


def _carried(address: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses in an address; the one that packets end up at is last."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if any(address in block for block in IPV4_AT_THE_END):
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.sixtofour:
        return [address.sixtofour]
    return list(address.teredo or ())


def _is_global_ipv4(address: ipaddress.IPv4Address) -> bool:
    special = any(address in block for block in SPECIAL_IPV4)
    return address.is_global and not address.is_multicast and not special


def _is_global_ipv6(address: ipaddress.IPv6Address) -> bool:
    if any(address in block for block in SAME_AS_IPV4):
        return True  # by the IPv4 address that it stands for
    special = any(address in block for block in SPECIAL_IPV6)
    return address in GLOBAL_IPV6 and address.is_global and not special


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves a name once, checks the addresses, and connects to exactly those."""

    def __init__(
        self, allowed: Iterable[Network], clock: Clock, resolve: Resolver = socket.getaddrinfo
    ) -> None:
        self.allowed = tuple(allowed)
        self.clock = clock
        self.resolve = resolve
        self.inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.NetworkStream:
        problem: Exception | None = None
        for address in self.checked(host, port):
            try:
                stream = self.inner.connect_tcp(
                    address, port, self.clock.left(timeout), local_address, socket_options
                )
                return TimedStream(stream, self.clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore.ConnectError(f"{host} has no address")

    def checked(self, host: str, port: int) -> list[str]:
        """The addresses of a host. Raises AddressRefused when one of them is not allowed."""
        try:
            answers = self.resolve(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        for address in addresses:
            if not is_allowed(ipaddress.ip_address(address), self.allowed):
                raise AddressRefused(
                    f"{host} resolves to {address}, a private address, and was not read. "
                    "If that is intended, add its network to WEB_ALLOW_NETWORKS."
                )
        return addresses

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class TimedStream(httpcore.NetworkStream):
    """A stream whose reads and writes end at the request's deadline, however slow the server."""

    def __init__(self, inner: httpcore.NetworkStream, clock: Clock) -> None:
        self.inner = inner
        self.clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(max_bytes, self.clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, self.clock.left(timeout))

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self.inner.start_tls(ssl_context, server_hostname, self.clock.left(timeout))
        return TimedStream(inner, self.clock)

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)
