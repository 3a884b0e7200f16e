"""The embedded PostgreSQL, with real servers in folders of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path

import django.db
import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from bbjrag.embedded import data_folder, roles, sockets
from bbjrag.embedded import server as server_module
from bbjrag.embedded.backend.base import DatabaseClient, DatabaseWrapper
from bbjrag.embedded.installation import PostgresError
from bbjrag.embedded.server import EmbeddedPostgres
from bbjrag.embedded.settings import default_settings

FAST = {"fsync": "off", "shared_buffers": "16MB", "maintenance_work_mem": "16MB"}
STARTER = """
import sys
from pathlib import Path
from typing import Any
from bbjrag.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), dict(pair.split("=") for pair in sys.argv[2:]))
print(server.ensure("bbjrag"), server.status().pid)
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(tmp_path / "pg", FAST)
    yield made
    made.stop()


def starter(server: EmbeddedPostgres, tmpdir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(server.folder), *(f"{k}={v}" for k, v in FAST.items())],
        stdout=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
        env={**os.environ, "TMPDIR": str(tmpdir), "SECRET": "not for the server"},
    )


def connect(server: EmbeddedPostgres) -> psycopg.Connection:
    return psycopg.connect(
        host=str(server.connection_params()["host"]),
        port=sockets.PORT,
        user=roles.ROLE,
        dbname="bbjrag",
        autocommit=True,
    )


def one(server: EmbeddedPostgres, query: str) -> object:
    with connect(server) as connection:
        return (connection.execute(query.encode()).fetchone() or (None,))[0]


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def pid_of(server: EmbeddedPostgres) -> int:
    status = server.status()
    assert status is not None
    return status.pid


def kill(server: EmbeddedPostgres) -> None:
    os.kill(pid_of(server), signal.SIGKILL)
    until(lambda: not server.busy())


def test_it_works(server: EmbeddedPostgres) -> None:
    assert server.status() is None
    assert server.ensure("bbjrag") is True
    assert server.ensure("bbjrag") is False
    assert one(server, "SELECT '[1,0]'::vector <=> '[0,1]'") == 1.0
    status = server.status()
    assert status is not None
    assert status.version.startswith("18.")
    assert status.pgvector >= "0.8.4"


