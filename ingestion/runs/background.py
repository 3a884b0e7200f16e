"""What the modules share that a worker goes on with beside its runs: how far they are, and who goes
on with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SPARED = 20.0  # times as long as counting took: then it is at most 5 % of a process that shows it
QUICK = 0.05  # seconds that counting may take each time


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `chunks` chunks have what they end up with."""

    done: int
    chunks: int

    @property
    def left(self) -> int:
        return self.chunks - self.done

    @property
    def percent(self) -> int:
        return 100 * self.done // self.chunks if self.chunks else 100

    def __str__(self) -> str:
        return f"{self.done:,} of {self.chunks:,} chunks"


class Counted:
    """How far something is, for a page that shows it again and again: counted anew when SPARED
    times as long has passed as it took, beyond what is QUICK. One per process."""

    def __init__(self, count: Callable[[], Progress | None]) -> None:
        self.count = count
        self.last: Progress | None = None
        self.good_until = 0.0

    def __call__(self) -> Progress | None:
        started = time.monotonic()
        if started >= self.good_until:
            self.last = self.count()
            ended = time.monotonic()
            self.good_until = ended + SPARED * max(0.0, ended - started - QUICK)
        return self.last


def who_goes_on(left: str, does: str, command: str, *, has_worker: bool) -> str:
    """A sentence: what is `left`, and that the worker is at it, or who `does` it."""
    if has_worker:
        return f"{left}: the worker is at it."
    return (
        f"{left}: a worker {does} beside its runs (`make serve` or `python manage.py worker`), "
        f"and so does `python manage.py {command}`."
    )
