"""Work done in forked processes, each item within its limits.

A process that exceeds the limits, or dies, is replaced: the item in hand is given up, and the ones
after it are worked on as if nothing had happened. This also holds inside C code and regular
expressions, which no signal handler or thread can interrupt.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from ingestion.processes.child import Child, Kind, Lost

Item = TypeVar("Item")
Result = TypeVar("Result")

FIRST_BATCH = 10_000  # weight; each further one is twice as large, up to the largest
LARGEST_BATCH = 160_000
BATCH_SECONDS = 0.2  # what comes slowly does not wait longer for more
PATIENCE = 0.25  # seconds between two looks at what is worked on
MOST_KEPT_WAITING = 2.0  # so many times the limit may pass if other processes take the processors
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the work on one item may take; 0 for no limit.

    `seconds` count from its last result or step. Time in which its process was ready to go on and
    got no processor does not count, up to MOST_KEPT_WAITING times the limit. An item of many
    results may take longer in all, by its weight in bytes.
    """

    seconds: float = 60.0
    memory_mb: int = 1024

    def seconds_in_all(self, weight: int) -> float:
        return 2 * self.seconds * (1 + weight / MEGABYTE)


class GaveUp(NamedTuple):
    """The work on an item was given up; `reason` is a sentence."""

    item: Any
    reason: str


class InHand(NamedTuple):
    """Nothing has come for a moment: this item is being worked on."""

    item: Any


class _Raised(NamedTuple):
    error: Exception


@dataclass(slots=True)
class _Batch(Generic[Item]):
    """Items on their way. `done` of them are finished; `came` results of the next one are here."""

    items: list[Item] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    weight: int = 0
    results: deque[Any] = field(default_factory=deque)
    done: int = 0
    came: int = 0
    deaths: int = 0

    @property
    def is_finished(self) -> bool:
        return self.done >= len(self.items)

    def end_item(self, *last: Any) -> None:
        self.results.extend(last)
        self.came = self.deaths = 0
        self.done += 1

    def blame(self, lost: Lost, status: int) -> None:
        """Give up the item in hand, unless its process died for the first time: that may have had
        another cause."""
        self.deaths += 1
        if lost.final or self.deaths > 1:
            reason = lost.reason or f"The process that worked on it died twice ({_death(status)})."
            self.end_item(GaveUp(self.items[self.done], reason))


class Isolated(Generic[Item, Result]):
    """Applies `work` to items in `number` forked processes; results come in the order of the items.

    `work` yields any number of results for an item, and None for a step that took its time. It runs
    on what this process held when the first batch of items was complete. What it raises is raised
    here, in place of the item's further results.

    isolated.put(item, weight)
    for result in isolated.ready(): ...
    for result in isolated.rest(): ...
    """

    def __init__(
        self,
        work: Callable[[Item], Iterable[Result | None]],
        number: int = 1,
        limits: Limits = Limits(),
        most: int = 24,
        largest: int = LARGEST_BATCH,
    ) -> None:
        self.work = work
        self.number = max(1, number)
        self.limits = limits
        self.most = most  # batches that wait for an earlier one
        self.largest = largest
        self.batch: _Batch[Item] = _Batch()
        self.wanted = FIRST_BATCH
        self.begun = 0.0
        self.under_way: deque[_Batch[Item]] = deque()
        self.todo: queue.SimpleQueue[_Batch[Any] | None] = queue.SimpleQueue()
        self.news = threading.Event()
        self.slots: list[_Slot] = []

    def put(self, item: Item, weight: int = 1) -> None:
        if not self.batch.items:
            self.begun = time.monotonic()
        self.batch.items.append(item)
        self.batch.weights.append(weight)
        self.batch.weight += weight
        if self.batch.weight >= self.wanted:
            self._submit()

    @property
    def is_full(self) -> bool:
        return len(self.under_way) > self.most

    def ready(self) -> Iterator[Result | GaveUp]:
        """What is there by now, without waiting."""
        if self.batch.items and time.monotonic() - self.begun > BATCH_SECONDS:
            self._submit()
        while self.under_way:
            first = self.under_way[0]
            finished = first.is_finished  # asked before its results are taken: none can follow then
            yield from _taken(first.results)
            if not finished:
                return
            self.under_way.popleft()

    def wait(self) -> Iterator[Result | GaveUp | InHand]:
        """What is there within a moment; InHand if that is nothing."""
        self.news.clear()
        found = False
        for result in self.ready():
            found = True
            yield result
        if found or not self.under_way or self.news.wait(PATIENCE):
            return
        first = self.under_way[0]
        if not first.is_finished:
            yield InHand(first.items[min(first.done, len(first.items) - 1)])

    def rest(self) -> Iterator[Result | GaveUp | InHand]:
        """All that is missing, waiting for it."""
        self._submit()
        while self.under_way:
            yield from self.wait()

    def close(self) -> None:
        """End the processes, whatever they are working on."""
        for slot in self.slots:
            slot.close()
            self.todo.put(None)
        for slot in self.slots:
            slot.thread.join()
        self.slots = []

    def _submit(self) -> None:
        if not self.batch.items:
            return
        if not self.slots:
            self.slots = [_Slot(self) for _ in range(self.number)]
            for slot in self.slots:
                slot.thread.start()
        self.under_way.append(self.batch)
        self.todo.put(self.batch)
        self.batch = _Batch()
        self.wanted = min(2 * self.wanted, self.largest)


