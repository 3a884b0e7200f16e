"""What is loaded when, beside the contracts on imports in pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from ingestion.parsers import PARSERS, TITLES, parser_class
from ingestion.parsers.base import Parser

ROOT = Path(settings.BASE_DIR)


def test_the_package_loads_without_django() -> None:
    """What it does itself is to set how many threads numpy may start."""
    imported = re.findall(r"(?m)^(?:from|import) .*", (ROOT / "ingestion/__init__.py").read_text())
    assert imported == ["from __future__ import annotations", "import os"]
    code = (
        "import sys, importlib; from ingestion.parsers import PARSERS, parser_class;"
        "import ingestion.chunking.chunker, ingestion.embedding.registry;"
        "[parser_class(name) for name in PARSERS];"
        "sys.exit('django' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_commands_start_without_the_admins_pages() -> None:
    commands = "from ingestion.management.commands import ingest_all, parse, search, worker"
    assert _admins_pages(commands) == []


@pytest.mark.parametrize("load", ["checks.run_checks(tags=['admin'])", "import bbjrag.urls"])
def test_the_checks_and_the_urls_see_the_admins_pages(load: str) -> None:
    assert {"Source", "Chunk", "User"} <= set(_admins_pages(load))


def _admins_pages(code: str) -> list[str]:
    """The models whose pages are there once Django is set up and `code` has run."""
    code = (
        f"import sys, django; django.setup(); from django.core import checks; {code};"
        "site = sys.modules.get('ingestion.admin.site');"
        "from django.contrib import admin;"
        "print(*(model.__name__ for model in (admin.site._registry if site else ())))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    run.check_returncode()
    return run.stdout.split()


@pytest.mark.parametrize("parser", ["FlareParser", "MdxParser", "PdfParser"])
def test_an_unused_parser_is_not_loaded(parser: str) -> None:
    code = (
        "import sys; from ingestion.parsers import PARSERS, parser_class;"
        f"parser_class({parser!r}); others = set(PARSERS) - {{{parser!r}}};"
        "modules = {PARSERS[o].rpartition('.')[0] for o in others} - "
        f"{{PARSERS[{parser!r}].rpartition('.')[0]}};"
        "sys.exit(bool(modules & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_parser_keeps_the_contract() -> None:
    for name in PARSERS:
        cls = parser_class(name)
        assert issubclass(cls, Parser), name
        assert isinstance(cls.version, int), name
        assert cls.reads in ("paths", "start_url"), name
        assert cls.check_options({}) is not None, name
        for option, field in cls.Options.model_fields.items():
            assert field.description, f"{name}.{option} has no description"
            assert field.title, f"{name}.{option} has no title"


def test_every_parser_has_a_name_for_people() -> None:
    assert list(TITLES) == list(PARSERS)
