from __future__ import annotations

import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ingestion.exceptions import BbjragError
from ingestion.runs import preflight, reembedding

REFUSED = 2


class Command(BaseCommand):
    help = (
        "Gives each chunk the vector it ends up with (EMBEDDING_PROVIDER=auto), without a worker."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.asked_to_stop = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            self.stdout.write(self._reembed())
        except BbjragError as error:
            self.stderr.write(str(error))
            sys.exit(REFUSED)

    def _stop(self, *_: object) -> None:
        self.asked_to_stop = True

    def _reembed(self) -> str:
        if problem := preflight.database_problem():
            raise BbjragError(problem)
        if not reembedding.is_wanted():
            return "Only EMBEDDING_PROVIDER=auto embeds chunks twice: there is nothing to do."
        if not reembedding.is_needed():
            return "Nothing is left to embed again."
        with reembedding.alone() as is_alone:
            if not is_alone:
                return f"Another process is at it: {reembedding.progress()} so far."
            self._work()
        return self._said()

    def _work(self) -> None:
        before = reembedding.progress() or reembedding.Progress(0, 0)
        with _bar() as bar:
            task = bar.add_task("Meaning", total=before.chunks, completed=before.done)
            for chunks in reembedding.steps():
                bar.advance(task, chunks)
                if self.asked_to_stop:
                    return

    def _said(self) -> str:
        if self.asked_to_stop:
            return (
                f"Interrupted by hand: {reembedding.progress()} are done, and stay so. "
                "Go on with `python manage.py reembed`."
            )
        return f"{reembedding.progress()} are found by their meaning."


def _bar() -> Progress:
    count = TextColumn("{task.completed:,.0f} of {task.total:,.0f} chunks")
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), console=console
    )
