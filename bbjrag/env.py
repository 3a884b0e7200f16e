"""Strict readers of the environment: an invalid value stops the process and says how to fix it."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from dotenv.main import DotEnv

from bbjrag.places import SHIPPED

T = TypeVar("T")
EXAMPLE = SHIPPED / ".env.example"
LISTED = re.compile(r"^# ([A-Z][A-Z_]*)=", re.MULTILINE)
TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
MOST = 2**31 - 1  # of a number without a bound of its own: seconds for 68 years, and SQL's integer
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
POSTGRESQL = {"postgres", "postgresql", "pgsql"}  # schemes
HOST = re.compile(r"\*|\.?[\w.-]+|\[[0-9a-fA-F:.]+\]")
MAIL_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


@dataclass(frozen=True)
class MailServer:
    """`scheme` is one of MAIL_PORTS; an empty host means that there is none."""

    scheme: str = "smtp"
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""


def listed() -> set[str]:
    """The names of all settings, from the lines `# NAME=default` of .env.example."""
    return set(LISTED.findall(EXAMPLE.read_text()))


def text(name: str, default: str) -> str:
    """The value of a variable; empty counts as unset. NAME_FILE may name a file with the value."""
    return os.environ.get(name, "").strip() or _from_file(f"{name}_FILE") or default


def _from_file(name: str) -> str:
    path = os.environ.get(name, "").strip()
    try:
        return Path(path).read_text().strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(
            f"{name}={path} cannot be read ({error.__class__.__name__}): "
            "mount the file, and let this process's user read it."
        ) from None


def load(name: str, default: Path) -> None:
    """Load the settings that the environment has neither as NAME nor as NAME_FILE from the file
    that the variable `name` names, or else the default one. Only the default may be missing."""
    given = text(name, "")
    if not given and not default.exists():
        return
    try:
        content = Path(given or default).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(
            f"{name}={given or default} cannot be read ({error.__class__.__name__}): "
            "correct the path, and let this process's user read it."
        ) from None
    found = DotEnv(None, io.StringIO(content), override=False).dict()
    os.environ |= {key: value for key, value in found.items() if value and not text(key, "")}


def boolean(name: str, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name}={value!r} is not yes or no: use true or false.")
    return value in TRUE


def integer(name: str, default: int, minimum: int = 0, maximum: int = MOST) -> int:
    return _number(name, default, int, minimum, maximum)


def number(name: str, default: float, minimum: float = 0.0, maximum: float = MOST) -> float:
    return _number(name, default, float, minimum, maximum)


def _number(name: str, default: T, cast: Callable[[str], T], minimum: float, maximum: float) -> T:
    value = text(name, str(default))
    bounds = f"at least {minimum} and at most {maximum}"
    try:
        result = cast(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r} is not a number: use {bounds}.") from None
    if not minimum <= float(result) <= maximum:  # type: ignore[arg-type]
        raise ImproperlyConfigured(f"{name}={value} is out of range: use {bounds}.")
    return result


def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    value = text(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name}={value!r} is unknown: use one of {', '.join(allowed)}.")
    return value


def log_level(name: str, default: str) -> str:
    value = text(name, default).upper()
    if value not in LOG_LEVELS:
        allowed = ", ".join(LOG_LEVELS)
        raise ImproperlyConfigured(f"{name}={value!r} is unknown: use one of {allowed}.")
    return value


def time_zone(name: str, default: str) -> str:
    value = text(name, default)
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ImproperlyConfigured(
            f"{name}={value!r} is unknown: use a name such as UTC or Europe/Berlin."
        ) from None
    return value


def listing(name: str, default: str = "") -> list[str]:
    """Values separated by commas, without empty ones."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def pairs(name: str) -> dict[str, str]:
    """`key=value` pairs separated by commas."""
    found = {}
    for part in listing(name):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ImproperlyConfigured(f"{name}: {part!r} is not a pair: use key=value,key=value.")
        found[key.strip()] = value.strip()
    return found


def path(name: str) -> Path | None:
    """A file or folder that need not exist, absolute; None if unset."""
    given = text(name, "")
    return Path(given).expanduser().resolve() if given else None


