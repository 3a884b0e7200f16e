from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from ingestion.monitoring import health


class Command(BaseCommand):
    help = "Reports whether a worker is alive and takes up what is queued; exit code 1 if not."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            check = health.worker()
        except DatabaseError as error:
            self.stderr.write(f"The database does not answer: {str(error).strip()}")
            sys.exit(1)
        self.stdout.write(check.text)
        sys.exit(0 if check.state == "ok" else 1)
