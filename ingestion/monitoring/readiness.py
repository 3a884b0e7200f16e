"""Whether this installation can do its work now: database, migrations, embedder, worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import DatabaseError

from ingestion.exceptions import BbjragError
from ingestion.runs import preflight
from ingestion.worker import cluster

KEPT_SECONDS = 10.0  # of an answer, so that whoever asks often does not keep the embedder busy


def embedder_problem() -> str:
    try:
        preflight.ready_embedder()
    except BbjragError as error:
        return str(error)
    return ""


def worker_problem() -> str:
    try:
        alive = cluster.is_alive()
    except DatabaseError as error:
        return f"The database does not answer: {str(error).strip()}"
    return "" if alive else "No worker is alive: start one with `python manage.py worker`."


CHECKS: dict[str, Callable[[], str]] = {
    "database": preflight.database_problem,
    "embedder": embedder_problem,
    "worker": worker_problem,
}


class Readiness:
    """Asks the checks, and remembers their answers for a few seconds."""

    def __init__(
        self, checks: dict[str, Callable[[], str]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.checks = checks
        self.clock = clock
        self.lock = threading.Lock()
        self.known: dict[str, str] = {}
        self.at: float | None = None

    def problems(self) -> dict[str, str]:
        """What is not ready, and why; empty when all is."""
        with self.lock:
            if self.at is None or self.clock() - self.at > KEPT_SECONDS:
                self.known = self._ask()
                self.at = self.clock()
            return dict(self.known)

    def _ask(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, check in self.checks.items():
            if problem := check():
                found[name] = problem
                if name == "database":
                    break  # nothing else can be asked
        return found


readiness = Readiness(CHECKS)
