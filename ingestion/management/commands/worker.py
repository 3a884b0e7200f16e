from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ingestion.management.options import at_least_one
from ingestion.notifications import watching
from ingestion.worker.cluster import Worker


class Command(BaseCommand):
    help = "Runs the worker that reads sources; ends, giving back what it reads, on SIGTERM."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        words = "sources read at once (setting WORKERS)"
        parser.add_argument("--workers", type=at_least_one, help=words)

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write("The worker is running. Stop it with Ctrl-C.")
        watching.start_process()
        Worker(options["workers"]).run()
