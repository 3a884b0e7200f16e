"""What the queue calls: an id in, one call, one sentence out."""

from __future__ import annotations

from ingestion.index import hnsw
from ingestion.worker import supervisor


def run_source(source_run_id: int) -> str:
    return supervisor.supervise(source_run_id)


def build_indexes() -> str:
    supervisor.pulse.rest()
    return hnsw.build_missing()


def canary() -> str:
    return "A worker is alive."
