"""The private folder of a server: its files, its two locks, and its owner."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bbjrag.embedded.accounts import Account, account_for_root, name_of, owner_of
from bbjrag.embedded.installation import PostgresError

START_TIMEOUT = 300.0
POLL = 0.02


@dataclass(frozen=True, slots=True)
class Home:
    """One server's folder. Its methods raise PostgresError if it belongs to another account."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def made(self) -> bool:
        try:
            return self.folder.exists()
        except PermissionError as error:
            raise PostgresError(self.not_ours()) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock with which only this process starts or stops the server."""
        try:
            self._make()
            lock = self.open("lock")
        except PermissionError as error:
            raise PostgresError(self.not_ours()) from error
        except OSError as error:
            raise PostgresError(f"{self.folder} cannot be written: {error.strerror}.") from error
        with closing(lock):
            self._wait_for(lock)
            yield

    def _wait_for(self, lock: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not try_lock(lock):
            if time.monotonic() > deadline:
                raise PostgresError(
                    "Another process has been starting or stopping the embedded PostgreSQL for "
                    f"{START_TIMEOUT:.0f} s. Find it with: fuser -v {self.folder / 'lock'}"
                )
            time.sleep(POLL)

    def not_ours(self) -> str:
        owner = name_of(owner_of(self.folder))
        if os.geteuid() == 0:
            return (
                f"PostgreSQL does not run as root, and this root may not hand {self.folder} to "
                "another account. Run this as an ordinary user, or set DATABASE_URL."
            )
        return (
            f"The embedded PostgreSQL in {self.folder} belongs to {owner}, "
            f"this process runs as {name_of(os.geteuid())}. Run it as {owner}, "
            "or use a checkout of your own, or set DATABASE_URL to a server that both may use."
        )

    def _make(self) -> None:
        """Create the private folder. If root's, the server's group may only pass through it."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        if os.geteuid() == 0 and owner_of(self.folder) == 0:
            account = self.account()
            theirs = owner_of(self.folder.parent) == account.uid
            os.chown(self.folder, account.uid if theirs else 0, account.gid)
            os.chmod(self.folder, 0o700 if theirs else 0o710)

    def open(self, name: str) -> int:
        """A descriptor of the file, created if it is missing, with the folder's owner."""
        path = self.folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            os.fchown(descriptor, owner_of(self.folder), -1)
        return descriptor

    def account(self) -> Account:
        """The account that the server runs as."""
        if os.geteuid() != 0:
            return Account(os.geteuid(), os.getegid())
        if self.data.exists():
            return Account(self.data.stat().st_uid, self.data.stat().st_gid)
        return account_for_root(owner_of(self.folder.parent))

    def take_life(self) -> int | None:
        """The descriptor of `alive`, locked; None while a process of the server holds it."""
        alive = self.open("alive")
        if try_lock(alive):
            return alive
        os.close(alive)
        return None

    def failure(self, what: str) -> PostgresError:
        """An error with `what`, and the end of the server's log."""
        logs = [self.folder / "start.log", *(self.data / "log").glob("*.log")]
        written = [log for log in logs if log.exists() and log.stat().st_size]
        if not written:
            return PostgresError(f"{what}.")
        newest = sorted(written, key=lambda log: log.stat().st_mtime)[-2:]
        tails = "\n".join(f"{log}:\n{_tail(log)}" for log in newest)
        return PostgresError(f"{what}. The last lines of its log:\n{tails}")


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
