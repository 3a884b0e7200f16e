"""Report generations and types over a Flare project, and draw topics for a person to judge.

    python -m tests.scripts.judge_flare <folder of projects> <project> [--draw 20] [--seed 20]

The judgements of the default draw over laserfiche-cloud are in tests/data/flare_judgements.json.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ingestion.documents import ParsedDocument
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.flare import FlareParser

EXCERPT = 700


def draw(documents: Sequence[ParsedDocument], count: int, seed: int) -> list[ParsedDocument]:
    """The same documents for the same project, count and seed."""
    ordered = sorted(documents, key=lambda document: document.url)
    return random.Random(seed).sample(ordered, count)


def show(document: ParsedDocument) -> None:
    headings = [line for line in document.content.split("\n") if line.startswith("#")]
    print(f"== {document.url}\n   {' > '.join(document.breadcrumb)} > {document.title}")
    print(f"   {document.doc_type} {document.generations} {headings[:12]}")
    print(document.content[:EXCERPT], "\n")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("projects", type=Path)
    arguments.add_argument("project")
    arguments.add_argument("--draw", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=20)
    given = arguments.parse_args()
    config = SourceConfig("flare", given.projects, (given.project,))
    documents = [d for d in FlareParser(config).parse() if isinstance(d, ParsedDocument)]
    print(Counter(document.doc_type for document in documents))
    print(Counter(name for document in documents for name in document.generations))
    print(f"{sum(document.deprecated for document in documents)} deprecated")
    for document in draw(documents, given.draw, given.seed):
        show(document)


if __name__ == "__main__":
    main()
