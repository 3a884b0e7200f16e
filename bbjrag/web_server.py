"""The gunicorn worker that answers: waitress receives, and a thread sees whole requests only.

Gunicorn binds the port, forks the processes and replaces those that die or hang. In each of them
one loop reads and writes all connections, so that a slow client takes up no thread. A connection
has to be done in time, and if there are too many, the one that has waited longest is ended.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

TURN = 0.5  # seconds after which the loop looks whether it goes on
MOST_HEADER_BYTES = 32 * 1024
RESPONSE_SECONDS = 120.0  # in which a client has taken all of an answer


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request, and since when it has been received."""

    def __init__(self, adjustments: Adjustments) -> None:
        super().__init__(adjustments)
        self.began = time.monotonic()


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection, and since when it has waited for its client."""

    parser_class = Request

    def __init__(self, *args: Any, **options: Any) -> None:
        self.waits_since = time.monotonic()
        super().__init__(*args, **options)

    def write_soon(self, data: Any) -> int:
        self.waits_since = time.monotonic()
        return int(super().write_soon(data))

    def is_late(self, now: float) -> bool:
        """Whether the client has not sent its request, or not taken the answer, in its time."""
        if self.requests:
            return False
        if self.total_outbufs_len:
            return now - self.waits_since > RESPONSE_SECONDS
        request = self.request
        since = request.began if request else self.waits_since
        return bool(now - since > settings.REQUEST_TIMEOUT)

    @property
    def is_busy(self) -> bool:
        return bool(self.requests or self.request or self.total_outbufs_len)


class Server(TcpWSGIServer):  # type: ignore[misc]
    """A listening socket and its connections, `most` at a time."""

    channel_class = Channel

    def __init__(self, application: Callable[..., Any], most: int, **options: Any) -> None:
        self.most = most
        super().__init__(application, **options)

    def getsockname(self) -> tuple[str, str]:
        """What a request without a Host header has in its environment."""
        name = self.socket.getsockname()
        return (str(name[0]), str(name[1])) if isinstance(name, tuple) else ("localhost", "")

    def set_socket_options(self, conn: socket.socket) -> None:
        if conn.family != socket.AF_UNIX:
            super().set_socket_options(conn)

    def fix_addr(self, addr: Any) -> Any:
        return addr or ("localhost", None)

    def handle_accept(self) -> None:
        """Accept all that have come, as one turn of the loop looks at every connection."""
        for _ in range(self.adj.backlog):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before:
                return
            if before >= self.most:
                self._close_oldest()

    def _close_oldest(self) -> None:
        waiting = [channel for channel in self.active_channels.values() if not channel.requests]
        if waiting:
            min(waiting, key=lambda channel: channel.waits_since).handle_close()

    def maintenance(self, now: float) -> None:
        """Called once a second."""
        clock = time.monotonic()
        for channel in self.active_channels.values():
            if channel.is_late(clock):
                channel.will_close = True


class WebWorker(Worker):  # type: ignore[misc]
    def run(self) -> None:
        self.connections: dict[int, Any] = {}
        self.dispatcher = ThreadedTaskDispatcher()
        self.dispatcher.set_thread_count(self.cfg.threads)
        self.servers = [self._server(listener.sock) for listener in self.sockets]
        while self.alive and self.ppid == os.getppid():
            self._turn()
        self._finish()

    def _server(self, listener: socket.socket) -> Server:
        return Server(
            self.wsgi,
            self.cfg.worker_connections,
            map=self.connections,
            _sock=listener,
            dispatcher=self.dispatcher,
            adj=adjustments(self.cfg.backlog),
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
            bind_socket=False,
        )

    def _turn(self) -> None:
        self.notify()
        wasyncore.loop(timeout=TURN, use_poll=True, map=self.connections, count=1)

    def _finish(self) -> None:
        """Take no more connections, and answer those that have asked."""
        deadline = time.monotonic() + self.cfg.graceful_timeout
        for server in self.servers:
            server.accepting = False
        while time.monotonic() < deadline and self._is_busy():
            self._turn()
        self.dispatcher.shutdown(timeout=1)

    def _is_busy(self) -> bool:
        channels = (c for server in self.servers for c in server.active_channels.values())
        return any(channel.is_busy for channel in channels)


def adjustments(backlog: int) -> Adjustments:
    """The limits of a connection, for waitress. Proxies are believed by Django, as
    TRUSTED_PROXIES says; the number of connections is limited by `Server`."""
    return Adjustments(
        backlog=backlog,
        cleanup_interval=1,
        clear_untrusted_proxy_headers=False,
        connection_limit=1_000_000,
        ident="",
        log_socket_errors=False,
        max_request_body_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        max_request_header_size=MOST_HEADER_BYTES,
        sockets=[],
    )
