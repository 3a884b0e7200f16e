"""An installation whose commands are run as a person runs them, each with settings of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.support.installation import ROOT, Home
from tests.support.ollama_server import OllamaServer

ODD = "tests/settings/odd_manage.py"
FRESH = "TRUNCATE ingestion_document, ingestion_run, django_q_ormq, ingestion_failure CASCADE"


class Place(Home):
    """It has one source, the pages below `pages`."""

    def __init__(self, folder: Path, ollama: OllamaServer) -> None:
        super().__init__(folder, ollama, {"DATABASE_URL": ""})
        self.environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
        self.folder = folder
        self.pages = self.data / "pages"

    def fresh(self, *names: str) -> None:
        """Nothing is stored, and these are the pages."""
        for page in self.pages.iterdir():
            page.unlink()
        self.write(list(names))
        self.do(FRESH)
        self.source("MdxParser")

    def source(self, parser: str, options: str = "{}", paths: str = "{pages}") -> None:
        self.do(
            f"UPDATE sources_source SET parser = '{parser}', options = '{options}',"
            f" paths = '{paths}', start_url = '' WHERE name = 'mdx-dwc'"
        )

    def do(self, sql: str) -> None:
        with self.connect() as connection:
            connection.execute(sql)

    def all(self, sql: str) -> list[Any]:
        with self.connect() as connection:
            return [row[0] for row in connection.execute(sql).fetchall()]

    def spawn(
        self, *command: str, unset: tuple[str, ...] = (), **given: str
    ) -> subprocess.Popen[str]:
        kept = {k: v for k, v in self.environment.items() if k not in unset}
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=kept | given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def manage(
        self, *arguments: str, script: str = "manage.py", **given: Any
    ) -> subprocess.Popen[str]:
        return self.spawn(script, *arguments, **given)

    def says(self, *arguments: str, code: int = 0, **given: Any) -> tuple[str, str]:
        """What a command writes to its output, and to its log."""
        process = self.manage(*arguments, **given)
        out, errors = process.communicate(timeout=120)
        assert process.returncode == code, (out, errors)
        return out, errors

    def ingest(self, code: int = 0, **given: Any) -> str:
        return self.says("ingest_all", code=code, **given)[1]

    def log(self) -> list[str]:
        """The lines that the page of a run shows."""
        return self.all("SELECT message FROM ingestion_logline ORDER BY id")


def below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate(timeout=60)
