"""LangChain's indexer and LlamaIndex's pipeline, on the same pages, embedder and database."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from django.db import connection

from bench import workspace

HERE = Path(__file__).resolve().parent
PLACE = workspace.FOLDER / "peers"
TABLES = (*("langchain_pg_embedding", "langchain_pg_collection", "upsertion_record", "data_bench"),)


@dataclass(frozen=True)
class Loaded:
    """`seconds` and CPU seconds (`cpu`, without the database's) of a whole command."""

    seconds: float
    cpu: float
    chunks: int


def install() -> Path:
    """The interpreter of the environment that has them."""
    python = PLACE / "venv" / "bin" / "python"
    done = PLACE / "installed.txt"
    wanted = (HERE / "requirements.txt").read_text()
    if not done.exists() or done.read_text() != wanted:
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PLACE / "venv"], check=True)
        install = ["install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([python, "-m", "pip", *install, "-r", HERE / "requirements.txt"], check=True)
        done.write_text(wanted)
    return python


def forget() -> None:
    """Drop what they have stored."""
    shutil.rmtree(PLACE / "llamaindex", ignore_errors=True)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {', '.join(TABLES)} CASCADE")


def load(script: str, folder: Path, host: str, model: str) -> Loaded:
    """Run one of the scripts beside this file as a command of its own."""
    arguments = [str(folder), host, model, _url()]
    if script.startswith("llamaindex"):
        arguments.append(str(PLACE / "llamaindex"))
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    made = subprocess.run(
        [install(), HERE / f"{script}.py", *arguments],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        cwd=PLACE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if made.returncode:
        raise RuntimeError(f"{script} failed: {made.stderr[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Loaded(seconds, cpu, json.loads(made.stdout.splitlines()[-1])["chunks"])


def _url() -> str:
    """The benchmark's database, as SQLAlchemy names it."""
    given = connection.get_connection_params()
    user = quote(given["user"], safe="")
    secret = f":{quote(given['password'], safe='')}" if given.get("password") else ""
    place = f"host={quote(str(given['host']), safe='')}&port={given.get('port') or 5432}"
    return f"postgresql+psycopg://{user}{secret}@/{given['dbname']}?{place}"
