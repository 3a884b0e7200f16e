"""A page of a PDF as a picture with some of its words marked, made in a process of its own.

    python -m ingestion.processes.page_picture NUMBER MEMORY_MB

The process starts without Django. Its input is the text whose words are marked, its length in bytes
before it (four bytes), and the file. The memory is limited here, the time by who starts it. A page
that there is not ends it with 2.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from ctypes import byref, c_int
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

from ingestion.processes.child import limit_memory
from ingestion.processes.isolation import Limits
from ingestion.processes.kept import Kept

WIDTH = 1100  # pixels
TALLEST = 6000
MOST_PIXELS = 4_000_000
NO_SUCH_PAGE = 2
PROJECT = Path(__file__).parents[2]
AT_ONCE = 2  # pictures that a process of the web server has made
PATIENCE = 10.0  # seconds that one waits for its turn
KEPT = 24  # pictures, and reasons why there is none
MOST_CHARACTERS = 20_000  # of a page and of a text that are compared
ALIKE = 3  # so many words in a row are marked
GAP = 6  # and so many between two such rows, which the parser may have read differently
MARKER = (255, 238, 130)  # white becomes this

_WORD = re.compile(r"\w+")
_turns = threading.BoundedSemaphore(AT_ONCE)


class NoPicture(Exception):
    """The page cannot be shown; the message says why."""


# What takes long or breaks the process is not tried again at once.
_kept: Kept[object, bytes | str] = Kept(KEPT)


def picture(data: bytes, number: int, text: str, limits: Limits) -> bytes:
    """The page (from 1) as PNG, with the words of the text marked. Raises NoPicture."""
    key = (hashlib.sha256(data).digest(), number, text)
    found = _kept.get(key)
    if found is None:
        found = _made_in_turn(data, number, text, limits)
        _kept.put(key, found)
    if isinstance(found, str):
        raise NoPicture(found)
    return found


def _made_in_turn(data: bytes, number: int, text: str, limits: Limits) -> bytes | str:
    if not _turns.acquire(timeout=PATIENCE):
        raise NoPicture("Other pages are being drawn: try again in a moment.")
    try:
        return _made(data, number, text, limits)
    finally:
        _turns.release()


def _made(data: bytes, number: int, text: str, limits: Limits) -> bytes | str:
    """The picture, or why there is none."""
    command = [sys.executable, "-m", __name__, str(number), str(limits.memory_mb)]
    words = text[:MOST_CHARACTERS].encode()
    try:
        done = subprocess.run(
            command,
            input=struct.pack(">I", len(words)) + words + data,
            capture_output=True,
            cwd=PROJECT,
            timeout=limits.seconds or None,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"It took more than {limits.seconds:.0f} s."
    if done.returncode == NO_SUCH_PAGE:
        return f"The file has no page {number}."
    if done.returncode or not done.stdout:
        return "The file is damaged, protected, or takes too much memory."
    return done.stdout


def main(number: int, memory_mb: int) -> int:
    given = sys.stdin.buffer.read()
    import pypdfium2  # noqa: PLC0415 - only this process needs it

    limit_memory(memory_mb)
    (length,) = struct.unpack_from(">I", given)
    pdf = pypdfium2.PdfDocument(given[4 + length :])
    if not 1 <= number <= len(pdf):
        return NO_SUCH_PAGE
    page = pdf[number - 1]
    width, height = page.get_size()
    scale = min(WIDTH / width, TALLEST / height, (MOST_PIXELS / (width * height)) ** 0.5)
    bitmap = page.render(scale=scale, rev_byteorder=True)
    rows = _rows(bitmap)
    for box in boxes(page, given[4 : 4 + length].decode(), (bitmap.width, bitmap.height)):
        _mark(rows, box, bitmap.n_channels)
    sys.stdout.buffer.write(png(rows, bitmap.width, bitmap.n_channels))
    return 0


def _rows(bitmap: Any) -> list[bytearray]:
    """The pixels of a bitmap, row by row."""
    pixels = memoryview(bitmap.buffer).cast("B")
    used = bitmap.width * bitmap.n_channels
    starts = range(0, bitmap.stride * bitmap.height, bitmap.stride)
    return [bytearray(pixels[at : at + used]) for at in starts]


class Box(NamedTuple):
    """A rectangle of pixels, from the top left corner."""

    left: int
    top: int
    right: int
    bottom: int

    def beside(self, other: Box) -> bool:
        """Whether the other one follows on the same line."""
        middle = (other.top + other.bottom) // 2
        height = self.bottom - self.top
        return self.top <= middle <= self.bottom and 0 <= other.left - self.right <= 2 * height

    def with_(self, other: Box) -> Box:
        lows = map(min, self[:2], other[:2])
        return Box(*lows, *map(max, self[2:], other[2:]))


class Word(NamedTuple):
    text: str
    box: Box


def boxes(page: Any, text: str, size: tuple[int, int]) -> Iterator[Box]:
    """Where the words of a text are on a page that is drawn in this size, line by line."""
    words = _words_on(page, size) if text else []
    here, asked = [word.text for word in words], _WORD.findall(text.lower())
    line: Box | None = None
    for at in _alike(here, asked):
        box = words[at].box
        if line and line.beside(box):
            line = line.with_(box)
            continue
        if line:
            yield line
        line = box
    if line:
        yield line


def _alike(here: Sequence[str], asked: Sequence[str]) -> Iterator[int]:
    """Which words of a page are those of a text: rows of some words that both have."""
    found = SequenceMatcher(None, here, asked, autojunk=False).get_matching_blocks()
    least = min(ALIKE, len(asked))
    last = -1
    for start, _, size in found:
        if size and size >= least:
            begin = last if last >= 0 and start - last <= GAP else start
            yield from range(begin, start + size)
            last = start + size


def _words_on(page: Any, size: tuple[int, int]) -> list[Word]:
    """The words of a page with their places."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415 - see `main`

    chars = page.get_textpage()
    number = min(chars.count_chars(), MOST_CHARACTERS)
    codes = (pdfium.FPDFText_GetUnicode(chars, at) for at in range(number))
    text = "".join(chr(code) if code < sys.maxunicode else "\ufffd" for code in codes)

    def corner(x: float, y: float) -> tuple[int, int]:
        left, top = c_int(), c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, *size, 0, x, y, byref(left), byref(top))
        return left.value, top.value

    def box(start: int, end: int) -> Box:
        edges = [chars.get_charbox(at) for at in range(start, end)]
        corners = [corner(x, y) for a, b, c, d in edges for x, y in ((a, b), (c, d))]
        return _around(corners, size)

    found = _WORD.finditer(text)
    return [Word(word[0].lower(), box(*word.span())) for word in found]


def _around(corners: Iterable[tuple[int, int]], size: tuple[int, int]) -> Box:
    """The rectangle of these points, a little larger, within the picture."""
    across, down = zip(*corners, strict=True)
    ends = (max(min(across) - 1, 0), max(min(down) - 2, 0))
    return Box(*ends, min(max(across) + 2, size[0]), min(max(down) + 3, size[1]))


def _mark(rows: Sequence[bytearray], box: Box, channels: int) -> None:
    """Colour a rectangle like a text marker does."""
    if channels < len(MARKER):
        return
    for channel, share in enumerate(MARKER):
        darker = bytes(value * share // 255 for value in range(256))
        part = slice(box.left * channels + channel, box.right * channels, channels)
        for row in rows[box.top : box.bottom]:
            row[part] = row[part].translate(darker)


def png(rows: Iterable[bytes | bytearray], width: int, channels: int) -> bytes:
    """Rows of pixels, of one (grey), three (RGB) or four bytes (with alpha) each, as PNG."""
    kind = {1: 0, 3: 2, 4: 6}[channels]
    lines = [b"\0" + row for row in rows]
    header = struct.pack(">IIBBBBB", width, len(lines), 8, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines), 3)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_part(name, data) for name, data in parts)


def _part(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
