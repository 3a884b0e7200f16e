from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import Progress

from ingestion.documents import counted
from ingestion.exceptions import BbjragError
from ingestion.index import enriching, enrichments
from ingestion.index.enriching import Counts
from ingestion.index.enrichments import Missing
from ingestion.runs import preflight

LINE_EVERY = 50  # texts, if nobody sits at a terminal
INTERRUPTED = 130


class Command(BaseCommand):
    help = "Asks the language model ENRICHMENT_MODEL about each chunk: what it is about, and which "
    help += "questions it answers. The next ingest_all embeds these words with the chunk."

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--source", action="append", default=[], metavar="NAME", help="only this; repeatable")
        add("--estimate", action="store_true", help="say what it takes, after 3 texts")
        add("--retry-failed", action="store_true", help="also texts that nothing came of before")

    def handle(self, *args: Any, **options: Any) -> None:
        counts = Counts()
        try:
            self._enrich(counts, options)
        except BbjragError as error:
            raise CommandError(f"{error} {_stored(counts)}") from error
        except KeyboardInterrupt:
            self.stderr.write(f"Interrupted. {_stored(counts)} Start it again to go on.")
            sys.exit(INTERRUPTED)

    def _enrich(self, counts: Counts, options: dict[str, Any]) -> None:
        missing = self._missing(options)
        if options["estimate"] or not missing:
            self.stdout.write(enriching.extent(missing))
        if not missing:
            return
        chat = enriching.opened()
        if options["estimate"]:
            self.stdout.write(enriching.duration(chat, missing))
            return
        for _ in self._shown(enriching.fill(chat, missing, counts), missing):
            pass
        self.stdout.write(f"{_stored(counts)} `manage.py ingest_all` adds them to their chunks.")

    def _missing(self, options: dict[str, Any]) -> list[Missing]:
        model = enriching.model()
        chosen = preflight.chosen(options["source"]) if options["source"] else []
        sources = [source.pk for source in chosen]
        return enrichments.missing(model, sources, failed=options["retry_failed"])

    def _shown(self, filling: Iterator[Counts], missing: list[Missing]) -> Iterator[Counts]:
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("texts", total=len(missing))
            for counts in filling:
                progress.update(task, completed=counts.asked)
                if not console.is_terminal and counts.asked % LINE_EVERY == 0:
                    self.stderr.write(f"{counts.asked:,} of {len(missing):,} texts")
                yield counts


def _stored(counts: Counts) -> str:
    words = f"Words of {counted(counts.asked - counts.failed, 'text')} were stored."
    if not counts.failed:
        return words
    return f"{words} Nothing came of {counted(counts.failed, 'text')}; --retry-failed asks again."
