"""Whether this installation can work now: database, migrations, embedder, worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError

from ingestion.exceptions import BbjragError
from ingestion.monitoring.kept import Kept, Known
from ingestion.runs import preflight
from ingestion.worker import cluster

KEPT_SECONDS = 10.0  # an answer is valid, so that frequent probes do not keep the embedder busy


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


@dataclass(frozen=True)
class Answer:
    """`problems` are the failed checks with their reasons; `age` is that of the oldest check, in
    seconds."""

    problems: dict[str, str]
    age: float


class Readiness:
    """The last results of the checks; nobody waits for one that hangs."""

    def __init__(
        self, checks: dict[str, Callable[[], str]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.checks = {name: Kept(check, KEPT_SECONDS, clock) for name, check in checks.items()}

    def answer(self) -> Answer:
        for check in self.checks.values():
            check.refresh()
        known = {name: check.latest() for name, check in self.checks.items()}
        problems = {name: text for name in known if (text := _problem(known[name]))}
        if database := problems.get("database"):
            problems = {"database": database}  # the others would only repeat it
        return Answer(problems, round(max(one.age for one in known.values()), 1))


def _problem(known: Known[str]) -> str:
    if known.is_late:
        return f"It has not answered for {known.asking:.0f} seconds."
    return "It has not answered yet." if known.value is None else known.value


readiness = Readiness(CHECKS)
