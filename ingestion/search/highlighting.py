"""The part of a chunk that shows why it was found, its hits marked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.text import analyzer

LENGTH = 280
LEAST_MARKED = 0.2  # of the best gain; bbj in each BBjString is not a useful hit
_WORD = re.compile(r"\d+(?:\.\d+)+|\w+")
_MARKUP = re.compile(
    r"^[ \t]*(?:`{3,}|~{3,}).*$|^ {0,3}#{1,6}(?=\s)|^[ \t]*\|[-:| \t]+\|[ \t]*$", re.M
)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Mark:
    """A word of the query in a snippet, in characters of its text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Snippet:
    text: str
    marks: tuple[Mark, ...] = ()

    def parts(self) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether it is a match."""
        found, end = list[tuple[str, bool]](), 0
        for mark in self.marks:
            found.append((self.text[end : mark.start], False))
            found.append((self.text[mark.start : mark.end], True))
            end = mark.end
        return [part for part in [*found, (self.text[end:], False)] if part[0]]

    def marked(self, before: str = "**", after: str = "**") -> str:
        return "".join(f"{before}{text}{after}" if hit else text for text, hit in self.parts())


class Gains(dict[str, float]):
    """The score of each word of a text for the query terms, computed on first use. A term that ends
    in `*` is a prefix."""

    def __init__(self, gains: Mapping[str, float]) -> None:
        super().__init__()
        self.gains = gains
        self.beginnings = [(term[:-1], gain) for term, gain in gains.items() if term.endswith("*")]
        self.initials = {term[0] for term in gains}

    def __missing__(self, word: str) -> float:
        found = 0.0 if self._is_foreign(word) else self._best(word)
        self[word] = found
        return found

    def _is_foreign(self, word: str) -> bool:
        """Whether a word cannot match: it is not indexed, or begins with another letter."""
        return len(word) > analyzer.LONGEST_WORD or analyzer.is_foreign(word, self.initials)

    def _best(self, word: str) -> float:
        best = 0.0
        for folded in analyzer.words(word):
            whole, parts = analyzer.forms(folded)
            best = max(best, *(self.gains.get(term, 0.0) for term in (whole, *parts)))
            for beginning, gain in self.beginnings:
                if whole.startswith(beginning):
                    best = max(best, gain)
        return best


def snippet(content: str, gain: Gains, length: int = LENGTH) -> Snippet:
    """The passage of about `length` characters with the highest score.

    White space is collapsed; fences, heading marks and table rules are left out.
    """
    text = _SPACE.sub(" ", _MARKUP.sub("", content)).strip()
    found = ((match.start(), match.end(), gain[match[0]]) for match in _WORD.finditer(text))
    hits = [hit for hit in found if hit[2]]
    start, stop = _window(text, hits, length)
    before, after = "… " if start else "", " …" if stop < len(text) else ""
    shift = len(before) - start
    least = LEAST_MARKED * max((hit[2] for hit in hits), default=0.0)
    shown = [hit for hit in hits if start <= hit[0] and hit[1] <= stop and hit[2] >= least]
    marks = tuple(Mark(a + shift, b + shift) for a, b, _ in shown)
    return Snippet(f"{before}{text[start:stop]}{after}", marks)


def _window(text: str, hits: list[tuple[int, int, float]], length: int) -> tuple[int, int]:
    """The start and end of the best passage, at word boundaries. Each word counts once."""
    if len(text) <= length:
        return 0, len(text)
    best, begin = -1.0, 0
    for place, (start, _, _) in enumerate(hits):
        near = hits[place : place + length]  # no more than one begins at each character
        seen = {text[a:b].casefold(): gain for a, b, gain in near if b <= start + length}
        if (total := sum(seen.values())) > best + 1e-9:
            best, begin = total, start
    begin = max(0, min(begin - length // 5, len(text) - length))
    if begin:
        begin = text.find(" ", begin) + 1
    end = text.rfind(" ", begin, begin + length + 1) if begin + length < len(text) else len(text)
    return begin, end if end > begin else begin + length
