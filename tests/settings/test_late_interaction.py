"""Late interaction as the environment turns it on, in the processes that a person starts."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.settings.place import Place, below, end
from tests.support.reading import until

MISSING = (
    "SELECT count(*) FROM ingestion_chunk c WHERE NOT EXISTS "
    "(SELECT FROM ingestion_tokenvectors t WHERE t.content_hash = c.content_hash)"
)


def known(place: Place, **given: Any) -> set[str]:
    """What is known of the first hit of a search."""
    out, _ = place.says("search", "What is one0word1?", "--json", **given)
    return {*json.loads(out)["hits"][0]["relevance"]}


@pytest.mark.setting("LATE_INTERACTION")
def test_by_default_a_worker_makes_what_a_search_needs(place: Place) -> None:
    place.ingest()
    assert "late" not in known(place, LATE_INTERACTION="true")
    out, log = place.says("ingest_all", LATE_INTERACTION="")
    assert "no token vectors for late interaction yet" in out + log
    worker = place.manage("worker", LATE_INTERACTION="")
    try:
        until(lambda: place.ask(MISSING) == 0, 60)
    finally:
        end(worker)
    assert "late" in known(place, LATE_INTERACTION="")
    assert "late" not in known(place, LATE_INTERACTION="false")
    place.says("late_interaction", "--remove")
    assert place.ask("SELECT count(*) FROM ingestion_tokenvectors") == 0


@pytest.mark.faults
def test_a_kill_loses_a_batch_at_most(place: Place) -> None:
    place.fresh(*(f"page{n}" for n in range(150)))
    place.ingest()
    place.says("late_interaction", "--remove")
    made = "SELECT content_hash || md5(vectors) FROM ingestion_tokenvectors"
    command = place.manage("late_interaction", LATE_INTERACTION="true")
    until(lambda: place.all(made), 60)
    command.send_signal(signal.SIGKILL)
    command.communicate(timeout=60)
    before = {*place.all(made)}
    assert 0 < len(before) < 150
    worker = place.manage("worker", LATE_INTERACTION="true")
    try:
        until(lambda: len(place.all(made)) > len(before), 60)
        for process in below(worker):
            if process.nice() > 0:  # the one in the background
                process.kill()
        until(lambda: place.ask(MISSING) == 0, 120)
    finally:
        end(worker)
    after = place.all(made)
    assert before <= {*after}
    assert len(after) == place.ask("SELECT count(DISTINCT content_hash) FROM ingestion_chunk")
