"""Work in processes that may be ended: results in order, and one item never costs another."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from ingestion.processes import isolation
from ingestion.processes.isolation import GaveUp, InHand, Isolated, Limits, _Times
from tests.support.reading import until

Result = tuple[str, int]


def work(item: str) -> Iterator[Result | None]:
    yield f"begun {item}", os.getpid()
    DEEDS.get(item, lambda: None)()
    if item == "steps":
        for _ in range(10):
            time.sleep(0.2)
            yield None
    yield f"ended {item}", os.getpid()


def _backtrack() -> None:
    """Hang in C code that no signal handler gets into."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def _eat() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(2**24))


def _raise() -> None:
    raise ValueError("thirteen")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_once() -> None:
    if not os.path.exists(MARK[0]):
        open(MARK[0], "w").close()
        _die()


def _warn() -> None:
    logging.getLogger("ingestion.test").warning("watch %s", "out")


MARK = [""]
DEEDS: dict[str, Callable[[], None]] = {
    "backtrack": _backtrack,
    "sleep": lambda: time.sleep(60),
    "eat": _eat,
    "raise": _raise,
    "die": _die,
    "die once": _die_once,
    "warn": _warn,
    "burn": lambda: _burn(2.0),
}


def _burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


Work = Isolated[str, Result]


@pytest.fixture
def isolated() -> Iterator[Work]:
    made: Work = Isolated(work, 1, Limits(seconds=0.75, memory_mb=200))
    yield made
    made.close()


def results(isolated: Work, *items: str) -> list[str]:
    """What came of the items, in order; an item that was given up, as `!` and its name."""
    for item in items:
        isolated.put(item)
    found = []
    for result in isolated.rest():
        if isinstance(result, GaveUp):
            found.append(f"!{result.item}")
        elif not isinstance(result, InHand):
            found.append(result[0])
    return found


def test_it_works(isolated: Work) -> None:
    assert results(isolated, "a", "b") == ["begun a", "ended a", "begun b", "ended b"]
    isolated.put("c")
    [(_, first), (_, second)] = isolated.rest()  # type: ignore[misc]
    assert first == second != os.getpid()


def test_nothing_is_forked_before_the_first_batch(isolated: Work) -> None:
    isolated.put("a")
    assert isolated.slots == []


def test_what_comes_slowly_does_not_wait_for_a_full_batch(isolated: Work) -> None:
    isolated.put("a")
    assert list(isolated.ready()) == []
    isolated.begun -= 1
    until(lambda: any(True for _ in isolated.ready()), 5)


@pytest.mark.parametrize("deed", ["backtrack", "sleep"])
def test_an_item_without_end_is_given_up_and_the_rest_is_done(isolated: Work, deed: str) -> None:
    begun = time.monotonic()
    found = results(isolated, "a", deed, "b")
    assert found == ["begun a", "ended a", f"begun {deed}", f"!{deed}", "begun b", "ended b"]
    assert time.monotonic() - begun < 7.5, "ten times the limit"


def test_what_was_given_up_says_why_and_what_to_do(isolated: Work) -> None:
    isolated.put("sleep")
    (given_up,) = (found for found in isolated.rest() if isinstance(found, GaveUp))
    assert "more than 1 s (DOCUMENT_TIME_LIMIT)" in given_up.reason
    assert "or raise the limit" in given_up.reason


def test_an_item_that_takes_too_much_memory_is_given_up(isolated: Work) -> None:
    assert results(isolated, "eat", "b") == ["begun eat", "!eat", "begun b", "ended b"]


def test_the_time_counts_from_the_last_step() -> None:
    """Ten steps take 2 s, each 0.2."""
    isolated: Work = Isolated(work, 1, Limits(seconds=1.5))
    assert results(isolated, "steps") == ["begun steps", "ended steps"]
    isolated.close()


