"""One server that embeds over HTTP: its address, how it is asked, and what its refusals mean.

    what comes back                                              raised
    -----------------------------------------------------------  --------------------------------
    refused, unknown name, no route; 408, 429, 502, 503, 504      HostDown
    404 for the model; 3xx, 401, 403, other 404, 405, 407         EmbedderError
    400, 413, 500 and the like (also with EOF: a dead runner);    Suspicion: the texts or the host,
    a broken connection; no answer in time; HTML, broken or       which a harmless text tells apart
    foreign JSON; a wrong number of vectors, a wrong length,      (`prove`): if it fails as well,
    NaN, zeros                                                    the host is at fault
    400 and the like that speak of the context                    Suspicion, `too_long`
    the same that speak of the number of texts, or of memory      Suspicion, `too_much`

If the harmless text itself gets a wrong number of vectors, a wrong length, NaN or zeros, the model
is broken: EmbedderError. If it gets none: HostDown.
"""

from __future__ import annotations

import ipaddress
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import httpx
from pydantic_core import from_json

from ingestion.embedding.base import Vectors
from ingestion.embedding.pace import MOST, Limits, Pace
from ingestion.exceptions import ConfigError, EmbedderError, EmbedderUnavailable

T = TypeVar("T")

HARMLESS = "ready"
CONNECT_TIMEOUT = 5.0
CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=2 * MOST.at_once)
BUSY = {408, 429, 502, 503, 504}
MISPLACED = {301, 302, 303, 307, 308, 401, 403, 404, 405, 407}
LONGEST_RETRY_AFTER = 3600.0
_TOO_LONG = re.compile(
    r"exceeds? .{0,30}context|context (length|size|window)|too (long|large) to process"
    r"|less than \d+ (tokens|characters)|maximum (input|sequence|prompt) length"
    r"|max_model_len|n_ctx",
    re.I,
)
_TOO_MUCH = re.compile(
    r"batch size|too many inputs|array (length|is too long)|out of memory|\boom\b"
    r"|tokens.per.request|maximum number of inputs",
    re.I,
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Suspicion(Exception):
    """The answer is wrong, and may be so because of the texts."""

    def __init__(
        self,
        reason: str,
        *,
        too_long: bool = False,
        too_much: bool = False,
        slow: bool = False,
        broken: bool = False,
    ) -> None:
        super().__init__(reason)
        self.too_long = too_long
        self.too_much = too_much
        self.slow = slow
        self.broken = broken


class HostDown(EmbedderUnavailable):
    """The server cannot be used now; `slow` when it took its whole time to show that. `busy` when
    it has too much to do; it may say in how many seconds it wants to be asked again."""

    def __init__(
        self, reason: str, *, slow: bool = False, busy: bool = False, retry_after: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.slow = slow
        self.busy = busy
        self.retry_after = retry_after


class Address(NamedTuple):
    """`url` carries no credentials, so that it can be shown; they are in `auth`."""

    url: str
    auth: tuple[str, str] | None
    loopback: bool


def parse_host(value: str, setting: str = "OLLAMA_HOST", port: int = 11434) -> Address:
    """Read one host as Ollama reads OLLAMA_HOST (its envconfig): scheme http unless given, the
    `port`, or the scheme's own if a scheme is given; 127.0.0.1 for an empty or wildcard host.

    Raises ConfigError, which names the `setting` and shows no credentials.
    """
    text = value.strip().strip("\"'").strip()
    shown = re.sub(r"[^/@]*@", "...@", text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ConfigError(f"{setting} {shown!r}: use http:// or https://, or no scheme.")
    try:
        parts = urlsplit(f"{scheme}://{_bracketed(rest)}")
        default = _DEFAULT_PORTS[scheme] if separator else port
        port = parts.port if parts.port is not None else default
    except ValueError:
        raise ConfigError(
            f"{setting} {shown!r} is not an address: write it like 127.0.0.1:{port}."
        ) from None
    host, loopback = _reachable(parts.hostname or "")
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    path = f"/{parts.path.strip('/')}" if parts.path.strip("/") else ""
    return Address(f"{scheme}://{host}:{port}{path}", auth, loopback)


def _bracketed(rest: str) -> str:
    """A bare IPv6 address gets the brackets that a URL needs."""
    try:
        return f"[{ipaddress.IPv6Address(rest)}]"
    except ValueError:
        return rest


def _reachable(host: str) -> tuple[str, bool]:
    """The host to connect to, and whether it is this machine; servers listen on a wildcard, but
    nobody can connect to one."""
    try:
        address = ipaddress.ip_address(host or "127.0.0.1")
    except ValueError:
        return host, host == "localhost"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return (f"[{address}]" if address.version == 6 else str(address)), address.is_loopback


class Model(NamedTuple):
    """What the requests of one embedder always say, so that the server never reloads the model."""

    name: str
    options: Mapping[str, int]
    dimensions: int = 0


class Host(ABC):
    """`kind`, `setting` and `advice` (if no host can be used) are for people. `failed_until`,
    `in_flight`, `turn` and `proven` belong to the pool that chooses among hosts."""

    kind: ClassVar[str]
    setting: ClassVar[str]
    advice: ClassVar[str]

    def __init__(self, address: Address, timeout: float) -> None:
        self.url = address.url
        self.timeout = timeout
        self.auth = address.auth
        self.loopback = address.loopback
        self.pace = Pace(Limits())
        self.failed_until = 0.0
        self.in_flight = 0
        self.turn = 0
        self.proven = False

    def is_away(self) -> bool:
        """Whether it failed lately."""
        return self.failed_until > time.monotonic()

    @abstractmethod
    def find(self, model: str) -> tuple[str, str]:
        """A model's name as this server writes it, and what it is known by. Raises EmbedderError
        if the model is not there."""

    @abstractmethod
    def embed(self, model: Model, texts: list[str]) -> tuple[Vectors, int]:
        """The vectors, and the number of tokens that the server says it read (0 when it does not
        say). Raises Suspicion or EmbedderError."""

    @abstractmethod
    def same(self, model: str) -> str:
        """How to have the same model on each host: the beginning of a sentence, up to "on"."""

    @abstractmethod
    def repair(self, model: Model) -> str:
        """What to do about a model that is broken."""

    def tokens(self, model: Model, text: str) -> int:
        """How many tokens the server reads in a text; 0 when it does not say."""
        return self._learn(lambda: self.embed(model, [text]))[1]

    def prove(self, model: Model) -> int:
        """Embed a harmless text and return its dimensions.

        Raises HostDown when the server cannot, EmbedderError when what it returns is broken.
        """
        try:
            return int(self.embed(model, [HARMLESS])[0].shape[1])
        except Suspicion as suspicion:
            if suspicion.broken:
                raise EmbedderError(
                    f"{self.url}: the model {model.name!r} is broken: for the text {HARMLESS!r} "
                    f"{suspicion}. {self.repair(model)}"
                ) from suspicion
            raise self.down(suspicion) from suspicion

    def down(self, suspicion: Suspicion) -> HostDown:
        """What a suspicion means if no text can be at fault."""
        return HostDown(f"{self.url}: {suspicion}", slow=suspicion.slow)

    def _learn(self, request: Callable[[], T]) -> T:
        """Ask for what no text can be at fault for."""
        try:
            return self._ask(request)
        except Suspicion as suspicion:
            raise self.down(suspicion) from suspicion

    def _ask(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except httpx.HTTPStatusError as error:
            raise self.refusal(error.response) from error
        except httpx.ConnectTimeout as error:
            raise HostDown(f"{self.url}: no connection within 5 s") from error
        except httpx.TimeoutException as error:
            reason = f"it did not answer within {self.timeout:g} s"
            raise Suspicion(reason, slow=True) from error
        except (ConnectionError, httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            raise HostDown(f"{self.url}: {_refused(error)}") from error
        except httpx.HTTPError as error:
            raise Suspicion(f"the connection broke ({brief(str(error))})") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            # What is raised on an answer that is not the JSON that is expected.
            raise Suspicion(
                f"its answer is not {self.kind}'s (a proxy's page, or cut off)"
            ) from error

    def refusal(self, response: httpx.Response) -> Exception:
        wait = retry_after(response.headers.get("Retry-After", ""))
        return self._refusal(response.status_code, response.text, wait)

    def _refusal(self, status: int, said: str, wait: float = 0.0) -> Exception:
        """What a status other than 2xx means."""
        text = brief(said)
        if status in MISPLACED:
            return EmbedderError(f"{self.url} answers {status} ({text}): {self._misplaced(status)}")
        if status in BUSY:
            reason = f"{self.url}: it answers {status} ({text})"
            return HostDown(reason, busy=status in (429, 503), retry_after=wait)
        too_long = bool(_TOO_LONG.search(text))
        too_much = not too_long and bool(_TOO_MUCH.search(text))
        return Suspicion(f"it answers {status} ({text})", too_long=too_long, too_much=too_much)

    def _misplaced(self, status: int) -> str:
        return f"check the address and the credentials in {self.setting}."


def transport(address: Address, timeout: float) -> dict[str, Any]:
    """The arguments of an httpx client that asks this host and no other."""
    return {
        "follow_redirects": False,
        "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
        "limits": CONNECTIONS,
        # A proxy from the environment is for the world outside.
        "trust_env": not address.loopback,
        # Certificates take 50 ms to load, and nothing leads from http to https here.
        "verify": address.url.startswith("https:"),
        "event_hooks": {"response": [_read_fast]},
    }


def _read_fast(response: httpx.Response) -> None:
    """An answer is mostly numbers, which pydantic reads four times as fast as json does."""
    response.json = lambda **_: from_json(response.content)  # type: ignore[method-assign]


@contextmanager
def fitting_environment(address: Address, key: str) -> Iterator[None]:
    """Raises ConfigError if proxies, certificates or the key that the environment names do not fit;
    their values may hold credentials and are not shown."""
    try:
        yield
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"{address.url} cannot be asked in this environment ({type(error).__name__}): correct "
            "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY (SOCKS is not supported), SSL_CERT_FILE, "
            f"SSL_CERT_DIR or {key}."
        ) from None


def retry_after(value: str) -> float:
    """The seconds that a server asks to wait for; 0 if it gives none, or a date."""
    try:
        return min(max(0.0, float(value)), LONGEST_RETRY_AFTER)
    except ValueError:
        return 0.0


def _refused(error: Exception) -> str:
    cause = error.__context__ if isinstance(error, ConnectionError) else error
    return f"no connection ({brief(str(cause or error))})"


def brief(text: str) -> str:
    text = " ".join(text.split())
    if text.startswith("<"):
        return "an HTML page"
    return (text[:200] + "..." if len(text) > 200 else text) or "no message"
