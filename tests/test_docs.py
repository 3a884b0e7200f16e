"""What README and docs/ say is so: every command runs, every file, option and message is there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from bbjrag import env
from ingestion.documents import Document
from ingestion.parsers import PARSERS, parser_class
from ingestion.parsers.base import SourceConfig
from tests.scripts.screenshots import KEPT
from tests.test_containers import SERVICES
from tests.test_moving_out import Installation

ROOT = Path(settings.BASE_DIR)
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
PAGES = [*(ROOT / name for name in AT_THE_TOP), *sorted((ROOT / "docs").rglob("*.md"))]
PICTURES = ROOT / "docs" / "screenshots"
# Constants of the code that pages name; what they say of it stands in the file.
CONSTANTS = {"PARSERS", "EMBEDDERS", "TRANSITIONS", "TERMS_VERSION", "CONN_MAX_AGE"}
FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
PYTHON = ".venv/bin/python manage.py "

# What a command leaves behind, or says. It is given what was said and the folder it ran in.
Effect = Callable[[str, Path], bool]
EFFECTS: dict[str, Effect] = {
    'search "How do I open a window?"': lambda said, _: "window" in said,
    "check --deploy --fail-level WARNING": lambda said, _: "no issues" in said,
    "import_sources sources.toml": lambda said, _: "Nothing was written yet" in said,
    "import_sources sources.toml --apply": lambda said, _: "Written (1 " in said,
    "export_sources > sources.json": lambda _, to: len(_sources(to / "sources.json")) >= 9,
    "export_chunks --output chunks.jsonl": lambda _, to: "embedding" in _first(to / "chunks.jsonl"),
    "export_chunks --output kb.jsonl --source kb --no-vectors": lambda said, _: "0 chunks" in said,
    "export_chunks --output chunks.parquet": lambda _, to: (to / "chunks.parquet").exists(),
    "backup bbjrag.dump": lambda _, to: (to / "bbjrag.dump").stat().st_size > 1000,
    "restore bbjrag.dump": lambda said, _: "Restored" in said,
    "migrate": lambda said, _: "Operations to perform" in said,
    "sanity": lambda said, _: "chunks without a document" in said,
    "parse flare --json": lambda said, _: '"url": "flare://Content/' in said,
}
INSTALLED = (
    "python3 -m venv /srv/bbjrag",
    "/srv/bbjrag/bin/pip install . -c constraints.txt",
    "/srv/bbjrag/bin/bbjrag migrate",
    "/srv/bbjrag/bin/bbjrag ingest_all",
    "/srv/bbjrag/bin/bbjrag serve 127.0.0.1:8000",
)
# Those that another test runs, or that want what is not here; each with what can be said of it.
ELSEWHERE = {
    "make ingest": "the tests' own fixture does what it does",
    "make test": "this is it",
    "make serve": "tests/test_packaging.py starts both of its processes",
    "make secrets": "tests/test_containers.py",
    PYTHON + "createsuperuser": "Django's own; it asks questions",
    PYTHON + "worker": "tests/test_containers.py",
    **dict.fromkeys(INSTALLED, "tests/test_packaging.py"),
    PYTHON + "worker_health": "tests/test_containers.py",
    ".venv/bin/gunicorn bbjrag.wsgi --bind 127.0.0.1:8000": "tests/test_containers.py",
    ".venv/bin/python -m pip install pyarrow": "requirements-dev.txt has it",
    'echo "ALLOWED_HOSTS=docs.example.com" >> .env': "test_each_setting_named_is_read",
    'echo "COMPOSE_PROFILES=database,ollama" >> .env': "test_each_compose_command_names_what_is",
}


def fences(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for found, content in FENCE.findall(page.read_text()):
            if found == language:
                yield page, content


def commands() -> list[str]:
    lines = [line for _, block in fences("sh") for line in block.splitlines()]
    plain = [re.sub(r"\s+#.*", "", line).strip() for line in lines]
    return list(dict.fromkeys(line for line in plain if line))


def managed(command: str) -> str:
    """What follows manage.py, without the variables before it; empty for other commands."""
    return command.partition(PYTHON)[2]


@pytest.mark.parametrize("command", commands())
def test_each_command_is_run_by_a_test(command: str) -> None:
    known = managed(command) in EFFECTS or command in ELSEWHERE
    assert known or command.startswith("docker compose "), "add it to EFFECTS, with its effect"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """As after `make ingest`, with one source."""
    made = Installation(tmp_path_factory.mktemp("state"))
    made.run("migrate", "--verbosity", "0")
    made.run("ingest_all", "--source", "mdx-dwc")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("docs")
    (made / "sources.toml").write_text(
        '[[sources]]\nname = "mdx-dwc"\nparser = "mdx"\npaths = ["bbj-dwc-tutorial/docs"]\n'
    )
    return made


RUN_HERE = [command for command in commands() if managed(command) in EFFECTS]


def test_each_command_has_its_effect(installation: Installation, folder: Path) -> None:
    """In the order of the pages: a later command uses what an earlier one made."""
    assert {managed(command) for command in RUN_HERE} == set(EFFECTS)
    for command in RUN_HERE:
        _, _, rest = command.partition(PYTHON)
        ended = run(command, installation, folder)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        assert EFFECTS[rest](said, folder), said
    run(f"STATE_DIR=.data-restored {PYTHON}postgres stop", installation, folder)


def run(command: str, installation: Installation, folder: Path) -> subprocess.CompletedProcess[str]:
    variables, _, rest = command.partition(PYTHON)
    environment = installation.environment | {"DATA_DIR": str(ROOT / "sample_data")}
    for assignment in shlex.split(variables):
        name, _, value = assignment.partition("=")
        environment[name] = str(folder / value)
    if "--deploy" in rest:
        environment |= {"ALLOWED_HOSTS": "docs.example.com", "SECRET_KEY": "0123456789" * 6}
        environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    line = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'manage.py'))} {rest}"
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _sources(path: Path) -> list[object]:
    found: list[object] = json.loads(path.read_text())["sources"]
    return found


def _first(path: Path) -> dict[str, object]:
    with path.open() as file:
        found: dict[str, object] = json.loads(file.readline())
    return found


def test_each_compose_command_names_what_is() -> None:
    profiles = {p for service in SERVICES.values() for p in service.get("profiles", [])}
    for command in commands():
        if command.startswith("docker compose "):
            named = set(shlex.split(command)[3:]) & {"web", "worker", "db", "ollama", "migrate"}
            assert named <= set(SERVICES)
    for _, block in [*fences("ini"), *fences("sh")]:
        for value in re.findall(r"COMPOSE_PROFILES=([\w,]+)", block):
            assert set(value.split(",")) <= profiles


def test_each_setting_named_is_read() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    filled_in = set(re.findall(r"\$\{(\w+)", compose)) | {"COMPOSE_PROFILES"}
    filed = {f"{name}_FILE" for name in env.listed()}
    for _, block in fences("ini"):
        for name in re.findall(r"(?m)^(\w+)=", block):
            assert name in env.listed() | filled_in
    for page in PAGES:
        for name in re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", page.read_text()):
            known = (
                env.listed() | filled_in | filed | {"BBJRAG_CORPUS", "PYTHON_IMAGE", "NAME_FILE"}
            )
            elsewhere = CONSTANTS | {"CI_MATERIAL", "PROCESS_EVENTS"}
            assert name in known | elsewhere, f"{page.name}: {name}"


def test_each_manage_command_named_is_there() -> None:
    for page in PAGES:
        for name in re.findall(r"manage\.py ([a-z_]+)", page.read_text()):
            assert name in get_commands(), f"{page.name}: {name}"


def test_each_make_target_named_is_there() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    for page in PAGES:
        named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.M)
        assert set(named) <= targets, page.name


def test_each_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            if target.startswith("https://"):
                continue
            path, _, anchor = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), f"{page.name}: {target}"
            headings = re.findall(r"(?m)^#+ (.+)$", linked.read_text()) if anchor else []
            assert not anchor or anchor in {_anchor(h) for h in headings}, f"{page.name}: {target}"


def test_each_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text())
        if not target.startswith(("http", "#"))
    }
    assert set(PAGES) - linked <= {ROOT / "README.md"}


def test_the_pictures_are_those_that_pages_show_and_that_make_screenshots_takes() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", page.read_text())
    }
    assert shown == set(PICTURES.iterdir())
    assert {picture.stem for picture in shown} == set(KEPT)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_each_file_named_is_there() -> None:
    for page in PAGES:
        for name in re.findall(
            r"`((?:tests|ingestion|docs|bbjrag|sources)/[\w/.-]+\.\w+)`", page.read_text()
        ):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_parsers_page_lists_every_parser_and_option() -> None:
    page = (ROOT / "docs" / "parsers.md").read_text()
    parts = re.split(r"(?m)^## (.+)$", page)
    told = {
        n: text
        for names, text in zip(parts[1::2], parts[2::2], strict=True)
        for n in names.split(", ")
    }
    assert set(told) == set(PARSERS)
    for name, text in told.items():
        options = set(re.findall(r"(?m)^\| `(\w+)` \|", text))
        expected = set(parser_class(name).Options.model_fields)
        assert expected <= options, name
        assert options - expected <= {"articles"}, name


def _texts() -> str:
    """All string constants of the code, with what is filled in as an ellipsis."""
    parts = [
        path.read_text()
        for top in ("bbjrag", "sources", "ingestion")
        for path in (ROOT / top).rglob("*.py")
    ]
    return re.sub(r'"\s*(?:#[^\n]*)?\n\s*f?"', "", "\n".join(parts))


def test_each_message_of_troubleshooting_is_said_somewhere() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    code = _texts()
    browsers = {"Bad Request (400)", "CSRF verification failed.", "Too many redirects"}
    axes = {"Account locked: too many login attempts."}
    told = {" ".join(m.split()) for m in re.findall(r"(?ms)^\*\*(.+?)\*\*", page)}
    told -= browsers | axes
    assert len(told) >= 38
    for message in told:
        fixed = [part.strip() for part in message.split("…") if len(part.strip()) > 3]
        missing = [part for part in fixed if part not in code]
        assert not missing, message


def test_the_parser_that_is_shown_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, code),) = fences("python")
    module = types.ModuleType("shown")
    monkeypatch.setitem(sys.modules, "shown", module)
    exec(compile(code, "adding-a-parser.md", "exec"), module.__dict__)
    (tmp_path / "CHANGELOG.md").write_text("# C\n\n## Unreleased\n\nx\n\n## 1.0\n\n- New.\n")
    parser = module.ChangelogParser(SourceConfig("log", tmp_path, (".",)))
    (document,) = parser.parse()
    assert isinstance(document, Document)
    assert (document.url, document.content) == ("log://CHANGELOG.md#1.0", "- New.")
    assert document.inputs[0].path == "CHANGELOG.md"
