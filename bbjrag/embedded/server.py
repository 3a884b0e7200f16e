"""Starts, checks and stops the server of one folder."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bbjrag.embedded.accounts import name_of
from bbjrag.embedded.data_folder import DataFolder
from bbjrag.embedded.home import POLL, START_TIMEOUT, Home, closing
from bbjrag.embedded.installation import PostgresError, installation
from bbjrag.embedded.launch import run_as_server
from bbjrag.embedded.roles import ROLE, create_missing, offer_vectors, superuser
from bbjrag.embedded.settings import default_settings, memory_limit
from bbjrag.embedded.sockets import PORT, Sockets
from ingestion.processes import processors

LISTEN_TIMEOUT = 60.0
STOP_TIMEOUT = 120.0
SILENCE = 5.0

_STATUS_SQL = """
    SELECT current_setting('server_version'),
           (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),
           (SELECT sum(pg_database_size(oid)) FROM pg_database)
"""


@dataclass(frozen=True, slots=True)
class Status:
    """A running server. `size` is the bytes of all databases; `pgvector` the available version."""

    pid: int
    version: str
    pgvector: str
    size: int


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """The server of one folder. Holds no connection and no process: safe to make, copy and fork.

    `settings` are server settings that override ours from the next start on.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Home:
        return Home(self.folder)

    @property
    def sockets(self) -> Sockets:
        return Sockets(self.home)

    @property
    def data(self) -> Path:
        return self.home.data

    @property
    def _data_folder(self) -> DataFolder:
        return DataFolder(self.home, sync=self.settings.get("fsync") != "off")

    @property
    def _host(self) -> str:
        return str(self.sockets.folder())

    def connection_params(self) -> dict[str, str | int]:
        """Where libpq finds the server: a folder that does not exist before the first start."""
        return {"host": self._host, "port": PORT, "user": ROLE}

    def ensure(self, database: str) -> bool:
        """Make sure the server runs and has `database`; return whether it had to be started.

        Any number of processes and threads may call it at once: one starts it, the others wait.
        Raises PostgresError.
        """
        with self.home.locked():
            try:
                started = self._bring_up()
                offer_vectors(self._host, "template1")
                create_missing(self._host, database)
                offer_vectors(self._host, database)
            except (OSError, psycopg.Error) as error:
                raise self.home.failure(
                    f"The embedded PostgreSQL cannot be used: {error}"
                ) from error
            return started

    def stop(self) -> bool:
        """Stop the server and wait for its end; return whether one ran. Raises PostgresError.

        A fast shutdown: transactions in progress are rolled back, what was committed is kept.
        """
        if not self.home.made():
            return False
        with self.home.locked():
            stopped = self._shut_down()
            self.sockets.forget_short_folder()
            return stopped

    def status(self) -> Status | None:
        """The running server, or None. Never waits for, or starts, anything."""
        try:
            with superuser(self._host) as connection:
                version, pgvector, size = connection.execute(_STATUS_SQL).fetchone() or ("", "", 0)
        except psycopg.OperationalError:
            return None
        return Status(self.sockets.listener() or 0, version, pgvector or "", int(size))

    def busy(self) -> bool:
        """Whether a server process exists, though it may not answer (starting, recovering).

        Raises PostgresError if the folder belongs to another account.
        """
        if not self.home.made():
            return False
        try:
            alive = self.home.take_life()
        except PermissionError as error:
            raise PostgresError(self.home.not_ours()) from error
        if alive is not None:
            os.close(alive)
        return alive is None

    def _bring_up(self) -> bool:
        retired: bytes | None = None
        begun = time.monotonic()
        while (refusal := self._refusal()) is not None:
            alive = self.home.take_life()
            if alive is None:
                self._be_patient(begun, refusal)
            else:
                with closing(alive):
                    self._end_where_started(retired)
                    retired = self._spawn(alive)
            time.sleep(POLL)
        return retired is not None

    def _end_where_started(self, retired: bytes | None) -> None:
        """Raise PostgresError if the server that we started is already gone."""
        if retired is not None:
            self._data_folder.restore_pid_file(retired)
            raise self.home.failure("The embedded PostgreSQL ended while it started")

    def _be_patient(self, begun: float, refusal: str) -> None:
        if "authentication failed" in refusal:
            raise PostgresError(
                f"The embedded PostgreSQL does not let {name_of(os.geteuid())} in ({refusal}). "
                "Its server was started by somebody else: stop it as that user."
            )
        listens = self.sockets.listener() is not None
        if time.monotonic() - begun < (START_TIMEOUT if listens else LISTEN_TIMEOUT):
            return
        if listens:
            waited = f"is not ready after {START_TIMEOUT:.0f} s"
            raise self.home.failure(f"The embedded PostgreSQL {waited} ({refusal})")
        raise PostgresError(
            f"A PostgreSQL server runs on {self.data}, but its socket in {self._host} "
            "cannot be reached from here: it belongs to another container, the socket was deleted, "
            "or these are the last processes of a server that was killed. "
            "To end what is left: manage.py postgres stop"
        )

    def _refusal(self) -> str | None:
        """Why the server cannot be connected to, or None: only a connection proves that it runs."""
        try:
            with superuser(self._host):
                return None
        except psycopg.OperationalError as error:
            return str(error).strip()

    def _spawn(self, alive: int) -> bytes:
        """Start the server; `alive` is locked, so no process of an earlier one is left.

        Returns the old content of the pid file.
        """
        if not self.data.exists() or not any(self.data.iterdir()):
            self._data_folder.initialise(alive)
        self._data_folder.check_version()
        self._data_folder.check_owner()
        self._data_folder.restrict_access()
        retired = self._data_folder.retire_pid_file()
        self.sockets.make_fresh()
        command = [str(installation() / "bin" / "postgres"), "-D", str(self.data)]
        for name, value in self._server_settings().items():
            command += ["-c", f"{name}={value}"]
        log = self.home.open("start.log")
        os.ftruncate(log, 0)
        try:
            # A shell puts it in the background, so that init is its parent: it outlives us and is
            # no zombie of ours. Its soft limits are ours, raised, as ours may fit a small process.
            script = 'umask 077; ulimit -S -v "$(ulimit -H -v)"; "$@" &'
            run_as_server(self.home, ["/bin/sh", "-c", script, "sh", *command], log, keep=alive)
        finally:
            os.close(log)
        return retired

    def _server_settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": _quoted(self._host),
            "unix_socket_permissions": "0700",
            **default_settings(memory_limit(), processors.usable()),
            **self.settings,
        }

    def _shut_down(self) -> bool:
        begun = time.monotonic()
        asked, ran = False, False
        while (alive := self.home.take_life()) is None:
            ran, waited = True, time.monotonic() - begun
            if waited > STOP_TIMEOUT:
                raise self.home.failure(self._still_there())
            pid = self.sockets.listener()
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


def _quoted(path: str) -> str:
    """`path` as one entry of a list of folders in a server setting."""
    return '"' + path.replace('"', '""') + '"'
