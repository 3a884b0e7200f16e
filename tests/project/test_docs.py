"""What README and docs/ say is so: every command runs, every file, option and message is there."""

from __future__ import annotations

import json
import os
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
from ingestion.documents import ParsedDocument
from ingestion.git.credentials import TOKEN_PREFIX
from ingestion.parsers import PARSERS, output, parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.web.client import DEFAULT_DELAY
from tests.index.test_export import Installation
from tests.project.test_containers import SERVICES
from tests.scripts.screenshots import KEPT

ROOT = Path(settings.BASE_DIR)
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
PAGES = [*(ROOT / name for name in AT_THE_TOP), *sorted((ROOT / "docs").rglob("*.md"))]
PICTURES = ROOT / "docs" / "screenshots"
# Constants of the code that pages name; what they say of it is in the file.
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
    "prune": lambda said, _: "Pruned what is older than 90 days" in said,
    "late_interaction": lambda said, _: "chunks have their token vectors" in said,
    "reembed": lambda said, _: "Only EMBEDDING_PROVIDER=auto embeds chunks twice" in said,
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
    "make serve": "tests/project/test_packaging.py starts both of its processes",
    "make secrets": "tests/project/test_containers.py",
    PYTHON + "createsuperuser": "Django's own; it asks questions",
    PYTHON + "worker": "tests/project/test_containers.py",
    **dict.fromkeys(INSTALLED, "tests/project/test_packaging.py"),
    "deploy/backup.sh bbjrag.dump": "tests/project/test_containers.py",
    PYTHON + "single_sign_on --link NAME SUBJECT": "tests/bbjrag/test_single_sign_on.py",
    PYTHON + "single_sign_on --unlink NAME": "tests/bbjrag/test_single_sign_on.py",
    PYTHON + "worker_health": "tests/project/test_containers.py",
    ".venv/bin/gunicorn bbjrag.wsgi --bind 127.0.0.1:8000": "tests/project/test_containers.py",
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
            of_scripts = {"BBJRAG_URL", "BBJRAG_TOKEN"}
            elsewhere = CONSTANTS | {"CI_MATERIAL", "PROCESS_EVENTS"} | of_scripts
            is_secret = name.startswith(TOKEN_PREFIX)
            assert is_secret or name in known | elsewhere, f"{page.name}: {name}"


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


def documented_options() -> dict[str, dict[str, str]]:
    """The options of each parser with their defaults, as docs/parsers.md shows them."""
    page = (ROOT / "docs" / "parsers.md").read_text()
    parts = re.split(r"(?m)^## (.+)$", page)
    return {
        name: dict(re.findall(r"(?m)^\| `(\w+)` \| (.+?) \|", text))
        for names, text in zip(parts[1::2], parts[2::2], strict=True)
        for name in names.split(", ")
    }


def test_the_parsers_page_lists_every_parser_and_option() -> None:
    documented = documented_options()
    assert set(documented) == set(PARSERS)
    for name, options in documented.items():
        expected = set(parser_class(name).Options.model_fields)
        assert expected <= set(options), name
        assert set(options) - expected <= {"articles"}, name


# Defaults that are a rule, not a value: as the page words them, and what the parser has for them.
RULES = {
    "delay": (f"{DEFAULT_DELAY:g} s, or the site's Crawl-delay", None),
    "articles": ("all below the start", ""),
}
UNITS = {"MB": 1024**2, "GB": 1024**3}


def as_value(shown: str, default: object) -> object:
    """A default as a page shows it, in the form of the one that the parser has."""
    plain = shown.strip("`")
    if number := re.fullmatch(r"(\d+) (MB|GB)", plain):
        return int(number[1]) * UNITS[number[2]]
    if isinstance(default, tuple) and not plain.startswith("["):
        return tuple(plain.split())
    value = json.loads(plain)
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("name", PARSERS)
def test_the_parsers_page_shows_the_true_defaults(name: str) -> None:
    shown = documented_options()[name]
    for option, field in parser_class(name).Options.model_fields.items():
        if option in RULES:
            assert (shown[option], field.default) == RULES[option]
        else:
            assert as_value(shown[option], field.default) == field.default, option


SHOW = """
import json
from bbjrag import settings
print(json.dumps({name: getattr(settings, name) for name in dir(settings) if name.isupper()},
                 default=str, sort_keys=True))
"""
# Lines of .env.example that show how a value looks, where nothing is the default.
EXAMPLES = {"DATABASE_URL", "SECRET_KEY"}


def settings_of_a_process(file: Path | str, **given: str) -> dict[str, object]:
    """What a process uses that has only this file of settings, and these in its environment."""
    ended = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENV_FILE": str(file), "SECRET_KEY": "x" * 50, **given},
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def documented_defaults() -> dict[str, str]:
    return dict(re.findall(r"(?m)^# ([A-Z][A-Z_]*)=(.*)$", env.EXAMPLE.read_text()))


