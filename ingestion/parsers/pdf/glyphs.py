"""The glyphs of a page: where each begins and ends along its line, and the pieces they form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingestion.parsers.pdf.direction import LEFTWARD
from ingestion.parsers.pdf.font import Face
from ingestion.parsers.pdf.pdfium import Floats
from ingestion.parsers.pdf.words import ACCENTS, KERNING, OVERLAP, turn

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

ABSENT = "\0"  # what is not text
NAMELESS = "\2"  # a glyph in a font that names no characters
SPACE = ord(" ")
LETTER_SPACING = 0.22  # of the font size: a wider gap between all letters separates them
SPACED_LETTERS = 4  # fewer letters with gaps between them are not one word
SAME_STYLE = 0.05  # of the font size: baselines and sizes that differ by less are the same
ACCENT_CODES = [ord(accent) for accent in ACCENTS]


class Shown(NamedTuple):
    """What one instruction of the file draws: the characters from `first` to before `end`."""

    first: int
    end: int
    drawn: int
    font: int
    face: Face
    angle: int
    along: float  # points that a font size measures along the line
    size: float  # points that it measures upwards


class Pieces(NamedTuple):
    """Characters side by side, from each of `firsts` to before the same of `ends`, with their
    places and the numbers of what draws them."""

    firsts: Integers
    ends: Integers
    x0: Floats
    x1: Floats
    runs: Integers
    accents: Booleans


class Glyphs:
    """Where each character of a page begins and ends along its line.

    `run_of` is the number of what draws a character, from 1 on; 0 if PDFium adds the character.
    """

    def __init__(
        self, text: str, origins: Floats, shown: Sequence[Shown], advances: Floats
    ) -> None:
        self.text, self.shown = text, shown
        self.codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
        self.run_of = _run_of(shown, len(text))
        self.angles = np.array([0, *(run.angle for run in shown)])
        self.sizes = np.array([1.0, *(run.size for run in shown)])
        self.baselines = [0.0, *_baselines(shown, origins)]
        self.starts = origins[:, 0].copy()
        for run in shown:
            if run.angle:
                part = slice(run.first, run.end)
                self.starts[part] = [turn(x, y, run.angle)[0] for x, y in origins[part]]
        along = np.array([0.0, *(run.along for run in shown)])
        self.ends = self.starts + along[self.run_of] * advances
        self.turned: set[int] = set()
        is_glyph = self.codes > SPACE
        self.inside = is_glyph[1:] & is_glyph[:-1] & (self.run_of[1:] == self.run_of[:-1])
        self.joined = np.flatnonzero((self.starts[1:] == self.starts[:-1]) & self.inside) + 1

    def widen_ligatures(self, reach: Callable[[int], float]) -> None:
        """Let characters that are at one place, because they are one glyph, end where it does."""
        joined = self.joined.tolist()
        upright = (self.angles[self.run_of[self.joined]] == 0).tolist()
        known = set(joined)
        for index, is_upright in zip(joined, upright, strict=True):
            if is_upright:
                first, last = reach(index - 1), reach(index)
                self.ends[index] = self.starts[index] + max(first, last)
                if last > first:  # the first part is as wide as the glyph
                    self.turned.add(index - 1)
            first = index
            while first in known:
                first -= 1
                self.ends[first] = self.ends[index]

    @cached_property
    def leftward(self) -> set[int]:
        """The numbers of what draws text that runs leftward."""
        places = [match.start() for match in LEFTWARD.finditer(self.text)]
        return set(self.run_of[places].tolist()) - {0}

    @cached_property
    def lines(self) -> Integers:
        """A number for each thing drawn, the same if it continues the line and style before."""
        faces = np.array([0, *(id(run.face) for run in self.shown)])
        y, size = np.array(self.baselines), self.sizes
        same = (faces[1:] == faces[:-1]) & (self.angles[1:] == self.angles[:-1])
        for values in (y, size):
            same &= np.abs(values[1:] - values[:-1]) < SAME_STYLE * size[1:]
        if self.leftward:
            leftward = np.isin(np.arange(len(size)), list(self.leftward))
            same &= leftward[1:] == leftward[:-1]
        return np.cumsum([False, *~same])

    @cached_property
    def _is_space(self) -> Booleans:
        return np.asarray(self.codes == SPACE)

    @cached_property
    def breaks(self) -> Integers:
        """How many spaces that end a word are before each character."""
        return np.cumsum(self._ends_word | (self._is_space & (self.run_of == 0)))

    @cached_property
    def spaces(self) -> Integers:
        """How many spaces that are shown between words are before each character. In text that runs
        leftward, the gap shows whether there is one, because PDFium adds many."""
        if not self.leftward:
            return self.breaks
        return np.cumsum(self._ends_word)

    @cached_property
    def _ends_word(self) -> Booleans:
        """The spaces drawn before a character of a word or at the end of what is drawn."""
        follows = np.append(self._is_word[1:] | self._is_accent[1:], False)
        other = np.append(self.run_of[1:] != self.run_of[:-1], True)
        return np.asarray(self._is_space & self._is_rightward & (follows | other))

    @cached_property
    def _is_rightward(self) -> Booleans:
        return np.asarray((self.run_of > 0) & ~np.isin(self.run_of, list(self.leftward)))

    @cached_property
    def _is_accent(self) -> Booleans:
        return np.isin(self.codes, ACCENT_CODES) & self._is_rightward

    @cached_property
    def _is_word(self) -> Booleans:
        codes = self.codes
        nothing = (codes == SPACE) | (codes == ord(ABSENT)) | (codes == ord(NAMELESS))
        return np.asarray(~nothing & self._is_rightward & ~self._is_accent)

    def pieces(self) -> Pieces:
        """The pieces of words that are not leftward: an accent that is drawn alone is one."""
        is_word, is_accent, run_of = self._is_word, self._is_accent, self.run_of
        begins = is_word.copy()
        begins[1:] &= ~is_word[:-1] | (run_of[1:] != run_of[:-1])
        spacing, cuts = self._cuts()
        begins[cuts] |= is_word[cuts]
        begins |= is_accent
        stops = np.append(begins[1:] | ~is_word[1:], True) & (is_word | is_accent)
        firsts, ends = np.flatnonzero(begins), np.flatnonzero(stops) + 1
        x0, x1 = self.starts[firsts], self.ends[ends - 1] + spacing[run_of[firsts]]
        return Pieces(firsts, ends, x0, x1, run_of[firsts], is_accent[firsts])

    def _cuts(self) -> tuple[Floats, list[int]]:
        """For each thing drawn, the gap between all letters of a word that is set with its letters
        apart; and the characters before which there is a wider gap, or which are set back."""
        gaps, size = self.starts[1:] - self.ends[:-1], self.sizes[self.run_of[:-1]]
        near = (-OVERLAP * size < gaps) & (gaps < KERNING * size)
        cuts = ~near & self.inside
        cuts[self.joined - 1] = False
        spacing = np.zeros(len(self.shown) + 1)
        for number in np.unique(self.run_of[1:][cuts]).tolist():
            run = self.shown[number - 1]
            part = slice(run.first, run.end - 1)
            if run.end - run.first < SPACED_LETTERS:
                continue
            least = gaps[part].min()
            if KERNING * run.size <= least < LETTER_SPACING * run.size:
                spacing[number] = least
                cuts[part] &= gaps[part] >= least + KERNING * run.size
        return spacing, (np.flatnonzero(cuts) + 1).tolist()


def _run_of(shown: Sequence[Shown], count: int) -> Integers:
    found = np.zeros(count, np.int64)
    if shown:
        firsts, ends = (np.array([run[place] for run in shown]) for place in (0, 1))
        index = np.arange(count)
        found = np.searchsorted(firsts, index, "right")
        found[(found == 0) | (index >= ends[found - 1])] = 0
    return found


def _baselines(shown: Sequence[Shown], origins: Floats) -> list[float]:
    places = origins[[run.first for run in shown]].tolist() if shown else []
    return [turn(x, y, run.angle)[1] for run, (x, y) in zip(shown, places, strict=True)]
