"""How the CPU time of a way in grows with the size of a hostile text."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ingestion.processes.isolation import GaveUp, InHand, Isolated, Limits
from tests.hostile.inputs import Seed, Target

STEEPEST = 1.5  # 1 is linear, 2 quadratic
QUICK = 0.03  # seconds of CPU at the largest size below which nothing is said of growth
TRIES = 3
SURE = 0.3  # seconds of CPU from which on one try is enough
LARGER = 4  # a text that seems steep is tried at this many times the largest size as well
LONGEST = 30.0  # seconds for one text


class Steep(NamedTuple):
    """A text whose time grows too fast, or which never came to its end."""

    target: str
    seed: Seed
    exponent: float
    seconds: tuple[float, ...]


def steep(target: Target, seeds: Sequence[Seed], sizes: Sequence[int]) -> list[Steep]:
    """The seeds at which the target's CPU time grows faster than size ** STEEPEST."""

    def work(seed: Seed) -> Iterator[Steep | None]:
        logging.disable()
        if _seconds(target, seed, sizes[-1]) < QUICK:
            return
        yield None
        yield _measured(target, seed, sizes)

    isolated: Isolated[Seed, Steep] = Isolated(work, limits=Limits(LONGEST, 0))
    found = []
    for seed in seeds:
        isolated.put(seed)
    for result in isolated.rest():
        if isinstance(result, GaveUp):
            found.append(Steep(target.name, result.item, math.inf, ()))
        elif not isinstance(result, InHand):
            found.append(result)
    isolated.close()
    return [one for one in found if one.exponent > STEEPEST]


def _measured(target: Target, seed: Seed, sizes: Sequence[int]) -> Steep:
    """A step (from one chunk to several, past what is remembered) ends; growth goes on."""
    spent = tuple(quickest(target, seed, size) for size in sizes)
    exponent = _exponent(sizes, spent)
    if exponent > STEEPEST:
        larger = LARGER * sizes[-1]
        spent = (*spent, quickest(target, seed, larger))
        exponent = _exponent((*sizes, larger), spent)
    return Steep(target.name, seed, exponent, spent)


def quickest(target: Target, seed: Seed, size: int) -> float:
    """Seconds of CPU that the target takes for the seed at this size, at best."""
    first = _seconds(target, seed, size)
    if first > SURE:
        return first
    return min(first, *(_seconds(target, seed, size) for _ in range(TRIES - 1)))


def _seconds(target: Target, seed: Seed, size: int) -> float:
    begun = time.process_time()
    target.feed(seed, size)
    return time.process_time() - begun


def _exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of time over size, both in logarithms: by least squares, or between the two largest
    sizes if that is less, because the smallest may take a shorter way."""
    xs = [math.log(size) for size in sizes]
    ys = [math.log(max(spent, 1e-4)) for spent in seconds]
    return min(_slope(xs, ys), _slope(xs[-2:], ys[-2:]))


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    products = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return products / sum((a - x) ** 2 for a in xs)
