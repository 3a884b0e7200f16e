"""Late interaction as the environment turns it on, in the processes that a person starts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.settings.place import Place, end
from tests.support.reading import until

MISSING = (
    "SELECT count(*) FROM ingestion_chunk c WHERE NOT EXISTS "
    "(SELECT FROM ingestion_tokenvectors t WHERE t.content_hash = c.content_hash)"
)


def known(place: Place, **given: Any) -> set[str]:
    """What is known of the first hit of a search."""
    out, _ = place.says("search", "one0word1", "--json", **given)
    return {*json.loads(out)["hits"][0]["relevance"]}


@pytest.mark.setting("LATE_INTERACTION")
def test_a_worker_makes_what_a_search_needs(place: Place) -> None:
    place.ingest()
    assert "late" not in known(place, LATE_INTERACTION="true")
    out, log = place.says("ingest_all", LATE_INTERACTION="true")
    assert "no token vectors for late interaction yet" in out + log
    worker = place.manage("worker", LATE_INTERACTION="true")
    try:
        until(lambda: place.ask(MISSING) == 0, 60)
    finally:
        end(worker)
    assert "late" in known(place, LATE_INTERACTION="true")
    assert "late" not in known(place)
    place.says("late_interaction", "--remove")
    assert place.ask("SELECT count(*) FROM ingestion_tokenvectors") == 0
