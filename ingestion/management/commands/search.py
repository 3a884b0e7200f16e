from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.text import Text

from ingestion import access
from ingestion.management.options import known_sources
from ingestion.search import search
from ingestion.search.hybrid import MAX_LIMIT
from ingestion.search.results import MODES, Hit, Results


class Command(BaseCommand):
    help = "Searches the index, by meaning and by words."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("query", help="a question, an identifier, a piece of code")
        add("--source", action="append", default=[], metavar="NAME", help="only this; repeatable")
        add("--generation", action="append", default=[], metavar="TAG", help="e.g. dwc; repeatable")
        add("--type", action="append", default=[], metavar="TYPE", help="e.g. api-reference")
        add("--limit", type=int, default=10, help=f"hits at most (1 to {MAX_LIMIT})")
        add("--mode", choices=MODES, default="hybrid", help="which rankings count")
        add("--no-deprecated", action="store_true", help="leave deprecated documents out")
        add("--scores", action="store_true", help="show what each ranking gave")
        add("--json", action="store_true", help="print one JSON object and nothing else")

    @access.everything()
    def handle(self, *args: Any, **options: Any) -> None:
        known_sources(options["source"])
        try:
            results = search(
                options["query"],
                limit=options["limit"],
                sources=options["source"],
                generations=options["generation"],
                doc_types=options["type"],
                include_deprecated=False if options["no_deprecated"] else None,
                mode=options["mode"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(results.model_dump_json())
            return
        console = Console(highlight=False, soft_wrap=True)
        for number, hit in enumerate(results.hits, 1):
            _show(console, number, hit, options["scores"])
        self._tell(results)

    def _tell(self, results: Results) -> None:
        for note in results.notes:
            self.stderr.write(note)
        for word, meant in results.corrected.items():
            self.stderr.write(f"{word!r} occurs nowhere; searched for {', '.join(meant)} instead.")
        if not results.hits:
            self.stderr.write("Nothing was found.")


def _show(console: Console, number: int, hit: Hit, scores: bool) -> None:
    facts = [*hit.generations, hit.doc_type, *(["deprecated"] if hit.deprecated else [])]
    console.print(Text.assemble((f"{number}. ", "dim"), (hit.title, "bold")))
    lines = [Text(hit.context_header, "dim"), Text(hit.link, "cyan")]
    lines.append(Text(f"{hit.source} · {', '.join(facts)}", "dim"))
    if scores:
        parts = [f"{part.ranking}: {part.place}. ({part.value:.3f})" for part in hit.parts]
        lines.append(Text(f"score {hit.score:.4f}; {'; '.join(parts)}", "dim"))
    lines.append(_marked(hit, console.is_terminal))
    for line in lines:
        console.print(Text("   ") + line)
    console.print()


def _marked(hit: Hit, coloured: bool) -> Text:
    if not coloured:
        return Text(hit.shown.marked())
    return Text.assemble(
        *((text, "bold yellow" if is_hit else "") for text, is_hit in hit.shown.parts())
    )
