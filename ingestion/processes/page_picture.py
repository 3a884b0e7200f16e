"""A page of a PDF as a picture, made in a process of its own that starts without Django.

    python -m ingestion.processes.page_picture NUMBER MEMORY_MB < file.pdf > page.png

The memory is limited here, the time by who starts it. A page that there is not ends it with 2.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

from ingestion.processes.child import limit_memory
from ingestion.processes.isolation import Limits

WIDTH = 1100  # pixels
MOST_PIXELS = 4_000_000
NO_SUCH_PAGE = 2
PROJECT = Path(__file__).parents[2]


class NoPicture(Exception):
    """The page cannot be shown; the message says why."""


def picture(data: bytes, number: int, limits: Limits) -> bytes:
    """The page (from 1) as PNG. Raises NoPicture."""
    command = [sys.executable, "-m", __name__, str(number), str(limits.memory_mb)]
    try:
        done = subprocess.run(
            command,
            input=data,
            capture_output=True,
            cwd=PROJECT,
            timeout=limits.seconds or None,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoPicture(f"It took more than {limits.seconds:.0f} s.") from None
    if done.returncode == NO_SUCH_PAGE:
        raise NoPicture(f"The file has no page {number}.")
    if done.returncode or not done.stdout:
        raise NoPicture("The file is damaged, protected, or takes too much memory.")
    return done.stdout


def main(number: int, memory_mb: int) -> int:
    data = sys.stdin.buffer.read()
    import pypdfium2  # noqa: PLC0415 - only this process needs it

    limit_memory(memory_mb)
    pdf = pypdfium2.PdfDocument(data)
    if not 1 <= number <= len(pdf):
        return NO_SUCH_PAGE
    page = pdf[number - 1]
    width, height = page.get_size()
    scale = min(WIDTH / width, (MOST_PIXELS / (width * height)) ** 0.5)
    bitmap = page.render(scale=scale, rev_byteorder=True)
    rows = memoryview(bitmap.buffer).cast("B")
    used = bitmap.width * bitmap.n_channels
    lines = [rows[at : at + used] for at in range(0, bitmap.stride * bitmap.height, bitmap.stride)]
    sys.stdout.buffer.write(png(lines, bitmap.width, bitmap.n_channels))
    return 0


def png(rows: list[memoryview], width: int, channels: int) -> bytes:
    """Rows of pixels, of one (grey), three (RGB) or four bytes (with alpha) each, as PNG."""
    kind = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, len(rows), 8, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows), 3)
    parts = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_part(name, data) for name, data in parts)


def _part(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
