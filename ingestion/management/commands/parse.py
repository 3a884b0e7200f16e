from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.exceptions import BbjragError
from ingestion.management.options import known_sources
from ingestion.runs import material
from sources.models import Source

FIELDS = (
    *("url", "display_url", "title", "doc_type", "generations"),
    *("breadcrumb", "content", "metadata"),
)


class Command(BaseCommand):
    help = "Shows the documents that a source's parser yields. Nothing is stored."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the source")
        parser.add_argument("--json", action="store_true", help="JSON Lines, one document a line")
        parser.add_argument("--data-dir", type=Path, help="read below this folder, not DATA_DIR")

    def handle(self, *args: Any, **options: Any) -> None:
        known_sources([options["name"]])
        source = Source.objects.get(name=options["name"])
        try:
            counts = self._show(source, options["data_dir"], options["json"])
        except BbjragError as error:
            raise CommandError(f"{source.name}: {error}") from error
        self.stderr.write(f"{source.name}: {counts[0]} documents, {counts[1]} failures.")

    def _show(self, source: Source, data_dir: Path | None, as_json: bool) -> tuple[int, int]:
        documents = failures = 0
        with material.opened(source.config(data_dir)) as found:
            for parsed in found.shown(source.parser):
                if isinstance(parsed, ParsedDocument):
                    documents += 1
                    self.stdout.write(_line(parsed) if as_json else _page(parsed))
                elif isinstance(parsed, DocumentFailure):
                    failures += not parsed.warning
                    level = "warning" if parsed.warning else "failure"
                    self.stderr.write(f"{level}: {parsed.url}: {parsed.message}")
        return documents, failures


def _line(document: ParsedDocument) -> str:
    return json.dumps({name: getattr(document, name) for name in FIELDS}, ensure_ascii=False)


def _page(document: ParsedDocument) -> str:
    head = [
        f"=== {document.title}",
        f"url:         {document.url}",
        f"display:     {document.display_url}",
        f"type:        {document.doc_type}",
        f"generations: {', '.join(document.generations)}",
        f"breadcrumb:  {' > '.join(document.breadcrumb)}",
    ]
    return "\n".join([*head, "", document.content, ""])