def _taken(results: deque[Any]) -> Iterator[Any]:
    while results:
        result = results.popleft()
        if isinstance(result, _Raised):
            raise result.error
        yield result


class _Slot:
    """A child process, the thread that talks to it, and the process that replaces it."""

    def __init__(self, isolated: Isolated[Any, Any]) -> None:
        self.isolated = isolated
        self.closing = False
        self.child: Child | None = self._fork()
        self.thread = threading.Thread(target=self._run, name="isolation", daemon=True)

    def close(self) -> None:
        self.closing = True
        if child := self.child:
            child.kill()

    def _fork(self) -> Child:
        return Child(self.isolated.work, self.isolated.limits.memory_mb)

    def _run(self) -> None:
        while (batch := self.isolated.todo.get()) is not None:
            while not (batch.is_finished or self.closing):
                self._work_off(batch)
            self.isolated.news.set()
        if self.child:
            self.child.end()

    def _work_off(self, batch: _Batch[Any]) -> None:
        """Have the rest of a batch worked on, up to an item that ends the process."""
        child = self.child = self.child or self._fork()
        try:
            child.send(batch.items[batch.done :])
            self._receive(batch, child)
        except Lost as lost:
            self.child = None
            status = child.end()
            if not self.closing:
                batch.blame(lost, status)

    def _receive(self, batch: _Batch[Any], child: Child) -> None:
        watch = _Watch(child.pid, self.isolated.limits)
        seen = 0  # results of the item in hand from this process: those that had come are skipped
        while not batch.is_finished:
            weight = batch.weights[batch.done]
            kind, value = child.receive(PATIENCE, lambda: self._check(watch, weight))  # noqa: B023
            if watch.is_due:
                self._check(watch, weight)
            watch.restart(item_ended=kind in (Kind.END, Kind.ERROR))
            if kind is Kind.RESULT:
                seen += 1
                if seen > batch.came:
                    batch.came = seen
                    batch.results.append(value)
            elif kind in (Kind.END, Kind.ERROR):
                seen = 0
                batch.end_item(*([_Raised(value)] if kind is Kind.ERROR else ()))
            elif kind is Kind.LOG:
                logging.getLogger(value.name).handle(value)
            elif kind is Kind.MEMORY:
                raise Lost(_memory_message(self.isolated.limits))
            self.isolated.news.set()

    def _check(self, watch: _Watch, weight: int) -> None:
        if self.closing:
            raise Lost
        if excess := watch.excess(weight):
            raise Lost(excess, final=True)


def _memory_message(limits: Limits) -> str:
    return (
        f"It took more than {limits.memory_mb} MB of memory (DOCUMENT_MEMORY_LIMIT_MB) and was "
        "given up: split or exclude it, or raise the limit."
    )


def _death(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.strsignal(-code) or f"signal {-code}"


class _Watch:
    """How long a process has worked on its item: since the last sign, and in all.

    The clocks start when nothing has come for a moment, as most items are done before that.
    """

    def __init__(self, pid: int, limits: Limits) -> None:
        self.pid = pid
        self.limits = limits
        self.since_sign: _Times | None = None
        self.since_begin: _Times | None = None
        self.looked = time.monotonic()

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self.looked > PATIENCE

    def restart(self, item_ended: bool) -> None:
        self.since_sign = None
        if item_ended:
            self.since_begin = None

    def excess(self, weight: int) -> str:
        """Which limit is exceeded, in a sentence; empty if none is."""
        self.looked = time.monotonic()
        now = self._now()
        self.since_sign = now if self.since_sign is None else self.since_sign
        self.since_begin = now if self.since_begin is None else self.since_begin
        if not self.limits.seconds:
            return ""
        for spent, most in (
            (now.since(self.since_sign), self.limits.seconds),
            (now.since(self.since_begin), self.limits.seconds_in_all(weight)),
        ):
            if spent > most:
                return (
                    f"It took more than {most:.0f} s (DOCUMENT_TIME_LIMIT) and was given up: "
                    "simplify, split or exclude it, or raise the limit."
                )
        return ""

    def _now(self) -> _Times:
        try:
            waited = int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            waited = 0.0  # not Linux, or not shown
        return _Times(time.monotonic(), waited)


class _Times(NamedTuple):
    """A moment in seconds, and how long a process had been kept waiting for a processor by then."""

    clock: float
    waited: float

    def since(self, before: _Times) -> float:
        """Seconds that count towards a limit."""
        passed = self.clock - before.clock
        return max(passed - (self.waited - before.waited), passed / MOST_KEPT_WAITING)
