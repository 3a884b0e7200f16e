"""Keep the last answer to a slow question, so that nobody waits for the next one."""

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
WAIT = 2.0  # seconds that a caller may wait for the first answer
WAITING = 2  # callers that may wait at once
OLD = 60.0  # seconds after which an answer is too old to use
LATE = 10.0  # seconds after which an unanswered question is reported


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """The last answer; `value` is None before the first one.

    `age` is the age of the answer, `asking` how long the current question has taken, both in
    seconds.
    """

    value: T | None
    age: float
    asking: float

    @property
    def is_late(self) -> bool:
        return self.asking > LATE


class Kept(Generic[T]):
    """Asks again in one thread if the answer is older than `seconds` when it is wanted.

    Errors that the question does not handle are logged, and the last answer stays.
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
        """The last answer. Waits shortly only if there is none, or if it is too old."""
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
