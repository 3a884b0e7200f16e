"""A stand-in for servers with an OpenAI-compatible interface, on the loopback interface.

    with OpenAIServer(key="sesame", says="vllm") as server:
        server.next(status(503), times=2)         # faults as of `ollama_server`

It answers as the documentation of these servers has it: vLLM names `max_model_len` in /v1/models,
TEI has /info with `model_sha`, others say nothing. A text above `window` tokens is refused, or cut
off silently with `cuts`. A request of more than `most_texts` is refused, as TEI does.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.ollama_server import Fault, OllamaServer, Reply, Request, as_json

NAME = "BAAI/bge-small-en-v1.5"


@dataclass
class OpenAIServer(OllamaServer):
    """Only the `key`, if there is one, opens it. It `says` its context as "vllm", "tei", or not."""

    key: str = ""
    says: str = ""
    window: int = 2048
    cuts: bool = False
    counts: bool = True
    most_texts: int = 10_000
    in_base64: bool = False
    sha: str = "5c38ec7c405ec4b44b94cc5a9bb96e735b38267a"
    model: str = NAME

    @property
    def url(self) -> str:
        return f"{self.host}/v1"

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        with self.lock:
            self.paths[path] += 1
        if path == "/info":
            return self._info()
        if self.key and self.headers[-1].get("Authorization") != f"Bearer {self.key}":
            return refused(401, f"Incorrect API key provided: {self.headers[-1]}.")
        if path == "/v1/models":
            entry: dict[str, Any] = {"id": self.model, "object": "model"}
            entry |= {"max_model_len": self.window} if self.says == "vllm" else {}
            return as_json({"object": "list", "data": [entry]})
        if path != "/v1/embeddings":
            return as_json({"detail": "Not Found"}, 404)
        if body["model"] != self.model:
            return refused(404, f"The model `{body['model']}` does not exist.")
        return self._embed(body)

    def _info(self) -> Reply:
        if self.says != "tei":
            return as_json({"detail": "Not Found"}, 404)
        said = {"model_id": self.model, "model_sha": self.sha, "max_input_length": self.window}
        return as_json(said | {"max_client_batch_size": self.most_texts})

    def honest(self, texts: list[str], body: Mapping[str, Any]) -> Reply:
        if len(texts) > self.most_texts:
            message = f"batch size {len(texts)} > maximum allowed batch size {self.most_texts}"
            return refused(413, message)
        longest = max(map(self.count_tokens, texts))
        if longest > self.window and not self.cuts:
            return refused(400, f"This model's maximum context length is {self.window} tokens.")
        with self.lock:
            self.embedded.update(texts)
        vectors = [self.vector(text) for text in texts]
        read = sum(min(self.count_tokens(text), self.window) for text in texts)
        return as_json(self.shaped(body, vectors, read))

    def shaped(
        self, body: Mapping[str, Any], vectors: list[list[float]], tokens: int
    ) -> dict[str, Any]:
        """The vectors come in another order than the texts."""
        rows = [self._embedding(vector) for vector in vectors]
        data = [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(rows)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens} if self.counts else None
        return {"object": "list", "model": body["model"], "data": data[::-1], "usage": usage}

    def _embedding(self, vector: list[float]) -> object:
        packed = np.asarray(vector, "<f4").tobytes()
        return base64.b64encode(packed).decode() if self.in_base64 else vector


def refused(code: int, message: str) -> Reply:
    return as_json({"error": {"message": message, "type": "invalid_request_error"}}, code)


def too_many_requests(seconds: float) -> Fault:
    def reply(request: Request) -> Reply:
        answer = refused(429, "Rate limit reached")
        answer.headers["Retry-After"] = f"{seconds:g}"
        return answer

    return reply


def redirected(to: str) -> Fault:
    return lambda request: Reply(b"", 307, headers={"Location": to})
