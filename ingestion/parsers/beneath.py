"""Files and folders opened beneath DATA_DIR, whatever is swapped in while they are looked for.

The kernel (`openat2`, Linux 5.6) refuses a path that leaves the folder. It also refuses an absolute
link that points inside, and some sandboxes refuse the call. Then the path is followed here: from
descriptor to descriptor, and each link is read and judged before it is followed. A link is allowed
if its target, absolute or relative, is beneath DATA_DIR.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OPENAT2 = 437  # the number of the call on every architecture but Alpha; Python has no name for it
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
LEFT_TO_US = {errno.ENOSYS, errno.EPERM, errno.EXDEV, errno.EAGAIN, errno.EINTR, errno.EINVAL}
MOST_LINKS = 40  # in one path, as for the kernel

FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a pipe is opened without a wait
PLACE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
FOLDER = PLACE | os.O_DIRECTORY


class OutsideError(OSError):
    """The path leaves the root, by itself or by a link."""

    def __init__(self) -> None:
        super().__init__(errno.EXDEV, "it leads out of DATA_DIR")


class IrregularError(OSError):
    """What is there is not a file with content: a folder, pipe, socket or device."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is in a folder; `is_file` follows a link, `is_folder` does not."""

    name: str
    is_link: bool
    is_folder: bool
    is_file: bool


@contextmanager
def opened(root: Path, path: Path | str) -> Iterator[tuple[int, os.stat_result]]:
    """A regular file to read from, and its status; `path` is absolute, or relative to the root.

    Raises OSError, of which OutsideError and IrregularError are kinds.
    """
    with _descriptor(root, path, FILE) as file:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise IrregularError
        yield file, status


def status(root: Path, path: Path | str) -> os.stat_result:
    """What `os.stat` reports; raises OSError, also for a path that leaves the root."""
    with _descriptor(root, path, PLACE) as place:
        return os.fstat(place)


def entries(root: Path, path: Path | str) -> list[Entry]:
    """What is in a folder, by name; raises OSError, also for a folder outside the root."""
    with listed(root, path) as found:
        return sorted(found, key=lambda entry: entry.name)


@contextmanager
def listed(root: Path, path: Path | str) -> Iterator[Iterator[Entry]]:
    """The same one by one and in no order: a folder of any size can be looked at in part."""
    with (
        _descriptor(root, path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) as folder,
        os.scandir(folder) as found,
    ):
        yield map(_entry, found)


def _entry(found: os.DirEntry[str]) -> Entry:
    is_folder = found.is_dir(follow_symlinks=False)
    return Entry(found.name, found.is_symlink(), is_folder, _is_file(found))


def _is_file(found: os.DirEntry[str]) -> bool:
    try:
        return found.is_file()
    except OSError:  # a circle of links
        return False


@contextmanager
def _descriptor(root: Path, path: Path | str, flags: int) -> Iterator[int]:
    """What `path` leads to, opened; closed afterwards."""
    relative = os.path.relpath(path, os.path.realpath(root)) if os.path.isabs(path) else str(path)
    if "\0" in relative:
        raise OSError(errno.EINVAL, "a name with a NUL")
    start = os.open(root, FOLDER)
    try:
        descriptor = _open(root, start, relative, flags)
    finally:
        os.close(start)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(root: Path, start: int, path: str, flags: int) -> int:
    try:
        return _openat2(start, path, flags)
    except OSError as error:
        if error.errno not in LEFT_TO_US:
            raise
    climber = _Climber(root, start, path)
    try:
        return climber.open(flags)
    finally:
        climber.close()


class _How(ctypes.Structure):
    _fields_ = [
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    ]


_libc = ctypes.CDLL(None, use_errno=True)


def _openat2(folder: int, path: str, flags: int) -> int:
    """Open `path`, which may not leave `folder`; the kernel sees to that."""
    how = _How(flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    descriptor: int = _libc.syscall(
        ctypes.c_long(OPENAT2),
        ctypes.c_long(folder),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return descriptor


class _Climber:
    """Follows a path name by name, each opened in the folder before it and never through a link."""

    def __init__(self, root: Path, start: int, path: str) -> None:
        self.root = root
        self.folders = [os.dup(start)]
        self.names = deque(_names(path))
        self.links = 0

    def open(self, flags: int) -> int:
        while self.names:
            name = self.names.popleft()
            try:
                if name == "..":
                    self._up()
                elif self.names:
                    self.folders.append(self._open(name, FOLDER))
                else:
                    return self._open(name, flags)
            except OutsideError:
                raise
            except OSError as error:
                self._follow(name, error)
        return self._open(".", flags)

    def close(self) -> None:
        while self.folders:
            os.close(self.folders.pop())

    def _open(self, name: str, flags: int) -> int:
        """Raises OSError for a link, whatever it leads to."""
        descriptor = os.open(name, flags | os.O_NOFOLLOW, dir_fd=self.folders[-1])
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        return descriptor

    def _follow(self, name: str, error: OSError) -> None:
        """Go on at the target of a link; raises `error` if `name` is not one."""
        try:
            target = os.readlink(name, dir_fd=self.folders[-1])
        except OSError:
            raise error from None
        self.links += 1
        if self.links > MOST_LINKS:
            raise error
        if os.path.isabs(target):
            self._return(target)
        else:
            self.names.extendleft(reversed(_names(target)))

    def _up(self) -> None:
        if len(self.folders) > 1:
            os.close(self.folders.pop())
            return
        above = os.path.join(os.path.realpath(self.root), "..", *self.names)
        self.names.clear()
        self._return(os.path.normpath(above))

    def _return(self, absolute: str) -> None:
        """Go on from the root, if an absolute path begins with it."""
        names = _names(absolute)
        for root in map(_names, (os.path.abspath(self.root), os.path.realpath(self.root))):
            if names[: len(root)] == root:
                while len(self.folders) > 1:
                    os.close(self.folders.pop())
                self.names.extendleft(reversed(names[len(root) :]))
                return
        raise OutsideError


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]