def test_only_the_private_socket_leads_in_and_no_superuser_is_handed_out(
    server: EmbeddedPostgres,
) -> None:
    server.ensure("bbjrag")
    assert one(server, "SHOW listen_addresses") == ""
    assert Path(str(server.connection_params()["host"])).stat().st_mode & 0o777 == 0o700
    assert one(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    with connect(server) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")


def test_data_is_checked_and_sorted_alike_everywhere(server: EmbeddedPostgres) -> None:
    server.ensure("bbjrag")
    assert one(server, "SHOW data_checksums") == "on"
    assert one(server, "SELECT lower('ÄÖ') || ('B' < 'a')") == "äötrue"
    assert one(server, "SELECT to_tsvector('Größen of windows')::text") == "'größen':1 'window':3"


def test_data_survives_stop_and_start(server: EmbeddedPostgres) -> None:
    server.ensure("bbjrag")
    with connect(server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    assert server.stop() is True
    assert server.stop() is False
    assert not server.busy()
    assert server.ensure("bbjrag") is True
    assert one(server, "SELECT n FROM kept") == 7


def test_a_missing_database_is_made_on_a_running_server(server: EmbeddedPostgres) -> None:
    server.ensure("other")
    assert server.ensure("bbjrag") is False
    assert one(server, "SELECT extname FROM pg_extension WHERE extname = 'vector'") == "vector"


def test_eight_processes_with_different_temporary_folders_start_one_server(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    folders = [tmp_path / f"tmp{n}" for n in range(8)]
    for folder in folders:
        folder.mkdir()
    answers = [
        process.communicate()[0].split() for process in [starter(server, f) for f in folders]
    ]
    assert sorted(started for started, _ in answers) == ["False"] * 7 + ["True"]
    assert {int(pid) for _, pid in answers} == {pid_of(server)}


def at_the_socket(folder: Path) -> bool:
    """Below the folder, or where a path too long for that has it (see `socket-folder`)."""
    elsewhere = folder / "socket-folder"
    places = [*folder.glob("socket-*")]
    places += [Path(elsewhere.read_text().strip())] if elsewhere.exists() else []
    return any((place / ".s.PGSQL.5432").exists() for place in places)


MOMENTS: dict[str, Callable[[Path], object]] = {
    "with the lock": lambda folder: (folder / "lock").exists(),
    "in initdb": lambda folder: list(folder.glob("initdb-*/base")),
    "after initdb": lambda folder: (folder / "data").exists(),
    "in the start": lambda folder: (folder / "data" / "postmaster.pid").exists(),
    "at the socket": at_the_socket,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_starter_killed_at_any_moment_leaves_a_folder_that_starts(
    server: EmbeddedPostgres, tmp_path: Path, moment: str
) -> None:
    with starter(server, tmp_path) as process:
        until(lambda: MOMENTS[moment](server.folder))
        process.kill()
    server.ensure("bbjrag")
    assert one(server, "SELECT 1") == 1
    left = {p.name for p in server.folder.iterdir()} - {socket_of(server).name, "socket-folder"}
    assert left == {"alive", "data", "lock", "start.log"}


def test_a_killed_server_recovers_what_was_committed(server: EmbeddedPostgres) -> None:
    server.ensure("bbjrag")
    with connect(server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        kill(server)
    assert server.ensure("bbjrag") is True
    assert one(server, "SELECT sum(n) FROM kept") == 500500


def test_pid_files_that_name_a_living_stranger_are_no_hindrance(server: EmbeddedPostgres) -> None:
    server.ensure("bbjrag")
    kill(server)
    owner = server.data.stat().st_uid if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=owner) as stranger:
        for path in [server.data / "postmaster.pid", *socket_of(server).glob(".*.lock")]:
            _, _, rest = path.read_text().partition("\n")
            path.write_text(f"{stranger.pid}\n{rest}")
        assert server.stop() is False
        assert server.ensure("bbjrag") is True
        assert stranger.poll() is None
        stranger.kill()


def socket_of(server: EmbeddedPostgres) -> Path:
    return Path(str(server.connection_params()["host"]))


def test_a_server_that_was_started_by_hand_is_left_alone(server: EmbeddedPostgres) -> None:
    server.ensure("bbjrag")
    pid = pid_of(server)
    (server.folder / "alive").unlink()
    socket_of(server).rename(server.folder / "elsewhere")
    with pytest.raises(PostgresError, match=r"pre-existing shared memory"):
        server.ensure("bbjrag")
    assert (server.data / "postmaster.pid").read_text().startswith(f"{pid}\n")
    os.kill(pid, signal.SIGQUIT)


def test_a_server_whose_folder_was_deleted_leaves_the_new_one_alone(
    server: EmbeddedPostgres,
) -> None:
    server.ensure("bbjrag")
    before = pid_of(server)
    shutil.rmtree(server.folder)
    assert server.ensure("bbjrag") is True
    os.kill(before, signal.SIGQUIT)
    until(lambda: not alive(before))
    assert one(server, "SELECT 1") == 1


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_stop_ends_a_server_whose_socket_is_gone(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ensure("bbjrag")
    shutil.rmtree(socket_of(server))
    monkeypatch.setattr(server_module, "SILENCE", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(server_module, "LISTEN_TIMEOUT", 0.1)
        with pytest.raises(PostgresError, match=r"cannot be reached.*manage\.py postgres stop"):
            server.ensure("bbjrag")
    assert server.stop() is True
    assert server.ensure("bbjrag") is True


def test_stop_ends_what_a_killed_server_left(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ensure("bbjrag")
    with contextlib.closing(connect(server)) as busy:
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000)")
        until(
            lambda: one(server, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'") == 2
        )
        os.kill(pid_of(server), signal.SIGKILL)
        time.sleep(0.5)
        assert server.busy()
        monkeypatch.setattr(server_module, "SILENCE", 0.1)
        assert server.stop() is True
    assert not server.busy()


@pytest.mark.parametrize("name", ["deep/" * 40 + "pg", "one, two/pg", 'a "quoted" $HOME/pg'])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    server = EmbeddedPostgres(tmp_path / name, FAST)
    try:
        server.ensure("bbjrag")
        assert one(EmbeddedPostgres(tmp_path / name), "SELECT 1") == 1
        assert socket_of(server).stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()


def test_a_short_socket_folder_goes_when_the_server_stops(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("deep/" * 40), FAST)
    server.ensure("bbjrag")
    short = socket_of(server)
    assert server.folder not in short.parents
    server.stop()
    assert not short.exists()


def test_a_short_socket_folder_open_to_others_is_not_trusted(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("deep/" * 40), FAST)
    server.ensure("bbjrag")
    short = socket_of(server)
    short.chmod(0o777)
    try:
        assert socket_of(server) != short
    finally:
        short.chmod(0o700)
        server.stop()


def test_the_server_keeps_nothing_of_its_starter(server: EmbeddedPostgres, tmp_path: Path) -> None:
    with starter(server, tmp_path) as process:
        output, _ = process.communicate(timeout=60)  # would wait for a server that has the pipe
    pid = int(output.split()[1])
    assert os.getsid(pid) != os.getsid(0)
    if Path("/proc/self/environ").exists():
        assert b"not for the server" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_data_of_another_version_is_left_alone(server: EmbeddedPostgres) -> None:
    server.ensure("bbjrag")
    server.stop()
    version = server.data / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(PostgresError, match=r"made by PostgreSQL 16.*nothing was changed"):
        server.ensure("bbjrag")
    version.write_text("18\n")
    server.ensure("bbjrag")


def test_a_folder_of_something_else_is_left_alone(server: EmbeddedPostgres) -> None:
    server.data.mkdir(parents=True)
    (server.data / "letters.txt").write_text("mine")
    with pytest.raises(PostgresError, match="is not a data folder of PostgreSQL"):
        server.ensure("bbjrag")
    assert (server.data / "letters.txt").read_text() == "mine"


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    broken = EmbeddedPostgres(server.folder, {**FAST, "shared_buffers": "plenty"})
    with pytest.raises(PostgresError) as caught:
        broken.ensure("bbjrag")
    assert 'invalid value for parameter "shared_buffers": "plenty"' in str(caught.value)
    assert str(server.folder / "start.log") in str(caught.value)


def test_a_failed_initdb_says_why_and_leaves_nothing(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "initdb"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho No space left on device\nexit 1\n")
    program.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(data_folder, "installation", lambda: tmp_path)
        with pytest.raises(PostgresError, match="No space left"):
            server.ensure("bbjrag")
    assert {p.name for p in server.folder.iterdir()} == {"alive", "lock", "start.log"}
    assert server.ensure("bbjrag") is True


def test_settings_fit_the_machine() -> None:
    small, large = (default_settings(n << 30) for n in (1, 64))
    assert (small["shared_buffers"], large["shared_buffers"]) == ("128MB", "256MB")
    assert (small["maintenance_work_mem"], large["maintenance_work_mem"]) == ("128MB", "2048MB")
    assert "fsync" not in large
    builders = [default_settings(2**30, n)["max_parallel_maintenance_workers"] for n in (1, 2, 64)]
    assert builders == ["1", "1", "16"]


def entry(server: EmbeddedPostgres) -> dict[str, object]:
    """An entry of DATABASES for `server`, with the defaults that Django adds."""
    plain = {"HOST": "", "PORT": "", "USER": "", "PASSWORD": "", "TIME_ZONE": None}
    return {
        **plain,
        "ENGINE": "bbjrag.embedded.backend",
        "NAME": "bbjrag",
        "EMBEDDED_DATA": str(server.folder),
        "OPTIONS": {"server_settings": FAST},
    }


def test_the_first_connection_starts_the_server(server: EmbeddedPostgres) -> None:
    wrapper = DatabaseWrapper(entry(server))
    assert not server.folder.exists()
    for _ in range(2):
        connection = wrapper.get_new_connection(wrapper.get_connection_params())
        assert connection.execute("SELECT current_user").fetchone() == ("bbjrag",)
        connection.close()


def test_a_connection_whose_server_was_killed_is_made_anew(server: EmbeddedPostgres) -> None:
    wrapper = DatabaseWrapper(entry(server))
    wrapper.get_new_connection(wrapper.get_connection_params()).close()
    kill(server)
    wrapper.get_new_connection(wrapper.get_connection_params()).close()


def test_a_server_that_cannot_start_is_an_operational_error(server: EmbeddedPostgres) -> None:
    broken = {**entry(server), "OPTIONS": {"server_settings": {**FAST, "port": "none"}}}
    wrapper = DatabaseWrapper(broken)
    with (
        pytest.raises(django.db.OperationalError, match=r"start\.log"),
        wrapper.wrap_database_errors,
    ):
        wrapper.get_new_connection(wrapper.get_connection_params())


def test_dbshell_is_told_where_the_server_is(server: EmbeddedPostgres) -> None:
    args, _ = DatabaseClient.settings_to_cmd_args_env(entry(server), ["-c", "SELECT 6 * 7"])
    done = subprocess.run(args, check=True, capture_output=True, text=True)
    assert "42" in done.stdout


@pytest.fixture
def embedded(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> EmbeddedPostgres:
    monkeypatch.setitem(settings.DATABASES, "default", entry(server))
    return server


def say(action: str) -> str:
    output = StringIO()
    call_command("postgres", action, stdout=output)
    return output.getvalue()


def test_the_command_starts_shows_and_stops(embedded: EmbeddedPostgres) -> None:
    assert say("start").startswith("Started. The embedded PostgreSQL 18")
    assert say("start").startswith("It runs already.")
    assert str(embedded.data) in say("status")
    assert f"process {pid_of(embedded)}" in say("status")
    assert say("stop").startswith("Stopped.")
    assert "Nothing to stop" in say("stop")


def test_the_command_answers_3_where_nothing_runs(
    embedded: EmbeddedPostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        call_command("postgres", "status")
    assert caught.value.code == 3
    assert "manage.py postgres start" in capsys.readouterr().out
    assert not embedded.folder.exists()


@pytest.mark.parametrize("action", ["start", "stop", "status"])
def test_the_command_leaves_the_server_of_database_url_alone(
    monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    elsewhere = {"ENGINE": "django.db.backends.postgresql", "NAME": "docs", "HOST": "db.example"}
    monkeypatch.setitem(settings.DATABASES, "default", elsewhere)
    with pytest.raises(CommandError, match=r"server at db\.example.*not ours"):
        call_command("postgres", action)


@as_root
def test_root_hands_the_server_to_another_account_and_widens_no_folder(
    server: EmbeddedPostgres,
) -> None:
    closed = server.folder.parent / "closed"
    closed.mkdir(mode=0o700)
    inside = EmbeddedPostgres(closed / "pg", FAST)
    try:
        inside.ensure("bbjrag")
        assert inside.data.stat().st_uid != 0
        assert closed.stat().st_mode & 0o777 == 0o700
        assert closed.stat().st_uid == 0
    finally:
        inside.stop()


@as_root
def test_a_user_has_a_server_and_no_one_else_is_let_in() -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    uid = pwd.getpwnam("nobody").pw_uid
    os.chown(folder, uid, -1)
    server = EmbeddedPostgres(folder / "pg", FAST)
    try:
        assert as_user(uid, lambda: server.ensure("bbjrag")) == "True"
        assert server.data.stat().st_uid == uid
        folder.chmod(0o755)
        for action in (lambda: server.ensure("bbjrag"), server.stop, server.busy):
            assert "belongs to nobody" in as_user(uid - 1, action)
        assert server.ensure("bbjrag") is False
    finally:
        server.stop()
        shutil.rmtree(folder)


def as_user(uid: int, action: Callable[[], object], gid: int | None = None) -> str:
    """What `action` returns or says in a process of that user; no exec, as Python may be root's."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=act, args=(uid, gid or uid, action, theirs)
    )
    process.start()
    theirs.close()
    with contextlib.closing(ours):
        said = ours.recv()
    process.join()
    return str(said)


def act(uid: int, gid: int, action: Callable[[], object], pipe: Connection) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    try:
        pipe.send(str(action()))
    except PostgresError as error:
        pipe.send(str(error))


def login(host: Path, role: str) -> str:
    """The role that this process's user gets in as, or why it does not."""
    try:
        with psycopg.connect(
            host=str(host), port=sockets.PORT, user=role, dbname="bbjrag"
        ) as connection:
            return str((connection.execute("SELECT current_user").fetchone() or ("",))[0])
    except psycopg.OperationalError as error:
        return str(error)


@as_root
@pytest.mark.parametrize("role", [roles.ROLE, roles.SUPERUSER])
def test_the_servers_own_account_is_not_let_in(role: str) -> None:
    """Other services of the machine may run as it; it could do all that the server can."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "pg", FAST)
    try:
        server.ensure("bbjrag")
        account, host = server.data.stat(), socket_of(server)
        assert account.st_uid != 0
        assert "Peer authentication failed" in as_user(
            account.st_uid, lambda: login(host, role), account.st_gid
        )
        assert login(host, role) == role
    finally:
        server.stop()
        shutil.rmtree(folder)


@as_root
@pytest.mark.parametrize("role", [roles.ROLE, roles.SUPERUSER])
def test_a_users_server_lets_in_the_user_and_root(role: str) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    uid = pwd.getpwnam("nobody").pw_uid
    os.chown(folder, uid, -1)
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "pg", FAST)
    try:
        assert as_user(uid, lambda: server.ensure("bbjrag")) == "True"
        host = socket_of(server)
        assert as_user(uid, lambda: login(host, role)) == role
        assert login(host, role) == role
        for path in (server.folder, host, host / ".s.PGSQL.5432"):
            path.chmod(0o777)  # if all the folders were open
        assert "Peer authentication failed" in as_user(uid - 1, lambda: login(host, role))
    finally:
        server.stop()
        shutil.rmtree(folder)


@as_root
def test_a_server_with_a_capability_is_reached_by_root_alone(tmp_path: Path) -> None:
    """Below a closed folder, with a path too long for a socket; the server may read all then."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / ("deep/" * 40) / "pg", FAST)
    target = closed / "written"
    try:
        server.ensure("bbjrag")
        account, host = server.data.stat(), socket_of(server)
        assert (host.parent.stat().st_uid, account.st_uid != 0) == (0, True)
        attempt = as_user(account.st_uid, lambda: login(host, roles.SUPERUSER), account.st_gid)
        assert "Permission denied" in attempt
        with roles.superuser(str(host)) as connection:
            assert connection.info.user == roles.SUPERUSER
            with pytest.raises(psycopg.Error, match="Permission denied"):
                connection.execute(f"COPY (SELECT 1) TO '{target}'".encode())
        assert not target.exists()
    finally:
        server.stop()
    assert not host.parent.exists()


def test_a_data_folder_that_trusted_everybody_is_upgraded_at_the_next_start(
    server: EmbeddedPostgres,
) -> None:
    server.ensure("bbjrag")
    server.stop()
    rules = server.data / "pg_hba.conf"
    rules.write_text("local all all trust\nhost all all all reject\n")
    server.ensure("bbjrag")
    with roles.superuser(str(socket_of(server))) as connection:
        found = connection.execute("SELECT type, auth_method FROM pg_hba_file_rules").fetchall()
    assert found == [("local", "peer")]
    assert rules.with_name("pg_hba.conf.old").read_text().startswith("local all all trust")
    assert rules.stat().st_uid == server.data.stat().st_uid
    server.stop()
    assert server.ensure("bbjrag") is True, "and again, with nothing to upgrade"
    assert one(server, "SELECT 1") == 1


@as_root
def test_a_user_without_a_name_is_let_in_by_the_folder(server: EmbeddedPostgres) -> None:
    """As in a container started with a number; PostgreSQL cannot make out who that is."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    nameless = 54321
    os.chown(folder, nameless, -1)
    theirs = EmbeddedPostgres(folder / "pg", FAST)
    try:
        server.ensure("bbjrag")
        server.stop()
        shutil.copytree(server.data, theirs.data, symlinks=True)
        for path in (theirs.folder, *theirs.folder.rglob("*")):
            os.chown(path, nameless, nameless)
            path.chmod(0o700 if path.is_dir() else 0o600)
        assert as_user(nameless, lambda: theirs.ensure("bbjrag")) == "True"
        host = socket_of(theirs)
        assert as_user(nameless, lambda: login(host, roles.ROLE)) == roles.ROLE
        assert "Permission denied" in as_user(nameless - 1, lambda: login(host, roles.ROLE))
    finally:
        theirs.stop()
        shutil.rmtree(folder)
