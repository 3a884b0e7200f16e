"""An installation with a database server of its own, its commands run as a person runs them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from bbjrag.embedded.server import EmbeddedPostgres
from tests.support.ollama_server import MODEL, OllamaServer
from tests.support.pages import page

ROOT = Path(__file__).resolve().parents[2]
NAMES = [f"page{number}" for number in range(40)]
POSTGRES = "fsync=off,max_connections=80,superuser_reserved_connections=3"


class Home:
    """An installation of its own: state, data, and a source of 40 pages that the Ollama embeds;
    with these settings."""

    def __init__(self, folder: Path, ollama: OllamaServer, settings: Mapping[str, str]) -> None:
        self.data = folder / "data"
        self.ollama = ollama
        self.environment = {
            **os.environ,
            "ENV_FILE": os.devnull,
            "STATE_DIR": str(folder / "state"),
            "DATA_DIR": str(self.data),
            "EMBEDDED_POSTGRES_SETTINGS": POSTGRES,
            "EMBEDDING_PROVIDER": "ollama",
            "EMBEDDING_MODEL": MODEL,
            "OLLAMA_HOST": ollama.host,
            "EMBEDDING_BATCH_SIZE": "4",
            "EMBEDDING_CONCURRENCY": "1",
            "CHUNK_SIZE": "100",
            "CHUNK_OVERLAP": "10",
            **settings,
        }
        self.server = EmbeddedPostgres(folder / "state" / "postgres")
        self.write(NAMES)
        self.run("migrate", "--verbosity", "0")
        with self.connect() as connection:
            connection.execute("UPDATE sources_source SET enabled = false")
            connection.execute(
                "UPDATE sources_source SET enabled = true, paths = '{pages}',"
                " parser = 'MdxParser' WHERE name = 'mdx-dwc'"
            )

    def write(self, names: list[str]) -> None:
        (self.data / "pages").mkdir(parents=True, exist_ok=True)
        for name in names:
            (self.data / "pages" / f"{name}.md").write_text(page(name, sections=2))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        out, errors = process.communicate(timeout=120)
        assert process.returncode == code, (out, errors)
        return out

    def end(self, process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == code, (out, errors)
        said: dict[str, Any] = json.loads(out)
        return said

    def connect(self) -> psycopg.Connection[Any]:
        params: dict[str, Any] = {**self.server.connection_params(), "user": "postgres"}
        return psycopg.connect(**params, dbname="bbjrag", autocommit=True)

    def ask(self, sql: str) -> Any:
        try:
            with self.connect() as connection:
                row = connection.execute(sql).fetchone()
                return row[0] if row else None
        except psycopg.Error:
            return None

    def state(self) -> Any:
        return self.ask("SELECT state FROM ingestion_sourcerun ORDER BY id DESC LIMIT 1")

    def documents(self) -> int:
        return int(self.ask("SELECT count(*) FROM ingestion_document") or 0)

    def is_sound(self) -> None:
        self.run("sanity")

    def take_all_connections(self) -> list[psycopg.Connection[Any]]:
        params: dict[str, Any] = {**self.server.connection_params()}
        hogs: list[psycopg.Connection[Any]] = []
        with contextlib.suppress(psycopg.OperationalError):
            while len(hogs) < 200:
                hogs.append(psycopg.connect(**params, dbname="bbjrag"))
        assert len(hogs) < 200
        return hogs
