"""How long a run takes to go on after a fault, with the default settings, as a Markdown table.

    python -m tests.scripts.measure_recovery [--only WORD ...] [--output FILE]

Each fault is done to an installation of its own: a real `manage.py worker`, a real PostgreSQL, a
source of 40 pages; an Ollama on the loopback interface answers a batch in 0.4 s. The seconds count
from the fault (where it lasts, from its end) until the next document is stored.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.installation import NAMES, Home
from tests.support.ollama_server import OllamaServer, hanging, html

PACE = 0.4  # seconds a batch
LASTS = 5.0  # seconds of an outage
PATIENCE = 200.0


@dataclass
class Scene:
    """A worker that reads, with some documents stored already."""

    home: Home
    ollama: OllamaServer
    worker: subprocess.Popen[str]

    def members(self) -> list[psutil.Process]:
        return psutil.Process(self.worker.pid).children()

    def watcher(self) -> psutil.Process:
        said = self.home.ask("SELECT worker FROM ingestion_sourcerun ORDER BY id DESC LIMIT 1")
        return psutil.Process(int(str(said).split()[1]))

    def idle(self) -> psutil.Process:
        return next(member for member in self.members() if member.pid != self.watcher().pid)

    def restart_worker(self) -> None:
        self.worker.communicate()
        self.worker = self.home.start("worker")


def kill_reading(scene: Scene) -> None:
    scene.watcher().children()[0].kill()


def stop_reading(scene: Scene) -> None:
    for process in scene.watcher().children():
        process.suspend()


def kill_watcher(scene: Scene) -> None:
    scene.watcher().kill()


def kill_idle(scene: Scene) -> None:
    scene.idle().kill()


def stand_still(scene: Scene) -> None:
    for member in scene.members():
        for process in [member, *member.children(recursive=True)]:
            process.suspend()


def kill_worker(scene: Scene) -> None:
    scene.worker.kill()
    scene.restart_worker()


def terminate_worker(scene: Scene) -> None:
    scene.worker.terminate()
    scene.restart_worker()


def restart_postgres(scene: Scene) -> None:
    scene.home.server.stop()  # whoever needs it next starts it again


def kill_everything(scene: Scene) -> None:
    data = str(scene.home.server.data)
    postmaster = int((Path(data) / "postmaster.pid").read_text().split()[0])
    for process in [*psutil.Process(postmaster).children(), psutil.Process(postmaster)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    kill_worker(scene)


def cut_connections(scene: Scene) -> None:
    with scene.home.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bbjrag'"
        )


def take_connections(scene: Scene) -> None:
    cut_connections(scene)
    hogs = scene.home.take_all_connections()
    time.sleep(LASTS)
    for hog in hogs:
        hog.close()


def lock_table(scene: Scene) -> None:
    with scene.home.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE ingestion_chunk IN SHARE MODE")
        time.sleep(LASTS)


def stop_ollama(scene: Scene) -> None:
    scene.ollama.stop()
    time.sleep(LASTS)
    scene.ollama.start()


def proxy_page(scene: Scene) -> None:
    honest = scene.ollama.by_text.pop("word")
    scene.ollama.for_text("", html(502))
    time.sleep(LASTS)
    scene.ollama.by_text.clear()
    scene.ollama.for_text("word", honest)


def hang_requests(scene: Scene) -> None:
    """What is asked meanwhile is never answered; EMBEDDING_TIMEOUT ends the waiting."""
    honest = scene.ollama.by_text.pop("word")
    scene.ollama.for_text("", hanging(3600))
    time.sleep(LASTS)
    scene.ollama.by_text.clear()
    scene.ollama.for_text("word", honest)


def hang_ollama(scene: Scene) -> None:
    hang_requests(scene)
    scene.ollama.stop()  # a server that hangs is restarted
    scene.ollama.start()


def kill_runner_twice(scene: Scene) -> None:
    scene.ollama.next(html(500), html(500))


def fill_disk(scene: Scene) -> None:
    """A table space of 24 MB for the chunks; needs the right to mount."""
    filling = small(scene) / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 65536)
    time.sleep(LASTS)
    filling.unlink()


def small(scene: Scene) -> Path:
    return scene.home.data.parent / "small"


@contextmanager
def small_disk(home: Home) -> Iterator[None]:
    folder = home.data.parent / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        place = folder / "space"
        place.mkdir()
        os.chown(place, home.server.data.stat().st_uid, home.server.data.stat().st_gid)
        for above in [folder, *folder.parents][:4]:
            above.chmod(above.stat().st_mode | 0o711)
        with home.connect() as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
            connection.execute("ALTER TABLE ingestion_chunk SET TABLESPACE small")
        yield
        with home.connect() as connection:
            connection.execute("ALTER TABLE ingestion_chunk SET TABLESPACE pg_default")
            connection.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@dataclass(frozen=True)
class Fault:
    name: str
    do: Callable[[Scene], None]
    expected: str
    settings: dict[str, str] = field(default_factory=dict)
    around: Callable[[Home], contextlib.AbstractContextManager[None]] | None = None
    patience: float = PATIENCE  # seconds


FAULTS = [
    Fault("kill -9 of the process that reads", kill_reading, "next attempt"),
    Fault("kill -9 of the process that watches it", kill_watcher, "next attempt"),
    Fault("kill -9 of an idle process of the worker", kill_idle, "nothing to notice"),
    Fault("all processes of the worker hang (SIGSTOP)", stand_still, "next attempt"),
    Fault("kill -9 of the whole worker, restarted", kill_worker, "next attempt"),
    Fault("SIGTERM to the worker, restarted", terminate_worker, "given back, no attempt burnt"),
    Fault("kill -9 of the worker and of PostgreSQL, restarted", kill_everything, "next attempt"),
    Fault("PostgreSQL restarted", restart_postgres, "waits for the database"),
    Fault("all connections cut", cut_connections, "waits for the database"),
    Fault(f"no connection left for {LASTS:g} s", take_connections, "waits for the database"),
    Fault(f"the chunk table locked for {LASTS:g} s", lock_table, "nothing to notice"),
    Fault(f"disk full for {LASTS:g} s", fill_disk, "waits for the database", around=small_disk),
    Fault(f"Ollama down for {LASTS:g} s", stop_ollama, "waits for the embedder"),
    Fault(f"a proxy's error page for {LASTS:g} s", proxy_page, "waits for the embedder"),
    Fault(f"Ollama hangs for {LASTS:g} s, is restarted", hang_ollama, "retried at once"),
    Fault(
        f"Ollama never answers what it is asked in {LASTS:g} s",
        hang_requests,
        "retried after EMBEDDING_TIMEOUT",
    ),
    Fault("two answers of 500", kill_runner_twice, "retried at once"),
    Fault(
        "the process that reads hangs (SIGSTOP)",
        stop_reading,
        "next attempt after RUN_STALL_LIMIT",
        patience=1_000.0,
    ),
]


def measured(fault: Fault) -> str:
    """A row of the table. Raises AssertionError where the run did not end whole."""
    with tempfile.TemporaryDirectory(prefix="recovery") as folder, OllamaServer() as ollama:
        home = Home(Path(folder), ollama, fault.settings)
        try:
            with fault.around(home) if fault.around else contextlib.nullcontext():
                seconds = _disturbed(fault, home, ollama)
                seen = _seen(home, ollama)
        finally:
            home.server.stop()
    return f"| {fault.name} | {fault.expected} | {seen} | {seconds:.1f} |"


def _disturbed(fault: Fault, home: Home, ollama: OllamaServer) -> float:
    ollama.for_text("word", hanging(PACE))
    scene = Scene(home, ollama, home.start("worker"))
    try:
        home.run("ingest_all", "--no-wait")
        _until(lambda: home.documents() > 0)
        fault.do(scene)
        began = time.monotonic()
        _until(lambda: home.state() is not None)  # the database answers
        stored = home.documents()
        _until(lambda: home.documents() > stored, fault.patience)
        seconds = time.monotonic() - began
        _until(lambda: home.state() in ("succeeded", "partial", "failed"))
        return seconds
    finally:
        scene.worker.send_signal(signal.SIGTERM)
        scene.worker.communicate(timeout=60)


def _seen(home: Home, ollama: OllamaServer) -> str:
    home.is_sound()
    state, documents = home.state(), home.documents()
    assert (state, documents) == ("succeeded", len(NAMES)), (state, documents)
    attempt = home.ask("SELECT attempt FROM ingestion_sourcerun ORDER BY id DESC LIMIT 1")
    twice = sum(n - 1 for text, n in ollama.embedded.items() if "word" in text)
    return f"{state}, attempt {attempt}, {twice} texts embedded twice"


def _until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", default=[""], help="words of the faults' names")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = ["| fault | expected | seen | seconds |", "|---|---|---|--:|"]
    for fault in FAULTS:
        if any(word in fault.name for word in options.only):
            try:
                rows.append(measured(fault))
            except Exception as error:  # noqa: BLE001 - told, and the others are measured
                rows.append(f"| {fault.name} | {fault.expected} | **{error!r}** | |")
            print(rows[-1], file=sys.stderr, flush=True)
    text = "\n".join(rows) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
