"""An Ollama server that answers at once, for measuring everything around the embedder; or slowly,
for measuring how busy it is kept.

    python -m bench.embedder [--dimensions 1024] [--slots 8 --batch 0.3 --text 0.01]

It prints its address. With `--slots` it works at so many requests at a time, each of which takes so
many seconds for itself and for each of its texts, and /busy answers how busy it was.

Vectors are seeded, clustered as real ones are, and differ by text: each of a vector's PIECES is one
of VARIANTS spellings of its cluster's piece, chosen by the text's hash, and written out beforehand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

MODEL = "bench-embed:latest"
CLUSTERS, PIECES, VARIANTS = 256, 16, 4
NOISE = 0.7  # of a piece, beside its cluster's values: within a cluster the cosine is 0.6 to 0.9
CONTEXT = 8192


class Speller:
    """Writes the vector of any text as JSON, by joining pieces."""

    def __init__(self, dimensions: int, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        width = dimensions // PIECES
        centres = rng.normal(size=(CLUSTERS, PIECES, 1, width))
        noise = rng.normal(size=(CLUSTERS, PIECES, VARIANTS, width)) * NOISE
        values = (centres + noise) / np.sqrt(dimensions)
        self.pieces = [
            [[",".join(f"{v:.8f}" for v in variant) for variant in piece] for piece in cluster]
            for cluster in values
        ]

    def vector(self, text: str) -> str:
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        cluster = self.pieces[number % CLUSTERS]
        chosen = (
            piece[(number >> (8 + 2 * place)) % VARIANTS] for place, piece in enumerate(cluster)
        )
        return f"[{','.join(chosen)}]"


@dataclass(frozen=True)
class Speed:
    """`slots` requests are worked at at a time; 0: everything is answered at once. `batch` and
    `text` are the seconds of a request, and of each text in it."""

    slots: int = 0
    batch: float = 0.0
    text: float = 0.0

    def arguments(self) -> list[str]:
        return [part for name, value in asdict(self).items() for part in (f"--{name}", str(value))]


class Work:
    """Takes its time, in the order of the requests, and knows from when to when."""

    def __init__(self, speed: Speed) -> None:
        self.speed = speed
        self.free = threading.Semaphore(speed.slots)
        self.spans: list[tuple[float, float, int]] = []

    def do(self, texts: int) -> None:
        if not self.speed.slots:
            return
        with self.free:
            began = time.monotonic()
            time.sleep(self.speed.batch + texts * self.speed.text)
            self.spans.append((began, time.monotonic(), texts))

    def busy(self) -> dict[str, float]:
        """The share of the time in which it worked at as much as it can, between the first request
        of several texts and the end of the last; how long that was, and the largest request."""
        spans = [span for span in self.spans if span[2] > 1]
        began, ended = min(span[0] for span in spans), max(span[1] for span in spans)
        worked = sum(end - start for start, end, _ in spans)
        return {
            "share": worked / (self.speed.slots * (ended - began)),
            "seconds": ended - began,
            "requests": len(spans),
            "largest": max(texts for _, _, texts in spans),
        }


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, dimensions: int, speed: Speed) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.dimensions = dimensions
        self.speller = Speller(dimensions)
        self.work = Work(speed)

    def answer(self, path: str, body: dict[str, object]) -> str:
        if path == "/busy":
            return json.dumps(self.work.busy())
        if path == "/api/tags":
            entry = {"name": MODEL, "model": MODEL, "digest": f"bench-{self.dimensions}"}
            return json.dumps({"models": [entry]})
        if path == "/api/show":
            info = {"general.architecture": "bench", "bench.context_length": CONTEXT}
            return json.dumps({"model_info": info, "parameters": f"num_ctx {CONTEXT}"})
        given = body.get("input", [])
        texts = [given] if isinstance(given, str) else list(given)  # type: ignore[call-overload]
        self.work.do(len(texts))
        vectors = ",".join(map(self.speller.vector, texts))
        counted = sum(len(text) // 4 for text in texts)
        return f'{{"model":"{MODEL}","embeddings":[{vectors}],"prompt_eval_count":{counted}}}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        self._reply({})

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _reply(self, body: dict[str, object]) -> None:
        reply = self.server.answer(self.path, body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving(dimensions: int, speed: Speed = Speed()) -> Iterator[str]:
    """A server in a process of its own; its address."""
    command = [sys.executable, "-m", "bench.embedder", "--dimensions", str(dimensions)]
    command += speed.arguments()
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stdin=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--dimensions", type=int, default=1024)
    arguments.add_argument("--slots", type=int, default=0)
    arguments.add_argument("--batch", type=float, default=0.0)
    arguments.add_argument("--text", type=float, default=0.0)
    given = arguments.parse_args()
    server = Server(given.dimensions, Speed(given.slots, given.batch, given.text))
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    _end_with_parent(server)


def _end_with_parent(server: Server) -> None:
    """Serve until standard input is closed, which the end of the parent does."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while os.read(0, 1):
        pass


if __name__ == "__main__":
    main()
