"""manage.py backup FILE: the whole database in one file, while everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from bbjrag.embedded.programs import run_program

OPTIONS = (
    *("--format=custom", "--no-owner", "--no-privileges"),
    "--exclude-extension=vector",  # the server's, not part of a backup
)


class Command(BaseCommand):
    help = "Writes the database to FILE (PostgreSQL's custom format), while everything runs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="- for standard output")

    def handle(self, *args: Any, file: Path, **options: Any) -> str | None:
        if str(file) == "-":
            run_program("pg_dump", *OPTIONS)
            return None
        draft = file.with_name(f".{file.name}.part")
        try:
            draft.unlink(missing_ok=True)
            draft.touch(mode=0o600)
            run_program("pg_dump", *OPTIONS, f"--file={draft}")
            draft.replace(file)
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        finally:
            draft.unlink(missing_ok=True)
        return f"Saved to {file} ({filesizeformat(file.stat().st_size)})."
