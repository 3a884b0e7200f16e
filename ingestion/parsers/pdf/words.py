"""The words of a page, each with its position, size and font."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ingestion.parsers.pdf.font import Face

KERNING = 0.1  # of the font size: a smaller gap never separates glyphs (Poppler's figure)
SCRIPT = 0.86  # of the font size: what is larger is no superscript
OVERLAP = 0.3  # of the font size: what is set back by less goes on with the word

# Accents drawn as separate characters, and the combining characters for them.
ACCENTS = dict(
    zip(
        "`\u00b4\u02c6\u02dc\u00af\u02d8\u02d9\u00a8\u02da\u02c7\u00b8",
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030c\u0327",
        strict=True,
    )
)


@dataclass(slots=True)
class Word:
    """Glyphs shown without a visible gap. `y` is the baseline; `spaced`: after a space.

    The text is as it is seen, from left to right; `mirrored`: from right to left, as `x0` and `x1`.
    """

    text: str
    x0: float
    x1: float
    y: float
    size: float
    face: Face
    order: int
    spaced: bool
    angle: int
    pagination: bool = False
    bold: bool = False
    mirrored: bool = False


def turn(x: float, y: float, angle: int) -> tuple[float, float]:
    """The point in the coordinates of text that runs at `angle` degrees."""
    if angle == 0:
        return x, y
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return x * c + y * s, y * c - x * s
