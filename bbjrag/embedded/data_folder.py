"""PostgreSQL's data folder: created completely or not at all, and checked before each start."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bbjrag.embedded.accounts import known_name, owner_of
from bbjrag.embedded.home import Home
from bbjrag.embedded.installation import MAJOR, PostgresError, installation
from bbjrag.embedded.launch import run_as_server
from bbjrag.embedded.roles import SUPERUSER

IDENT_MAP = "bbjrag"
# Above every pid the kernel gives out (pid_max is at most this), so never a living process.
NO_PID = 4194304


@dataclass(frozen=True, slots=True)
class DataFolder:
    """`data/` in the home of a server; without `sync`, it may be lost in a power cut."""

    home: Home
    sync: bool

    def initialise(self, alive: int) -> None:
        """Create the data folder under another name first, so that a killed initdb does no harm.

        initdb goes on if its starter is killed, so it holds `alive` while it writes.
        """
        for leftover in self.home.folder.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.home.folder))
        account = self.home.account()
        if os.geteuid() == 0:
            os.chown(made, account.uid, account.gid)
        log = self.home.open("start.log")
        os.ftruncate(log, 0)
        try:
            run_as_server(self.home, self._initdb(made), log, keep=alive)
        except PostgresError:
            shutil.rmtree(made, ignore_errors=True)
            raise
        finally:
            os.close(log)
        made.rename(self.home.data)
        _sync_folder(self.home.folder)

    def _initdb(self, made: Path) -> list[str]:
        # PostgreSQL's own C.UTF-8 sorts the same on every machine, and knows non-ASCII letters.
        options = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--locale=C", "--data-checksums"]
        options += ["--auth-local=peer", "--auth-host=reject", f"--username={SUPERUSER}"]
        if not self.sync:
            options.append("--no-sync")
        return [str(installation() / "bin" / "initdb"), "-D", str(made), *options]

    def check_version(self) -> None:
        try:
            found = (self.home.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            found = ""
        if found == str(MAJOR):
            return
        was = f"was made by PostgreSQL {found}" if found else "is not a data folder of PostgreSQL"
        raise PostgresError(
            f"{self.home.data} {was}, and this version of bbjrag brings PostgreSQL {MAJOR}; "
            f"nothing was changed. Move {self.home.folder} away and ingest again, or go back to "
            "the version of bbjrag that made it, save the database with pg_dump and restore it "
            "here."
        )

    def check_owner(self) -> None:
        if os.geteuid() not in (0, owner_of(self.home.data)):
            raise PostgresError(self.home.not_ours())

    def restrict_access(self) -> None:
        """Have the server let in who owns the home, and root, and nobody else.

        The account that it runs as is not enough: other services may run as `postgres` or `nobody`.
        Who has no name cannot be told apart by PostgreSQL; then the socket's folder is the guard.
        """
        owner = known_name(owner_of(self.home.folder))
        names = dict.fromkeys(name for name in (known_name(0), owner) if name)
        rule = f"peer map={IDENT_MAP}" if owner else "trust"
        users = "".join(f'{IDENT_MAP} "{name}" all\n' for name in names)
        self._write("pg_hba.conf", f"# Written by bbjrag at each start.\nlocal all all {rule}\n")
        self._write("pg_ident.conf", f"# Written by bbjrag at each start.\n{users}")

    def _write(self, name: str, text: str) -> None:
        """Replace a file of the server's; what somebody else wrote is kept as NAME.old."""
        path = self.home.data / name
        made = path.with_name(f"{name}.new")
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), *self.home.account())
        if path.exists() and not path.read_text().startswith("# Written by bbjrag"):
            path.rename(path.with_name(f"{name}.old"))
        made.replace(path)

    def retire_pid_file(self) -> bytes:
        """Replace a pid that may be reused, so that the server can start; return the old content.

        The file's other lines are kept: because of them, PostgreSQL still refuses to start if a
        server that was started by hand uses its shared memory.
        """
        path = self.home.data / "postmaster.pid"
        if not path.exists():
            return b""
        held = path.read_bytes()
        _overwrite(path, b"%d\n%b" % (NO_PID, held.partition(b"\n")[2]))
        return held

    def restore_pid_file(self, held: bytes) -> None:
        """Restore the file of a server that was started by hand, which ends without it."""
        path = self.home.data / "postmaster.pid"
        if path.exists() and path.read_bytes().startswith(b"%d\n" % NO_PID):
            _overwrite(path, held)


def _overwrite(path: Path, content: bytes) -> None:
    """Write into the existing file, so that its owner is kept."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
