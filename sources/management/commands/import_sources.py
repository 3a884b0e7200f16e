from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion.exceptions import ConfigError
from sources.moving import Result, import_file


class Command(BaseCommand):
    help = "Reads sources from our own export or the predecessor's sources.toml. First a dry run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--apply", action="store_true", help="write; without it, only report")
        parser.add_argument(
            "--partial", action="store_true", help="write the valid rows even if others are refused"
        )

    def handle(self, *args: Any, **options: Any) -> str:
        apply, partial = options["apply"], options["partial"]
        try:
            results = import_file(options["file"], apply=apply, partial=partial)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        for result in results:
            self._show(result)
        return self._summed_up(results, apply, partial)

    def _show(self, result: Result) -> None:
        first, *rest = result.details or ("",)
        self.stdout.write(f"{result.verdict:8}{result.name:24}{first}".rstrip())
        for line in rest:
            self.stdout.write(f"{'':32}{line}")

    def _summed_up(self, results: list[Result], apply: bool, partial: bool) -> str:
        counted = Counter(result.verdict for result in results)
        numbers = ", ".join(f"{counted[verdict]} {verdict}" for verdict in counted) or "no rows"
        if counted["refuse"] and not (apply and partial):
            raise CommandError(
                f"Nothing was written ({numbers}). Fix the refused rows, "
                "or leave them out with --apply --partial."
            )
        if not apply:
            return f"Nothing was written yet ({numbers}). Do it with --apply."
        return f"Written ({numbers}). Sources that the file does not name stay as they are."
