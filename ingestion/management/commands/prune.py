from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ingestion.runs import retention


class Command(BaseCommand):
    help = "Removes what is older than RETENTION_DAYS; the worker does so by itself, every hour."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(_sentence())


def _sentence() -> str:
    if not settings.RETENTION_DAYS:
        return "RETENTION_DAYS=0 keeps everything: nothing was removed."
    pruning = retention.prune()
    return "Another process prunes now: wait for it." if pruning is None else str(pruning)
