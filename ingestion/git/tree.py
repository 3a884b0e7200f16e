"""Checks out a commit into a folder, without the help of Git's own checkout.

So no hook, filter or attribute of the repository runs or changes a byte, submodules and LFS are
left alone, and every name is judged here. The time of a file is made from the id of its content:
equal content has an equal size and time on every machine and in every checkout, other content not.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ingestion.git.program import Git, GitFailed, Limits, TooLarge, exactly

SUBMODULE, LINK = "160000", "120000"
LEAST_FILE = 4096  # bytes that a file takes on a disk, however small it is
LONGEST_LINK = 4096  # bytes
LFS_BEGINNING = b"version https://git-lfs.github.com/spec/"
LFS_LARGEST = 1024  # bytes of a pointer
FIRST_SECOND = 1_000_000_000  # 2001
SECONDS = 1_000_000_000  # until 2033
NANOSECONDS = 1_000_000_000
NAMED = 5  # paths that a warning names


class Entry(NamedTuple):
    mode: str
    blob: str
    size: int
    path: str

    @property
    def time(self) -> int:
        """The nanoseconds since 1970 that stand for the content."""
        high, low = int(self.blob[:16], 16), int(self.blob[16:32], 16)
        return (FIRST_SECOND + high % SECONDS) * NANOSECONDS + low % NANOSECONDS


@dataclass
class Left:
    """The paths that a checkout leaves out or empty, by reason."""

    submodules: list[str] = field(default_factory=list)
    lfs: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def warnings(self) -> Iterator[str]:
        if self.submodules:
            yield (
                f"{_some(self.submodules, 'submodule')} not read: make each that has documents a "
                "source of its own."
            )
        if self.lfs:
            yield (
                f"{_some(self.lfs, 'file')} kept in Git LFS, which is not fetched: only pointers "
                "were read. Store documents in Git itself, or exclude them."
            )
        if self.names:
            yield f"{_some(self.names, 'path')} left out, as no folder can hold that name: rename."


def _some(paths: Sequence[str], noun: str) -> str:
    named = ", ".join(map(repr, paths[:NAMED]))
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    verb, plural = ("is", "") if len(paths) == 1 else ("are", "s")
    return f"{len(paths)} {noun}{plural} ({named}{more}) {verb}"


def entries(git: Git, objects: Path, limits: Limits, commit: str) -> list[Entry]:
    """All files, links and submodules of a commit. Raises TooLarge if they exceed the limit."""
    listed = git.run(objects, limits, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
    found = [_entry(line) for line in listed.split(b"\0") if line]
    if sum(max(entry.size, LEAST_FILE) for entry in found) > limits.max_bytes:
        raise TooLarge("")
    return found


def _entry(line: bytes) -> Entry:
    facts, _, path = line.partition(b"\t")
    mode, _, blob, size = facts.decode("ascii").split()
    return Entry(mode, blob, 0 if size == "-" else int(size), os.fsdecode(path))


def write(
    git: Git,
    objects: Path,
    limits: Limits,
    found: Sequence[Entry],
    place: Path,
    earlier: Path | None,
) -> Left:
    """Write the entries below `place`, an empty folder. Files that the `earlier` tree has are
    shared with it."""
    left = Left()
    arguments = ("cat-file", "--batch")
    with git.started(objects, limits.max_bytes, *arguments, stdin=subprocess.PIPE) as process:
        writer = _Writer(process, place, earlier, left)
        for number, entry in enumerate(_orderly(found, left)):
            if number % 100 == 0:
                limits.watch()
            writer.write(entry)
    return left


def _orderly(found: Sequence[Entry], left: Left) -> Iterator[Entry]:
    """The entries that a folder can hold, links last: nothing is written through one."""
    files: set[str] = set()
    folders: set[str] = set()
    for entry in sorted(found, key=lambda entry: entry.mode == LINK):
        above = _folders(entry.path)
        if entry.mode == SUBMODULE:
            left.submodules.append(entry.path)
        elif not _is_orderly(entry) or {entry.path, *above} & files or entry.path in folders:
            left.names.append(entry.path)
        else:
            files.add(entry.path)
            folders |= above
            yield entry


def _folders(path: str) -> set[str]:
    names = path.split("/")[:-1]
    return {"/".join(names[: depth + 1]) for depth in range(len(names))}


def _is_orderly(entry: Entry) -> bool:
    names = entry.path.split("/")
    if any(name in ("", ".", "..") or name.lower() == ".git" for name in names):
        return False
    if entry.mode == LINK and not 0 < entry.size <= LONGEST_LINK:
        return False
    return all(len(os.fsencode(name)) <= 255 for name in names) and len(entry.path) < 3000


class _Writer:
    def __init__(
        self, process: subprocess.Popen[bytes], place: Path, earlier: Path | None, left: Left
    ) -> None:
        self.process = process
        self.place = place
        self.earlier = earlier
        self.left = left
        self.folders = {place}

    def write(self, entry: Entry) -> None:
        path = self.place / entry.path
        if path.parent not in self.folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.folders.add(path.parent)
        if entry.mode == LINK:
            os.symlink(b"".join(self._content(entry)), path)
            return
        if not self._shared(entry, path):
            self._write_file(entry, path)
        if entry.size <= LFS_LARGEST and path.read_bytes().startswith(LFS_BEGINNING):
            self.left.lfs.append(entry.path)

    def _shared(self, entry: Entry, path: Path) -> bool:
        """Whether the earlier tree has the same content there, so that its file serves as this."""
        if self.earlier is None:
            return False
        same = self.earlier / entry.path
        try:
            status = os.lstat(same)
            if (status.st_size, status.st_mtime_ns) != (entry.size, entry.time):
                return False
            os.link(same, path, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _write_file(self, entry: Entry, path: Path) -> None:
        with path.open("xb") as file:
            for part in self._content(entry):
                file.write(part)
        os.utime(path, ns=(entry.time, entry.time))

    def _content(self, entry: Entry) -> Iterator[bytes]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{entry.blob}\n".encode())
        self.process.stdin.flush()
        head = self.process.stdout.readline().split()
        if head != [entry.blob.encode(), b"blob", str(entry.size).encode()]:
            raise GitFailed(f"The object {entry.blob} is missing.")
        yield from exactly(self.process.stdout, entry.size)
        self.process.stdout.read(1)
