"""Servers of repositories as they are met: each protocol, with and without secrets, and when they
refuse, lead elsewhere, hang or send too much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import psutil
import pytest
from django.conf import settings as configured
from pytest_django import Settings

from ingestion.models import Document, LogLine, SourceRun, State
from ingestion.parsers.web.network_guard import GuardedBackend
from tests.git.conftest import of, page_of, with_git
from tests.support import git_servers
from tests.support.git_servers import HttpServer, Project, SilentServer, SshServer
from tests.support.reading import errors_of, read, urls

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "s3cr3t-t0ken-of-docs"


@pytest.fixture
def http(project: Project) -> Iterator[HttpServer]:
    with HttpServer(project.bare.parent) as server:
        yield server


@pytest.fixture
def private(project: Project) -> Iterator[HttpServer]:
    with HttpServer(project.bare.parent, known=f"x-access-token:{SECRET}") as server:
        yield server


def failed(row: SourceRun) -> str:
    """Why the source failed; what was stored stays."""
    assert (row.state, row.removed) == (State.FAILED, 0)
    (message,) = errors_of(row)
    assert row.error == message
    return message


def test_git_daemon(project: Project) -> None:
    with git_servers.daemon(project.bare.parent) as origin:
        row = read(of(f"{origin}/docs.git"))
    assert (row.state, row.added, row.error) == (State.SUCCEEDED, 3, "")


def test_smart_http(http: HttpServer) -> None:
    row = read(of(f"{http.origin}/docs.git"))
    assert (row.state, row.added, row.error) == (State.SUCCEEDED, 3, "")


def test_a_token_is_shown_and_nowhere_to_be_seen(
    private: HttpServer, settings: Settings, kept: Path
) -> None:
    with_git(settings, tokens={"GIT_TOKEN_DOCS_KEY": SECRET})
    row = read(of(f"{private.origin}/docs.git", credential="docs-key"))
    assert (row.state, row.added) == (State.SUCCEEDED, 3)
    assert set(private.shown) == {f"x-access-token:{SECRET}"}
    assert found_in(kept) == []
    assert not any(SECRET in str(line) for line in LogLine.objects.values_list("message"))


def found_in(folder: Path) -> list[str]:
    """The files below a folder that hold the secret, plain or encoded."""
    forms = {SECRET.encode(), git_servers.encoded(f"x-access-token:{SECRET}")}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(form in path.read_bytes() for form in forms)]


def test_a_token_is_in_no_process_while_git_works(
    private: HttpServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither arguments nor environment of any process have it while the server lets Git wait."""
    with_git(settings, tokens={"GIT_TOKEN_DOCS_KEY": SECRET})
    monkeypatch.setenv("GIT_TOKEN_DOCS_KEY", SECRET)
    seen: list[tuple[list[str], str]] = []
    private.meanwhile = lambda: seen.extend(processes())
    read(of(f"{private.origin}/docs.git", credential="docs-key"))
    assert any("remote-http" in " ".join(command) for command, _ in seen)
    encoded = git_servers.encoded(f"x-access-token:{SECRET}").decode()
    for command, environment in seen:
        assert SECRET not in " ".join(command) + environment
        assert encoded not in " ".join(command) + environment


def processes() -> Iterator[tuple[list[str], str]]:
    for process in psutil.Process().children(recursive=True):
        try:
            environment = str(process.environ()) if "git" in process.name() else ""
            yield process.cmdline(), environment
        except psutil.Error:
            continue


def test_a_server_that_repeats_the_secret_is_not_quoted(
    private: HttpServer, settings: Settings
) -> None:
    with_git(settings, tokens={"GIT_TOKEN_DOCS_KEY": SECRET})
    private.refusal = f"the token {SECRET} of yours has expired"
    said = failed(read(of(f"{private.origin}/docs.git", credential="docs-key")))
    assert "the token *** of yours has expired" in said
    assert not any(SECRET in line for line in LogLine.objects.values_list("message", flat=True))


