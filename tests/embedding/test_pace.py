"""How much a server is asked for at once: what is found for servers of different kinds, on a clock
of the test's own."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from ingestion.embedding.pace import FIRST, MOST, SLACK, SOON, Limits, Load, Pace

CHARACTERS = 800  # of a text, in the mean


@dataclass
class Server:
    """Works at `slots` requests at once; the others wait in line. `seconds` of each are told by its
    texts and characters."""

    slots: int
    seconds: Callable[[int, int], float]
    pace: Pace = field(init=False)
    limits: Limits = field(default_factory=Limits)
    now: float = 0.0
    busy: float = 0.0
    lines: list[tuple[float, float]] = field(default_factory=list)
    """When something was sent, and how long a search that came then would stand in line."""
    longest: float = 0.0
    """The most seconds that a request took."""

    def __post_init__(self) -> None:
        self.pace = Pace(self.limits, lambda: self.now)
        self.free = [0.0] * self.slots
        self.order = itertools.count()
        self.random = random.Random(1)

    def embed(self, texts: int) -> float:
        """Send so many texts, keeping as much under way as the pace says; the seconds it took."""
        began, left = self.now, texts
        under_way: list[tuple[float, int, float, int, int]] = []
        while left or under_way:
            while left and len(under_way) < self.pace.at_once:
                size = min(left, self.pace.size)
                left -= size
                heapq.heappush(under_way, self._sent(size))
            if not left:
                self.pace.starved()
            self.now, _, sent, size, characters = heapq.heappop(under_way)
            self.longest = max(self.longest, self.now - sent)
            self.pace.answered(size, characters, sent)
        return self.now - began

    def _sent(self, size: int) -> tuple[float, int, float, int, int]:
        characters = sum(self.random.randint(1, 2 * CHARACTERS) for _ in range(size))
        spent = self.seconds(size, characters)
        begins = max(self.now, heapq.heappop(self.free))
        heapq.heappush(self.free, begins + spent)
        self.busy += spent
        self.lines.append((self.now, min(self.free) - self.now))
        return begins + spent, next(self.order), self.now, size, characters

    def share_above(self, longest: float) -> float:
        """Of the time, in which a search would stand in line for longer than that."""
        ends = [at for at, _ in self.lines[1:]] + [self.now]
        above = [
            min(end - at, max(0.0, line - longest))
            for (at, line), end in zip(self.lines, ends, strict=True)
        ]
        return sum(above) / self.now


def a_batch(seconds: float) -> Callable[[int, int], float]:
    return lambda texts, characters: seconds


def a_text(seconds: float, more: float = 0.0) -> Callable[[int, int], float]:
    return lambda texts, characters: more + characters * seconds / CHARACTERS


def test_requests_grow_if_that_costs_nothing() -> None:
    server = Server(1, a_batch(0.1))
    server.embed(20_000)
    assert server.pace.size == MOST.size


def test_more_requests_are_sent_to_a_server_that_works_at_several() -> None:
    server = Server(8, a_text(0.005))
    server.embed(20_000)
    assert server.pace.size * server.pace.at_once >= 8 * FIRST.size


@pytest.mark.parametrize("seconds", [0.1, 0.3, 2.0])
def test_as_many_requests_are_sent_as_a_server_works_at(seconds: float) -> None:
    server = Server(8, a_batch(seconds), limits=Limits.of(8, 0, 120.0))
    spent = server.embed(4000)
    assert server.pace.at_once == 8
    assert server.busy / (8 * spent) > 0.95


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1])
def test_a_server_that_gains_nothing_is_asked_as_before(seconds: float) -> None:
    server = Server(1, a_text(seconds))
    spent = server.embed(20_000)
    assert server.pace.kept.texts <= FIRST.texts
    assert server.busy / spent > 0.99


@pytest.mark.parametrize("slots", [1, 8])
@pytest.mark.parametrize("more", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("text", [0.0001, 0.004, 0.05])
def test_a_search_stands_in_line_as_long_as_before_or_shortly(
    slots: int, more: float, text: float
) -> None:
    before = Server(slots, a_text(text, more), limits=Limits.of(*FIRST, 120.0))
    spent = before.embed(30_000)
    server = Server(slots, a_text(text, more))
    assert server.embed(30_000) < 1.02 * spent
    assert server.share_above(SLACK * max(SOON, before.longest)) < 0.1


def test_what_is_set_is_what_is_asked_for() -> None:
    server = Server(8, a_batch(0.1), limits=Limits.of(7, 3, 120.0))
    server.embed(5000)
    assert server.pace.kept == (7, 3)


def test_texts_that_come_slowly_say_nothing_of_the_server() -> None:
    server = Server(1, a_batch(0.1))
    for _ in range(200):
        server.embed(FIRST.size)
        server.now += 1.0
    assert server.pace.kept == FIRST


def test_a_timeout_halves_requests_which_grow_again_when_it_is_over() -> None:
    now = 1.0
    pace = Pace(Limits(timeout=10.0), lambda: now)
    assert pace.too_much(32)
    assert pace.load == (16, 2)
    assert not pace.too_much(64)
    now = 9.0
    pace.answered(16, 1000, sent=2.0)
    assert pace.load == (16, 2)
    pace.answered(16, 1000, sent=8.0)
    assert pace.load == (32, 2)


def test_a_server_that_has_too_much_to_do_is_asked_for_less_at_once_for_a_while() -> None:
    server = Server(8, a_batch(0.1), limits=Limits.of(8, 0, 120.0))
    server.embed(2000)
    assert server.pace.at_once == 8
    server.pace.too_many(server.now)
    server.pace.too_many(server.now - 0.1)
    server.embed(100)
    assert server.pace.at_once == 4
    server.embed(100_000)
    assert server.pace.kept.at_once == 8


def test_all_that_is_under_way_fits_into_memory() -> None:
    limits = Limits.of(0, 0, 120.0, 4096 * 4)
    assert limits.allow(Load(64, 2))
    assert not limits.allow(Load(128, 2))
    server = Server(8, a_batch(0.01), limits=limits)
    server.embed(50_000)
    assert server.pace.kept.texts == 128
