"""How much one server is asked for at once: found by climbing as long as it does more a second.

A server is given `size` texts in a request and `at_once` requests. From time to time one of the
two is doubled for a round. What does more a second stays; what does not is taken back, and tried
again later. A search that comes along may have to wait for what is under way, so that is kept
short: no more is under way than `SOON` seconds of work, or as much as `Limits.first` took; only the
trial of more requests may double that, for one round. What a server cannot do (no answer in time,
too much to do, out of memory) halves what it is asked for.

Why not a library: docs/decisions/0013-adaptive-batches.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

GAIN = 1.1
"""How much more a second is worth twice as much under way."""

AS_GOOD = 0.95
SOON = 0.5
SLACK = 1.1
ROUND_SECONDS = 0.05
LONGEST_TRIAL = 5.0
"""Seconds of a request above which more at once are not tried: a search waits 20 s at most."""

REST, LONGEST_REST = 60.0, 600.0
"""Seconds until a rise that brought nothing is tried again: at first, and at most."""

SHARE_OF_TIMEOUT = 0.25


class Load(NamedTuple):
    """`size` texts in a request, `at_once` requests."""

    size: int
    at_once: int

    @property
    def texts(self) -> int:
        return self.size * self.at_once

    def up_to(self, most: Load) -> Load:
        return Load(min(self.size, most.size), min(self.at_once, most.at_once))


FIRST = Load(32, 2)
MOST = Load(512, 32)
MOST_TEXTS = 2048
MOST_NUMBERS = MOST_TEXTS * 1024
"""In all vectors that are under way from all servers: as they arrive, so many take 64 MB."""


@dataclass(frozen=True)
class Limits:
    """Where to begin and to end; the same value twice is a fixed one. `timeout` is in seconds."""

    first: Load = FIRST
    most: Load = MOST
    texts: int = MOST_TEXTS
    timeout: float = 120.0

    @classmethod
    def of(cls, size: int, at_once: int, timeout: float, numbers: int = 1) -> Limits:
        """A size or a number at once that is set (not 0) is a fixed one. `numbers` are those that
        one text brings: its dimensions, times the servers that are asked side by side."""
        first = Load(size or FIRST.size, at_once or FIRST.at_once)
        most = Load(size or MOST.size, at_once or MOST.at_once)
        texts = min(MOST_TEXTS, MOST_NUMBERS // numbers)
        return cls(first, most, max(first.texts, texts), timeout)

    def with_at_most(self, size: int) -> Limits:
        first, most = (one._replace(size=min(one.size, size)) for one in (self.first, self.most))
        return replace(self, first=first, most=most)

    def allow(self, load: Load) -> bool:
        return load == load.up_to(self.most) and load.texts <= self.texts


def fixed(size: int, at_once: int) -> Limits:
    return Limits.of(size, at_once, 0.0)


@dataclass
class _Round:
    """What came back since `began`: since the first answer to a request that was sent after
    `since`, as those before were of another size (0: not yet)."""

    since: float
    began: float = 0.0
    texts: int = 0
    characters: int = 0
    answers: int = 0
    waited: float = 0.0

    def add(self, texts: int, characters: int, sent: float, now: float, *, whole: bool) -> None:
        if not self.began:
            self.began = now if whole and sent >= self.since else 0.0
            return
        self.texts += texts
        self.characters += characters
        self.answers += whole
        self.waited += (now - sent) * whole

    def is_over(self, at_once: int, now: float) -> bool:
        """Answers may come all at once, so a round has as many as there are requests at once, or a
        multiple of that."""
        if not self.answers or self.answers % at_once:
            return False
        return now - self.began >= ROUND_SECONDS


class _Measured(NamedTuple):
    """Texts and characters a second, and the seconds that a request takes."""

    texts: float
    characters: float
    wait: float

    def gain(self, before: _Measured) -> float:
        """The lesser one. Texts are of different lengths, and may cost the same or not: what did
        not change is seen in one of the two."""
        return min(self.texts / before.texts, self.characters / before.characters)


@dataclass
class Pace:
    """Of one server. Thread-safe."""

    limits: Limits
    clock: Callable[[], float] = time.monotonic
    load: Load = field(init=False)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.load = self.kept = self.limits.first
        self.round = _Round(self.clock())
        self.known: _Measured | None = None
        self.longest_wait = 0.0
        self.failed: set[str] = set()
        self.trial = ""
        self.rest = REST
        self.resting_until = 0.0

    @property
    def size(self) -> int:
        return self.load.size

    @property
    def at_once(self) -> int:
        return self.load.at_once

    @property
    def is_free(self) -> bool:
        """Whether anything of it is to be found out."""
        return self.limits.first != self.limits.most

    def answered(self, texts: int, characters: int, sent: float) -> None:
        """A request of so many texts was answered."""
        with self.lock:
            now = self.clock()
            self.round.add(texts, characters, sent, now, whole=texts >= self.load.size)
            if texts == self.load.size < self.limits.first.size and self._is_quick(now - sent):
                self._recover()
            elif self._is_slow_trial(sent, now):
                self._end_trial(kept=False)
            elif self.round.is_over(self.load.at_once, now):
                self._measured(_measured(self.round, now))

    def starved(self) -> None:
        """There were not enough texts, so that what comes back says nothing of the server."""
        with self.lock:
            self.round = _Round(self.clock())

    def too_much(self, texts: int, *, for_good: bool = False) -> bool:
        """So many texts in a request were too many, now or `for_good`. Returns whether fewer are
        asked from now on."""
        with self.lock:
            before = self.load.size
            size = max(1, min(before, texts // 2))
            if for_good:
                self.limits = self.limits.with_at_most(size)
            self._fall(Load(size, self.load.at_once))
            return size < before

    def too_many(self, sent: float) -> None:
        """So many requests were too many, or the server has too much to do. Those that were sent
        before the last change say nothing new."""
        with self.lock:
            if sent >= self.round.since:
                self._fall(Load(self.load.size, max(1, self.load.at_once // 2)))

    def _fall(self, load: Load) -> None:
        if load.up_to(self.kept) == self.kept and not self.trial:
            return
        self.kept = load.up_to(self.kept)
        self.trial = ""
        self._put(self.kept)
        self._take_rest()

    def _is_quick(self, seconds: float) -> bool:
        return seconds < SHARE_OF_TIMEOUT * self.limits.timeout

    def _recover(self) -> None:
        """What took under a quarter of its time may be twice as much, up to where it began."""
        size = min(2 * self.load.size, self.limits.first.size)
        self.kept = Load(size, self.kept.at_once)
        self._put(self.kept)

    def _put(self, load: Load) -> None:
        now = self.clock()
        self.round = _Round(now, now if load.size == self.load.size else 0.0)
        self.load = load

    def _is_slow_trial(self, sent: float, now: float) -> bool:
        """Whether more requests at once only wait for each other."""
        if not self._explores(self.trial) or not self.known or sent < self.round.since:
            return False
        return now - sent > max(SOON, 1.5 * self.known.wait)

    def _explores(self, trial: str) -> bool:
        """Only more at once than at first show whether the server works at several requests."""
        return trial == "at once" and self.kept.at_once >= self.limits.first.at_once

    def _measured(self, found: _Measured) -> None:
        if self.trial:
            self._end_trial(kept=self._is_better(found), found=found)
            return
        self.known = found
        self.longest_wait = self.longest_wait or SLACK * max(SOON, found.wait)
        if found.wait > 2 * self.longest_wait and self.load.texts > self.limits.first.texts:
            self._fall(self.limits.first)
        elif self.clock() >= self.resting_until:
            self._try()
        else:
            self.round = _Round(self.clock())

    def _is_better(self, found: _Measured) -> bool:
        """Two requests instead of one need not be better: the server never waits for us then."""
        wanted = AS_GOOD if self.load.at_once <= self.limits.first.at_once else GAIN
        wanted = GAIN if self.load.size > self.kept.size else wanted
        return (
            self.known is not None
            and found.gain(self.known) >= wanted
            and found.wait <= self.longest_wait
        )

    def _end_trial(self, *, kept: bool, found: _Measured | None = None) -> None:
        if kept:
            self.kept, self.known = self.load, found
            self.failed.discard("at once")
        else:
            self.failed.add(self.trial)
        self._try()

    def _try(self) -> None:
        """Double one of the two for a round; rest if nothing is left to try."""
        for name, load in self._steps():
            if name not in self.failed and self.limits.allow(load) and self._is_soon(name, load):
                self.trial = name
                self._put(load)
                return
        self.trial = ""
        self._put(self.kept)
        self._take_rest()

    def _steps(self) -> Iterator[tuple[str, Load]]:
        """Larger requests first, which cost least; then, with as many texts under way as before."""
        size, at_once = self.kept
        yield "larger", Load(2 * size, at_once)
        if at_once > 1 and self.limits.first.at_once < self.limits.most.at_once:
            yield "larger, but fewer", Load(2 * size, at_once // 2)
        yield "at once", Load(size, 2 * at_once)

    def _is_soon(self, name: str, load: Load) -> bool:
        """Whether a search waits no longer than it may, even if the server does one thing at a
        time."""
        if self.known is None:
            return False
        wait = self.known.wait * load.texts / self.kept.texts
        return wait <= (2 * LONGEST_TRIAL if self._explores(name) else self.longest_wait)

    def _take_rest(self) -> None:
        self.resting_until = self.clock() + self.rest
        self.rest = min(2 * self.rest, LONGEST_REST)
        self.failed.clear()


def _measured(over: _Round, now: float) -> _Measured:
    seconds = now - over.began
    return _Measured(over.texts / seconds, over.characters / seconds, over.waited / over.answers)
