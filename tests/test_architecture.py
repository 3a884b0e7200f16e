"""Imports run downward only, and the pure layer knows nothing of Django."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from ingestion.parsers import PARSERS, parser_class
from ingestion.parsers.base import Parser

ROOT = Path(settings.BASE_DIR)
PURE = ("documents", "exceptions", "chunker", "tokens", "parsers", "enrichment", "embedding")
FRAMEWORKS = ("django", "django_q", "sources", "bbjrag", "pgvector", "psycopg")
# Each may import what stands to its right, never to its left.
LAYERS = [
    ("admin", "management", "urls", "api", "mcp"),
    ("worker",),
    ("tasks",),
    ("process",),
    ("execution", "preflight"),
    ("runs",),
    ("pipeline",),
    ("store",),
    ("vector_index", "lease"),
    ("models",),
]
RIM = {"ingestion.embedding.configured"}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("bbjrag", "sources", "ingestion"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield name.removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(module: str) -> int | None:
    parts = module.split(".")
    names = parts[1:2] if parts[0] == "ingestion" else []
    for depth, members in enumerate(LAYERS):
        if any(name == m or name.startswith(f"{m}_") for name in names for m in members):
            return depth
    return None


def test_the_empty_package_loads_without_django() -> None:
    assert (ROOT / "ingestion/__init__.py").read_text() == ""
    code = (
        "import sys, importlib; from ingestion.parsers import PARSERS, parser_class;"
        "import ingestion.chunker, ingestion.embedding.registry;"
        "[parser_class(name) for name in PARSERS];"
        "sys.exit('django' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_pure_layer_imports_no_framework() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        if name.startswith(tuple(f"ingestion.{part}" for part in PURE)) and name not in RIM
        for imported in imports(path)
        if imported.split(".")[0] in FRAMEWORKS
    ]
    assert wrong == []


def test_imports_run_downward() -> None:
    wrong = []
    for name, path in modules():
        mine = layer(name)
        for imported in imports(path):
            theirs = layer(imported)
            if mine is not None and theirs is not None and theirs < mine:
                wrong.append(f"{name} imports {imported}")
    assert wrong == []


def test_nothing_imports_the_project_package() -> None:
    wrong = [
        name
        for name, path in modules()
        if not name.startswith("bbjrag") and any(i.split(".")[0] == "bbjrag" for i in imports(path))
    ]
    assert wrong == []


def test_sources_import_only_the_pure_layer() -> None:
    allowed = tuple(f"ingestion.{part}" for part in PURE)
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        if name == "sources.models"
        for imported in imports(path)
        if imported.startswith("ingestion.") and not imported.startswith(allowed)
    ]
    assert wrong == []


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
