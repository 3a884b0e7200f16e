"""Pictures of pages of a PDF: what they show, and that no file harms the process that asks."""

from __future__ import annotations

import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestion.processes import page_picture
from ingestion.processes.isolation import Limits
from ingestion.processes.kept import Kept
from ingestion.processes.page_picture import NoPicture, picture
from tests.parsers.test_pdf import lines, pdf

LIMITS = Limits(30, 512)
TEXT = lines(b"A window holds many controls.", b"A button is pressed by a person.")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_picture, "_kept", Kept(page_picture.KEPT))


def pixels(png: bytes) -> tuple[int, list[bytes]]:
    """The bytes of a pixel, and the rows."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, _, kind = struct.unpack_from(">IIBB", png, 16)
    start = png.index(b"IDAT")
    (length,) = struct.unpack_from(">I", png, start - 4)
    data = zlib.decompress(png[start + 4 : start + 4 + length])
    channels = {0: 1, 2: 3, 6: 4}[kind]
    size = 1 + width * channels
    assert len(data) == size * height
    return channels, [data[at + 1 : at + size] for at in range(0, len(data), size)]


def marked_rows(png: bytes) -> list[int]:
    """The rows with a pixel of the marker's colour."""
    channels, rows = pixels(png)
    marker = bytes(page_picture.MARKER)
    found = []
    for number, row in enumerate(rows):
        if any(row[at : at + 3] == marker for at in range(0, len(row), channels)):
            found.append(number)
    return found


def test_it_works() -> None:
    channels, rows = pixels(picture(pdf(TEXT), 1, "", LIMITS))
    assert (len(rows[0]) // channels, len(rows)) == (1100, 734)
    assert any(set(row) != {255} for row in rows), "something is drawn"
    assert marked_rows(picture(pdf(TEXT), 1, "", LIMITS)) == []


def test_the_words_of_a_text_are_marked() -> None:
    """The first line is 150 points from the bottom of 200, the second 12 below it."""
    first = marked_rows(picture(pdf(TEXT), 1, "# Title\n\nA *window* holds many controls.", LIMITS))
    second = marked_rows(picture(pdf(TEXT), 1, "A button is pressed", LIMITS))
    assert 140 < first[0] < first[-1] < 195
    assert 185 < second[0] < second[-1] < 240
    assert first[-1] < second[-1]


def test_words_of_another_page_are_not_marked() -> None:
    assert marked_rows(picture(pdf(TEXT), 1, "Nothing of it is here.", LIMITS)) == []


@pytest.mark.parametrize(
    ("data", "number", "reason"),
    [
        (b"", 1, "damaged"),
        (b"%PDF-1.7\n" + b"\xff" * 5000, 1, "damaged"),
        (pdf(TEXT)[:200], 1, "damaged"),
        (pdf(TEXT), 2, "no page 2"),
        (pdf(TEXT), 0, "no page 0"),
    ],
)
def test_what_cannot_be_drawn_says_why(data: bytes, number: int, reason: str) -> None:
    with pytest.raises(NoPicture, match=reason):
        picture(data, number, "", LIMITS)


def test_an_endless_page_is_given_up_and_not_tried_again() -> None:
    data = pdf(b"0 0 m 300 200 l S\n" * 3_000_000)
    with pytest.raises(NoPicture, match="more than 1 s"):
        picture(data, 1, "", Limits(1, 512))
    started = time.monotonic()
    with pytest.raises(NoPicture, match="more than 1 s"):
        picture(data, 1, "", Limits(1, 512))
    assert time.monotonic() - started < 1


def test_a_page_that_takes_too_much_memory_is_given_up() -> None:
    with pytest.raises(NoPicture, match="memory"):
        picture(pdf(TEXT), 1, "", Limits(30, 1))


def test_an_enormous_page_is_a_small_picture() -> None:
    data = pdf(TEXT).replace(b"[0 0 300 200]", b"[0 0 9 14399]", 1)
    channels, rows = pixels(picture(data, 1, "", LIMITS))
    assert len(rows) * len(rows[0]) // channels <= page_picture.MOST_PIXELS
    assert len(rows) <= page_picture.TALLEST + 1


def test_a_picture_is_made_once() -> None:
    data = pdf(TEXT)
    made = picture(data, 1, "", LIMITS)
    started = time.monotonic()
    assert picture(data, 1, "", LIMITS) == made
    assert time.monotonic() - started < 0.05


def test_only_two_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()
    make = page_picture._made

    def watched(data: bytes, number: int, text: str, limits: Limits) -> bytes | str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return make(data, number, text, limits)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(page_picture, "_made", watched)
    monkeypatch.setattr(page_picture, "PATIENCE", 60.0)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(picture, pdf(TEXT), 1, f"words {n}", LIMITS) for n in range(6)]
        assert all(one.result() for one in asked)
    assert most == 2
