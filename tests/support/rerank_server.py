"""A reranker on the loopback interface that behaves as the two protocols are documented.

    with RerankServer() as server:
        settings.RERANKER_URL = f"{server.host}/v1/rerank"   # or f"{server.host}/rerank"
        server.always(status(503))
        ...
        assert server.bodies[0]["query"] == "some query"

It scores a text by the number of times that it holds `server.favourite`; the best come first, as
servers answer. No model is behind it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

MOST_TEXTS = 32  # as TEI takes them unless it is set up for more


class Reply(NamedTuple):
    body: bytes
    status: int = 200
    pause: float = 0.0  # before each byte


Fault = Callable[["RerankServer", str, dict[str, Any]], Reply]


def as_json(value: object, status: int = 200) -> Reply:
    return Reply(json.dumps(value).encode(), status)


def status(code: int, message: str = "something went wrong") -> Fault:
    return lambda server, path, body: as_json({"error": message, "error_type": "Backend"}, code)


def raw(text: bytes, code: int = 200) -> Fault:
    return lambda server, path, body: Reply(text, code)


def changed(change: Callable[[list[dict[str, Any]]], object]) -> Fault:
    """The honest entries after a change to them."""

    def reply(server: RerankServer, path: str, body: dict[str, Any]) -> Reply:
        entries = server.entries(path, body)
        return server.wrapped(path, change(entries))

    return reply


def hanging(seconds: float = 30.0) -> Fault:
    def reply(server: RerankServer, path: str, body: dict[str, Any]) -> Reply:
        server.stopping.wait(seconds)
        return server.honest(path, body)

    return reply


def trickling(pause: float) -> Fault:
    """A whole answer, byte by byte: each one comes in time, and all of them do not."""
    return lambda server, path, body: server.honest(path, body)._replace(pause=pause)


class RerankServer:
    """`bodies` holds what was sent, `keys` the Authorization of each request."""

    def __init__(self, favourite: str = "", key: str = "") -> None:
        self.favourite = favourite
        self.key = key
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.standing: Fault | None = None
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        self.listener = _Listener(("127.0.0.1", 0), _Handler)
        self.listener.owner = self
        threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.listener.shutdown()
        self.listener.server_close()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.listener.server_address[1]}"

    def always(self, fault: Fault | None) -> None:
        """Every request; None ends it."""
        self.standing = fault

    def answer(self, path: str, body: dict[str, Any], key: str) -> Reply:
        self.bodies.append(body)
        self.keys.append(key)
        if self.key and key != f"Bearer {self.key}":
            return as_json({"error": "Invalid API key"}, 401)
        return (self.standing or RerankServer.honest)(self, path, body)

    def honest(self, path: str, body: dict[str, Any]) -> Reply:
        if path not in ("/v1/rerank", "/rerank"):
            return as_json({"error": "not found"}, 404)
        texts = body.get("documents" if path == "/v1/rerank" else "texts")
        if not texts:
            return as_json({"error": "texts are missing", "error_type": "Empty"}, 400)
        if path == "/rerank" and len(texts) > MOST_TEXTS:
            message = f"batch size {len(texts)} > maximum allowed batch size {MOST_TEXTS}"
            return as_json({"error": message, "error_type": "Validation"}, 422)
        return self.wrapped(path, self.entries(path, body))

    def entries(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        score = "relevance_score" if path == "/v1/rerank" else "score"
        texts = body.get("documents") or body.get("texts") or []
        scored = [{"index": n, score: self._score(text)} for n, text in enumerate(texts)]
        scored.sort(key=lambda entry: -entry[score])
        return scored[: body.get("top_n", len(scored))]

    def _score(self, text: str) -> float:
        return float(text.lower().count(self.favourite)) if self.favourite else 0.0

    def wrapped(self, path: str, entries: object) -> Reply:
        if path != "/v1/rerank":
            return as_json(entries)
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return as_json({"model": "m", "object": "list", "usage": usage, "results": entries})


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    owner: RerankServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up waiting is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        owner = self.server.owner
        reply = owner.answer(self.path, json.loads(sent), self.headers.get("Authorization", ""))
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if not reply.pause:
            self.wfile.write(reply.body)
            return
        for place in range(len(reply.body)):
            self.wfile.write(reply.body[place : place + 1])
            self.server.owner.stopping.wait(reply.pause)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the tests read `bodies`."""
