"""What the processes of one worker share: memory that they inherit by fork, without locks.

A process may be killed at any moment, and a lock that it held then would never be given back. So
each cell has one writer, and a reader lives with a value that is a moment old. The cells are
multiprocessing's raw ones, which have no lock either.
"""

from __future__ import annotations

import time
from ctypes import c_bool, c_byte, c_char, c_double
from enum import IntEnum
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


class Fault(IntEnum):
    """Why a child process failed: another one holds the source lock, the database is away or took
    that lock from it, or the program has an error."""

    NONE = 0
    SOURCE_LOCK = 1
    DATABASE = 2
    BUG = 3


class ChildStatus:
    """What a child process leaves for its supervisor: the document in hand, signs that it gets on,
    and what ended it."""

    def __init__(self) -> None:
        self.url = Text()
        self.error = Text()
        self.pulse = Pulse()
        self._fault = RawValue(c_byte, Fault.NONE)

    @property
    def fault(self) -> Fault:
        return Fault(self._fault.value)

    def hold(self, url: str) -> None:
        """Work on this document begins."""
        self.url.write(url)
        self.pulse.beat()

    def fail(self, fault: Fault, message: str) -> None:
        self.error.write(message)
        self._fault.value = fault
