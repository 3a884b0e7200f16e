"""The ways to an embedder, one for each server: which takes the next texts, and how many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ingestion.embedding.base import Vectors
from ingestion.embedding.pace import Pace


@dataclass(eq=False)
class Lane:
    """One server, or the embedder in this process. `name` is for people; `is_away` says whether it
    failed lately. `under_way` and `turn` belong to the Lanes."""

    embed: Callable[[Sequence[str]], Vectors]
    dimensions: int
    pace: Pace
    name: str = ""
    is_away: Callable[[], bool] = lambda: False
    under_way: int = 0
    turn: int = 0

    @property
    def room(self) -> int:
        return max(0, self.pace.at_once - self.under_way)


class Lanes:
    """Not thread-safe: whoever asks holds a lock."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.all = list(lanes)
        self.turns = 0

    @property
    def most_at_once(self) -> int:
        return sum(lane.pace.limits.most.at_once for lane in self.all)

    @property
    def capacity(self) -> int:
        """The texts that are under way if everything is busy."""
        return sum(lane.pace.load.texts for lane in self.all)

    def take(self, waiting: int, *, rest: bool) -> tuple[Lane, int] | None:
        """The lane that comes next, and how many of the `waiting` texts it gets; None if all are
        busy, or more texts should be waited for. With `rest` none will come."""
        free = self._free()
        if not free:
            return None
        lane = min(free, key=lambda one: (one.under_way / one.pace.at_once, one.turn))
        size = _share(lane, waiting, sum(one.room for one in free)) if rest else lane.pace.size
        if waiting < (1 if rest else _enough(lane)):
            for one in free:
                one.pace.starved()
            return None
        self.turns += 1
        lane.turn = self.turns
        lane.under_way += 1
        return lane, size

    def settled(self) -> Iterator[str]:
        """What each server is asked for at the end, if that was to be found out."""
        for lane in self.all:
            if lane.turn and lane.pace.is_free:
                size, at_once = lane.pace.kept
                many = "1 request" if at_once == 1 else f"{at_once} requests"
                yield f"{lane.name} was given {size} texts in a request and {many} at once."

    def _free(self) -> list[Lane]:
        usable = [lane for lane in self.all if not lane.is_away()] or self.all
        return [lane for lane in usable if lane.room]


def _enough(lane: Lane) -> int:
    """A server that has nothing to do does not wait for more texts than it began with."""
    first = lane.pace.limits.first.size
    return lane.pace.size if lane.under_way else min(lane.pace.size, first)


def _share(lane: Lane, waiting: int, rooms: int) -> int:
    """The last texts are shared by those who are free."""
    first = min(lane.pace.size, lane.pace.limits.first.size)
    return min(lane.pace.size, max(first, math.ceil(waiting / rooms)))
