from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from pytest_django import Settings

from ingestion.git.settings import GitSettings
from sources.models import Source
from tests.support.git_servers import Project
from tests.support.reading import make_source

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.fixture
def data(tmp_path: Path, settings: Settings) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    return Path(settings.DATA_DIR)


@pytest.fixture
def kept(tmp_path: Path, settings: Settings) -> Path:
    """Where repositories are kept: a folder of this test; servers of the loopback are allowed."""
    settings.WEB = replace(configured.WEB, allow_networks=LOOPBACK)
    settings.GIT = GitSettings(
        folder=tmp_path / "state" / "repositories", seconds=20.0, stall_seconds=5.0
    )
    return Path(settings.GIT.folder)


@pytest.fixture
def project(data: Path, kept: Path) -> Project:
    """A repository below DATA_DIR with three pages."""
    made = Project(data)
    made.commit({f"docs/{name}.md": page_of(name) for name in ("anchor", "button", "cursor")})
    return made


def page_of(name: str, text: str = "") -> str:
    said = text or f"The {name} shows what it is made for as soon as it is opened."
    return f"---\ntitle: The {name}\n---\n\n## About the {name}\n\n{said}\n"


def of(repository: str | Project, name: str = "guide", **fields: Any) -> Source:
    """A source that reads `docs` in a repository."""
    where = f"file://{repository.bare}" if isinstance(repository, Project) else repository
    return make_source(name, "docs", **{"repository": where, **fields})


def with_git(settings: Settings, **fields: Any) -> None:
    settings.GIT = replace(settings.GIT, **fields)
