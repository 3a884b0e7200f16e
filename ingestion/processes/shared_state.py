"""What the processes of one worker share: memory that they inherit by fork, without locks.

A process may be killed at any moment, and a lock that it held then would never be given back. So
each cell has one writer, and a reader lives with a value that is a moment old. The cells are
multiprocessing's raw ones, which have no lock either.
"""

from __future__ import annotations

import time
from ctypes import c_bool, c_char, c_double
from multiprocessing.sharedctypes import RawArray, RawValue

_TEXT_BYTES = 4096


class Flag:
    def __init__(self) -> None:
        self._cell = RawValue(c_bool)

    def set(self) -> None:
        self._cell.value = True

    def clear(self) -> None:
        self._cell.value = False

    def is_set(self) -> bool:
        return self._cell.value


class Pulse:
    """When a process last showed that it gets on, in seconds of the system's monotonic clock."""

    def __init__(self) -> None:
        self._cell = RawValue(c_double)
        self.beat()

    def beat(self) -> None:
        self._cell.value = time.monotonic()

    def rest(self) -> None:
        """What comes next may take any time."""
        self._cell.value = float("inf")

    @property
    def age(self) -> float:
        """Seconds since the last beat; not above zero while it rests."""
        return time.monotonic() - self._cell.value


class Text:
    """A text of up to 4 kB of UTF-8, cut off beyond that; it ends at a NUL."""

    def __init__(self) -> None:
        self._cell = RawArray(c_char, _TEXT_BYTES)

    def write(self, text: str) -> None:
        self._cell.value = text.encode("utf-8", "replace")[: _TEXT_BYTES - 1]

    def read(self) -> str:
        return self._cell.value.decode("utf-8", "ignore")


class ChildStatus:
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
