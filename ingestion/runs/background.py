"""What the modules share that a worker goes on with beside its runs: how far they are, and who goes
on with them."""

from __future__ import annotations

from dataclasses import dataclass


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


def who_goes_on(left: str, does: str, command: str, *, has_worker: bool) -> str:
    """A sentence: what is `left`, and that the worker is at it, or who `does` it."""
    if has_worker:
        return f"{left}: the worker is at it."
    return (
        f"{left}: a worker {does} beside its runs (`make serve` or `python manage.py worker`), "
        f"and so does `python manage.py {command}`."
    )
