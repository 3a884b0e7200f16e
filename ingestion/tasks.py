"""What the queue calls: an id in, one call, one sentence out."""

from __future__ import annotations

import os
import socket

from ingestion.index import hnsw
from ingestion.runs import evaluations
from ingestion.worker import supervisor


def run_source(source_run_id: int) -> str:
    return supervisor.supervise(source_run_id)


def build_indexes() -> str:
    supervisor.pulse.rest()
    return hnsw.build_missing()


def evaluate(evaluation_id: int) -> str:
    return evaluations.execute(evaluation_id, f"{socket.gethostname()} {os.getpid()}", _stops)


def _stops() -> bool:
    """Give a sign of life; whether the worker is to stop."""
    supervisor.pulse.beat()
    return supervisor.stopping.is_set()


def canary() -> str:
    return "A worker is alive."
