"""The folder of one repository, below STATE_DIR/repositories, and the locks on it.

    lock                the lock: one process at a time fetches or checks out
    objects.git         what was fetched: a bare repository
    trees/COMMIT        what was checked out of it, whole; each reading holds a lock on its own
    private-*, part-*   of a process that works on it now, or was killed
    address             the address, for people who look at the folder

The kernel gives a lock back whatever ends its process, so none is ever stale. What a killed process
leaves is removed by the next one that has the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ingestion.exceptions import SourceError
from ingestion.git.program import Watch

LOOK_EVERY = 0.1  # seconds
LEFT_BEHIND = ("private-*", "part-*", "objects.git/*.lock", "objects.git/refs/**/*.lock")
HALF_FETCHED = ("objects.git/objects/pack/tmp_*", "objects.git/objects/tmp_*", "trees/gone-*")


def key_of(repository: str, credential: str) -> str:
    """The name of the folder of a repository, as it is seen with a credential."""
    return hashlib.sha256(f"{repository}\0{credential}".encode()).hexdigest()[:24]


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.objects = path / "objects.git"
        self.trees = path / "trees"

    @contextmanager
    def locked(self, address: str, seconds: float, watch: Watch) -> Iterator[None]:
        """Hold the lock of the folder, which is made if it is new, during the `with` block.

        Raises SourceError if another process keeps it.
        """
        deadline = time.monotonic() + seconds
        while (lock := self._lock()) is None:
            watch()
            if time.monotonic() > deadline:
                raise SourceError(
                    f"Another process has fetched this repository for {seconds:g} seconds: "
                    "run the source again when it has ended."
                )
            time.sleep(LOOK_EVERY)
        with lock:
            (self.path / "address").write_text(f"{address}\n")
            os.utime(self.path / "lock")
            self._tidy()
            yield

    def _lock(self) -> IO[str] | None:
        """The file whose lock was taken; None if another process has it, or removed the folder."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.trees.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock = (self.path / "lock").open("w")
            if _taken(lock.fileno(), fcntl.LOCK_EX) and self._is_there(lock):
                return lock
            lock.close()
        except FileNotFoundError:
            return None
        return None

    def _is_there(self, lock: IO[str]) -> bool:
        return os.path.samestat(os.fstat(lock.fileno()), (self.path / "lock").stat())

    def _tidy(self) -> None:
        """Remove what a killed process has left."""
        for pattern in (*LEFT_BEHIND, *HALF_FETCHED):
            for path in self.path.glob(pattern):
                remove(path)

    def hold(self, tree: Path) -> int:
        """An open file that keeps a tree from being removed until it is closed. Call it with the
        lock."""
        descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def drop_trees(self, kept: set[str]) -> None:
        """Remove the trees of other commits that nobody reads. Call it with the lock."""
        for tree in self.trees.iterdir():
            if tree.name.partition(".")[0] in kept:
                continue
            if tree.is_dir():
                self._drop(tree)
            elif not tree.with_suffix("").exists():
                remove(tree)

    def _drop(self, tree: Path) -> bool:
        """Whether nobody reads a tree, so that it was removed."""
        descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not _taken(descriptor, fcntl.LOCK_EX):
                return False
            gone = tree.with_name(f"gone-{tree.name}")
            tree.rename(gone)
            remove(gone)
            return True
        finally:
            os.close(descriptor)

    def tidy(self) -> None:
        """Remove what a killed process has left, unless another one works here now."""
        with (self.path / "lock").open("a") as lock:
            if _taken(lock.fileno(), fcntl.LOCK_EX):
                self._tidy()

    def drop(self) -> bool:
        """Remove everything, unless some process uses it; whether it was removed."""
        try:
            with (self.path / "lock").open("w") as lock:
                if not _taken(lock.fileno(), fcntl.LOCK_EX):
                    return False
                trees = [path for path in self.trees.glob("*") if path.is_dir()]
                if not all(self._drop(tree) for tree in trees):
                    return False
                remove(self.path)
        except FileNotFoundError:
            return False
        return True

    @property
    def last_used(self) -> float:
        try:
            return (self.path / "lock").stat().st_mtime
        except OSError:
            return 0.0


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it. A link is not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def weight(folder: Path) -> int:
    """The bytes of all files below a folder, each counted once however many names it has."""
    seen: set[int] = set()
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(place, name))
            except FileNotFoundError:
                continue
            if status.st_nlink == 1 or status.st_ino not in seen:
                seen.add(status.st_ino)
                size += status.st_size
    return size
