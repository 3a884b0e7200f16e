"""The folders below a root, and how many files of a kind each holds, counted within a bound."""

from __future__ import annotations

import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from ingestion.parsers import beneath
from ingestion.parsers.files import is_skipped

MOST_ENTRIES = 20_000  # of files and folders, looked at for one number
MOST_SECONDS = 1.0  # for all numbers of one level
MOST_SHOWN = 300  # folders of one level


@dataclass(frozen=True, slots=True)
class Count:
    """A number of files; at least so many if the time was `over`, or not `all` were looked at."""

    files: int = 0
    all: bool = True
    over: bool = False

    def __str__(self) -> str:
        if self.over:
            return "more than could be counted in a second"
        number = f"{self.files:,} file{'' if self.files == 1 else 's'}" if self.files else "none"
        return number if self.all else f"{number} among the first {MOST_ENTRIES:,} entries"


@dataclass(frozen=True, slots=True)
class Folder:
    """`path` is relative to the root; `count` is of the files in it and below."""

    name: str
    path: str
    count: Count


@dataclass(frozen=True, slots=True)
class Level:
    """What is in one folder: the folders, unless there are too many, and the number of files."""

    folders: tuple[Folder, ...]
    files: Count
    is_whole: bool = True


def level(root: Path, path: str, endings: Collection[str], seconds: float = MOST_SECONDS) -> Level:
    """One level of folders. Raises OSError if `path` cannot be listed, or leaves the root."""
    counter = _Counter(root, endings, time.monotonic() + seconds)
    names, files = counter.here(path)
    shown = sorted(names, key=str.casefold)[:MOST_SHOWN]
    below = [(name, (PurePosixPath(path) / name).as_posix()) for name in shown]
    folders = tuple(Folder(name, place, counter.count(place)) for name, place in below)
    is_whole = len(shown) == len(names) and files.all and not files.over
    return Level(folders, files, is_whole)


class _Counter:
    """Looks at entries until its time is over."""

    def __init__(self, root: Path, endings: Collection[str], deadline: float) -> None:
        self.root = root
        self.endings = endings
        self.deadline = deadline

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.deadline

    def here(self, path: str) -> tuple[list[str], Count]:
        """The names of the folders in a folder, and the files that are not in one of them."""
        names, files, looked = list[str](), 0, 0
        with beneath.listed(self.root, path) as found:
            for entry in islice(found, MOST_ENTRIES):
                looked += 1
                if self._is_counted(path, entry):
                    files += 1
                elif _can_be_typed(entry.name) and self._is_folder(path, entry):
                    names.append(entry.name)
                if self.is_over:
                    break
        return names, Count(files, looked < MOST_ENTRIES, self.is_over)

    def count(self, path: str) -> Count:
        """The files in a folder and below, without those that a link to a folder leads to."""
        waiting, files, looked = [path], 0, 0
        while waiting:
            folder = waiting.pop()
            for entry in self._listed(folder):
                looked += 1
                if self.is_over or looked > MOST_ENTRIES:
                    return Count(files, all=False, over=self.is_over)
                if entry.is_folder and not is_skipped(entry.name):
                    waiting.append(f"{folder}/{entry.name}")
                files += self._is_counted(folder, entry)
        return Count(files, over=self.is_over)

    def _listed(self, folder: str) -> Iterator[beneath.Entry]:
        """What is in a folder; nothing if it cannot be listed."""
        try:
            with beneath.listed(self.root, folder) as found:
                yield from found
        except OSError:
            return

    def _is_counted(self, folder: str, entry: beneath.Entry) -> bool:
        if is_skipped(entry.name) or not entry.is_file:
            return False
        if PurePosixPath(entry.name).suffix.lower() not in self.endings:
            return False
        return not entry.is_link or self._leads_to(folder, entry, stat.S_IFREG)

    def _is_folder(self, folder: str, entry: beneath.Entry) -> bool:
        return entry.is_folder or (entry.is_link and self._leads_to(folder, entry, stat.S_IFDIR))

    def _leads_to(self, folder: str, entry: beneath.Entry, kind: int) -> bool:
        """Whether a link leads to something of this kind that is not outside the root."""
        try:
            found = beneath.status(self.root, f"{folder}/{entry.name}")
        except OSError:
            return False
        return stat.S_IFMT(found.st_mode) == kind


def _can_be_typed(name: str) -> bool:
    """Whether a path of a source can have this name, and is read then."""
    return name.isprintable() and name == name.strip() and not is_skipped(name)