def beginning(prefix: str) -> dict[str, str]:
    """All variables whose name begins so, each possibly given as NAME_FILE."""
    found = {key.removesuffix("_FILE") for key in os.environ if key.startswith(prefix)}
    return {name: value for name in sorted(found) if (value := text(name, ""))}


def folder(name: str, default: Path) -> Path:
    """An absolute path; relative ones start at the current directory. It need not exist."""
    return Path(text(name, str(default))).expanduser().resolve()


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks such as 10.0.0.0/8, separated by commas; an address is a network of one."""
    try:
        return tuple(ip_network(part) for part in listing(name))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}. Example: 10.1.0.0/16,::1/128") from None


def address(name: str, ending: str) -> str:
    """An http or https address whose path ends so, or an empty text. It may hold credentials, which
    no message shows."""
    given = text(name, "")
    if given and not (_is_web_address(given) and _ends_in(ending, given)):
        raise ImproperlyConfigured(
            f"{name} is not an address that ends in {ending}. "
            f"Example: http://127.0.0.1:8080/v1{ending}"
        )
    return given


def _ends_in(ending: str, given: str) -> bool:
    parts = urlsplit(given)
    return parts.path.endswith(ending) and not parts.query


def origins(name: str) -> dict[str, str]:
    """Pairs of origins, `https://host=http://127.0.0.1:8001`, separated by commas."""
    found: dict[str, str] = {}
    for part in listing(name):
        real, _, target = part.partition("=")
        for origin in (real, target):
            if not _is_web_address(origin) or urlsplit(origin).path.strip("/"):
                raise ImproperlyConfigured(
                    f"{name}: {part!r} is not a pair of origins. "
                    "Example: https://basis.cloud=http://127.0.0.1:8001"
                )
        found[real.rstrip("/")] = target.rstrip("/")
    return found


def mail_server(name: str) -> MailServer:
    """`smtp+starttls://user:password@host:587`; user, password and port may be left out. What is
    special in user or password is written as in any address: %40 for @."""
    given = text(name, "")
    if not given:
        return MailServer()
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port or MAIL_PORTS[parts.scheme]
    except (KeyError, ValueError):
        host, port = "", 0
    if not host or parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"{name} is not the address of a mail server. "
            "Example: smtp+starttls://user:password@mail.example.com:587 (or smtp:, smtps:)"
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return MailServer(parts.scheme, host, port, user, password)


def ascii_line(name: str) -> str:
    """What goes into a header of a request."""
    given = text(name, "")
    if not (given.isascii() and given.isprintable()):
        raise ImproperlyConfigured(
            f"{name}={given!r} goes into the User-Agent, which takes plain ASCII only. "
            "Example: docs@example.com"
        )
    return given


def web_address(name: str) -> str:
    """An address that begins with http:// or https://; empty if unset. It may be a secret, so the
    message does not show it."""
    given = text(name, "")
    if given and not _is_web_address(given):
        raise ImproperlyConfigured(f"{name} is not a web address. Example: https://example.com/in")
    return given


def _is_web_address(given: str) -> bool:
    try:
        parts = urlsplit(given)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def hosts(name: str, default: str) -> list[str]:
    """Names of this server as browsers send them, without scheme and port; `.example.com` stands
    for the names below it too."""
    found = listing(name, default)
    for host in found:
        if not HOST.fullmatch(host):
            raise ImproperlyConfigured(
                f"{name}: {host!r} is not a name of a host. Leave out https://, the port and "
                "what follows. Example: docs.example.com"
            )
    return found


def postgres(name: str) -> dict[str, Any] | None:
    """The entry of DATABASES for an address such as postgres://user:password@host:5432/name; None
    if unset. Its password is not in a message."""
    given = text(name, "")
    if not given:
        return None
    try:
        parsed = dj_database_url.parse(given, conn_max_age=60, conn_health_checks=True)
    except ValueError:
        parsed = {}
    if given.partition("://")[0] not in POSTGRESQL or not parsed.get("NAME"):
        raise ImproperlyConfigured(
            f"{name} is not the address of a PostgreSQL database. Example: "
            "postgres://user:password@host:5432/bbjrag (in a password, %40 for @, %2F for /). "
            "Unset it for the embedded PostgreSQL."
        )
    return dict(parsed)
