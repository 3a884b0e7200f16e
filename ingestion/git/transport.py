"""How Git reaches a repository: by one protocol, at addresses that the network guard has checked,
with a secret that is in a private file and nowhere else.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

import httpcore

from ingestion.exceptions import DocumentError, SourceError
from ingestion.git.address import PLAIN, PORTS, Address
from ingestion.git.credentials import Secret
from ingestion.git.program import Git
from ingestion.git.settings import GitSettings
from ingestion.parsers.web.network_guard import Clock, GuardedBackend, Network

PRIVATE = "private-"  # the beginning of the name of a folder that goes with its process
CONNECT_SECONDS = 20

SSH_OPTIONS = (
    *("BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null"),
    *("UpdateHostKeys=no", "CheckHostIP=no", "IdentitiesOnly=yes", "IdentityAgent=none"),
    *("PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "ForwardAgent=no"),
    *("ClearAllForwardings=yes", "PermitLocalCommand=no", "ProxyCommand=none", "ControlPath=none"),
    *(f"ConnectTimeout={CONNECT_SECONDS}", "ServerAliveInterval=15", "ServerAliveCountMax=2"),
    "LogLevel=ERROR",
)


@contextmanager
def connected(
    address: Address,
    secret: Secret,
    settings: GitSettings,
    allowed: Collection[Network],
    folder: Path,
) -> Iterator[tuple[Git, str]]:
    """Git as it may reach this address, and the address to give to it.

    Raises SourceError if the address must not be read, or lacks what it needs.
    """
    places = _checked(address, allowed)
    private = Path(tempfile.mkdtemp(prefix=PRIVATE, dir=folder))
    try:
        _write(private / "config", _private_config(address, secret))
        if address.scheme == "ssh":
            variables = _ssh(address, secret, settings, places[0], private)
        else:
            variables = {}
        allow = f"protocol.{address.scheme}.allow=always"
        stall = ("http.lowSpeedLimit=1", f"http.lowSpeedTime={max(1, int(settings.stall_seconds))}")
        trusted = (f"http.sslCAInfo={settings.ca_file}",) if settings.ca_file else ()
        git = Git(private, (allow, *stall, *trusted, *_pinned(address, places)), variables)
        yield git, _spelled(address, places)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _private_config(address: Address, secret: Secret) -> str:
    """The configuration that nobody else may see. A local repository may belong to anybody."""
    if address.scheme == "file":
        return '[safe]\n\tdirectory = "*"\n'
    if address.scheme not in ("http", "https") or not secret.text:
        return ""
    if secret.is_key:
        raise SourceError(
            f"The credential {secret.name!r} is a private key, and {address.scheme} takes a token: "
            "name another, or give the repository's ssh address."
        )
    origin = f"{address.scheme}://{_bracketed(address.host)}:{address.port}/"
    return f'[http "{origin}"]\n\textraHeader = "{secret.header(address.host)}"\n'


def _checked(address: Address, allowed: Collection[Network]) -> list[str]:
    """The addresses of the host, all of them allowed."""
    if not address.host:
        return []
    try:
        places = GuardedBackend(allowed, Clock()).checked(address.host, address.port)
    except DocumentError as error:
        raise SourceError(str(error)) from None
    except httpcore.ConnectError as error:
        raise SourceError(
            f"{address.host} cannot be found ({error}): check the address of the repository, and "
            "the name server of this machine."
        ) from None
    if address.scheme in PLAIN and not all(_is_named(place, allowed) for place in places):
        raise SourceError(
            f"{address.scheme} is not encrypted, and is read in networks that WEB_ALLOW_NETWORKS "
            "names only: give the https address."
        )
    return places


def _is_named(place: str, allowed: Collection[Network]) -> bool:
    return any(ip_address(place) in network for network in allowed)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _pinned(address: Address, places: list[str]) -> tuple[str, ...]:
    """Have curl connect to the checked addresses, whatever the name resolves to by then."""
    if address.scheme not in ("http", "https") or ":" in address.host:
        return ()
    where = ",".join(map(_bracketed, places))
    return (f"http.curloptResolve={address.host}:{address.port}:{where}",)


def _spelled(address: Address, places: list[str]) -> str:
    """The address for Git; that of git:// has the checked address instead of the name."""
    if address.scheme == "file":
        return f"file://{quote(address.path)}"
    if address.scheme == "git":
        return f"git://{_bracketed(places[0])}:{address.port}{address.path}"
    user = f"{address.user}@" if address.user else ""
    return f"{address.scheme}://{user}{_bracketed(address.host)}:{address.port}{address.path}"


def _ssh(
    address: Address, secret: Secret, settings: GitSettings, place: str, private: Path
) -> dict[str, str]:
    """Variables that have Git call ssh with options, known hosts and a key of ours alone."""
    if not secret.is_key:
        raise SourceError(
            "ssh needs a deploy key: give as credential the name of a secret that holds a private "
            "key, without a passphrase."
        )
    hosts = settings.known_hosts
    if hosts is None or not hosts.is_file():
        raise SourceError(
            "ssh needs the keys of the hosts it may reach: name a file in GIT_KNOWN_HOSTS. "
            f"Make one: ssh-keyscan {address.host} > known_hosts, and compare the keys with those "
            "that the host publishes."
        )
    key = private / "key"
    _write(key, f"{secret.text}\n")
    alias = address.host if address.port == PORTS["ssh"] else f"[{address.host}]:{address.port}"
    files = (f"UserKnownHostsFile={_named(hosts)}", f"IdentityFile={_named(key)}")
    names = (f"HostName={place}", f"HostKeyAlias={alias}")
    given = [f"-o{option}" for option in (*SSH_OPTIONS, *files, *names)]
    command = shlex.join(["ssh", "-F", "none", *given])
    return {"GIT_SSH_COMMAND": command, "GIT_SSH_VARIANT": "ssh"}


def _named(path: Path) -> str:
    """A path in ssh's configuration, where % and blanks mean something."""
    return '"' + str(path).replace("%", "%%") + '"'
