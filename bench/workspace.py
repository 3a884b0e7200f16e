"""Where a benchmark runs: a folder, a database and an environment of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bbjrag import env

FOLDER = Path(os.environ.get("BENCH_DIR") or Path(__file__).resolve().parent.parent / ".data/bench")
MATERIAL = FOLDER / "material"
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "bbjrag.settings",
    "ENV_FILE": os.devnull,
    "STATE_DIR": str(FOLDER / "state"),
    "DATA_DIR": str(MATERIAL),
    "LOG_LEVEL": "ERROR",
    # What it needs takes a quarter of an hour for 12,000 chunks: its cost is in docs/search.md.
    "LATE_INTERACTION": "false",
}
REAL_OLLAMA = os.environ.get("OLLAMA_HOST", "http://127.0.0.1:11434")


def enter() -> None:
    """Set the environment. Before anything reads the settings."""
    for name in env.listed():
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)


def fresh_folder(name: str) -> Path:
    """An empty folder for a source's files, below DATA_DIR."""
    folder = MATERIAL / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
