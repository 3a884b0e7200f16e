"""Report the progress of an attempt: in its row, its log, and to its supervisor."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ingestion import documents, pipeline
from ingestion.index.source_lock import SourceLockLost
from ingestion.models import EmbeddingProfile, SourceRun, State
from ingestion.processes.shared_state import ChildStatus
from ingestion.runs import log as run_log
from ingestion.runs.failures import FailureRecord

REPORT_EVERY = 0.5  # seconds between two updates of the row
LOGGED_EVERY = 30.0  # seconds between two log lines
CARRIED_OVER = ("added", "changed", "embedded", "removed", "moved")


class ProgressReport:
    """Observes a reading (see `pipeline.Observer`).

    New texts are embedded with the last of the `profiles`. `base` are the counters of earlier
    attempts of the same source run, to which it adds.
    """

    def __init__(
        self,
        source_run: SourceRun,
        child_status: ChildStatus,
        log: run_log.RunLog,
        failures: FailureRecord,
        profiles: Sequence[EmbeddingProfile],
    ) -> None:
        self.source_run = source_run
        self.child_status = child_status
        self.log = log
        self.failures = failures
        self.profiles = profiles
        self.counters = pipeline.Counters()
        self.timings = pipeline.Timings()
        self.watcher = os.getppid()
        self.reported = 0.0
        self.logged = time.monotonic()
        self.embeds = False
        self.base = {name: getattr(source_run, name) for name in CARRIED_OVER}

    def fail(self, failure: documents.DocumentFailure) -> None:
        self.failures.add(failure)

    def report(self, stage: str, url: str) -> None:
        if url:
            self.child_status.hold(url)
        self.child_status.pulse.beat()
        if stage == "embedding" and not self.embeds:
            self.embeds = True
            self.log.say(f"Embedding begins, with {self.profiles[-1]}.")
        now = time.monotonic()
        if now - self.reported < REPORT_EVERY:
            return
        self.reported = now
        if os.getppid() != self.watcher:  # if the kernel does not end us with our parent
            raise SourceLockLost("The worker that watched this reading is gone.")
        self.update(stage=stage, current_url=url[:2000] if url else "")
        if now - self.logged >= LOGGED_EVERY:
            self.logged = now
            self._log()
        self.log.keep()

    def finishing(self) -> None:
        """Everything is read and stored; the next steps may take any time."""
        self.child_status.hold("")
        self.child_status.pulse.rest()
        self.update(stage="indexing", current_url="")

    def stored(self) -> None:
        """Something was stored, so the run waits for nothing any more."""
        self.update(waiting_since=None)

    def update(self, **fields: Any) -> None:
        """Write the progress to the row. Raises SourceLockLost if the row is not ours any more."""
        mine = SourceRun.objects.filter(
            pk=self.source_run.pk,
            attempt=self.source_run.attempt,
            worker=self.source_run.worker,
            state=State.RUNNING,
        )
        if not mine.update(**self.counted(), **fields):
            raise SourceLockLost(f"{self.source_run} was taken away from this process.")

    def counted(self) -> dict[str, Any]:
        """The counters of all attempts, and the timings of this one."""
        counters = asdict(self.counters)
        counters |= {name: counters[name] + before for name, before in self.base.items()}
        spent = {stage: round(seconds, 3) for stage, seconds in self.timings.seconds.items()}
        return counters | self.failures.counted() | {"timings": spent}

    def _log(self) -> None:
        """Log a line on the progress of a long reading."""
        counted = self.counted()
        expected = self.source_run.expected
        of = f" of about {expected:,}" if expected else ""
        self.log.say(
            f"{counted['read']:,}{of} documents read, {counted['added']:,} added, "
            f"{counted['changed']:,} changed, {counted['embedded']:,} chunks embedded, "
            f"{counted['failures']:,} errors so far."
        )
