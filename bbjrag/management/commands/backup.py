"""manage.py backup FILE: the whole database in one file, while everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.template.defaultfilters import filesizeformat

from bbjrag.database.programs import run_program


class Command(BaseCommand):
    help = "Writes the database to FILE (PostgreSQL's custom format), while everything runs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, file: Path, **options: Any) -> str:
        draft = file.with_name(f".{file.name}.part")
        try:
            draft.unlink(missing_ok=True)
            draft.touch(mode=0o600)
            # pgvector is the server's, not ours to save or bring back.
            run_program(
                "pg_dump",
                "--format=custom",
                "--no-owner",
                "--no-privileges",
                "--exclude-extension=vector",
                f"--file={draft}",
            )
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        return f"Saved to {file} ({filesizeformat(file.stat().st_size)})."
