"""An Ollama server on the loopback interface, for what a real one cannot be made to do.

    with OllamaServer() as server:
        server.next(html(), times=2)              # the next two embed calls
        server.for_text("poison", runner_died())  # each call that holds such a text
        server.always(status(503))
        ...
        assert server.embedded["some text"] == 1

Vectors are sums of one fixed vector a word: the same text always has the same one, other texts have
others, and texts that share words are near each other.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import numpy as np
from pytest_django import Settings

MODEL = "all-minilm:latest"
DIGEST = "17aa35393e5a35db44f782dfef405a7fc55fab6b79979ab9091d1cd9251e25b4"


@dataclass
class Reply:
    """What goes over the wire; `cut` ends the connection after half of it, `disconnect` before."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    disconnect: bool = False


@dataclass
class Request:
    """One call of /api/embed, with the answer that it would get."""

    server: OllamaServer
    texts: list[str]
    body: Mapping[str, Any]

    def answer(self, vectors: list[list[float]] | None = None) -> Reply:
        if vectors is None:
            vectors = [self.server.vector(text) for text in self.texts]
        counted = sum(map(self.server.count_tokens, self.texts))
        return as_json(self.server.shaped(self.body, vectors, counted))


Fault = Callable[[Request], Reply]


def as_json(value: object, status: int = 200) -> Reply:
    return Reply(json.dumps(value).encode(), status)


def honest() -> Fault:
    """No fault at all, for a place in the queue."""
    return lambda request: request.server.honest(request.texts, request.body)


def status(code: int, message: object = "something went wrong") -> Fault:
    return lambda request: as_json({"error": message}, code)


def runner_died(code: int = 400) -> Fault:
    """As a runner that was killed by its input is reported; 500 came with an empty object once."""
    message = 'do embedding request: Post "http://127.0.0.1:36361/embedding": EOF'
    return status(code, message if code == 400 else {})


def html(code: int = 200) -> Fault:
    page = b"<!doctype html>\n<title>Bad Gateway</title><h1>We will be back soon.</h1>"
    return lambda request: Reply(page, code, "text/html")


def raw(body: bytes) -> Fault:
    return lambda request: Reply(body)


def truncated() -> Fault:
    """JSON that ends midway, with a Content-Length that says it is all there."""
    return lambda request: Reply(request.answer().body[:-40])


def cut_off() -> Fault:
    def reply(request: Request) -> Reply:
        answer = request.answer()
        answer.cut = True
        return answer

    return reply


def disconnected() -> Fault:
    return lambda request: Reply(disconnect=True)


def wrong_count(more: int = -1) -> Fault:
    def reply(request: Request) -> Reply:
        vectors = [request.server.vector(text) for text in request.texts]
        return request.answer(vectors[:more] if more < 0 else vectors + vectors[:1] * more)

    return reply


def wrong_length() -> Fault:
    return lambda request: request.answer([request.server.vector(t)[:-1] for t in request.texts])


def filled(value: float) -> Fault:
    """Each vector holds nothing but `value`: 0.0, NaN, infinity."""
    return lambda request: request.answer(
        [[value] * request.server.dimensions] * len(request.texts)
    )


def hanging(seconds: float = 60.0) -> Fault:
    """Answers after so many seconds, and never once the server has stopped."""

    def reply(request: Request) -> Reply:
        request.server.stopping.wait(seconds)
        return honest()(request)

    return reply