def test_env_example_changes_nothing_when_it_is_used_as_it_is(tmp_path: Path) -> None:
    lines = [f"{k}={v}\n" for k, v in documented_defaults().items() if k not in EXAMPLES]
    (tmp_path / "settings").write_text("".join(lines))
    documented = settings_of_a_process(tmp_path / "settings")
    assert documented == settings_of_a_process(os.devnull)


@pytest.mark.parametrize(
    ("given", "name", "value", "comment"),
    [
        ({}, "EMBEDDING_MODEL", "l2_supercat", "l2_supercat for wordllama"),
        (
            {"EMBEDDING_PROVIDER": "minilm"},
            "EMBEDDING_MODEL",
            "all-MiniLM-L6-v2",
            "all-MiniLM-L6-v2 for minilm",
        ),
        (
            {"EMBEDDING_PROVIDER": "auto"},
            "EMBEDDING_MODEL",
            "all-MiniLM-L6-v2",
            "for minilm and auto",
        ),
        (
            {"EMBEDDING_PROVIDER": "ollama"},
            "EMBEDDING_MODEL",
            "qwen3-embedding:0.6b",
            "qwen3-embedding:0.6b for ollama",
        ),
        ({}, "PRODUCTION", False, "whether ALLOWED_HOSTS names another than this machine"),
        ({"ALLOWED_HOSTS": "lan"}, "PRODUCTION", True, "names another than this machine"),
        ({"ALLOWED_HOSTS": "lan"}, "HTTPS", True, "Default: PRODUCTION"),
        ({"ALLOWED_HOSTS": "lan", "HTTPS": "false"}, "TRUSTED_PROXIES", 0, "1 with\n# HTTPS"),
        ({"HTTPS": "true"}, "TRUSTED_PROXIES", 1, "1 with\n# HTTPS, else 0"),
    ],
)
def test_a_default_that_depends_on_another_setting_is_as_it_is_described(
    given: dict[str, str], name: str, value: object, comment: str
) -> None:
    above, _, _ = env.EXAMPLE.read_text().partition(f"\n# {name}=")
    assert comment in above.rpartition("=")[2]
    assert settings_of_a_process(os.devnull, **given)[name] == value


# Defaults that README words instead of showing a value.
WORDED = {
    "DATABASE_URL": "the embedded PostgreSQL",
    "EMBEDDING_MODEL": "the provider's",
    "ALLOWED_HOSTS": "this machine",
    "RERANKER_URL": "none",
    "EMBEDDING_URL": "none",
    "EMBEDDING_KEY": "none",
    "ENRICHMENT_MODEL": "none",
    "NOTIFY_MAIL_TO": "nobody",
    "OIDC_ISSUER": "none",
}


def test_the_settings_of_readme_have_their_true_defaults() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (`[A-Z].+?) \| (.+?) \|", section)
    shown: dict[str, str] = {}
    for names, defaults in rows:
        shown |= zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)
    assert len(shown) >= 10
    for name, default in shown.items():
        assert default.strip("`") == WORDED.get(name, documented_defaults()[name]), name


def test_the_defaults_that_texts_name_are_true() -> None:
    texts = {str(page.relative_to(ROOT)): " ".join(page.read_text().split()) for page in PAGES}
    found = settings_of_a_process(os.devnull)
    share, documents = found["REMOVAL_GATE_SHARE"], found["REMOVAL_GATE_DOCUMENTS"]
    assert isinstance(share, float)
    gate = f"More than {share * 100:g} % of a source, and at least {documents} documents"
    assert gate in texts["README.md"]
    assert f"| {found['LOGIN_ATTEMPTS']} wrong passwords" in texts["docs/security.md"]
    minutes = str(found["AXES_COOLOFF_TIME"]).split(":")[1]
    assert f"wait for {minutes} minutes" in env.EXAMPLE.read_text()
    production = settings_of_a_process(os.devnull, ALLOWED_HOSTS="lan")
    for name, text in texts.items():
        for setting, default in re.findall(r"`([A-Z_]+)`[^.|]{0,60}\((\S+) by default\)", text):
            assert str(production[setting]) == default, f"{name}: {setting}"


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
    monkeypatch.setitem(PARSERS, "ChangelogParser", "shown.ChangelogParser")
    (document,) = output.read("ChangelogParser", SourceConfig("log", tmp_path, (".",)))
    assert isinstance(document, ParsedDocument)
    assert (document.url, document.content) == ("log://CHANGELOG.md#1.0", "- New.")
    assert document.inputs[0].path == "CHANGELOG.md"
