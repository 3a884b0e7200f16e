"""`pip install .` makes a `bbjrag` command that works outside the checkout, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import urljoin

import psutil
import pytest
from django.conf import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bbjrag
from bbjrag import env
from ingestion.api import openapi
from ingestion.mcp import server as mcp_server

ROOT = Path(settings.BASE_DIR)
PATIENCE = 60
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
REQUIREMENTS = re.findall(r"(?m)^[\w-].*?(?=\s*(?:#|$))", (ROOT / "requirements.txt").read_text())
TRIED = """
from ingestion.runs import dry_run
from sources.models import Source
tried = dry_run.run(dry_run.order(Source.objects.get(name="mdx-dwc"), seconds=30))
print(tried.complete, len(tried.documents), tried.problem)
"""


def test_the_version_is_the_same_everywhere() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", bbjrag.__version__)
    said = subprocess.run(
        [sys.executable, "manage.py", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert said.stdout == f"bbjrag {bbjrag.__version__}\n"
    assert openapi.description()["info"]["version"] == bbjrag.__version__
    assert settings.WEB.user_agent == f"bbjrag/{bbjrag.__version__}"
    assert mcp_server.server().version == bbjrag.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"(?m)^## (\d+\.\d+\.\d+)", changelog)[0] == bbjrag.__version__


def test_manage_works_from_another_folder(tmp_path: Path) -> None:
    """A checkout keeps its state beside manage.py, wherever the command is given."""
    ended = subprocess.run(
        [sys.executable, ROOT / "manage.py", "shell", "--verbosity", "0", "-c", SHOW_PLACES],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == [str(ROOT / ".data"), str(ROOT / "sample_data")]
    assert not list(tmp_path.iterdir())


SHOW_PLACES = "from django.conf import settings as s; print(s.STATE_DIR, s.DATA_DIR)"


def clean_environment() -> dict[str, str]:
    ours = env.listed() | {"DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in ours}


class Installed:
    """bbjrag in a virtual environment of its own, used from an otherwise empty folder."""

    def __init__(self, folder: Path) -> None:
        self.venv, self.home = folder / "venv", folder / "home"
        self.bin = self.venv / "bin"
        self.home.mkdir()
        (self.home / ".env").write_text(
            "STATE_DIR=state\nEMBEDDED_POSTGRES_SETTINGS=fsync=off,shared_buffers=32MB\n"
        )

    @property
    def packages(self) -> Path:
        return self.venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"

    def install(self, *, its_own: bool) -> None:
        """With the packages that it needs, or beside those that are here."""
        venv.create(self.venv)
        if self.pip("download", "--no-deps", "--dest", str(self.venv / "build"), *BUILD).returncode:
            pytest.skip("no package index answers: nothing can be installed")
        needs = ("-c", str(ROOT / "constraints.txt")) if its_own else ("--no-deps",)
        ended = self.pip("install", "--no-compile", str(ROOT), *needs)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        if not its_own:
            (self.packages / "here.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    def pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """This Python's pip, working in the environment, which has none of its own."""
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        command += ["--python", str(self.bin / "python"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def run(self, *arguments: str) -> str:
        ended = subprocess.run(
            [self.bin / "bbjrag", *arguments],
            cwd=self.home,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    @contextmanager
    def served(self) -> Iterator[str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        command: list[str | Path] = [self.bin / "bbjrag", "serve", address]
        server = subprocess.Popen(command, cwd=self.home, env=clean_environment())
        try:
            _wait_for(f"http://{address}/health")
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait(PATIENCE)
        assert server.returncode == 0

    def running(self) -> list[str]:
        """The command lines of what is still run by this environment's Python or in its folder."""
        lines = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
        return [line for line in lines if str(self.venv.parent) in line]


@pytest.fixture(params=["beside", "alone"])
def installed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Installed]:
    made = Installed(tmp_path)
    made.install(its_own=request.param == "alone")
    yield made
    if (made.home / "state").exists():
        made.run("postgres", "stop")


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def plain(requirement: str) -> tuple[str, frozenset[str], str]:
    """A package, its extras and its versions."""
    read = Requirement(requirement)
    return canonicalize_name(read.name), frozenset(read.extras), str(read.specifier)


@pytest.mark.packaging
def test_what_is_installed_works_outside_the_checkout(installed: Installed) -> None:
    """One test, as installing its own packages takes most of a minute."""
    packages = installed.packages
    [made] = distributions(name="bbjrag", path=[str(packages)])
    assert {plain(line) for line in made.requires or ()} == {plain(line) for line in REQUIREMENTS}
    assert not any((packages / name).exists() for name in ("tests", "bench", "sample_data"))
    model = packages / "ingestion" / "embedding" / "all-MiniLM-L6-v2"
    assert {path.name for path in model.iterdir()} >= {
        "vocab.txt",
        "int8.onnx",
        "projection.npz",
        "LICENSE",
    }
    assert installed.run("--version") == f"bbjrag {bbjrag.__version__}\n"

    installed.run("migrate", "--verbosity", "0")
    assert (installed.home / "state" / "postgres").is_dir()
    assert {path.name for path in installed.home.iterdir()} == {".env", "state"}

    tutorial = "bbj-dwc-tutorial"
    shutil.copytree(ROOT / "sample_data" / tutorial, installed.home / "mine" / tutorial)
    installed.run("ingest_all", "--source", "mdx-dwc", "--data-dir", "mine")
    assert "window" in installed.run("search", "How do I open a window?")
    # of the sample data that came along
    assert "True 7" in installed.run("shell", "--verbosity", "0", "-c", TRIED)

    with installed.served() as site:
        login = _get(f"{site}/admin/login/")
        sheets = re.findall(r'href="([^"]+\.css)"', login)
        assert any("ingestion" in sheet for sheet in sheets)
        assert all(_get(urljoin(site, sheet)) for sheet in sheets)
        installed.run("worker_health")
    installed.run("postgres", "stop")
    assert installed.running() == []
