"""Measure the memory of everything together, while one large source is read.

    python -m tests.scripts.measure_memory [--topics 7000]

Starts `manage.py serve` (web and worker, embedded database, wordllama) in a folder of its own,
makes a Flare project of so many topics, and reads it while `/ready` is asked twice a second. Prints
the largest sum of PSS (proportional set size) of all these processes, by kind, in MB.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:8765"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--topics", type=int, default=7_000)
    topics = arguments.parse_args().topics
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"STATE_DIR": f"{folder}/state", "DATA_DIR": f"{folder}/data"}
        _run("-m", "tests.scripts.generate_flare", f"{folder}/data/big", "--topics", str(topics))
        _run("manage.py", "migrate", "--verbosity", "0")
        _run("manage.py", "shell", "-c", SOURCE)
        server = subprocess.Popen([sys.executable, "manage.py", "serve", ADDRESS], cwd=ROOT)
        try:
            _measure(folder)
        finally:
            server.terminate()
            server.wait()
            _run("manage.py", "postgres", "stop")


SOURCE = """
from sources.models import Source
Source.objects.all().delete()
Source.objects.create(name="big", title="Big", parser="FlareParser", paths=["big"])
"""


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)


def _measure(folder: str) -> None:
    time.sleep(10)
    print("idle:", _shown(_memory(folder)), flush=True)
    reading = subprocess.Popen(
        [sys.executable, "manage.py", "ingest_all", "--source", "big"], cwd=ROOT
    )
    most: Counter[str] = Counter()
    while reading.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{ADDRESS}/ready", timeout=5).close()
        most = max(most, _memory(folder), key=lambda found: found.total())
        time.sleep(0.5)
    print("most:", _shown(most), flush=True)
    print("after:", _shown(_memory(folder)), flush=True)


def _memory(folder: str) -> Counter[str]:
    """PSS in bytes, by kind of process."""
    found: Counter[str] = Counter()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and _belongs(process, folder):
                found[_kind(process)] += process.memory_full_info().pss
    return found


def _belongs(process: psutil.Process, folder: str) -> bool:
    if process.cwd().startswith(f"{folder}/"):
        return True
    return process.environ().get("STATE_DIR", "").startswith(folder)


def _kind(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    kinds = {"postgres": "database", "gunicorn": "web", "ingest_all": "command"}
    return next((kind for name, kind in kinds.items() if name in line), "worker")


def _shown(found: Counter[str]) -> str:
    kinds = ", ".join(f"{kind} {size / 2**20:.0f}" for kind, size in found.most_common())
    return f"{found.total() / 2**20:.0f} MB ({kinds})"


if __name__ == "__main__":
    main()
