"""A site of its own, started by `make serve` and ended by Ctrl-C, as a person does both."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import psutil

from bbjrag import env

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLES = ROOT / "sample_data"
QUICK_POSTGRES = "fsync=off,synchronous_commit=off,full_page_writes=off"
PATIENCE = 120  # seconds
NAME, PASSWORD = "ada", "a window holds controls"


class Site:
    """State, database and port of its own; `data` is sample_data or a copy of it."""

    def __init__(self, folder: Path, data: Path = SAMPLES) -> None:
        self.data = data
        self.log = folder / "serve.log"
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        given = {name: value for name, value in os.environ.items() if name not in env.listed()}
        self.environment = given | {
            "ENV_FILE": os.devnull,
            "STATE_DIR": str(folder / "state"),
            "EMBEDDED_POSTGRES_SETTINGS": QUICK_POSTGRES,
        }

    def make_serve(self) -> list[str]:
        """`make serve` with the interpreter of the tests, which is not installed again here. In a
        copy of sample_data its own serve.py is run: it serves the copy's web sites."""
        venv = Path(sys.prefix)
        command = ["make", "serve", f"ADDRESS={self.address}", f"VENV={venv}"]
        if self.data != SAMPLES:
            command.append(f"SAMPLES={sys.executable} {self.data / 'serve.py'}")
            self.environment["DATA_DIR"] = str(self.data)
        return [*command, "--old-file", str(venv / ".installed")]

    @contextmanager
    def served(self) -> Iterator[Site]:
        with self.log.open("w") as log:
            process = subprocess.Popen(
                self.make_serve(),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.wait_until_it_answers(process)
            yield self
        finally:
            self.interrupt(process)
            self.manage("postgres", "stop")

    def wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=PATIENCE):
                    return
            except (URLError, ConnectionError):
                time.sleep(0.1)
        raise AssertionError(f"make serve does not answer: {self.log.read_text()}")

    def interrupt(self, process: subprocess.Popen[bytes]) -> None:
        """Press Ctrl-C, which reaches the whole group; all that was started ends."""
        started = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        _, alive = psutil.wait_procs(started, timeout=PATIENCE)
        for left in alive:
            left.kill()
        process.wait()
        assert alive == [], self.log.read_text()

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def create_superuser(self, name: str = NAME, password: str = PASSWORD) -> str:
        """Run `manage.py createsuperuser` in a terminal and answer its questions."""
        answers = {
            "Username": name,
            "Email address": f"{name}@example.org",
            "Password:": password,
            "Password (again):": password,
        }
        command = [sys.executable, "manage.py", "createsuperuser"]
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        for question, answer in answers.items():
            read_until(ours, question)
            os.write(ours, f"{answer}\n".encode())
        said = read_until(ours, "Superuser created")
        process.wait(PATIENCE)
        os.close(ours)
        return said


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def read_until(terminal: int, wanted: str) -> str:
    """What the terminal shows up to the wanted words."""
    said = ""
    while wanted not in said:
        assert select.select([terminal], [], [], PATIENCE)[0], said
        said += os.read(terminal, 1024).decode()
    return said
