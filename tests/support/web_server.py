"""Web servers on the loopback interface: folders as sites, and every fault a site can have.

with WebServer() as server:
    server.folder(Path("site"))                     # files, with ETag and Last-Modified
    server.page("/a", "<h1>A</h1>")
    server.always("/b", status(500))
    server.next("/c", status(429, retry_after="1"))  # once, then what is otherwise there
    ...
    assert server.bodies == 1                        # answers that carried one
"""

from __future__ import annotations

import gzip
import hashlib
import ipaddress
import mimetypes
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@dataclass(frozen=True)
class Answer:
    """What goes over the wire. `parts` are sent one by one, `pause` seconds apart; a length is only
    announced for a `body`. `drip` sends even the head letter by letter."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: Callable[[], Iterator[bytes]] | None = None
    pause: float = 0.0
    drip: bool = False
    hang: float = 0.0


def html(body: str, head: str = "", title: str = "") -> Answer:
    page = (
        f"<!DOCTYPE html><html><head><title>{title}</title>{head}</head><body>{body}</body></html>"
    )
    return typed(page.encode(), "text/html; charset=utf-8")


def typed(body: bytes, content_type: str) -> Answer:
    return Answer(body, headers={"Content-Type": content_type})


def status(code: int, **headers: str) -> Answer:
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Answer(b"<h1>no</h1>", code, {"Content-Type": "text/html", **named})


def redirect(target: str, code: int = 302) -> Answer:
    return Answer(status=code, headers={"Location": target})


def endless(part: bytes = b"x" * 65536, pause: float = 0.0, total: int | None = None) -> Answer:
    """A body that does not end (or ends after `total` bytes)."""

    def parts() -> Iterator[bytes]:
        sent = 0
        while total is None or sent < total:
            yield part
            sent += len(part)

    return Answer(headers={"Content-Type": "text/html"}, parts=parts, pause=pause)


def gzip_bomb(size: int) -> Answer:
    """`size` bytes of zeros, packed to a thousandth."""
    block = b"\0" * 1_000_000
    packed = gzip.compress(block) * (size // len(block))
    return Answer(packed, headers={"Content-Type": "text/html", "Content-Encoding": "gzip"})


class WebServer:
    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[str], Answer]] = {}
        self.once: dict[str, deque[Answer]] = {}
        self.roots: list[Path] = []
        self.fallback: Callable[[str], Answer | None] = lambda path: None
        self.requests: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.times: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.bodies = 0
        self.body_bytes = 0

    def __enter__(self) -> Self:
        owner = self

        class Handler(_Handler):
            server_of: WebServer = owner

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._http.server_port)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wrap(self, context: Any) -> None:
        """Speak TLS from now on."""
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    def folder(self, root: Path) -> None:
        self.roots.append(root)

    def page(self, path: str, body: str, head: str = "", title: str = "") -> None:
        self.answers[path] = html(body, head, title)

    def always(self, path: str, answer: Answer | Callable[[str], Answer]) -> None:
        self.answers[path] = answer

    def next(self, path: str, *answers: Answer) -> None:
        self.once.setdefault(path, deque()).extend(answers)

    def forget(self) -> None:
        """Count again."""
        self.requests.clear()
        self.headers.clear()
        self.times.clear()
        self.statuses.clear()
        self.bodies = self.body_bytes = 0

    def answer(self, path: str) -> Answer:
        if self.once.get(path):
            return self.once[path].popleft()
        found = self.answers.get(path) or self.answers.get(urlsplit(path).path)
        if found is not None:
            return found if isinstance(found, Answer) else found(path)
        return self._file(unquote(urlsplit(path).path)) or self.fallback(path) or status(404)

    def _file(self, path: str) -> Answer | None:
        for root in self.roots:
            file = root / path.lstrip("/")
            if file.is_dir():
                file = next((file / n for n in INDEXES if (file / n).is_file()), file)
            if file.is_file():
                kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                modified = formatdate(file.stat().st_mtime, usegmt=True)
                return Answer(
                    file.read_bytes(), headers={"Content-Type": kind, "Last-Modified": modified}
                )
        return None


INDEXES = ("index.html", "index.htm")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Guests hang up in the middle; that is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: WebServer

    def do_GET(self) -> None:
        owner = self.server_of
        owner.requests.append(self.path)
        owner.headers.append(dict(self.headers))
        owner.times.append(time.monotonic())
        answer = owner.answer(self.path)
        time.sleep(answer.hang)
        if answer.drip:
            self._drip()
        elif answer.parts is not None:
            self._stream(answer)
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        headers = dict(answer.headers)
        code, body = answer.status, answer.body
        if code == 200:
            headers.setdefault("ETag", f'"{hashlib.md5(body).hexdigest()}"')
            if self.headers.get("If-None-Match") == headers["ETag"]:
                code, body = 304, b""
        self.server_of.statuses[code] += 1
        self.server_of.bodies += bool(body) and code == 200
        self.server_of.body_bytes += len(body)
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if code != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer: Answer) -> None:
        self.close_connection = True
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for part in answer.parts() if answer.parts else ():
            self.wfile.write(part)
            self.server_of.body_bytes += len(part)
            time.sleep(answer.pause)

    def _drip(self) -> None:
        self.close_connection = True
        for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000:
            self.wfile.write(bytes([letter]))
            time.sleep(0.05)

    def log_message(self, format: str, *args: Any) -> None:
        pass
