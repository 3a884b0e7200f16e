"""The last answer to a question that may take long; whoever asks does not wait for the next one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import connections

logger = logging.getLogger(__name__)

T = TypeVar("T")
WAIT = 2.0  # seconds after the question began for which somebody who knows nothing may wait
WAITING = 2  # so many people, however many ask at once
OLD = 60.0  # seconds after which an answer is as good as none
LATE = 10.0  # seconds after which a question that is not answered is worth a word


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """The value is None until the question was answered once. `age` is how old it is, `asking` for
    how long the question has been under way again, both in seconds."""

    value: T | None
    age: float
    asking: float

    @property
    def is_late(self) -> bool:
        return self.asking > LATE


class Kept(Generic[T]):
    """Asks again, in one thread, if somebody wants to know what is older than `seconds`.

    An error that the question does not handle is logged, and what was known stays.
    """

    def __init__(
        self,
        question: Callable[[], T],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.question = question
        self.seconds = seconds
        self.clock = clock
        self.lock = threading.Lock()
        self.waiting = threading.BoundedSemaphore(WAITING)
        self.value: T | None = None
        self.at = self.since = clock()
        self.thread: threading.Thread | None = None

    def latest(self) -> Known[T]:
        """What is known now. Only if that is nothing, or old, there is a short wait."""
        self.refresh()
        known = self._known()
        if (known.value is None or known.age > OLD) and self.waiting.acquire(blocking=False):
            self._wait(WAIT - known.asking)
            self.waiting.release()
        return self._known()

    def refresh(self) -> None:
        with self.lock:
            fresh = self.value is not None and self.clock() - self.at <= self.seconds
            if fresh or self.thread:
                return
            self.since = self.clock()
            self.thread = threading.Thread(target=self._ask, daemon=True)
            self.thread.start()

    def _known(self) -> Known[T]:
        with self.lock:
            now = self.clock()
            return Known(self.value, now - self.at, now - self.since if self.thread else 0.0)

    def _wait(self, seconds: float) -> None:
        if thread := self.thread:
            thread.join(seconds)

    def _ask(self) -> None:
        try:
            value = self.question()
            with self.lock:
                self.value, self.at = value, self.clock()
        except Exception:
            logger.exception("A check of monitoring failed")
        finally:
            connections.close_all()
            self.thread = None
