"""The settings that bound a run: memory, time, attempts, waiting, removal."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime
from itertools import pairwise

import psutil
import pytest

from tests.settings.place import ODD, Place
from tests.support.ollama_server import hanging, honest, status
from tests.support.reading import until

READING = "SELECT {} FROM ingestion_sourcerun ORDER BY id DESC LIMIT 1"


def error(place: Place) -> str:
    return str(place.ask(READING.format("error")))


@pytest.mark.setting("RUN_MEMORY_LIMIT_MB")
@pytest.mark.setting("RUN_ATTEMPTS")
def test_a_reading_that_eats_memory_is_ended_and_given_up(place: Place) -> None:
    place.fresh("one", "cursor")
    place.source("OddParser", '{"does": "eat"}')
    given = {"RUN_MEMORY_LIMIT_MB": "300", "RUN_ATTEMPTS": "2"}
    place.ingest(code=1, script=ODD, **given)
    assert "the limit (RUN_MEMORY_LIMIT_MB) is 300 MB." in error(place)
    assert "Given up after 2 attempts." in error(place)
    assert place.ask(READING.format("attempt")) == 2


@pytest.mark.setting("DOCUMENT_TIME_LIMIT")
@pytest.mark.setting("DOCUMENT_MEMORY_LIMIT_MB")
@pytest.mark.parametrize(
    ("does", "limit", "said"),
    [
        ("backtrack", {"DOCUMENT_TIME_LIMIT": "1.5"}, "more than 2 s (DOCUMENT_TIME_LIMIT)"),
        ("eat", {"DOCUMENT_MEMORY_LIMIT_MB": "200"}, "200 MB of memory (DOCUMENT_MEMORY_LIMIT_MB)"),
        ("die", {}, "died twice (Killed)"),
    ],
)
def test_a_document_beyond_its_limits_fails_alone(
    place: Place, does: str, limit: dict[str, str], said: str
) -> None:
    place.fresh("a", "b", "cursor", "x", "y", "z")
    place.source("HostileParser", f'{{"does": "{does}"}}')
    place.ingest(code=1, script=ODD, **limit)
    assert place.ask(READING.format("state")) == "partial"
    assert place.ask(READING.format("attempt")) == 1
    assert place.documents() == 5
    assert place.all("SELECT document_url FROM ingestion_failure") == ["mdx-dwc://cursor.md"]
    assert said in place.ask("SELECT message FROM ingestion_failure")


@pytest.mark.setting("CHUNKING_PROCESSES")
def test_so_many_processes_read_a_source(place: Place) -> None:
    place.fresh("a", "cursor")
    place.source("HostileParser", '{"does": "backtrack"}')
    command = place.manage("ingest_all", script=ODD, CHUNKING_PROCESSES="3")
    try:
        until(lambda: 3 in [len(reading.children()) for reading in readings(place)], 60)
    finally:
        command.kill()
        command.communicate()


def readings(place: Place) -> list[psutil.Process]:
    """The processes that read sources: those that the workers have forked."""
    found: list[psutil.Process] = []
    for worker in place.all("SELECT worker FROM ingestion_sourcerun WHERE state = 'running'"):
        with contextlib.suppress(psutil.NoSuchProcess, ValueError, IndexError):
            found += psutil.Process(int(worker.split()[-1])).children()
    return found


@pytest.fixture(scope="module")
def stalled(installation: Place) -> list[datetime]:
    """A reading that hangs and does not want to end; its signs of life."""
    place = installation
    place.fresh("one", "cursor")
    place.source("OddParser", '{"does": "ignore", "seconds": 5.0}')
    given = {"RUN_STALL_LIMIT": "2", "RUN_CANCEL_GRACE": "0.2"}
    given |= {"RUN_HEARTBEAT": "0.1", "RUN_POLL": "0.05", "RUN_ATTEMPTS": "1"}
    command = place.manage("ingest_all", script=ODD, **given)
    beats: dict[datetime, None] = {}

    def ended() -> bool:
        if (beat := place.ask(READING.format("heartbeat"))) is not None:
            beats[beat] = None
        return command.poll() is not None

    until(ended, 60)
    command.communicate()
    return list(beats)


@pytest.mark.setting("RUN_STALL_LIMIT")
def test_a_reading_that_stands_still_is_ended(stalled: list[datetime], installation: Place) -> None:
    assert "It hung for 2 s; the limit is RUN_STALL_LIMIT." in error(installation)


@pytest.mark.setting("RUN_CANCEL_GRACE")
def test_a_reading_that_goes_on_though_asked_to_end_is_killed(
    stalled: list[datetime], installation: Place
) -> None:
    assert not (installation.data / "outlived").exists()


@pytest.mark.setting("RUN_HEARTBEAT")
def test_a_reading_gives_signs_of_life(stalled: list[datetime]) -> None:
    assert len(stalled) >= 4, "in 2 s, one comes with the claim"


@pytest.mark.setting("RUN_POLL")
def test_a_reading_is_looked_at(stalled: list[datetime]) -> None:
    pauses = [after - before for before, after in pairwise(stalled)]
    assert min(pause.total_seconds() for pause in pauses) < 0.4, "a look comes with each sign"


WAIT = """SELECT extract(epoch FROM resume_at - (SELECT max(at) FROM ingestion_logline))::float
    FROM ingestion_sourcerun WHERE state = 'waiting'"""


@pytest.fixture(scope="module")
def waits(installation: Place) -> list[float]:
    """The pauses, in seconds, of a run whose embedder stays away, until it has failed."""
    place = installation
    place.fresh("one")
    place.ollama.next(honest())  # to the command itself
    place.ollama.always(status(503))
    given = {"EMBEDDER_WAIT_FIRST": "0.3", "EMBEDDER_WAIT_MAX": "0.8", "EMBEDDER_WAIT_LIMIT": "2"}
    command = place.manage("ingest_all", **given)
    pauses: dict[float, None] = {}

    def ended() -> bool:
        if (pause := place.ask(WAIT)) is not None:
            pauses[round(pause, 1)] = None
        return command.poll() is not None

    until(ended, 60)
    command.communicate()
    place.ollama.always(None)
    return list(pauses)


@pytest.mark.setting("EMBEDDER_WAIT_FIRST")
def test_an_embedder_that_is_away_is_waited_for(waits: list[float]) -> None:
    assert waits[0] == 0.3


@pytest.mark.setting("EMBEDDER_WAIT_MAX")
def test_the_wait_grows_up_to_its_limit(waits: list[float]) -> None:
    assert max(waits) == 0.8


@pytest.mark.setting("EMBEDDER_WAIT_LIMIT")
def test_a_wait_that_lasts_too_long_ends_the_run(waits: list[float], installation: Place) -> None:
    assert installation.ask(READING.format("state")) == "failed"
    assert "hours (EMBEDDER_WAIT_LIMIT) for the embedder" in error(installation)


@pytest.mark.setting("EMBEDDING_TIMEOUT")
def test_an_embedder_that_does_not_answer_is_given_up(place: Place) -> None:
    place.ollama.always(hanging())
    said = place.ingest(code=2, EMBEDDING_TIMEOUT="1.5")
    assert "it did not answer within 1.5 s" in said


@pytest.fixture(scope="module")
def twelve(installation: Place) -> Place:
    """Twelve pages are stored; then ten go, and one changes without looking changed."""
    place = installation
    place.fresh(*(f"page{number:02}" for number in range(12)))
    place.ingest()
    for number in range(10):
        (place.pages / f"page{number:02}.md").unlink()
    changed = place.pages / "page11.md"
    before = changed.stat()
    changed.write_text(changed.read_text().replace("word", "worm"))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    place.ingest(REMOVAL_GATE_SHARE="0.9", TRUST_FILE_TIMES="false")
    return place


@pytest.mark.setting("REMOVAL_GATE_SHARE")
def test_a_share_that_may_vanish_is_removed(twelve: Place) -> None:
    assert twelve.documents() == 2


@pytest.mark.setting("TRUST_FILE_TIMES")
def test_a_file_is_read_though_its_size_and_time_are_known(twelve: Place) -> None:
    chunks = twelve.all("SELECT content FROM ingestion_chunk")
    assert "worm" in " ".join(chunks)


@pytest.mark.setting("REMOVAL_GATE_DOCUMENTS")
def test_the_removal_of_so_many_waits_for_approval(twelve: Place) -> None:
    (twelve.pages / "page10.md").unlink()
    said = twelve.ingest(code=1, REMOVAL_GATE_DOCUMENTS="1")
    assert "1 of 2 documents vanished: approve or refuse their removal." in said
    assert twelve.documents() == 2
