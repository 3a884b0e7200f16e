"""A command that does what a worker does beside its runs, with progress; it can be stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ingestion.exceptions import BbjragError
from ingestion.runs import preflight
from ingestion.runs.background import Progress

REFUSED = 2


class Work(Protocol):
    """A module of `ingestion.runs` that goes on in small steps."""

    def is_wanted(self) -> bool: ...
    def is_needed(self) -> bool: ...
    def progress(self) -> Progress | None: ...
    def alone(self) -> AbstractContextManager[bool]: ...
    def steps(self) -> Generator[int, None, None]: ...


class BackgroundCommand(BaseCommand):
    requires_system_checks: list[str] = []
    work: Work
    name: str  # of the command
    shown: str  # before the bar
    unwanted: str  # if the settings do not ask for it
    nothing_left: str
    done: str  # after the number of chunks

    def handle(self, *args: Any, **options: Any) -> None:
        self.asked_to_stop = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            self.stdout.write(self._worked())
        except BbjragError as error:
            self.stderr.write(str(error))
            sys.exit(REFUSED)

    def _stop(self, *_: object) -> None:
        self.asked_to_stop = True

    def _worked(self) -> str:
        if problem := preflight.database_problem():
            raise BbjragError(problem)
        if not self.work.is_wanted():
            return self.unwanted
        if not self.work.is_needed():
            return self.nothing_left
        with self.work.alone() as is_alone:
            if not is_alone:
                return f"Another process is at it: {self.work.progress()} so far."
            self._go_on()
        return self._said()

    def _go_on(self) -> None:
        before = self.work.progress() or Progress(0, 0)
        with _bar() as bar:
            task = bar.add_task(self.shown, total=before.chunks, completed=before.done)
            for chunks in self.work.steps():
                bar.advance(task, chunks)
                if self.asked_to_stop:
                    return

    def _said(self) -> str:
        if self.asked_to_stop:
            return (
                f"Interrupted by hand: {self.work.progress()} are done, and stay so. "
                f"Go on with `python manage.py {self.name}`."
            )
        return f"{self.work.progress()} {self.done}"


def _bar() -> Bar:
    count = TextColumn("{task.completed:,.0f} of {task.total:,.0f} chunks")
    console = Console(stderr=True)
    return Bar(
        TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), console=console
    )
