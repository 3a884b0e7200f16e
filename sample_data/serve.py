"""Run a command while the sample web sites are served on the loopback interface.

    python sample_data/serve.py .venv/bin/python manage.py ingest_all

Each folder below `web/` is a site, named for its host. WEB_ORIGIN_MAP has the command read these
hosts from here, WEB_ALLOW_NETWORKS admits the loopback network; the sources keep their real
addresses and nothing leaves the machine. Where DATA_DIR or WEB_ORIGIN_MAP is set to anything else,
in the environment or in .env, the command runs as it is. The exit status is the command's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dotenv import dotenv_values

HERE = Path(__file__).resolve().parent
LOOPBACK = "127.0.0.0/8"


class Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".htm": "text/html; charset=utf-8"}

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The origin at which the folder is served meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def setting(name: str) -> str:
    return os.environ.get(name) or dotenv_values(HERE.parent / ".env").get(name) or ""


def reads_samples() -> bool:
    data_dir = Path(setting("DATA_DIR") or HERE).expanduser().resolve()
    return data_dir == HERE and not setting("WEB_ORIGIN_MAP")


def main(command: list[str]) -> int:
    if not reads_samples():
        os.execvp(command[0], command)
    with ExitStack() as stack:
        sites = sorted(path for path in (HERE / "web").iterdir() if path.is_dir())
        pairs = [f"https://{site.name}={stack.enter_context(served(site))}" for site in sites]
        networks = [network for network in (setting("WEB_ALLOW_NETWORKS"), LOOPBACK) if network]
        sites_here = {"WEB_ORIGIN_MAP": ",".join(pairs), "WEB_ALLOW_NETWORKS": ",".join(networks)}
        return outlive(subprocess.Popen(command, env={**os.environ, **sites_here}))


def outlive(process: subprocess.Popen[bytes]) -> int:
    """The exit status of the command, which ends in its own time: Ctrl-C reaches it by itself, and
    SIGTERM is passed on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
