"""The only HTTP client of the web parsers: polite, limited, and only to checked addresses.

One connection at a time, a pause between requests, retries with back-off, no proxy and no cookies.
It follows no redirects: the caller decides about every address.
"""

from __future__ import annotations

import logging
import random
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore
import httpx
import tenacity

from ingestion.exceptions import DocumentError
from ingestion.parsers.web.network_guard import Clock, GuardedBackend, Resolver
from ingestion.parsers.web_settings import WebSettings

logger = logging.getLogger(__name__)

BUSY = frozenset((429, 500, 502, 503, 504))
OVERLOADED = frozenset((429, 503))
ACCEPT = "text/html,application/xhtml+xml,application/pdf;q=0.9,application/xml;q=0.8,*/*;q=0.5"
READ_SIZE = 64 * 1024


class FetchError(DocumentError):
    """There is no usable answer; `status` is the server's, or 0 if it gave none.

    `unreachable` if the server cannot be reached at all, or asks for fewer requests.
    """

    def __init__(self, message: str, status: int = 0, unreachable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.unreachable = unreachable


class TryAgain(FetchError):
    """A failure that may be temporary; `after` is the wait in seconds that the server asks for."""

    after: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is decoded, and empty unless the status is 200."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def validators(self) -> dict[str, str]:
        names = {"etag": "etag", "last-modified": "last_modified"}
        return {key: self.headers[name] for name, key in names.items() if self.headers.get(name)}


class WebClient:
    """Requests to the web for one source; use it as a context manager."""

    def __init__(
        self,
        settings: WebSettings,
        delay: float | None,
        *,
        resolve: Resolver = socket.getaddrinfo,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.delay = delay
        self.crawl_delay = 0.0
        self.limits: Mapping[str, int] = {}
        self.sleep = sleep
        self.not_before = 0.0
        self.bytes_read = 0
        self._clock = Clock()
        self._http = self._open(resolve)

    def _open(self, resolve: Resolver) -> httpx.Client:
        backend = GuardedBackend(self.settings.allow_networks, self._clock, resolve)
        timeout = httpx.Timeout(self.settings.read_seconds, connect=self.settings.connect_seconds)
        return httpx.Client(
            transport=_GuardedTransport(backend),
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            headers={
                "User-Agent": self.settings.user_agent,
                "Accept": ACCEPT,
                "Accept-Encoding": "gzip, deflate",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, url: str, limit: int, validators: Mapping[str, str] | None = None) -> Response:
        """The answer to one request, which is retried while its failure may be temporary.

        `limit` is the most bytes of the body after decompression; `limits` that of other types.
        Raises FetchError and AddressRefused.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TryAgain),
            stop=self._give_up,
            wait=self._wait,
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(self._get, url, limit, validators or {})

    def _give_up(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        too_long = (
            isinstance(error, TryAgain) and (error.after or 0) > self.settings.retry_after_max
        )
        return too_long or state.attempt_number >= self.settings.attempts

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TryAgain) and error.after is not None:
            return error.after
        return float(
            self.settings.retry_wait * 2 ** (state.attempt_number - 1) * random.uniform(1, 1.5)
        )

    def _get(self, url: str, limit: int, validators: Mapping[str, str]) -> Response:
        self._pace(url)
        headers = {"Host": urlsplit(url).netloc}
        if validators.get("etag"):
            headers["If-None-Match"] = validators["etag"]
        if validators.get("last_modified"):
            headers["If-Modified-Since"] = validators["last_modified"]
        self._clock.start(self.settings.request_seconds)
        try:
            with self._http.stream("GET", self._mapped(url), headers=headers) as answer:
                return self._read(url, answer, limit)
        except httpx.TimeoutException as error:
            raise TryAgain(_too_slow(error, self.settings), unreachable=True) from error
        except httpx.TransportError as error:
            raise _transport_failure(error) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(f"The address cannot be asked for ({error}): correct it.") from error

    def _pace(self, url: str) -> None:
        """Wait until the next request to the host is due."""
        wait = self.not_before - time.monotonic()
        if wait > 0:
            self.sleep(wait)
        self.not_before = time.monotonic() + self._delay(url)

    def _delay(self, url: str) -> float:
        given = self.delay
        if given is None:
            given = 0.0 if _origin(url) in self.settings.origin_map else DEFAULT_DELAY
        return max(given, self.crawl_delay)

    def _mapped(self, url: str) -> str:
        target = self.settings.origin_map.get(_origin(url))
        return url if target is None else target.rstrip("/") + url[len(_origin(url)) :]

    def unmapped(self, url: str) -> str:
        """The real address of one that a server behind the origin map answered with."""
        for real, target in self.settings.origin_map.items():
            if _origin(url) == target.rstrip("/"):
                return real + url[len(_origin(url)) :]
        return url

    def _read(self, url: str, answer: httpx.Response, limit: int) -> Response:
        if answer.status_code in BUSY:
            raise self._busy(answer)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        if answer.status_code != 200:
            return Response(url, answer.status_code, headers)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        limit = self.limits.get(kind, limit)
        if _number(headers.get("content-length")) > limit:
            raise FetchError(_too_large(limit), 200)
        body = bytearray()
        for part in _decoded(answer, limit + 1):
            body += part
            if len(body) > limit:
                raise FetchError(_too_large(limit), 200)
        self.bytes_read += len(body)
        return Response(url, 200, headers, bytes(body))

    def _busy(self, answer: httpx.Response) -> TryAgain:
        after = retry_after(answer.headers.get("retry-after", ""))
        asks = f" and asks to wait {after:,.0f} seconds" if after is not None else ""
        error = TryAgain(
            f"The server answered {answer.status_code}{asks}: try again later.",
            answer.status_code,
            unreachable=answer.status_code in OVERLOADED,
        )
        error.after = after
        return error


DEFAULT_DELAY = 0.5


class _GuardedTransport(httpx.HTTPTransport):
    """httpx's transport with a pool of one connection that goes to checked addresses only."""

    def __init__(self, backend: GuardedBackend) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=15.0,
            network_backend=backend,
        )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def _too_large(limit: int) -> str:
    return f"It is larger than the limit of {limit:,} bytes and was not read: raise the limit."


def _too_slow(error: httpx.TimeoutException, settings: WebSettings) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return f"No connection within {settings.connect_seconds:g} seconds: try again later."
    return (
        f"No complete answer within the time limits ({settings.read_seconds:g} seconds of silence, "
        f"{settings.request_seconds:g} in all): try again later."
    )


def _transport_failure(error: httpx.TransportError) -> FetchError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or cause
            return FetchError(
                f"The secure connection failed ({reason}): the site has to fix its certificate.",
                unreachable=True,
            )
        cause = cause.__cause__ or cause.__context__
    return TryAgain(f"The connection failed ({error}): try again later.", unreachable=True)


def retry_after(value: str) -> float | None:
    """The seconds that Retry-After asks for (RFC 9110 10.2.3); None if it is unreadable."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _decoded(answer: httpx.Response, limit: int) -> Iterator[bytes]:
    """The body's bytes, at most `limit` at a time however well they are compressed."""
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        yield from answer.iter_raw(READ_SIZE)
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchError(f"The answer is encoded as {encoding!r}, which was not asked for.", 200)
    unpacker = _Unpacker(encoding)
    try:
        for part in answer.iter_raw(READ_SIZE):
            yield from unpacker.unpack(part, limit)
    except zlib.error as error:
        raise FetchError(f"The answer's compression is broken ({error}).", 200) from error
    if not unpacker.complete:
        raise FetchError("The answer's compression is broken (it ends early).", 200)


class _Unpacker:
    """Unpacks gzip, also of several members, and deflate, which some servers send without the zlib
    header (RFC 9110 8.4.1.2)."""

    def __init__(self, encoding: str) -> None:
        self.deflate = encoding == "deflate"
        self.way: Any = None

    @property
    def complete(self) -> bool:
        return self.way is None or bool(self.way.eof)

    def unpack(self, data: bytes, limit: int) -> Iterator[bytes]:
        while data:
            if self.way is None or self.way.eof:
                bare = self.deflate and data[0] & 0x0F != 8
                self.way = zlib.decompressobj(-15 if bare else 47)
            yield self.way.decompress(data, limit)
            data = self.way.unused_data
