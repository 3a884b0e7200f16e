"""Git repositories and real servers of them on the loopback: git daemon, smart HTTP(S), ssh."""

from __future__ import annotations

import base64
import contextlib
import getpass
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.com",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.com",
    "GIT_ALLOW_PROTOCOL": "file",
}
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *arguments],
        cwd=folder,
        env=ENVIRONMENT | {"HOME": str(folder)},
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


class Project:
    """A working copy, and the bare repository `name.git` that it is pushed to."""

    def __init__(self, folder: Path, name: str = "docs") -> None:
        self.folder = folder / f"{name}-work"
        self.bare = folder / f"{name}.git"
        self.folder.mkdir(parents=True)
        git(self.folder, "init", "--quiet")
        git(folder, "init", "--quiet", "--bare", str(self.bare))
        (self.bare / "git-daemon-export-ok").touch()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes] | None = None, push: str = "main") -> str:
        """Commit everything, with these files; push it; its id."""
        self.write(files or {})
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", "a change")
        if push:
            self.push(f"+HEAD:refs/heads/{push}")
        return git(self.folder, "rev-parse", "HEAD")

    def push(self, *refs: str) -> None:
        git(self.folder, "push", "--quiet", str(self.bare), *refs)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens at {port}")


@contextlib.contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """`git daemon` of the repositories below a folder; the beginning of their addresses."""
    port = free_port()
    command = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen(
        [*command, f"--base-path={folder}", str(folder)],
        env=ENVIRONMENT | {"HOME": str(folder)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(port)
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


class HttpServer:
    """Smart HTTP by `git http-backend`, of the repositories below a folder.

    With `known` (`user:password`), others get 401. `redirect` sends everybody elsewhere; `refusal`
    is what those who are known are refused with. `pause` is how long the server waits before each
    piece of an answer; `meanwhile` is called then.
    """

    def __init__(self, folder: Path, known: str = "", certificate: Path | None = None) -> None:
        self.folder = folder
        self.known = known
        self.redirect = self.refusal = ""
        self.pause = 0.0
        self.meanwhile: Callable[[], object] = list
        self.requests: list[str] = []
        self.shown: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.port = self.http.server_address[1]
        self.origin = f"{scheme}://localhost:{self.port}"

    def __enter__(self) -> HttpServer:
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append(request.path)
        given = request.headers.get("Authorization", "")
        body = _body(request)
        if given:
            self.shown.append(base64.b64decode(given.partition(" ")[2]).decode())
        if self.redirect:
            _send(request, 301, {"Location": self.redirect + request.path}, b"")
        elif self.known and (not given or self.shown[-1] != self.known):
            _send(request, 401, {"WWW-Authenticate": 'Basic realm="docs"'}, b"")
        elif self.refusal:
            _send(request, 403, {"Content-Type": "text/plain"}, self.refusal.encode())
        else:
            self._pass_on(request, body)

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path, _, query = request.path.partition("?")
        variables = {
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            ["git", "http-backend"],
            env=ENVIRONMENT | {"HOME": str(self.folder)} | variables,
            input=body,
            capture_output=True,
            check=False,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if line)
        status = int(headers.pop("Status", "200 OK").split()[0])
        with contextlib.suppress(OSError):
            _send(request, status, headers, content, self.wait)

    def wait(self) -> None:
        self.meanwhile()
        time.sleep(self.pause)


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


def _send(
    request: BaseHTTPRequestHandler,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    wait: Callable[[], object] = list,
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    for start in range(0, len(content), 64 * 1024):
        wait()
        request.wfile.write(content[start : start + 64 * 1024])


def encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


def weight(folder: Path) -> int:
    """The bytes of all files below a folder."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.lstat().st_size
    return size


def certificate(folder: Path) -> Path:
    """A certificate of its own for localhost, with its key."""
    made = folder / "localhost.pem"
    new = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(made))
    command = ["openssl", "req", *new, *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    made.write_text(made.read_text() + (folder / "key.pem").read_text())
    return made


class SilentServer:
    """It takes connections, and never answers."""

    def __enter__(self) -> SilentServer:
        self.tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Silent)
        self.tcp.daemon_threads = True
        self.port = self.tcp.server_address[1]
        threading.Thread(target=self.tcp.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.tcp.shutdown()
        self.tcp.server_close()


class _Silent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while self.request.recv(4096):
                pass


class SshServer:
    """An sshd for this user; `key` is a deploy key that it lets in, `known_hosts` a file with its
    own key."""

    def __init__(self, folder: Path, host: str = "localhost") -> None:
        self.port = free_port()
        self.folder = folder
        folder.mkdir(parents=True)
        for name in ("host", "deploy"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(make, check=True)
        self.user = getpass.getuser()
        self.key = (folder / "deploy").read_text()
        self.deploy_public = (folder / "deploy.pub").read_text()
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[{host}]:{self.port} {(folder / 'host.pub').read_text()}")

    def __enter__(self) -> SshServer:
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/deploy.pub\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nPidFile {self.folder}/pid\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [str(SSHD), "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL
        )
        wait_for(self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
