from __future__ import annotations

import json
import resource
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ingestion.runs import dry_run


class Command(BaseCommand):
    help = "Reads what an order on standard input names, storing nothing; the admin's Test uses it."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if limit := settings.RUN_MEMORY_LIMIT_MB:
            most = int(limit * 1.5) * 2**20
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        order = dry_run.understood(sys.stdin.buffer.read())
        dry_run.limit_time(order)
        for entry in dry_run.read(order):
            self.stdout.write(json.dumps(entry))
            self.stdout.flush()
