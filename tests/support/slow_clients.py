"""Clients that take their time, and how long others wait meanwhile."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Filler: "
BODY = b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx="


def closed(client: socket.socket) -> bool:
    """Whether the server has ended the connection."""
    client.setblocking(False)
    try:
        return not client.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        client.setblocking(True)


def connect(port: int, begin: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.sendall(begin)
    return client


def is_open(port: int) -> bool:
    try:
        connect(port).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def dripping(port: int, begin: bytes, number: int) -> Iterator[list[socket.socket]]:
    """So many clients that begin a request and go on with a byte each half second; one whose
    connection is ended comes again."""
    clients = [connect(port, begin) for _ in range(number)]
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.5):
            for place, client in enumerate(clients):
                try:
                    client.sendall(b"a")
                except OSError:
                    client.close()
                    with contextlib.suppress(OSError):
                        clients[place] = connect(port, begin)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield clients
    finally:
        stop.set()
        thread.join()
        for client in clients:
            client.close()


@contextlib.contextmanager
def asking(port: int, path: str, number: int, patience: float) -> Iterator[None]:
    """So many probes, each asking as often as its patience lasts, in seconds."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(max(0.0, patience - seconds_for(port, path, patience))):
            pass

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def longest_wait(port: int, seconds: float, most: float = 200.0) -> float:
    """The longest of the times that /health took, asked ten times a second for so long."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        longest = max(longest, seconds_for(port, "/health", most))
        time.sleep(0.1)
    return longest


def seconds_for(port: int, path: str, most: float) -> float:
    begin = time.monotonic()
    with contextlib.suppress(OSError), connect(port) as client:
        client.settimeout(most)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.recv(12)
    return time.monotonic() - begin


@contextlib.contextmanager
def hanging_server() -> Iterator[str]:
    """The address of a server that takes every request and answers none."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
