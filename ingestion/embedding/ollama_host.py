"""One Ollama server: what it is asked through its client library, and what its answers mean.

A 404 that names the model means that it is not there any more: EmbedderError. Everything else is as
with any server (`ingestion.embedding.host`).
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx

from ingestion.embedding.base import Vectors
from ingestion.embedding.checks import BadVectors, checked
from ingestion.embedding.host import (
    Address,
    Host,
    Model,
    Suspicion,
    brief,
    fitting_environment,
    transport,
)
from ingestion.embedding.ollama_client import Client, ResponseError
from ingestion.exceptions import EmbedderError

T = TypeVar("T")

KEEP_ALIVE = 1800
"""Seconds that the server keeps the model loaded; an integer, as it refuses "-1" and the like."""


def _client(address: Address, timeout: float) -> Client:
    """Raises ConfigError."""
    with fitting_environment(address, "OLLAMA_API_KEY"):
        return Client(host=address.url, auth=address.auth, **transport(address, timeout))


class OllamaHost(Host):
    kind = "Ollama"
    setting = "OLLAMA_HOST"
    advice = "Start it with `ollama serve`, or correct OLLAMA_HOST."

    def __init__(self, address: Address, timeout: float) -> None:
        super().__init__(address, timeout)
        self.client = _client(address, timeout)
        weakref.finalize(self, self.client.close)

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

    def same(self, model: str) -> str:
        return f"run `ollama pull {model}` on"

    def repair(self, model: Model) -> str:
        return f"Run `ollama pull {model.name}` there again."

    def _ask(self, request: Callable[[], T]) -> T:
        def converted() -> T:
            try:
                return request()
            except ResponseError as error:
                said = error.error if isinstance(error.error, str) else ""
                raise self._refusal(error.status_code, said) from error

        return super()._ask(converted)

    def _refusal(self, status: int, said: str, wait: float = 0.0) -> Exception:
        text = brief(said)
        if status == 404 and "model" in text and "not found" in text:
            return EmbedderError(f"{self.url} does not have the model any more: {text}")
        return super()._refusal(status, said, wait)

    def _missing(self, model: str) -> str:
        return (
            f"The model {model!r} is not on {self.url}: run `ollama pull {model}` there "
            f"(OLLAMA_HOST={self.url} ollama pull {model})."
        )


def _full_name(model: str) -> str:
    tag = ":" in model.rpartition("/")[2]
    return (model if tag else f"{model}:latest").lower()
