from __future__ import annotations

import json
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from django import db
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections
from rich.console import Console

from ingestion.exceptions import BbjragError
from ingestion.index import hnsw
from ingestion.management import terminal as progress
from ingestion.models import Failure, Run, SourceRun, State
from ingestion.runs import preflight, reembedding, requests, state_machine, token_vectors
from ingestion.worker import cluster
from sources.models import Source

STARTED_NOTHING = 2
SHOWN_FAILURES = 20
WIDTH_IN_A_LOG = 120
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.5  # seconds between two looks at a run
LOOK_EVERY = 0.01  # of the time it has lasted


class Command(BaseCommand):
    help = "Reads all enabled sources, or the named ones, into the index."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--source", action="append", default=[], metavar="NAME", help="only this; repeatable")
        add("--clean", action="store_true", help="read and embed everything again")
        add("--resume", action="store_true", help="go on with the last run that was interrupted")
        add("--retry-failed", action="store_true", help="only documents with open failures")
        add("--data-dir", type=Path, metavar="DIR", help="read below this folder, not DATA_DIR")
        add("--workers", type=int, metavar="N", help="sources at once, if this starts a worker")
        add("--no-wait", action="store_true", help="return once all is queued")
        add("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        self.options = options
        self.since: datetime | None = None
        self.away = False
        self.terminal = Console(stderr=options["json"])
        if not self.terminal.is_terminal:
            self.terminal.width = WIDTH_IN_A_LOG
        try:
            sources = self._validated()
        except BbjragError as error:
            self._refuse(str(error))
        if not sources:
            self._end([], None)
        self.interrupt = _Interrupt()
        request = requests.request(
            sources,
            origin=Run.Origin.COMMAND,
            clean=options["clean"],
            retry_failed=options["retry_failed"],
            data_dir=options["data_dir"] and options["data_dir"].resolve(),
            since=self.since,
        )
        for row in request.joined:
            self._say(f"{row.source_name} is open in run {row.run_id} already: joined that one.")
        if options["no_wait"]:
            self._queued(request)
        rows = self._follow([row.pk for row in request.source_runs], bool(request.joined))
        for work in (reembedding, token_vectors):
            if line := work.outlook(has_worker=cluster.Presence.anybody()):
                self._say(line)
        self._end(rows, request.run.pk)

    def _validated(self) -> list[Source]:
        """The sources to read. Raises BbjragError, with all that is wrong, before a start."""
        if problem := preflight.database_problem():
            raise BbjragError(problem)
        sources = self._chosen()
        data_dir = self.options["data_dir"] and self.options["data_dir"].resolve()
        problems = preflight.source_problems(sources, data_dir)
        if (workers := self.options["workers"]) is not None and workers < 1:
            problems.append("--workers must be at least 1.")
        try:
            embedder = preflight.ready_embedder()
        except BbjragError as error:
            problems.append(str(error))
        if problems:
            raise BbjragError("\n".join(problems))
        if not self.options["retry_failed"]:
            for line in preflight.described(preflight.remakes(sources, embedder), embedder):
                self._say(line)
        return sources

    def _chosen(self) -> list[Source]:
        named = preflight.chosen(self.options["source"])
        if self.options["resume"]:
            resumable = {source.pk for source in requests.resumable()}
            chosen = self._narrowed(named, resumable, "No run was interrupted: nothing to resume.")
            if chosen and (run := requests.last_unfinished()):
                self._as_before(run)
            return chosen
        if self.options["retry_failed"]:
            failing = {source.pk for source in requests.sources_with_failures()}
            return self._narrowed(named, failing, "No document has an open failure.")
        return named

    def _as_before(self, run: Run) -> None:
        """Take over what the run was asked for: its rest is read like its beginning."""
        taken = []
        if run.options.get("clean") and not self.options["clean"]:
            self.options["clean"] = True
            self.since = datetime.fromisoformat(run.options.get("since") or str(run.created_at))
            taken.append("--clean")
        if (folder := run.options.get("data_dir")) and not self.options["data_dir"]:
            self.options["data_dir"] = Path(folder)
            taken.append(f"--data-dir {folder}")
        if taken:
            self._say(f"Going on with run {run.pk} as it was begun: {' '.join(taken)}.")

    def _narrowed(self, sources: list[Source], pks: set[int], otherwise: str) -> list[Source]:
        chosen = [source for source in sources if source.pk in pks]
        if not chosen:
            self._say(otherwise)
        return chosen

    def _queued(self, request: requests.Request) -> None:
        names = ", ".join(row.source_name for row in request.source_runs)
        self._say(f"Run {request.run.pk}: queued {names}.")
        if not cluster.is_alive():
            self._warn("No worker is alive: start one with `python manage.py worker`.")
        if self.options["json"]:
            self._print_json(_rows([row.pk for row in request.source_runs]), request.run.pk)
        sys.exit(0)

    def _follow(self, pks: list[int], joined: bool) -> list[SourceRun]:
        """Show progress until every source run has ended; with a worker of our own if need be."""
        own = None if cluster.is_alive() else cluster.Worker(self.options["workers"])
        if own:
            own.start()
        begun = time.monotonic()
        with self._display() as display:
            while not self._has_ended(pks, display) and not self.interrupt.asked:
                if own:
                    own.tick()
                time.sleep(pause_after(time.monotonic() - begun))
        if own:
            own.stop()
        if self.interrupt.asked:
            self._leave(pks, own is not None)
        elif own:
            hnsw.build_missing()
        return _rows(pks)

    def _has_ended(self, pks: list[int], display: progress.Bars | progress.Lines) -> bool:
        """Show how far the run is. A database that is away for a while does not end it."""
        try:
            rows = _rows(pks)
        except db.Error as error:
            if not self.away:
                self._warn(f"The database does not answer; waiting for it. {str(error).strip()}")
            self.away = True
            connections.close_all()
            time.sleep(0.5)
            return False
        self.away = False
        display.show(rows)
        return all(row.state in state_machine.ENDED_STATES for row in rows)

    def _display(self) -> progress.Bars | progress.Lines:
        if self.terminal.is_terminal:
            return progress.Bars(self.terminal)
        return progress.Lines(sys.stderr if self.options["json"] else sys.stdout)

    def _leave(self, pks: list[int], own: bool) -> None:
        if own:
            note = "Interrupted by hand. What was stored stays; go on with `ingest_all --resume`."
            requests.interrupt(_rows(pks), note)
            self._say(note)
        else:
            self._say("The worker goes on without this command; cancel the run in the admin.")

    def _end(self, rows: list[SourceRun], run: int | None) -> None:
        if self.options["json"]:
            self._print_json(rows, run)
        elif rows:
            self.terminal.print(progress.summary(rows))
        self._tell_failures(rows)
        sys.exit(0 if all(row.state == State.SUCCEEDED for row in rows) else 1)

    def _tell_failures(self, rows: list[SourceRun]) -> None:
        failures = Failure.objects.filter(source_run__in=[row.pk for row in rows]).order_by("pk")
        verbose = self.options["verbosity"] > 1
        if not verbose:
            failures = failures.filter(level=Failure.Level.ERROR)
        shown = failures if verbose else failures[:SHOWN_FAILURES]
        for failure in shown:
            self._warn(
                f"{failure.document_url or failure.source_run.source_name}: {failure.message}"
            )
        if not verbose and (more := failures.count() - SHOWN_FAILURES) > 0:
            self._warn(f"... and {more} more failures: see the run in the admin, or -v 2.")
        for row in rows:
            if row.state == State.NEEDS_APPROVAL:
                self._warn(f"{row.source_name}: {row.last_line} Decide in the admin.")

    def _print_json(self, rows: list[SourceRun], run: int | None) -> None:
        status = state_machine.status_of(row.state for row in rows)
        self.stdout.write(json.dumps(progress.as_json(rows, run, status)))

    def _say(self, line: str) -> None:
        (self.stderr if self.options["json"] else self.stdout).write(line)

    def _warn(self, line: str) -> None:
        self.stderr.write(line)

    def _refuse(self, message: str) -> None:
        self._warn(f"Nothing was started.\n{message}")
        if self.options["json"]:
            empty = progress.as_json([], None, "refused")
            self.stdout.write(json.dumps(empty | {"error": message}))
        sys.exit(STARTED_NOTHING)


def pause_after(seconds: float) -> float:
    """The pause before the next look at a run that has lasted so long: looking takes from the cores
    that read and embed."""
    return min(max(LOOK_EVERY * seconds, SHORTEST_PAUSE), LONGEST_PAUSE)


class _Interrupt:
    """Ctrl-C and SIGTERM, noticed at the next look instead of in the middle of a step."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.asked = True


def _rows(pks: list[int]) -> list[SourceRun]:
    return list(SourceRun.objects.filter(pk__in=pks).order_by("source_name"))