@pytest.mark.parametrize("scheme", ["http", "git", "ssh"])
def test_git_connects_to_the_address_that_was_checked(
    scheme: str,
    project: Project,
    http: HttpServer,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that only the network guard resolves: nobody else is asked for its address."""
    monkeypatch.setattr(GuardedBackend, "checked", lambda *_: ["127.0.0.1"])
    with ExitStack() as stack:
        credential, port, path = "", http.port, "/docs.git"
        if scheme == "git":
            daemon = stack.enter_context(git_servers.daemon(project.bare.parent))
            port = int(daemon.rpartition(":")[2])
        elif scheme == "ssh":
            if git_servers.SSHD is None:
                pytest.skip("there is no sshd: 1 test of ssh is left out")
            server = stack.enter_context(SshServer(tmp_path / "ssh", "docs.invalid"))
            credential, port, path = "key", server.port, str(project.bare)
            with_git(settings, known_hosts=server.known_hosts, tokens={"GIT_TOKEN_KEY": server.key})
        row = read(of(f"{scheme}://docs.invalid:{port}{path}", credential=credential))
    assert (row.error, row.added) == ("", 3)


def test_a_secret_of_a_folder(private: HttpServer, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "docs-key").write_text(f"x-access-token:{SECRET}\n")
    with_git(settings, secrets_dir=tmp_path / "secrets")
    row = read(of(f"{private.origin}/docs.git", credential="docs-key"))
    assert (row.state, row.added) == (State.SUCCEEDED, 3)


def test_a_wrong_token_fails_its_source_and_what_is_stored_stays(
    private: HttpServer, settings: Settings
) -> None:
    with_git(settings, tokens={"GIT_TOKEN_DOCS_KEY": SECRET})
    source = of(f"{private.origin}/docs.git", credential="docs-key")
    read(source)
    with_git(settings, tokens={"GIT_TOKEN_DOCS_KEY": "of-yesterday"})
    said = failed(read(source))
    assert "localhost does not let the credential 'docs-key' in" in said
    assert "of-yesterday" not in said
    assert Document.objects.count() == 3


def test_a_secret_that_is_not_there_is_named(private: HttpServer) -> None:
    said = failed(read(of(f"{private.origin}/docs.git", credential="docs-key")))
    assert "set GIT_TOKEN_DOCS_KEY for web server and worker" in said
    assert private.requests == []


def test_a_repository_that_asks_for_a_secret(private: HttpServer) -> None:
    assert "the credential (none)" in failed(read(of(f"{private.origin}/docs.git")))


def test_https_with_an_authority_of_its_own(
    project: Project, settings: Settings, tmp_path: Path
) -> None:
    made = git_servers.certificate(tmp_path)
    known = f"somebody:{SECRET}"
    with_git(settings, tokens={"GIT_TOKEN_DOCS": known})
    with HttpServer(project.bare.parent, known=known, certificate=made) as server:
        source = of(f"{server.origin}/docs.git", credential="docs")
        assert "name the authority in GIT_CA_FILE" in failed(read(source))
        assert server.shown == []
        with_git(settings, ca_file=made)
        assert read(source).added == 3
        assert set(server.shown) == {known}


@pytest.fixture
def ssh(project: Project, tmp_path: Path) -> Iterator[SshServer]:
    if git_servers.SSHD is None:
        pytest.skip("there is no sshd: 4 tests of ssh are left out")
    with SshServer(tmp_path / "ssh") as server:
        yield server


def by_ssh(server: SshServer, project: Project) -> str:
    return f"ssh://{server.user}@localhost:{server.port}{project.bare}"


def test_ssh_with_a_deploy_key(ssh: SshServer, project: Project, settings: Settings) -> None:
    with_git(settings, known_hosts=ssh.known_hosts, tokens={"GIT_TOKEN_KEY": ssh.key})
    row = read(of(by_ssh(ssh, project), credential="key"))
    assert (row.state, row.added, row.error) == (State.SUCCEEDED, 3, "")


def test_ssh_to_a_host_that_shows_another_key(
    ssh: SshServer, project: Project, settings: Settings
) -> None:
    other = ssh.known_hosts.with_name("other")
    other.write_text(ssh.known_hosts.read_text().partition(" ")[0] + " " + ssh.deploy_public)
    for hosts in (other, Path(os.devnull)):
        with_git(settings, known_hosts=hosts, tokens={"GIT_TOKEN_KEY": ssh.key})
        said = failed(read(of(by_ssh(ssh, project), credential="key", name=f"to-{hosts.name}")))
        assert ("another key than GIT_KNOWN_HOSTS" in said) or ("name a file in GIT_KNOWN" in said)


def test_ssh_with_a_key_that_is_not_let_in(
    ssh: SshServer, project: Project, settings: Settings
) -> None:
    host_key = (ssh.folder / "host").read_text()
    with_git(settings, known_hosts=ssh.known_hosts, tokens={"GIT_TOKEN_KEY": host_key})
    said = failed(read(of(by_ssh(ssh, project), credential="key")))
    assert "does not let the credential 'key' in" in said


def test_ssh_without_a_key_or_known_hosts(ssh: SshServer, project: Project) -> None:
    assert "ssh needs a deploy key" in failed(read(of(by_ssh(ssh, project))))


def test_a_redirect_is_not_followed(http: HttpServer, project: Project) -> None:
    with HttpServer(project.bare.parent) as elsewhere:
        http.redirect = elsewhere.origin
        assert "leads to another address" in failed(read(of(f"{http.origin}/docs.git")))
        assert elsewhere.requests == []


@pytest.mark.parametrize("scheme", ["http", "https", "git", "ssh"])
def test_a_private_host_is_not_connected_to(
    scheme: str, http: HttpServer, settings: Settings
) -> None:
    settings.WEB = replace(configured.WEB, allow_networks=(ip_network("10.0.0.0/8"),))
    with_git(settings, tokens={"GIT_TOKEN_KEY": "-----BEGIN"})
    credential = "key" if scheme == "ssh" else ""
    said = failed(read(of(f"{scheme}://localhost:{http.port}/docs.git", credential=credential)))
    assert "WEB_ALLOW_NETWORKS" in said
    assert http.requests == []


@pytest.mark.parametrize("scheme", ["http", "git"])
def test_what_is_not_encrypted_is_read_in_named_networks_only(scheme: str) -> None:
    said = failed(read(of(f"{scheme}://1.1.1.1/docs.git")))
    assert "WEB_ALLOW_NETWORKS" in said
    assert "not encrypted" in said


def test_a_host_that_is_not_there() -> None:
    assert "cannot be found" in failed(read(of("https://nowhere.invalid/docs.git")))


def test_a_repository_that_is_not_there(http: HttpServer, project: Project) -> None:
    wanted = "There is no repository at this address"
    assert wanted in failed(read(of(f"{http.origin}/other.git")))
    with git_servers.daemon(project.bare.parent) as origin:
        assert wanted in failed(read(of(f"{origin}/other.git", name="by-daemon")))


@pytest.mark.parametrize("scheme", ["http", "git"])
def test_a_server_that_hangs_is_given_up(scheme: str, settings: Settings, kept: Path) -> None:
    with_git(settings, stall_seconds=1.0)
    with SilentServer() as server:
        row = read(of(f"{scheme}://127.0.0.1:{server.port}/docs.git"))
    said = failed(row)
    assert "Nothing came for 1 seconds" in said or "does not answer" in said
    assert git_processes() == []


def test_a_fetch_that_takes_too_long_is_given_up(
    project: Project, http: HttpServer, settings: Settings
) -> None:
    project.commit({"docs/noise.bin": os.urandom(2_000_000)})
    with_git(settings, seconds=2.0)
    http.pause = 0.2
    said = failed(read(of(f"{http.origin}/docs.git")))
    assert "It was not there after 2 seconds" in said
    assert "GIT_TIMEOUT" in said
    assert git_processes() == []


def test_a_repository_above_the_limit_is_cut_off(
    project: Project, http: HttpServer, settings: Settings, kept: Path
) -> None:
    source = of(f"{http.origin}/docs.git")
    read(source)
    project.commit({f"noise/{n}.bin": os.urandom(3_000_000) for n in range(10)})
    with_git(settings, max_mb=10, stall_seconds=60.0, seconds=120.0)
    most = 0

    def weigh() -> None:
        nonlocal most
        most = max(most, git_servers.weight(kept))

    http.meanwhile = weigh
    http.pause = 0.01
    said = failed(read(source))
    assert said.startswith("The repository is larger than 10 MB: raise GIT_MAX_MB")
    assert most < 14_000_000
    assert git_servers.weight(kept) < 1_000_000
    assert Document.objects.count() == 3


def test_a_pack_that_unpacks_to_more_than_the_limit_is_not_written(
    project: Project, settings: Settings, kept: Path
) -> None:
    project.commit({"docs/zeros.md": b"\0" * 30_000_000})
    with_git(settings, max_mb=10)
    assert "larger than 10 MB" in failed(read(of(project)))
    assert git_servers.weight(kept) < 1_000_000


def git_processes() -> list[str]:
    return [p.name() for p in psutil.Process().children(recursive=True) if "git" in p.name()]


def test_what_came_meanwhile_is_read(http: HttpServer, project: Project) -> None:
    source = of(f"{http.origin}/docs.git")
    read(source)
    http.requests.clear()
    assert read(source).unchanged == 3
    assert not any("git-upload-pack" in path and "info" not in path for path in http.requests[2:])
    project.commit({"docs/dialog.md": page_of("dialog")})
    assert read(source).added == 1
    assert "guide://dialog.md" in urls()
