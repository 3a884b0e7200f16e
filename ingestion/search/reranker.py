"""One reranker over HTTP: its address, what it is asked, and what its answers mean.

Two protocols are common, and the path of the address tells which one is meant:

    path             asked with                        answers                       spoken by
    ---------------  --------------------------------  ----------------------------  ---------------
    .../v1/rerank    query, documents, top_n, model    results: index,               llama.cpp,
                                                       relevance_score               LocalAI, Jina
    .../rerank       query, texts, truncate            a list: index, score          TEI

A server may put the best first and leave the others where they were; the index says which text is
meant. Scores are of any scale, and only compared with each other.
"""

from __future__ import annotations

import json
import math
import re
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from ingestion.embedding.host import Address, parse_host
from ingestion.exceptions import ConfigError, RerankerError

CONNECT_TIMEOUT = 2.0
MOST_BYTES = 4 * 2**20  # of an answer; some repeat the texts
_VERSIONED = re.compile(r"/v\d+/rerank/?$")
_HINTS = {
    401: "check RERANKER_KEY",
    403: "check RERANKER_KEY",
    404: "check the path of RERANKER_URL",
    405: "check the path of RERANKER_URL",
    413: "let it take longer texts, or lower CHUNK_SIZE",
    422: "let it take 30 texts in one request (TEI: --max-client-batch-size), and check the path "
    "of RERANKER_URL",
    429: "it has too much to do",
    500: "it may be loading, or take only shorter texts (llama.cpp: --ubatch-size)",
}


class Protocol(NamedTuple):
    """The names of the fields, and what is always sent."""

    texts: str
    score: str
    always: Mapping[str, Any]


DOCUMENTS = Protocol("documents", "relevance_score", {})
TEXTS = Protocol("texts", "score", {"truncate": True})


def protocol_of(url: str) -> Protocol:
    return DOCUMENTS if _VERSIONED.search(url) else TEXTS


class Reranker:
    """`timeout` is in seconds for a whole answer. Thread-safe."""

    def __init__(self, url: str, model: str, key: str, timeout: float) -> None:
        address = parse_host(url, "RERANKER_URL")
        self.url = address.url
        self.model = model
        self.timeout = timeout
        self.protocol = protocol_of(address.url)
        self.client = _client(address, key, timeout)
        weakref.finalize(self, self.client.close)

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the query. Raises RerankerError."""
        body: dict[str, Any] = {"query": query, self.protocol.texts: list(texts)}
        body |= self.protocol.always
        if self.protocol is DOCUMENTS:
            body["top_n"] = len(texts)
            if self.model:
                body["model"] = self.model
        return _read(self._ask(body), self.protocol, len(texts))

    def _ask(self, body: Mapping[str, Any]) -> Any:
        try:
            return json.loads(self._answer(body))
        except httpx.TimeoutException as error:
            raise RerankerError(f"it did not answer within {self.timeout:g} s") from error
        except httpx.HTTPError as error:
            raise RerankerError(f"no connection ({_brief(str(error))})") from error
        except (ValueError, RecursionError) as error:
            raise RerankerError("its answer is not JSON") from error

    def _answer(self, body: Mapping[str, Any]) -> bytes:
        until = time.monotonic() + self.timeout
        data = b""
        with self.client.stream("POST", self.url, json=body) as response:
            for part in response.iter_bytes():
                data += part
                if len(data) > MOST_BYTES:
                    raise RerankerError(f"its answer is longer than {MOST_BYTES:,} bytes")
                if time.monotonic() > until:
                    raise RerankerError(f"its answer took longer than {self.timeout:g} s")
        if response.status_code != 200:
            raise RerankerError(_refusal(response.status_code, data))
        return data


def _client(address: Address, key: str, timeout: float) -> httpx.Client:
    """Raises ConfigError if proxies, certificates or the key do not fit; their values may hold
    credentials and are not shown."""
    try:
        return httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            auth=None if key else address.auth,
            follow_redirects=False,
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            # A proxy from the environment is for the world outside.
            trust_env=not address.loopback,
            # Certificates take 50 ms to load, and nothing leads from http to https here.
            verify=address.url.startswith("https:"),
        )
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"{address.url} cannot be asked in this environment ({type(error).__name__}): correct "
            "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY (SOCKS is not supported), SSL_CERT_FILE, "
            "SSL_CERT_DIR or RERANKER_KEY."
        ) from None


def _read(answer: Any, protocol: Protocol, count: int) -> list[float]:
    """The scores in the order of the texts. Raises RerankerError if a text has none, or several."""
    try:
        entries = answer["results"] if protocol is DOCUMENTS else answer
        scores = {entry["index"]: float(entry[protocol.score]) for entry in entries}
    except (KeyError, TypeError, ValueError) as error:
        raise RerankerError("its answer is not that of a reranker: check RERANKER_URL") from error
    if len(entries) != count or scores.keys() != set(range(count)):
        raise RerankerError(f"it scored {len(entries)} texts instead of each of {count} once")
    if not all(map(math.isfinite, scores.values())):
        raise RerankerError("a score is not a finite number")
    return [scores[place] for place in range(count)]


def _refusal(status: int, body: bytes) -> str:
    said = _brief(_message(body))
    hint = _HINTS.get(status, "check RERANKER_URL" if status < 500 else "look at its log")
    return f"it answers {status} ({said}): {hint}"


def _message(body: bytes) -> str:
    """What a server says is wrong: `error`, or the `message` in it, or else the whole answer."""
    text = body.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return text
    return str(error.get("message", error) if isinstance(error, dict) else error)


def _brief(text: str) -> str:
    text = " ".join(text.split())
    if text.startswith("<"):
        return "an HTML page"
    return (text[:200] + "..." if len(text) > 200 else text) or "no message"
