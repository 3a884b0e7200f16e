"""What the queue calls: an id in, one call, one sentence out."""

from __future__ import annotations

from ingestion.process import supervise


def run_source(source_run_id: int) -> str:
    return supervise(source_run_id)


def canary() -> str:
    return "A worker is alive."
