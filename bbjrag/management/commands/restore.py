"""manage.py restore FILE: a backup into an empty database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from bbjrag.embedded.programs import run_program


class Command(BaseCommand):
    help = "Brings what `backup` saved into an empty database. Run `migrate` afterwards."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="- for standard input")

    def handle(self, *args: Any, file: Path, **options: Any) -> str:
        given = [] if str(file) == "-" else [str(file.absolute())]
        if given and not file.is_file():
            raise CommandError(f"{file} is not a file.")
        if tables := connection.introspection.table_names():
            raise CommandError(
                f"The database {connection.settings_dict['NAME']} has {len(tables)} tables "
                "already, and nothing is overwritten. Restore into an empty one: set DATABASE_URL "
                "to a new database, or STATE_DIR to a new folder."
            )
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.close()
        run_program(
            "pg_restore",
            "--no-owner",
            "--no-privileges",
            "--single-transaction",
            "--exit-on-error",
            *given,
        )
        return "Restored. Now run: python manage.py migrate"