def test_steps_do_not_go_on_for_ever() -> None:
    limits = Limits(seconds=0.4)
    assert limits.seconds_in_all(0) == 0.8
    assert limits.seconds_in_all(2**20) == 1.6
    isolated: Work = Isolated(work, 1, limits)
    assert results(isolated, "steps") == ["begun steps", "!steps"]
    isolated.close()


def test_waiting_for_a_processor_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """With eight processes for each core, 2 s of work take 16 s on a clock on the wall."""
    monkeypatch.setattr(isolation, "MOST_KEPT_WAITING", 100.0)
    number = 8 * len(os.sched_getaffinity(0))
    isolated: Work = Isolated(work, number, Limits(seconds=5.0))
    begun = time.monotonic()
    for _ in range(number):
        isolated.put("burn", 10_000)
    found = list(isolated.rest())
    isolated.close()
    assert time.monotonic() - begun > 7.0
    assert not [one for one in found if isinstance(one, GaveUp)]


def test_waiting_for_a_processor_counts_half_at_the_most() -> None:
    begin, busy, starved = _Times(0.0, 0.0), _Times(10.0, 1.0), _Times(10.0, 9.0)
    assert busy.since(begin) == 9.0
    assert starved.since(begin) == 5.0


def test_a_process_that_dies_once_costs_nothing(isolated: Work, tmp_path: object) -> None:
    MARK[0] = f"{tmp_path}/died"
    found = results(isolated, "a", "die once", "b")
    assert found == ["begun a", "ended a", "begun die once", "ended die once", "begun b", "ended b"]


def test_an_item_that_kills_its_process_twice_is_given_up(isolated: Work) -> None:
    isolated.put("die")
    isolated.put("b")
    found = list(isolated.rest())
    assert found[-2][0] == "begun b"
    [given_up] = [one for one in found[:-2] if isinstance(one, GaveUp)]
    assert "died twice (Killed)" in str(given_up)


def test_an_error_is_raised_in_its_place_and_the_rest_is_done(isolated: Work) -> None:
    for item in ("a", "raise", "b"):
        isolated.put(item)
    found = []
    with pytest.raises(ValueError, match="thirteen") as raised:
        found += [result[0] for result in isolated.rest()]
    assert "in _raise" in "".join(raised.value.__notes__)
    assert [result[0] for result in isolated.rest()] == ["begun b", "ended b"]


def test_what_is_logged_comes_to_this_process(
    isolated: Work, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        results(isolated, "warn")
    assert [record.getMessage() for record in caplog.records] == ["watch out"]


def test_several_processes_share_the_work_and_the_order_stays() -> None:
    isolated: Work = Isolated(work, 3)
    items = [f"item {number}" for number in range(60)]
    for item in items:
        isolated.put(item, 10_000)
    found = [result for result in isolated.rest() if not isinstance(result, InHand)]
    isolated.close()
    assert [name for name, _ in found] == [f"{w} {i}" for i in items for w in ("begun", "ended")]
    assert len({pid for _, pid in found}) > 1


def test_closing_ends_a_process_in_the_middle_of_its_work(isolated: Work) -> None:
    isolated.put("backtrack", 10_000)
    pid = next(result[1] for result in isolated.rest() if not isinstance(result, InHand))
    isolated.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_process_ends_with_its_parent() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        isolated: Work = Isolated(work)
        isolated.put("sleep", 10_000)
        pid = next(result[1] for result in isolated.rest() if not isinstance(result, InHand))
        os.write(writing, f"{pid}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
    child = int(os.read(reading, 20))
    os.waitpid(parent, 0)
    os.close(reading)
    os.close(writing)
    until(lambda: not _runs(child), 5)


def _runs(pid: int) -> bool:
    """Whether it is alive and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_holds_none_of_its_parents_files(isolated: Work) -> None:
    reading, writing = os.pipe()
    results(isolated, "a")
    os.close(writing)
    assert os.read(reading, 1) == b"", "the end of the file: nobody else can write to it"
    os.close(reading)
