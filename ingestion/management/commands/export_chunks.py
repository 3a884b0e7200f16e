from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion.exceptions import ConfigError
from ingestion.index import export
from ingestion.management.options import known_sources


class Command(BaseCommand):
    help = "Writes all chunks, with their vectors, as JSON Lines or Parquet."

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--output", type=Path, metavar="FILE", help="default: standard output")
        add("--format", choices=export.FORMATS, help="default: by FILE's ending, else jsonl")
        add("--source", action="append", default=[], metavar="NAME", help="only this; repeatable")
        add("--no-vectors", action="store_true", help="leave the embeddings out")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            number = self._write(**options)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        self.stderr.write(f"{number} chunks written.")

    def _write(self, *, output: Path | None, **options: Any) -> int:
        write = export.writer(options["format"] or _by_ending(output))
        rows = export.rows(known_sources(options["source"]), vectors=not options["no_vectors"])
        if output:
            return export.write_whole(output, lambda file: write(rows, file))
        return write(rows, sys.stdout.buffer)


def _by_ending(output: Path | None) -> str:
    return "parquet" if output and output.suffix == ".parquet" else "jsonl"
