"""django-q2's own command, made to run our worker: a bare cluster would not outlive a stuck process."""

from __future__ import annotations

from ingestion.management.commands.worker import Command

__all__ = ["Command"]
