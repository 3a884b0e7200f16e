"""One Ollama server: its address, what it is asked, and what its answers mean.

    what comes back                                              raised
    -----------------------------------------------------------  --------------------------------
    refused, unknown name, no route; 408, 429, 502, 503, 504      EmbedderUnavailable
    404 for the model; 3xx, 401, 403, other 404, 405, 407         EmbedderError
    400, 413, 500 and the like (also with EOF: a dead runner);    Suspicion: the texts or the host,
    a broken connection; no answer in time; HTML, broken or       which a harmless text tells apart
    foreign JSON; a wrong number of vectors, a wrong length,      (`prove`): if it fails as well,
    NaN, zeros                                                    the host is at fault
    400 and the like that speak of the context                    Suspicion, `too_long`

Where the harmless text itself gets a wrong number of vectors, a wrong length, NaN or zeros, the
model is broken: EmbedderError. Where it gets none: EmbedderUnavailable.
"""

from __future__ import annotations

import ipaddress
import re
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from ingestion.embedding.base import Vectors
from ingestion.embedding.checks import BadVectors, checked
from ingestion.embedding.ollama_client import Client, ResponseError
from ingestion.exceptions import ConfigError, EmbedderError, EmbedderUnavailable

T = TypeVar("T")

HARMLESS = "ready"
KEEP_ALIVE = 1800
"""Seconds that the server keeps the model loaded; an integer, as it refuses "-1" and the like."""

