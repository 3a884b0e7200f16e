"""Settings of an installation for reading the web."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

USER_AGENT = "bbjrag"


@dataclass(frozen=True, slots=True)
class WebSettings:
    """`contact` is a mail address or page for the owners of the sites that are read.

    `allow_networks` are private, loopback or link-local networks that a source may be in.
    `origin_map` maps a real origin (`https://host`) to the one to read it from, for rehearsals:
    documents keep the real address. Times are in seconds; `request_seconds` limits one request from
    connecting to its last byte.
    """

    contact: str = ""
    version: str = ""
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    origin_map: Mapping[str, str] = field(default_factory=dict)
    connect_seconds: float = 10.0
    read_seconds: float = 20.0
    request_seconds: float = 120.0
    attempts: int = 3
    retry_wait: float = 1.0
    retry_after_max: float = 120.0

    @property
    def user_agent(self) -> str:
        name = f"{USER_AGENT}/{self.version}".rstrip("/")
        return f"{name} (+{self.contact})" if self.contact else name
