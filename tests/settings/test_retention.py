"""How long runs are kept by a worker, and by the command."""

from __future__ import annotations

import pytest

from tests.settings.place import Place, end
from tests.support.reading import until

RUNS = "SELECT count(*) FROM ingestion_run"
ELEVEN_COPIES = """
INSERT INTO ingestion_run SELECT (jsonb_populate_record(
    r, jsonb_build_object('id', id + n))).* FROM ingestion_run r, generate_series(1, 11) n;
INSERT INTO ingestion_sourcerun SELECT (jsonb_populate_record(
    s, jsonb_build_object('id', id + n, 'run_id', run_id + n))).*
    FROM ingestion_sourcerun s, generate_series(1, 11) n;
UPDATE ingestion_run SET created_at = now() - interval '1223 hours'
    + (id - (SELECT min(id) FROM ingestion_run)) * interval '1 day';
UPDATE ingestion_sourcerun s SET queued_at = created_at FROM ingestion_run r WHERE r.id = run_id
"""


@pytest.mark.setting("RETENTION_DAYS")
def test_runs_are_kept_for_so_many_days(place: Place) -> None:
    """Of twelve runs, asked for 40 to 51 days ago, the last ten stay."""
    place.ingest()
    place.do(ELEVEN_COPIES)
    place.says("prune", RETENTION_DAYS="51")
    assert place.ask(RUNS) == 12
    place.do("DELETE FROM django_cache")  # a worker prunes only if none has in the last hour
    worker = place.manage("worker", RETENTION_DAYS="50")
    try:
        until(lambda: place.ask(RUNS) == 11, 60)
    finally:
        end(worker)
    assert "source runs: 1, runs: 1" in place.says("prune", RETENTION_DAYS="20")[0]
    assert place.ask(RUNS) == 10
