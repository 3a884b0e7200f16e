"""What the processes of one worker share: memory that they inherit by fork, without locks.

A process may be killed at any moment, and a lock that it held then would never be given back. So
each cell has one writer, and a reader lives with a value that is a moment old.
"""

from __future__ import annotations

import mmap
import struct
import time

_FLOAT = struct.Struct("d")
_LENGTH = struct.Struct(">H")
_SLOT = 4096


class Flag:
    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        self.memory[0] = 1

    def clear(self) -> None:
        self.memory[0] = 0

    def is_set(self) -> bool:
        return self.memory[0] == 1


class Pulse:
    """When a process last showed that it gets on, in seconds of the system's monotonic clock."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, _FLOAT.size)
        self.beat()

    def beat(self) -> None:
        self._write(time.monotonic())

    def rest(self) -> None:
        """What comes next may take any time."""
        self._write(float("inf"))

    @property
    def age(self) -> float:
        """Seconds since the last beat; not above zero while it rests."""
        return time.monotonic() - float(_FLOAT.unpack(self.memory[:])[0])

    def _write(self, moment: float) -> None:
        self.memory[:] = _FLOAT.pack(moment)


class Text:
    """A text of up to 4 kB of UTF-8, cut off beyond that."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, _SLOT)

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")[: _SLOT - _LENGTH.size]
        self.memory[: _LENGTH.size + len(data)] = _LENGTH.pack(len(data)) + data

    def read(self) -> str:
        (length,) = _LENGTH.unpack(self.memory[: _LENGTH.size])
        return self.memory[_LENGTH.size : _LENGTH.size + length].decode("utf-8", "ignore")


class Note:
    """What a reading leaves for its watcher: the document in hand, signs that it gets on, and what
    ended it."""

    def __init__(self) -> None:
        self.url = Text()
        self.error = Text()
        self.kind = Text()
        self.pulse = Pulse()

    def hold(self, url: str) -> None:
        """Work on this document begins."""
        self.url.write(url)
        self.pulse.beat()

    def fail(self, kind: str, message: str) -> None:
        self.kind.write(kind)
        self.error.write(message)
