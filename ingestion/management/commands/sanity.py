from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.table import Table

from ingestion.monitoring import consistency

WIDTH_IN_A_LOG = 140


class Command(BaseCommand):
    help = "Checks that what is stored holds together. Exit code 1 if something does not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fix", action="store_true", help="fix what can be fixed safely")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = consistency.examine(fix=options["fix"])
        self.stdout.write(self._drawn(_table(findings)))
        left = [finding for finding in findings if finding.number and not finding.fixed]
        if any(finding.check.fix for finding in left):
            self.stdout.write("Fix it with `python manage.py sanity --fix`.")
        if any(finding.number for finding in findings):
            sys.exit(1 if left else 0)

    def _drawn(self, table: Table) -> str:
        terminal = self.stdout.isatty()
        console = Console(
            file=StringIO(), force_terminal=terminal, width=None if terminal else WIDTH_IN_A_LOG
        )
        with console.capture() as capture:
            console.print(table)
        return capture.get()


def _table(findings: list[consistency.Finding]) -> Table:
    table = Table("Check", "Found", "For example", "What was done")
    for finding in findings:
        done = finding.check.remedy if finding.fixed else "nothing" if finding.number else ""
        colour = "green" if not finding.number else "yellow" if finding.fixed else "red"
        examples = "\n".join(finding.examples)
        table.add_row(finding.check.name, f"[{colour}]{finding.number}[/]", examples, done)
    return table