CONNECT_TIMEOUT = 5.0
BUSY = {408, 429, 502, 503, 504}
MISPLACED = {301, 302, 303, 307, 308, 401, 403, 404, 405, 407}
_TOO_LONG = re.compile(
    r"exceeds? .{0,30}context|context (length|size|window)|too (long|large) to process", re.I
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Suspicion(Exception):
    """The answer is wrong, and may be so because of the texts."""

    def __init__(
        self, reason: str, *, too_long: bool = False, slow: bool = False, broken: bool = False
    ) -> None:
        super().__init__(reason)
        self.too_long = too_long
        self.slow = slow
        self.broken = broken


class HostDown(EmbedderUnavailable):
    """The server cannot be used now; `slow` when it took its whole time to show that."""

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        super().__init__(reason)
        self.slow = slow


class Address(NamedTuple):
    """`url` carries no credentials, so that it can be shown; they are in `auth`."""

    url: str
    auth: tuple[str, str] | None
    loopback: bool


def parse_host(value: str, setting: str = "OLLAMA_HOST") -> Address:
    """Read one host as Ollama reads OLLAMA_HOST (its envconfig): scheme http unless given, port
    11434, or the scheme's own if a scheme is given; 127.0.0.1 for an empty or wildcard host.

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
        port = parts.port if parts.port is not None else _default_port(scheme, bool(separator))
    except ValueError:
        raise ConfigError(
            f"{setting} {shown!r} is not an address: write it like 127.0.0.1:11434."
        ) from None
    host, loopback = _reachable(parts.hostname or "")
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    path = f"/{parts.path.strip('/')}" if parts.path.strip("/") else ""
    return Address(f"{scheme}://{host}:{port}{path}", auth, loopback)


def _default_port(scheme: str, given: bool) -> int:
    return _DEFAULT_PORTS[scheme] if given else 11434


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


def _client(address: Address, timeout: float) -> Client:
    """Raises ConfigError if proxies, certificates or a key in the environment do not fit; their
    values may hold credentials and are not shown."""
    try:
        return Client(
            host=address.url,
            follow_redirects=False,
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            auth=address.auth,
            # A proxy from the environment is for the world outside.
            trust_env=not address.loopback,
            # Certificates take 50 ms to load, and nothing leads from http to https here.
            verify=address.url.startswith("https:"),
        )
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"{address.url} cannot be asked in this environment ({type(error).__name__}): correct "
            "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY (SOCKS is not supported), SSL_CERT_FILE, "
            "SSL_CERT_DIR or OLLAMA_API_KEY."
        ) from None


class OllamaHost:
    """`failed_until` and `in_flight` belong to the pool that chooses among hosts."""

    def __init__(self, address: Address, timeout: float) -> None:
        self.url = address.url
        self.timeout = timeout
        self.client = _client(address, timeout)
        weakref.finalize(self, self.client.close)
        self.auth = address.auth
        self.loopback = address.loopback
        self.failed_until = 0.0
        self.in_flight = 0
        self.turn = 0
        self.proven = False

    def find(self, model: str) -> tuple[str, str]:
        """A model's name as this server writes it, and its digest.

        `all-minilm` is `all-minilm:latest`, and case does not matter, as with Ollama. Raises
        EmbedderError when the model is not there.
        """
        for entry in self._learn(self.client.list).models:
            if _full_name(entry.model or "") == _full_name(model):
                return (entry.model or "").removesuffix(":latest"), entry.digest or ""
        raise EmbedderError(self._missing(model))

    def describe(self, model: str) -> tuple[Mapping[str, Any], str]:
        """The model's facts (`model_info`) and its own parameters, one a line."""
        shown = self._learn(lambda: self.client.show(model))
        return shown.modelinfo or {}, shown.parameters or ""

    def vocabulary(self, model: str) -> Mapping[str, Any]:
        """`model_info` with the whole vocabulary, which the client library does not ask for."""

        def request() -> Mapping[str, Any]:
            reply = httpx.post(
                f"{self.url}/api/show",
                json={"model": model, "verbose": True},
                timeout=self.timeout,
                auth=self.auth,
                trust_env=not self.loopback,
                verify=self.url.startswith("https:"),
            )
            info = reply.raise_for_status().json()["model_info"]
            return info if isinstance(info, dict) else {}

        return self._learn(request)

    def embed(self, model: Model, texts: list[str]) -> tuple[Vectors, int]:
        """The vectors, and the number of tokens that the server says it read (0 when it does not).

        The server is asked never to cut a text off.
        """
        reply = self._ask(
            lambda: self.client.embed(
                model.name,
                texts,
                truncate=False,
                options=model.options,
                keep_alive=KEEP_ALIVE,
            )
        )
        try:
            vectors = checked(reply.embeddings, len(texts), model.dimensions)
        except BadVectors as problem:
            raise Suspicion(f"it returned {problem}", broken=True) from None
        return vectors, reply.prompt_eval_count or 0

    def chat(
        self, model: Model, question: str, schema: Mapping[str, Any], think: bool | None
    ) -> tuple[str, bool, float]:
        """The answer to a question, whether it is whole, and the seconds that it took without
        loading the model. The same question gets the same answer, as far as the server can."""
        began = time.monotonic()
        reply = self._ask(
            lambda: self.client.chat(
                model.name,
                [{"role": "user", "content": question}],
                format=dict(schema),
                think=think,
                options=model.options,
                keep_alive=KEEP_ALIVE,
            )
        )
        spent = time.monotonic() - began
        if reply.total_duration and reply.load_duration is not None:
            spent = max(0.0, reply.total_duration - reply.load_duration) / 1e9
        return reply.message.content or "", reply.done_reason != "length", spent

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
                    f"{suspicion}. Run `ollama pull {model.name}` there again."
                ) from suspicion
            raise HostDown(f"{self.url}: {suspicion}", slow=suspicion.slow) from suspicion

    def _learn(self, request: Callable[[], T]) -> T:
        """Ask for what no text can be at fault for."""
        try:
            return self._ask(request)
        except Suspicion as suspicion:
            raise HostDown(f"{self.url}: {suspicion}", slow=suspicion.slow) from suspicion

    def _ask(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except ResponseError as error:
            raise self._refusal(error.status_code, error.error) from error
        except httpx.HTTPStatusError as error:
            raise self._refusal(error.response.status_code, error.response.text) from error
        except httpx.ConnectTimeout as error:
            raise EmbedderUnavailable(f"{self.url}: no connection within 5 s") from error
        except httpx.TimeoutException as error:
            reason = f"it did not answer within {self.timeout:g} s"
            raise Suspicion(reason, slow=True) from error
        except (ConnectionError, httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            raise EmbedderUnavailable(f"{self.url}: {self._refused(error)}") from error
        except httpx.HTTPError as error:
            raise Suspicion(f"the connection broke ({_brief(str(error))})") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # What the client library raises on an answer that is not the JSON it expects.
            raise Suspicion("its answer is not Ollama's (a proxy's page, or cut off)") from error

    def _refused(self, error: Exception) -> str:
        cause = error.__context__ if isinstance(error, ConnectionError) else error
        reason = _brief(str(cause or error))
        return f"no connection ({reason})"

    def _refusal(self, status: int, body: object) -> Exception:
        text = _brief(body if isinstance(body, str) else "")
        if status == 404 and "model" in text and "not found" in text:
            return EmbedderError(f"{self.url} does not have the model any more: {text}")
        if status in MISPLACED:
            return EmbedderError(
                f"{self.url} answers {status} ({text}): check the address and the credentials "
                "in OLLAMA_HOST."
            )
        if status in BUSY:
            return EmbedderUnavailable(f"{self.url}: it answers {status} ({text})")
        return Suspicion(f"it answers {status} ({text})", too_long=bool(_TOO_LONG.search(text)))

    def _missing(self, model: str) -> str:
        return (
            f"The model {model!r} is not on {self.url}: run `ollama pull {model}` there "
            f"(OLLAMA_HOST={self.url} ollama pull {model})."
        )


def _full_name(model: str) -> str:
    tag = ":" in model.rpartition("/")[2]
    return (model if tag else f"{model}:latest").lower()


def _brief(text: str) -> str:
    text = " ".join(text.split())
    if text.startswith("<"):
        return "an HTML page"
    return (text[:200] + "..." if len(text) > 200 else text) or "no message"
