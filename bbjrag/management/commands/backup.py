"""manage.py backup FILE: the database in one file, while everything runs.

The tables of sessions and of the cache come along empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from bbjrag.embedded.programs import run_program

LEFT_OUT = ("django_session", "django_cache")  # a session lets in whoever can show its key
OPTIONS = (
    *("--format=custom", "--no-owner", "--no-privileges"),
    "--exclude-extension=vector",  # the server's, not ours to save or bring back
    *(f"--exclude-table-data={table}" for table in LEFT_OUT),
)


class Command(BaseCommand):
    help = (
        "Writes the database to FILE (PostgreSQL's custom format), while everything runs. "
        "Sessions and the cache are left out."
    )
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
