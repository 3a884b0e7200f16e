"""What the queue calls: an id in, one call, one sentence out."""

from __future__ import annotations

from ingestion import process, vector_index


def run_source(source_run_id: int) -> str:
    return process.supervise(source_run_id)


def build_indexes() -> str:
    process.pulse.rest()
    return vector_index.build_missing()


def canary() -> str:
    return "A worker is alive."
