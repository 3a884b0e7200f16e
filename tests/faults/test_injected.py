"""Fail the first statement that a reading sends, then the second, and so on until it gets through.

After each fault nothing may be half done, and the run goes on by itself to the same chunks as one
that was left in peace. The reading is a real child process; the fault happens inside it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone
from pytest_django import Settings

from ingestion.index.writer import Writer
from ingestion.models import Failure, SourceRun, State
from ingestion.processes.shared_state import ChildStatus, Flag
from ingestion.runs import recovery, state_machine
from ingestion.runs.attempt import execute
from ingestion.worker import supervisor
from tests.support.ollama_server import OllamaServer, embed_small
from tests.support.pages import page
from tests.support.reading import ask, digest, make_source, read, write_pages, wrong

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 300  # statements; a reading of this size has about 60
IN_FLIGHT = 12


class Fault:
    """Happens at statement number `at`, and at all later ones if `lasting`."""

    def __init__(self, deed: Callable[[], None], at: int, lasting: bool = False) -> None:
        self.deed = deed
        self.at = at
        self.lasting = lasting
        self.seen = 0
        self.happened = Flag()

    def step(self) -> None:
        self.seen += 1
        if self.seen == self.at or (self.lasting and self.seen > self.at):
            self.happened.set()
            self.deed()

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.step()
        return execute(sql, params, many, context)


class At(Fault):
    """Happens when the row is told that this stage begins."""

    def __init__(self, stage: str, deed: Callable[[], None]) -> None:
        super().__init__(deed, at=-1)
        self.stage = stage

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if params and self.stage in params:
            self.happened.set()
            self.deed()
        return execute(sql, params, many, context)


def disk_full() -> None:
    error = OperationalError("could not extend file: No space left on device")
    raise error from psycopg.errors.DiskFull()


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def cut_off() -> None:
    """The server ends the connection, as an administrator or a restart would."""
    pid = connection.connection.info.backend_pid
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    finally:
        other.close()


def bug() -> None:
    raise ZeroDivisionError("a bug")


class Injection:
    """Puts the fault into the next reading's process, and learns whether it happened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault: Fault | None = None
        self.happened = Flag()
        self.execute = execute
        self.copy = Writer._copy
        monkeypatch.setattr(supervisor, "execute", self._execute)
        monkeypatch.setattr(Writer, "_copy", lambda writer, records: self._copy(writer, records))

    def _execute(self, row: SourceRun, note: ChildStatus) -> str:
        if self.fault is None:
            return self.execute(row, note)
        self.fault.happened = self.happened
        with connection.execute_wrapper(self.fault):
            return self.execute(row, note)

    def _copy(self, writer: Writer, records: Any) -> None:
        if self.fault:
            self.fault.step()  # between the deletion of the old chunks and the new ones
        self.copy(writer, records)
        if self.fault:
            self.fault.step()

    def set(self, fault: Fault) -> None:
        self.happened.clear()
        self.fault = fault


@pytest.fixture
def injection(monkeypatch: pytest.MonkeyPatch) -> Injection:
    return Injection(monkeypatch)


@pytest.fixture
def ollama(settings: Settings) -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        embed_small(settings, server)
        yield server


