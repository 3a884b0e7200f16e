"""django-q2's own command, made to run our worker, which outlives a stuck cluster."""

from __future__ import annotations

from ingestion.management.commands.worker import Command

__all__ = ["Command"]
