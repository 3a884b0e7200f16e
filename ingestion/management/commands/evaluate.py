from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from ingestion import access
from ingestion.exceptions import BbjragError
from ingestion.management.options import known_sources, writable
from ingestion.search import comparison, evaluation, questions
from ingestion.search.results import MODES, Mode, Results

WIDTH_IN_A_LOG = 120


class Command(BaseCommand):
    help = "Asks the questions of a file, or of the admin, and says how well search answers them."

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        lines = 'lines as {"query", "kind", "expected": [addresses]}; without: those of the admin'
        add("file", type=Path, nargs="?", help=lines)
        add("--mode", action="append", choices=MODES, help="only this; repeatable")
        add("--half", default="", help="only questions with this half, e.g. tune")
        add("--source", action="append", default=[], metavar="NAME", help="only this; repeatable")
        add("--save", type=Path, metavar="FILE", help="keep the result, to compare with later")
        add("--compare", type=Path, metavar="FILE", help="say what changed since this result")
        add("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        self.sources = known_sources(options["source"])
        if options["save"]:
            writable(options["save"])
        modes: list[Mode] = options["mode"] or list(MODES)
        self.notes: set[str] = set()
        try:
            asked = self._questions(options["file"], options["half"])
            earlier = evaluation.read_report(options["compare"]) if options["compare"] else {}
            answers = {mode: evaluation.ask(asked, mode, self._find) for mode in modes}
        except BbjragError as error:
            raise CommandError(str(error)) from error
        report = evaluation.report(answers)
        if options["save"]:
            options["save"].write_text(json.dumps(report, ensure_ascii=False, indent=1))
        if options["json"]:
            self.stdout.write(json.dumps(report, ensure_ascii=False))
        else:
            self._show(answers)
            for mode in report.keys() & earlier.keys():
                self._show_changes(mode, report[mode], earlier[mode])
        for line in [*sorted(self.notes), *evaluation.differences(report, earlier)]:
            self.stderr.write(line)

    def _questions(self, file: Path | None, half: str) -> list[evaluation.Question]:
        return evaluation.read_questions(file, half) if file else questions.stored(half)

    @access.everything()
    def _find(self, query: str, mode: Mode) -> Results:
        results = questions.find(query, mode, self.sources)
        self.notes.update(results.notes)
        return results

    def _show(self, answers: dict[Mode, list[evaluation.Answer]]) -> None:
        console = self._console()
        for mode, given in answers.items():
            table = Table(title=mode, title_justify="left")
            table.add_column("Kind")
            recalls = (f"recall@{k}" for k in evaluation.RECALLS)
            within = (f"in {most:,}" for most in evaluation.BUDGETS)
            for name in ("Questions", "MRR@10", *recalls, *within):
                table.add_column(name, justify="right")
            for kind, score in evaluation.scores(given).items():
                values = (score.mrr, *score.recall.values(), *score.within.values())
                cells = [f"{value:.3f}" for value in values]
                table.add_row(kind, str(score.questions), *cells)
            console.print(table)

    def _show_changes(self, mode: str, now: Any, earlier: Any) -> None:
        title = f"{mode}: reciprocal rank compared, with the interval of 95 % (paired bootstrap)"
        table = Table(title=title, title_justify="left")
        table.add_column("Kind")
        for name in ("Questions", "Better", "Worse", "Mean", "From", "To"):
            table.add_column(name, justify="right")
        for kind, change in comparison.changes(now, earlier).items():
            numbers = (change.questions, change.better, change.worse)
            values = (change.mean, change.low, change.high)
            cells = [*map(str, numbers), *(f"{value:+.3f}" for value in values)]
            table.add_row(kind, *cells, style="bold red" if change.is_worse else "")
        self._console().print(table)

    def _console(self) -> Console:
        console = Console()
        if not console.is_terminal:
            console.width = WIDTH_IN_A_LOG
        return console
