"""Files that the option `exclude` leaves out, in every parser that reads files."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from ingestion.documents import ParsedDocument
from ingestion.parsers import PARSERS, parser_class
from ingestion.parsers.base import FileOptions, SourceConfig

SAMPLES = Path(__file__).parents[2] / "sample_data"
SEEDS = import_module("sources.migrations.0002_seed_sources").SOURCES
PATHS = {**{seed["parser"]: seed.get("paths") for seed in SEEDS}, "JavaDocParser": ["javadoc"]}
OF_FILES = [name for name in PARSERS if parser_class(name).reads == "paths"]


def read(parser: str, **options: Any) -> dict[str, str]:
    """The address of each document, and the file that it comes from."""
    config = SourceConfig("x", SAMPLES, paths=tuple(PATHS[parser]), options=options)
    found = [d for d in parser_class(parser)(config).parse() if isinstance(d, ParsedDocument)]
    return {document.url: document.inputs[0].path for document in found}


@pytest.mark.parametrize("parser", OF_FILES)
def test_files_are_left_out_by_name_or_by_folder(parser: str) -> None:
    everything = read(parser)
    file = min(everything.values())
    others = {url: path for url, path in everything.items() if path != file}
    assert read(parser, exclude=[PurePosixPath(file).name]) == others
    assert read(parser, exclude=["*"]) == {}
    assert read(parser, exclude=["nothing/*"]) == everything


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        ("legacy/*", True),
        ("**/old/*.md", True),
        ("page.md", True),
        ("legacy", False),
        ("old/*", False),
        ("PAGE.md", False),
    ],
)
def test_what_a_pattern_matches(pattern: str, left_out: bool) -> None:
    path = PurePosixPath("legacy/old/page.md")
    assert FileOptions(exclude=(pattern,)).excludes(path) == left_out