@dataclass
class OllamaServer:
    """`calls` holds the texts of each embed call, `bodies` what was sent, `embedded` counts the
    texts that were answered with a vector, `paths` counts every request. `chats` holds what was
    sent to /api/chat, where no model is behind it: `answer_to` makes the answer of the question.
    `headers` are those of every request."""

    dimensions: int = 16
    context_length: int = 2048
    num_ctx: int | None = None
    models: dict[str, str] = field(default_factory=lambda: {MODEL: DIGEST})
    model_info: dict[str, Any] = field(default_factory=dict)
    vocabulary: list[str] | None = None
    count_tokens: Callable[[str], int] = lambda text: len(re.findall(r"\w+|[^\w\s]", text))
    calls: list[list[str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    embedded: Counter[str] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    chats: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer_to: Callable[[str], str] = field(default_factory=lambda: _words_for)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.queued: deque[Fault] = deque()
        self.by_text: dict[str, Fault] = {}
        self.standing: Fault | None = None
        self.chat_fault: Callable[[dict[str, Any]], Reply | None] | None = None
        self.at_once = 0
        self.port = 0
        self.listener: _Listener | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; after a `stop` on the same port."""
        self.stopping.clear()
        self.listener = _Listener(self)
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and break those that are open, as a server that was killed."""
        if self.listener:
            self.listener.shutdown()
            self.listener.server_close()
            self.listener.break_connections()
            self.listener = None
        self.stopping.set()  # last: nobody may get an answer because of it, and ask on

    def next(self, *faults: Fault, times: int = 1) -> None:
        """The coming embed calls get these, in this order, each `times` times."""
        self.queued.extend(fault for fault in faults for _ in range(times))

    def for_text(self, part: str, fault: Fault) -> None:
        self.by_text[part] = fault

    def always(self, fault: Fault | None) -> None:
        """Every embed call; None ends it."""
        self.standing = fault

    def vector(self, text: str) -> list[float]:
        words = re.findall(r"\w+", text.lower()) or [text]
        row: list[float] = np.sum([_direction(w, self.dimensions) for w in words], axis=0).tolist()
        return row

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        with self.lock:
            self.paths[path] += 1
        if path == "/api/version":
            return as_json({"version": "0.5.4"})
        if path == "/api/tags":
            models = [{"name": n, "model": n, "digest": d} for n, d in self.models.items()]
            return as_json({"models": models})
        if _full_name(str(body.get("model", ""))) not in self.models:
            error = f'model "{body.get("model")}" not found, try pulling it first'
            return as_json({"error": error}, 404)
        if path == "/api/show":
            return as_json(self._shown(verbose=bool(body.get("verbose"))))
        if path == "/api/embed":
            return self._embed(body)
        if path == "/api/chat":
            return self._chat(body)
        return Reply(b"404 page not found", 404, "text/plain")

    def _shown(self, *, verbose: bool) -> dict[str, Any]:
        info = {
            "general.architecture": "bert",
            "bert.context_length": self.context_length,
            "bert.embedding_length": self.dimensions,
            "tokenizer.ggml.model": "bert" if self.vocabulary else "gpt2",
            "tokenizer.ggml.tokens": self.vocabulary if verbose else None,
            "tokenizer.ggml.unknown_token_id": 0,
        }
        parameters = f"num_ctx {self.num_ctx}" if self.num_ctx else ""
        return {"model_info": info | self.model_info, "parameters": parameters, "details": {}}

    def _chat(self, body: dict[str, Any]) -> Reply:
        with self.lock:
            self.chats.append(body)
        fault = self.chat_fault and self.chat_fault(body)
        return fault or self.said(body, self.answer_to(body["messages"][-1]["content"]))

    def said(self, body: Mapping[str, Any], content: str, reason: str = "stop") -> Reply:
        """An answer as it is without `stream`: durations are in nanoseconds."""
        return as_json(
            {
                "model": body["model"],
                "message": {"role": "assistant", "content": content},
                "done": True,
                "done_reason": reason,
                "total_duration": 5_000_000_000,
                "load_duration": 3_000_000_000,
                "prompt_eval_count": self.count_tokens(body["messages"][-1]["content"]),
                "eval_count": self.count_tokens(content),
            }
        )

    def shaped(
        self, body: Mapping[str, Any], vectors: list[list[float]], tokens: int
    ) -> dict[str, Any]:
        return {"model": body["model"], "embeddings": vectors, "prompt_eval_count": tokens}

    def _embed(self, body: dict[str, Any]) -> Reply:
        given = body["input"]
        texts = [given] if isinstance(given, str) else list(given)
        with self.lock:
            self.calls.append(texts)
            self.bodies.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            fault = self._fault(texts)
        try:
            reply = fault(Request(self, texts, body)) if fault else self.honest(texts, body)
        finally:
            with self.lock:
                self.at_once -= 1
        return reply

    def _fault(self, texts: Iterable[str]) -> Fault | None:
        if self.queued:
            return self.queued.popleft()
        for part, fault in self.by_text.items():
            if any(part in text for text in texts):
                return fault
        return self.standing

    def honest(self, texts: list[str], body: Mapping[str, Any]) -> Reply:
        window = min(body.get("options", {}).get("num_ctx", 2048), self.context_length)
        if body.get("truncate") is False and any(self.count_tokens(t) > window for t in texts):
            return as_json({"error": "input length exceeds maximum context length"}, 400)
        with self.lock:
            self.embedded.update(texts)
        return Request(self, texts, body).answer()


def _words_for(question: str) -> str:
    """What is asked of a passage, with words that are in no document."""
    number = zlib.crc32(question.encode())
    questions = [f"What is zyx{number} good for, {n}?" for n in ("first", "second", "third")]
    return json.dumps({"context": f"It is about qwertz{number}.", "questions": questions})


@lru_cache(100_000)
def _direction(word: str, dimensions: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    seed = zlib.crc32(word.encode("utf-8", "replace"))
    return np.random.default_rng(seed).normal(size=dimensions)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, owner: OllamaServer) -> None:
        self.owner = owner
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", owner.port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in list(self.open):
            _shut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer takes the client's 40 ms of delayed ACK
    server: _Listener

    def do_GET(self) -> None:
        self.server.owner.headers.append(dict(self.headers))
        self._reply(self.server.owner.answer(self.path, {}))

    def do_POST(self) -> None:
        self.server.owner.headers.append(dict(self.headers))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._reply(self.server.owner.answer(self.path, json.loads(body or b"{}")))

    def _reply(self, reply: Reply) -> None:
        if reply.disconnect:
            _shut(self.connection)
            self.close_connection = True
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        if reply.cut:
            self.wfile.flush()
            _shut(self.connection)
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the tests read `calls`."""


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed already


def _full_name(model: str) -> str:
    return model if ":" in model else f"{model}:latest"


def embed_small(settings: Settings, server: OllamaServer) -> None:
    """Have what is read embedded by the server, in small chunks and batches."""
    settings.EMBEDDING_PROVIDER = "ollama"
    settings.EMBEDDING_MODEL = MODEL
    settings.OLLAMA_HOSTS = [server.host]
    settings.EMBEDDING_BATCH_SIZE = 4
    settings.CHUNK_SIZE, settings.CHUNK_OVERLAP = 100, 10
