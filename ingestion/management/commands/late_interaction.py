from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from ingestion.management.background import BackgroundCommand
from ingestion.models import TokenVectors
from ingestion.runs import token_vectors


class Command(BackgroundCommand):
    help = (
        "Makes what late interaction needs (LATE_INTERACTION=true), without a worker: the vectors "
        "of the tokens of each chunk that has none yet."
    )
    work = token_vectors
    name = "late_interaction"
    shown = "Tokens"
    unwanted = (
        "Only LATE_INTERACTION=true needs token vectors: there is nothing to do. What is stored of "
        "them is removed by --remove."
    )
    nothing_left = "Every chunk has its token vectors."
    done = "have their token vectors."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--remove", action="store_true", help="remove all token vectors")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["remove"]:
            return super().handle(*args, **options)
        number, _ = TokenVectors.objects.all().delete()
        self.stdout.write(f"The token vectors of {number:,} texts were removed.")
        return None
