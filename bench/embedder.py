"""An Ollama server that answers at once, for measuring everything around the embedder.

    python -m bench.embedder [--dimensions 1024]      # prints its address

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
from collections.abc import Iterator
from contextlib import contextmanager
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


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, dimensions: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.dimensions = dimensions
        self.speller = Speller(dimensions)

    def answer(self, path: str, body: dict[str, object]) -> str:
        if path == "/api/tags":
            entry = {"name": MODEL, "model": MODEL, "digest": f"bench-{self.dimensions}"}
            return json.dumps({"models": [entry]})
        if path == "/api/show":
            info = {"general.architecture": "bench", "bench.context_length": CONTEXT}
            return json.dumps({"model_info": info, "parameters": f"num_ctx {CONTEXT}"})
        given = body.get("input", [])
        texts = [given] if isinstance(given, str) else list(given)  # type: ignore[call-overload]
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
def serving(dimensions: int) -> Iterator[str]:
    """A server in a process of its own; its address."""
    command = [sys.executable, "-m", "bench.embedder", "--dimensions", str(dimensions)]
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
    server = Server(arguments.parse_args().dimensions)
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