class Tides:
    """A source whose folder goes to and fro: a page edited, one gone, one new."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_pages(folder, ["anchor", "button"], sections=2)
        self.source = make_source("pages")
        self.expected: dict[bool, set[tuple[Any, ...]]] = {}
        self.high = False
        for _ in range(2):
            self.turn()
            assert read(self.source).state == "succeeded"
            self.expected[self.high] = digest()

    def turn(self) -> None:
        self.high = not self.high
        edited = page("anchor", 2).replace(
            "anchor1word3", "edited" if self.high else "anchor1word3"
        )
        (self.folder / "anchor.md").write_text(edited)
        come, gone = ("high", "low") if self.high else ("low", "high")
        write_pages(self.folder, [come], sections=2)
        (self.folder / f"{gone}.md").unlink(missing_ok=True)

    def finish(self, row: SourceRun) -> SourceRun:
        """Do what a worker would until the run has ended."""
        for _ in range(10):
            row.refresh_from_db()
            if row.state in state_machine.ENDED_STATES:
                return row
            assert not wrong()
            if row.state == State.WAITING:
                recovery.wake(row.resume_at)
            elif row.state == State.RUNNING:
                SourceRun.objects.filter(pk=row.pk).update(worker="gone 1", heartbeat=None)
                recovery.reap()
            supervisor.supervise(row.pk)
        raise AssertionError(f"{row} does not end: {row.state}, {row.error}")


@pytest.fixture
def tides(settings: Settings, tmp_path: Path, ollama: OllamaServer) -> Tides:
    settings.DATA_DIR = tmp_path
    settings.RUN_ATTEMPTS = 3
    return Tides(tmp_path / "pages")


FAULTS = [
    pytest.param(disk_full, 3, id="disk full"),
    pytest.param(killed, 1, id="killed", marks=pytest.mark.faults),
    pytest.param(cut_off, 2, id="connection cut", marks=pytest.mark.faults),
    pytest.param(bug, 5, id="bug", marks=pytest.mark.faults),
]


@pytest.mark.parametrize(("deed", "step"), FAULTS)
def test_a_fault_at_any_statement_is_got_over(
    tides: Tides, injection: Injection, ollama: OllamaServer, deed: Callable[[], None], step: int
) -> None:
    for number in range(1, MOST, step):
        tides.turn()
        injection.set(Fault(deed, number))
        before = ollama.embedded.total()
        row = ask(tides.source)
        supervisor.supervise(row.pk)
        half = digest()
        injection.fault = None
        row = tides.finish(row)
        assert half <= tides.expected[True] | tides.expected[False], number
        assert (row.state, row.failures) == ("succeeded", 0), (number, row.error)
        assert digest() == tides.expected[tides.high], number
        assert (row.added, row.changed, row.removed) == (1, 1, 1), number
        assert ollama.embedded.total() - before <= 3 + 2 * IN_FLIGHT
        assert not wrong()
        if not injection.happened.is_set():
            break
    else:
        pytest.fail("the reading never got through")
    assert not Failure.objects.exists()
    assert number > 20


LASTING = [(bug, "Given up after 3 attempts"), (disk_full, "for the database")]


@pytest.mark.faults
@pytest.mark.parametrize(("deed", "said"), LASTING, ids=["bug", "disk full"])
def test_a_lasting_fault_ends_in_a_state_that_says_so(
    tides: Tides, injection: Injection, settings: Settings, deed: Callable[[], None], said: str
) -> None:
    settings.EMBEDDER_WAIT_LIMIT = 0.0
    failed = 0
    for number in range(1, MOST, 7):
        tides.turn()
        injection.set(Fault(deed, number, lasting=True))
        row = tides.finish(ask(tides.source))
        if not injection.happened.is_set():
            break
        if row.state == "failed":
            failed += 1
            assert said in row.error, number
            assert Failure.objects.get(source_run=row).message == row.error
        else:  # it came after the end, or a later attempt had less to do
            assert (row.state, digest()) == ("succeeded", tides.expected[tides.high]), number
        assert not wrong()
        injection.fault = None
        assert read(tides.source).state == "succeeded"
        assert digest() == tides.expected[tides.high]
    else:
        pytest.fail("the reading never got through")
    assert failed > 3


def test_an_outage_long_ago_is_over_once_something_was_stored(
    tides: Tides, injection: Injection
) -> None:
    """The limit is for one wait without any success, and not for all of a run's waits together."""
    row = ask(tides.source)
    long_ago = timezone.now() - timedelta(days=3)
    SourceRun.objects.filter(pk=row.pk).update(waiting_since=long_ago)
    tides.turn()
    injection.set(At("indexing", disk_full))
    supervisor.supervise(row.pk)
    row.refresh_from_db()
    assert (row.state, row.added, row.changed) == ("waiting", 1, 1)
    assert row.waiting_since is not None
    assert row.waiting_since > long_ago
    injection.fault = None
    assert tides.finish(row).state == "succeeded"
