"""The settings of sources in Git, in one `parse` of a repository on the loopback interface."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.settings.place import Place
from tests.support import git_servers
from tests.support.git_servers import HttpServer, Project, SilentServer, SshServer

TOKEN = "a-token-of-the-tests"
LOOPBACK = "127.0.0.0/8,::1"
TEXT = "The grid shows its rows as soon as it is opened."


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("git"))
    made.commit({"docs/grid.md": f"# Grid\n\n{TEXT}\n"})
    return made


@pytest.fixture
def server(project: Project) -> Iterator[HttpServer]:
    with HttpServer(project.bare.parent, known=f"x-access-token:{TOKEN}") as server:
        yield server


@pytest.fixture
def reading(place: Place) -> Iterator[Place]:
    """The source of the installation reads `docs` in a repository; afterwards files again."""
    place.source("MdxParser", paths="{docs}")
    yield place
    point(place, "", "")
    shutil.rmtree(place.folder / "state" / "repositories", ignore_errors=True)


def point(place: Place, repository: str, credential: str = "docs-key") -> None:
    place.do(
        f"UPDATE sources_source SET repository = '{repository}', credential = '{credential}'"
        " WHERE name = 'mdx-dwc'"
    )


def says(place: Place, code: int = 0, **given: Any) -> str:
    return "\n".join(
        place.says("parse", "mdx-dwc", code=code, WEB_ALLOW_NETWORKS=LOOPBACK, **given)
    )


def test_a_secret_by_its_variable_or_file(
    reading: Place, server: HttpServer, tmp_path: Path
) -> None:
    point(reading, f"{server.origin}/docs.git")
    assert TEXT in says(reading, GIT_TOKEN_DOCS_KEY=TOKEN)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert TEXT in says(reading, GIT_TOKEN_DOCS_KEY_FILE=str(tmp_path / "token"))
    assert "set GIT_TOKEN_DOCS_KEY" in says(reading, code=1)


@pytest.mark.setting("GIT_SECRETS_DIR")
def test_a_folder_of_secrets(reading: Place, server: HttpServer, tmp_path: Path) -> None:
    point(reading, f"{server.origin}/docs.git")
    (tmp_path / "docs-key").write_text(TOKEN)
    assert TEXT in says(reading, GIT_SECRETS_DIR=str(tmp_path))


@pytest.mark.setting("GIT_CA_FILE")
def test_an_authority_of_its_own(reading: Place, project: Project, tmp_path: Path) -> None:
    made = git_servers.certificate(tmp_path)
    with HttpServer(project.bare.parent, certificate=made) as secure:
        point(reading, f"{secure.origin}/docs.git", "")
        assert "GIT_CA_FILE" in says(reading, code=1)
        assert TEXT in says(reading, GIT_CA_FILE=str(made))


@pytest.mark.setting("GIT_KNOWN_HOSTS")
def test_hosts_that_ssh_may_reach(reading: Place, project: Project, tmp_path: Path) -> None:
    if git_servers.SSHD is None:
        pytest.skip("there is no sshd: 1 test of ssh is left out")
    with SshServer(tmp_path / "ssh") as ssh:
        point(reading, f"ssh://{ssh.user}@localhost:{ssh.port}{project.bare}")
        assert "GIT_KNOWN_HOSTS" in says(reading, code=1, GIT_TOKEN_DOCS_KEY=ssh.key)
        given: dict[str, Any] = {
            "GIT_KNOWN_HOSTS": str(ssh.known_hosts),
            "GIT_TOKEN_DOCS_KEY": ssh.key,
        }
        assert TEXT in says(reading, **given)


@pytest.mark.setting("GIT_MAX_MB")
def test_a_repository_above_the_limit(reading: Place, tmp_path: Path) -> None:
    large = Project(tmp_path)
    large.commit({"docs/grid.md": TEXT, "noise.bin": os.urandom(3_000_000)})
    with HttpServer(tmp_path) as server:
        point(reading, f"{server.origin}/docs.git", "")
        assert "larger than 2 MB: raise GIT_MAX_MB" in says(reading, code=1, GIT_MAX_MB="2")
        assert TEXT in says(reading, GIT_MAX_MB="4")


@pytest.mark.setting("GIT_QUOTA_MB")
def test_what_all_repositories_may_take(reading: Place, tmp_path: Path) -> None:
    kept = reading.folder / "state" / "repositories"
    for number, name in enumerate(("one", "two", "three")):
        Project(tmp_path, name).commit({"docs/grid.md": TEXT, "noise.bin": os.urandom(600_000)})
        with HttpServer(tmp_path) as server:
            point(reading, f"{server.origin}/{name}.git", "")
            quota = "2" if name == "three" else "0"
            assert TEXT in says(reading, GIT_QUOTA_MB=quota)
        assert len(list(kept.iterdir())) == (1, 2, 1)[number]


@pytest.mark.setting("GIT_STALL_LIMIT")
@pytest.mark.setting("GIT_TIMEOUT")
def test_a_server_that_is_silent(reading: Place) -> None:
    with SilentServer() as silent:
        point(reading, f"http://127.0.0.1:{silent.port}/docs.git", "")
        assert "Nothing came for 1 seconds" in says(reading, code=1, GIT_STALL_LIMIT="1")
        assert "not there after 2 seconds" in says(reading, code=1, GIT_TIMEOUT="2")
