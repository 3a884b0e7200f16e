"""Learn the weights of `ingestion.search.relevance` from questions with known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion import access
from ingestion.exceptions import BbjragError
from ingestion.search import evaluation, learning, relevance


class Command(BaseCommand):
    help = (
        "Learns how search weighs what it knows of a passage, from the questions of files, with "
        "the index as it is, and writes ingestion/search/relevance.json. For developers."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "files",
            nargs="+",
            type=Path,
            metavar="file",
            help="questions, as `evaluate` reads them",
        )
        parser.add_argument("--half", default="tune", help="only these questions (tune)")
        parser.add_argument("--into", type=Path, default=relevance.WEIGHTS, metavar="FILE")

    @access.everything()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            questions = [
                question
                for file in options["files"]
                for question in evaluation.read_questions(file, options["half"])
            ]
        except BbjragError as error:
            raise CommandError(str(error)) from error
        examples = learning.examples(questions)
        if not examples.found:
            raise CommandError("No answer is among what search finds: ingest the documents first.")
        weights = learning.learned(examples)
        kept = json.loads(options["into"].read_text("utf-8")) if options["into"].exists() else {}
        kept.setdefault("weights", {})[examples.models] = weights
        options["into"].write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        self.stdout.write(
            f"{len(examples.found)} of {len(questions)} questions have an answer among what is "
            f"found; weights for models of {examples.models} are in {options['into']}."
        )
