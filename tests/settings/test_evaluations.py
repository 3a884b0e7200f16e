"""Whether a worker measures search after a run that changed the index."""

from __future__ import annotations

import pytest

from tests.settings.place import Place, end
from tests.support.reading import until

QUESTION = (
    'INSERT INTO ingestion_question (query, kind, passages, expected, phrases, "all", half, note,'
    " created_at) VALUES ('page', 'question', '[]', '[\"mdx-dwc://\"]', '[]', false, '', '', now())"
)
EVALUATIONS = "SELECT count(*) FROM ingestion_evaluation WHERE state = 'succeeded'"
FRESH = "TRUNCATE ingestion_question, ingestion_evaluation"


@pytest.mark.setting("EVALUATE_AFTER_RUNS")
def test_search_is_measured_after_a_run(place: Place) -> None:
    place.do(FRESH)
    place.do(QUESTION)
    place.ingest()
    quick = {"REAPER_INTERVAL": "0.5"}
    worker = place.manage("worker", EVALUATE_AFTER_RUNS="false", **quick)
    try:
        place.says("ingest_all", EVALUATE_AFTER_RUNS="false")
    finally:
        end(worker)
    assert place.ask("SELECT count(*) FROM ingestion_evaluation") == 0
    worker = place.manage("worker", EVALUATE_AFTER_RUNS="true", **quick)
    try:
        until(lambda: place.ask(EVALUATIONS) == 1, 60)
    finally:
        end(worker)
    place.do(FRESH)
