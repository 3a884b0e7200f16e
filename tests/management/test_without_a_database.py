"""What commands say if the database is away or empty: a sentence, and exit code 2."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django import db
from django.conf import settings

from bbjrag import __main__ as command_line
from ingestion.runs import preflight
from ingestion.worker import cluster

AWAY = "postgres://nobody@127.0.0.1:1/nothing"


def manage(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = {"DATABASE_URL": AWAY, "STATE_DIR": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=os.environ | given,
        capture_output=True,
        text=True,
    )


def test_a_command_says_that_the_database_is_away(tmp_path: Path) -> None:
    done = manage(tmp_path, "export_sources")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("The database does not answer: connection failed")
    assert done.stderr.endswith("Check DATABASE_URL.\n")
    assert "Traceback" in manage(tmp_path, "export_sources", "--traceback").stderr


@pytest.fixture
def kept_collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def fail(_: list[str]) -> None:
    raise db.ProgrammingError("no such table")


@pytest.mark.usefixtures("kept_collector")
def test_a_command_says_that_migrations_are_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "execute_from_command_line", fail)
    monkeypatch.setattr(preflight, "database_problem", lambda: "Run migrate.")
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    assert capsys.readouterr().err == "Run migrate.\n"


@pytest.mark.usefixtures("kept_collector")
def test_an_error_of_a_statement_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "execute_from_command_line", fail)
    monkeypatch.setattr(preflight, "database_problem", lambda: "")
    with pytest.raises(db.ProgrammingError, match="no such table"):
        command_line.main()


def test_a_process_of_the_worker_waits_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended at once and was replaced, a dozen times a second."""
    tries: list[int] = []

    def refuse() -> None:
        tries.append(1)
        raise db.OperationalError("connection refused")

    inbox = cluster.Inbox()
    monkeypatch.setattr(cluster, "get_broker", refuse)
    monkeypatch.setattr("ingestion.worker.cluster.time.sleep", lambda _: inbox.end())
    assert inbox.get() == "STOP"
    assert tries == [1]
