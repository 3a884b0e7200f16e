"""A receiver of webhooks on the loopback interface, which checks signatures as docs/operations.md
shows.

with Webhook() as webhook:
    webhook.answers = [(500, "busy")]   # to the next ones; then 200
    ...
    assert webhook.events == [("began", "failed:1")]
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SECRET = "a secret of more than sixteen"


class Webhook:
    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        self.location = ""
        self.taken: list[dict[str, Any]] = []
        self.requests = 0
        self.hang = 0.0

    def __enter__(self) -> Self:
        owner = self

        class Handler(_Handler):
            server_of: Webhook = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/hook/of-ours"

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(note["event"], note["cause"]) for note in self.taken]


def is_ours(headers: Any, body: bytes) -> bool:
    timestamp = headers["X-Bbjrag-Timestamp"]
    signed = timestamp.encode() + b"." + body
    expected = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    is_signed = hmac.compare_digest(expected, headers["X-Bbjrag-Signature"])
    return is_signed and abs(time.time() - int(timestamp)) < 300


class _Handler(BaseHTTPRequestHandler):
    server_of: Webhook

    def do_POST(self) -> None:
        owner = self.server_of
        owner.requests += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(owner.hang)
        status, said = owner.answers.pop(0) if owner.answers else (200, "thanks")
        if not is_ours(self.headers, body):
            status, said = 401, "not signed"
        if status == 200:
            owner.taken.append(json.loads(body))
        self.send_response(status)
        if owner.location:
            self.send_header("Location", owner.location)
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass
