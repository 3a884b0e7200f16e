"""Where a parser's work on documents is done: in this process, or in some that may be ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ingestion.documents import DocumentFailure, ParsedDocument, StillReading
from ingestion.processes.isolation import GaveUp, InHand, Isolated, Limits

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 3  # batches that are read ahead, for each process
BATCH_BYTES = 20_000  # of files, in one batch
LONG = 100_000  # characters of a document from which on its parts have a time limit of their own


@dataclass(frozen=True, slots=True)
class Task(Generic[Item]):
    """What a reader does in one go: `item`, of `size` bytes, for the document or file at `url`."""

    url: str
    size: int
    item: Item


Work = Callable[[Task[Item]], Iterable[Result | None]]
"""Yields any number of results for a task, and None for a step that took its time."""


class Reader(Protocol[Item, Result]):
    def __call__(
        self, tasks: Iterable[Task[Item] | Result]
    ) -> Iterator[Result | DocumentFailure | StillReading]:
        """The results of the tasks, in order; what is not a task comes as it is. A Failure takes
        the place of a task that was given up. Take all of them before you call it again."""


Finish = Callable[[ParsedDocument], Any]
"""What is done with each document where it was read."""


class Finished(NamedTuple):
    """What `Finish` gave for a document."""

    result: Any


class Isolation(Protocol):
    """Where the work on documents is done."""

    def reader(self, work: Work[Item, Result]) -> Reader[Item, Result]:
        """For results that the parser goes on with."""

    def documents(
        self, work: Work[Item, Result], tasks: Iterable[Task[Item] | Result]
    ) -> Iterator[Any]:
        """The results of the tasks, in order, as they leave the parser: their documents may have
        been worked on further, and are none any more."""


class SameProcess:
    """Does the work in this process, without limits: for documents that are known to be good."""

    def documents(
        self, work: Work[Item, Result], tasks: Iterable[Task[Item] | Result]
    ) -> Iterator[Any]:
        return self.reader(work)(tasks)

    def reader(self, work: Work[Item, Result]) -> Reader[Item, Result]:
        def read(tasks: Iterable[Task[Item] | Result]) -> Iterator[Result]:
            for task in tasks:
                if isinstance(task, Task):
                    yield from (result for result in work(task) if result is not None)
                else:
                    yield task

        return read


class OwnProcesses:
    """Does the work in forked processes, each document within the limits. Close it at the end.

    Documents that leave the parser are read by so many `processes` at once; with `finish`, what
    that gives leaves it, as Finished. A new reader ends the processes of the one before: a parser
    uses one at a time.
    """

    def __init__(self, limits: Limits, processes: int = 1, finish: Finish | None = None) -> None:
        self.limits = limits
        self.processes = processes
        self.finish = finish
        self.isolated: Isolated[Any, Any] | None = None

    def reader(self, work: Work[Item, Result]) -> Reader[Item, Result]:
        return self._reader(work, 1)

    def documents(
        self, work: Work[Item, Result], tasks: Iterable[Task[Item] | Result]
    ) -> Iterator[Any]:
        finishing = _finishing(work, self.finish) if self.finish else work
        return self._reader(finishing, self.processes)(tasks)

    def _reader(self, work: Work[Item, Result], processes: int) -> Reader[Item, Result]:
        self.close()
        isolated: Isolated[Task[Item], Result] = Isolated(
            work, processes, self.limits, AHEAD * processes, BATCH_BYTES
        )
        self.isolated = isolated

        def read(
            tasks: Iterable[Task[Item] | Result],
        ) -> Iterator[Result | GaveUp | InHand]:
            for task in tasks:
                if not isinstance(task, Task):
                    yield task
                    continue
                isolated.put(task, task.size)
                yield from isolated.ready()
                while isolated.is_full:
                    yield from isolated.wait()
            yield from isolated.rest()

        return lambda tasks: _once(_reported(result) for result in read(tasks))

    def close(self) -> None:
        if self.isolated:
            self.isolated.close()


def _finishing(work: Work[Item, Any], finish: Finish) -> Work[Item, Any]:
    def finishing(task: Task[Item]) -> Iterator[Any]:
        for result in work(task):
            if not isinstance(result, ParsedDocument):
                yield result
                continue
            if len(result.content) > LONG:
                yield None
            yield Finished(finish(result))

    return finishing


def _once(results: Iterator[Result]) -> Iterator[Result]:
    """The results, each warning once: a process that replaced another one does not know what that
    one has warned of."""
    seen: set[DocumentFailure] = set()
    for result in results:
        if isinstance(result, DocumentFailure) and result.warning:
            if result in seen:
                continue
            seen.add(result)
        yield result


def _reported(result: Result | GaveUp | InHand) -> Result | DocumentFailure | StillReading:
    if isinstance(result, GaveUp):
        return DocumentFailure(result.item.url, result.reason, stage="read")
    return StillReading(result.item.url) if isinstance(result, InHand) else result


SAME_PROCESS = SameProcess()
