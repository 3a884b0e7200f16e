"""What the project has for those who join: the files that GitHub, pre-commit and editors read."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.conf import settings

from ingestion.parsers import PARSERS

ROOT = Path(settings.BASE_DIR)
VENDOR = files("check_jsonschema") / "builtin_schemas" / "vendor"


def loaded(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        (".github/workflows/ci.yml", "github-workflows"),
        (".github/dependabot.yml", "dependabot"),
        (".github/ISSUE_TEMPLATE/bug.yml", "github-issue-forms"),
        (".github/ISSUE_TEMPLATE/feature.yml", "github-issue-forms"),
        (".github/ISSUE_TEMPLATE/config.yml", "github-issue-config"),
    ],
)
def test_what_github_reads_is_valid(name: str, schema: str) -> None:
    # "on" is a truth value in YAML 1.1, and a name for GitHub.
    read: dict[Any, Any] = loaded(name)
    content = {"on" if key is True else key: value for key, value in read.items()}
    jsonschema.validate(content, json.loads((VENDOR / f"{schema}.json").read_text()))


def test_the_workflow_runs_what_ci_runs_and_on_the_oldest_python() -> None:
    job = loaded(".github/workflows/ci.yml")["jobs"]["check"]
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest
    assert job["strategy"]["matrix"]["python"][0] == oldest[1]


def test_a_bug_report_can_name_every_parser() -> None:
    body = loaded(".github/ISSUE_TEMPLATE/bug.yml")["body"]
    (choices,) = (part["attributes"]["options"] for part in body if part["type"] == "dropdown")
    named = set(re.findall(r"\((\w+Parser)\)", " ".join(choices)))
    assert named == set(PARSERS)


def test_pre_commit_runs_the_tools_of_make_check() -> None:
    (repository,) = loaded(".pre-commit-config.yaml")["repos"]
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    for hook in repository["hooks"]:
        assert " ".join(hook["entry"].split()[:2]) in makefile


MATERIAL = """
mkdir -p "$1/checkout/.ci" "$1/bin"
cp "$2" "$1/checkout/.ci/run"
printf '#!/bin/sh\\nexit 0\\n' > "$1/bin/make"
chmod +x "$1/bin/make"
ln -s "$1/bin/make" "$1/bin/chromium"
ln -s "$1/bin/make" "$1/bin/pdftotext"
"""


def ci(folder: Path, **environment: str) -> str:
    """What .ci/run says of its material, in a checkout in `folder`; nothing else is done."""
    if not (folder / "checkout").exists():
        subprocess.run(["/bin/sh", "-ec", MATERIAL, "sh", folder, ROOT / ".ci/run"], check=True)
    path = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
    command = [folder / "checkout/.ci/run"]
    return subprocess.run(
        command, env=path | environment, check=True, capture_output=True, text=True
    ).stdout


def material(folder: Path, name: str) -> Path:
    (folder / name / "corpus").mkdir(parents=True)
    (folder / name / "tools").mkdir()
    starter = folder / name / "tools" / "ollama-up"
    starter.write_text(f"#!/bin/sh\necho starting\necho http://{name}:11434\n")
    starter.chmod(0o755)
    return folder / name


def test_ci_runs_without_material(tmp_path: Path) -> None:
    assert "real material: none; Ollama: none" in ci(tmp_path)


def test_ci_finds_material_beside_the_checkout(tmp_path: Path) -> None:
    found = material(tmp_path, "things")
    expected = f"real material: {found / 'corpus'}; Ollama: http://things:11434"
    assert expected in ci(tmp_path)


def test_ci_takes_what_variables_name(tmp_path: Path) -> None:
    material(tmp_path, "things")
    other = material(tmp_path / "elsewhere", "other")
    said = ci(tmp_path, CI_MATERIAL=str(other))
    assert f"real material: {other / 'corpus'}; Ollama: http://other:11434" in said
    said = ci(tmp_path, BBJRAG_CORPUS="/mine", OLLAMA_HOST="http://mine:1")
    assert "real material: /mine; Ollama: http://mine:1" in said
