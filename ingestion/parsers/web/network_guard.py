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

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


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
    """Whether an address is public or in an allowed network.

    An IPv4 address wrapped in IPv6 (mapped, 6to4, Teredo, NAT64) is judged as the IPv4 address.
    """
    inner = _wrapped(address)
    if any(a in network for a in (address, inner) for network in allowed):
        return True
    return all(a.is_global and not a.is_multicast for a in (inner, *_unwrapped(address, inner)))


def _unwrapped(address: Address, inner: Address) -> tuple[Address, ...]:
    return (address,) if inner is address else ()


def _wrapped(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return (
        address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address
    )


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
