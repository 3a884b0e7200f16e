"""How far what a worker does beside its runs is, as a page asks for it again and again."""

from __future__ import annotations

import time
from itertools import count

import pytest

from ingestion.runs.background import Counted, Progress


class Clock:
    """`seconds` is what counting takes."""

    def __init__(self, seconds: float) -> None:
        self.now = 100.0
        self.seconds = seconds
        self.numbers = count(1)

    def counted(self) -> Progress:
        self.now += self.seconds
        return Progress(next(self.numbers), 1000)


@pytest.mark.parametrize(("seconds", "pause", "asked_anew"), [(0.01, 0.0, 3), (2.0, 30.0, 2)])
def test_what_takes_long_is_counted_seldom(
    monkeypatch: pytest.MonkeyPatch, seconds: float, pause: float, asked_anew: int
) -> None:
    clock = Clock(seconds)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    far = Counted(clock.counted)
    for _ in range(3):
        last = far()
        clock.now += pause
    assert last == Progress(asked_anew, 1000)
