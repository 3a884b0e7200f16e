"""Compare two results of the evaluation on the questions that both have.

The interval is that of a paired bootstrap: the mean difference of as many questions, drawn again
and again from those that were asked. One wholly below 0 says that a kind got worse, and that it was
hardly chance (95 %).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 4000
SEED = 1
INTERVAL = (2.5, 97.5)  # percentiles

Places = Sequence[Sequence[int]]
"""For each answer of a question its rank and the characters up to its end; 0 if not found."""
Measure = Callable[[Places], float]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the questions of one kind: `low` to `high` is the interval of `mean`."""

    questions: int
    better: int
    worse: int
    mean: float
    low: float
    high: float

    @property
    def is_worse(self) -> bool:
        return self.high < 0


def reciprocal_rank(places: Places) -> float:
    return sum(1 / rank for rank, _ in places if rank) / len(places)


def found(places: Places) -> float:
    """The share of the answers that are among the results."""
    return sum(rank > 0 for rank, _ in places) / len(places)


def changes(
    now: Mapping[str, Any], earlier: Mapping[str, Any], measure: Measure = reciprocal_rank
) -> dict[str, Change]:
    """The changes by kind and over "all", from the two reports of one mode."""
    before = earlier["questions"]
    kinds: defaultdict[str, list[float]] = defaultdict(list)
    for query, answer in now["questions"].items():
        if query in before:
            gained = measure(answer["places"]) - measure(before[query]["places"])
            kinds[answer["kind"]].append(gained)
            kinds["all"].append(gained)
    return {kind: _change(np.array(gains)) for kind, gains in kinds.items()}


@dataclass(frozen=True, slots=True)
class Moved:
    """A question whose answers are at other ranks than before; 0 is not found."""

    query: str
    kind: str
    before: Sequence[int]
    after: Sequence[int]
    gain: float


def moved(
    now: Mapping[str, Any], earlier: Mapping[str, Any], measure: Measure = reciprocal_rank
) -> list[Moved]:
    """The questions of two reports of one mode whose measure changed; those that fell most are
    first."""
    before = earlier["questions"]
    found = [
        Moved(query, answer["kind"], _ranks(before[query]), _ranks(answer), gain)
        for query, answer in now["questions"].items()
        if query in before
        and (gain := measure(answer["places"]) - measure(before[query]["places"]))
    ]
    return sorted(found, key=lambda one: one.gain)


def _ranks(answer: Mapping[str, Any]) -> list[int]:
    return [rank for rank, _ in answer["places"]]


def _change(gains: np.ndarray[Any, np.dtype[np.float64]]) -> Change:
    drawn = np.random.default_rng(SEED).choice(gains, (DRAWS, len(gains))).mean(axis=1)
    low, high = np.percentile(drawn, INTERVAL)
    return Change(
        questions=len(gains),
        better=int((gains > 0).sum()),
        worse=int((gains < 0).sum()),
        mean=float(gains.mean()),
        low=float(low),
        high=float(high),
    )
