"""Questions in groups of the same meaning: greedily, each with the first one that it is like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ingestion.models import AskedQuery

# Cosine similarity of query vectors. Of nine subjects, asked for in one to four ways each, 88 % of
# the pairs of one subject are above it with wordllama, 96 % with all-minilm, and none of two.
ALIKE = 0.65


@dataclass
class Group:
    """Queries about the same, the one asked most first; `number` is how often they were asked."""

    queries: list[AskedQuery]
    number: int
    last: Any = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.queries[0].at

    @property
    def first(self) -> AskedQuery:
        return self.queries[0]

    def add(self, query: AskedQuery, number: int) -> None:
        self.queries.append(query)
        self.number += number
        self.last = max(self.last, query.at)


def grouped(asked: Iterable[tuple[AskedQuery, int]]) -> list[Group]:
    """Groups of the queries, given with how often each was asked; the largest first.

    Vectors of different models are not compared: a query without one, or with another model's, is
    in a group of its own model, or alone.
    """
    groups: list[Group] = []
    leaders: dict[int, tuple[list[Any], list[Group]]] = {}
    for query, number in sorted(asked, key=lambda one: (-one[1], -one[0].pk)):
        vectors, led = leaders.setdefault(query.profile_id or 0, ([], []))
        vector = _normal(query.embedding)
        found = _nearest(vector, vectors)
        if found is not None:
            led[found].add(query, number)
            continue
        group = Group([query], number)
        groups.append(group)
        if vector is not None:
            vectors.append(vector)
            led.append(group)
    return sorted(groups, key=lambda group: (-group.number, -group.first.pk))


def _normal(vector: Any) -> Any:
    """The vector with a length of one; None if there is none."""
    if vector is None:
        return None
    made = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(made))
    return made / length if length else None


def _nearest(vector: Any, vectors: list[Any]) -> int | None:
    """The place of the most similar one, if it is alike."""
    if vector is None or not vectors:
        return None
    similar = np.stack(vectors) @ vector
    place = int(similar.argmax())
    return place if similar[place] >= ALIKE else None
