"""One server with an OpenAI-compatible /v1/embeddings: vLLM, TEI, llama.cpp, LocalAI, OpenAI.

It is asked for what all of them know: a model, texts, and vectors as numbers. The answer says by
`index` which vector is whose; some put them in base64 all the same. 401 and 403 mean the key; what
a refusal means otherwise is as with any server (`ingestion.embedding.host`).
"""

from __future__ import annotations

import base64
import json
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
import numpy as np

from ingestion.embedding.base import Vectors
from ingestion.embedding.checks import BadVectors, checked
from ingestion.embedding.host import (
    BUSY,
    Address,
    Host,
    Model,
    Suspicion,
    brief,
    fitting_environment,
    parse_host,
    transport,
)
from ingestion.exceptions import EmbedderError

PORT = 8000
NAMED = 10
"""Models that a message lists at most."""


class Facts(NamedTuple):
    """What a server says of its model; 0 or empty if it does not."""

    window: int = 0
    digest: str = ""


def parse_url(value: str) -> Address:
    """The address below which /embeddings is: /v1 unless a path is given. Raises ConfigError."""
    address = parse_host(value, "EMBEDDING_URL", PORT)
    url = address.url.removesuffix("/embeddings")
    has_path = url.count("/") > 2
    return address._replace(url=url if has_path else f"{url}/v1")


class OpenAIHost(Host):
    kind = "OpenAI-compatible"
    setting = "EMBEDDING_URL"
    advice = "Start the server, or correct EMBEDDING_URL."

    def __init__(self, address: Address, timeout: float, key: str = "") -> None:
        super().__init__(address, timeout)
        self.key = key
        self.client = _client(address, timeout, key)
        weakref.finalize(self, self.client.close)

    def find(self, model: str) -> tuple[str, str]:
        return model, self.facts(model).digest

    def facts(self, model: str) -> Facts:
        """By /models (vLLM says `max_model_len`) or TEI's own /info; not every server has them."""
        for entry in _entries(self._optional(f"{self.url}/models")):
            if entry.get("id") == model and (window := _number(entry.get("max_model_len"))):
                return Facts(window)
        info = self._optional(f"{self.url.removesuffix('/v1')}/info")
        if "model_id" not in info:
            return Facts()
        return Facts(_number(info.get("max_input_length")), str(info.get("model_sha") or ""))

    def embed(self, model: Model, texts: list[str]) -> tuple[Vectors, int]:
        rows, read = self._ask(lambda: self._embedded(model.name, texts))
        try:
            return checked(rows, len(texts), model.dimensions), read
        except BadVectors as problem:
            raise Suspicion(f"it returned {problem}", broken=True) from None

    def _embedded(self, model: str, texts: list[str]) -> tuple[list[Vectors], int]:
        asked = {"model": model, "input": texts, "encoding_format": "float"}
        reply = self.client.post(f"{self.url}/embeddings", json=asked)
        answer = reply.raise_for_status().json()
        read = answer.get("usage") or {}
        return _rows(answer["data"]), _number(read.get("prompt_tokens"))

    def _optional(self, url: str) -> Mapping[str, Any]:
        """What a server says of itself; nothing if it does not, or not to us."""

        def request() -> Mapping[str, Any]:
            reply = self.client.get(url)
            if reply.status_code in BUSY:
                reply.raise_for_status()
            return _object(reply.text) if reply.status_code == httpx.codes.OK else {}

        return self._learn(request)

    def same(self, model: str) -> str:
        return f"serve the same {model} on"

    def repair(self, model: Model) -> str:
        return "Look at the log of the server, and serve the model again."

    def _refusal(self, status: int, said: str, wait: float = 0.0) -> Exception:
        text = _message(said)
        if self.key:
            text = text.replace(self.key, "...")
        if status == 404 and "model" in text.lower():
            return EmbedderError(
                f"{self.url} does not have the model ({brief(text)}): "
                f"correct EMBEDDING_MODEL.{self._models()}"
            )
        return super()._refusal(status, text, wait)

    def _misplaced(self, status: int) -> str:
        if status in (401, 403):
            return f"check EMBEDDING_KEY, which is {'not accepted' if self.key else 'not set'}."
        return "check the address in EMBEDDING_URL, which often ends in /v1."

    def _models(self) -> str:
        try:
            names = [
                str(entry.get("id")) for entry in _entries(self._optional(f"{self.url}/models"))
            ]
        except EmbedderError:
            return ""
        return f" It has: {', '.join(names[:NAMED])}." if names else ""


def _client(address: Address, timeout: float, key: str) -> httpx.Client:
    """It follows no redirects: the key is for this host alone. Raises ConfigError."""
    with fitting_environment(address, "EMBEDDING_KEY"):
        return httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            auth=None if key else address.auth,
            **transport(address, timeout),
        )


def _rows(entries: Any) -> list[Vectors]:
    """In the order of the texts. Raises BadVectors if a text has none, or several; ValueError,
    KeyError or TypeError for what is not a list of embeddings."""
    placed = {entry.get("index", place): entry for place, entry in enumerate(entries)}
    if sorted(placed) != list(range(len(entries))):
        raise Suspicion("it returned vectors that do not say whose they are", broken=True)
    return [_row(placed[place]["embedding"]) for place in range(len(entries))]


def _row(embedding: Any) -> Vectors:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    row: Vectors = np.asarray(embedding, dtype=np.float64)
    if row.ndim != 1:
        raise ValueError("an embedding is not a list of numbers")
    return row


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _entries(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = found.get("data")
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _message(said: str) -> str:
    """What a server says is wrong: `message`, also in `error`, or the whole answer."""
    found: Any = _object(said)
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    if not found:
        return said
    return found if isinstance(found, str) else json.dumps(found)
