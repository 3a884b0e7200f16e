"""The part of a chunk that shows why it was found, its hits marked."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ingestion.search.lexicon import Numbers, lexicons
from ingestion.text import analyzer

LENGTH = 280
LEAST_MARKED = 0.2  # of the best gain; bbj in each BBjString is not a useful hit
_WORD = re.compile(r"(\d+(?:\.\d+)+|\w+)")
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
        self.prefixes = [(term[:-1], gain) for term, gain in gains.items() if term.endswith("*")]
        self.beginnings = analyzer.beginnings(gains)
        self.lexicon = lexicons.current()
        self.known = self.lexicon.gains(gains)

    def gaining(self, words: Numbers) -> set[str]:
        """Those of some words of the lexicon that have a score; all are looked up at once."""
        read = [self.lexicon.words[number] for number in words.tolist()]
        if not self.prefixes and words.max() < len(self.known):
            self.update(zip(read, self.known[words].tolist(), strict=True))
        return {word for word in read if self[word]}

    def __missing__(self, word: str) -> float:
        number = len(self.known) if self.prefixes else self.lexicon.numbers.get(word)
        if number is not None and number < len(self.known):
            found = self.known.item(number)
        else:
            found = 0.0 if self._is_foreign(word) else self._best(word)
        self[word] = found
        return found

    def _is_foreign(self, word: str) -> bool:
        """Whether a word cannot match: it is not indexed, or begins otherwise."""
        return len(word) > analyzer.LONGEST_WORD or analyzer.is_foreign(word, self.beginnings)

    def _best(self, word: str) -> float:
        best = 0.0
        for folded in (word,) if word.isascii() else analyzer.words(word):
            whole, parts = analyzer.forms(folded)
            best = max(best, *(self.gains.get(term, 0.0) for term in (whole, *parts)))
            for prefix, gain in self.prefixes:
                if whole.startswith(prefix):
                    best = max(best, gain)
        return best


def snippet(content: str, gain: Gains, length: int = LENGTH) -> Snippet:
    """The passage of about `length` characters with the highest score.

    White space is collapsed; fences, heading marks and table rules are left out.
    """
    text = _SPACE.sub(" ", _MARKUP.sub("", content)).strip()
    hits = _hits(text, gain)
    start, stop = _window(text, hits, length)
    before, after = "… " if start else "", " …" if stop < len(text) else ""
    shift = len(before) - start
    least = LEAST_MARKED * max((hit[2] for hit in hits), default=0.0)
    shown = [hit for hit in hits if start <= hit[0] and hit[1] <= stop and hit[2] >= least]
    marks = tuple(Mark(a + shift, b + shift) for a, b, _ in shown)
    return Snippet(f"{before}{text[start:stop]}{after}", marks)


Found = tuple[int, int, float]
"""Where a word of the query begins and ends, and its gain."""


def _hits(text: str, gain: Gains) -> list[Found]:
    pieces = _WORD.split(text)  # what is between the words, and the words, in turns
    gains = [*map(gain.__getitem__, pieces[1::2])]
    if not any(gains):
        return []
    ends = [*accumulate(map(len, pieces))]
    return [hit for hit in zip(ends[::2], ends[1::2], gains, strict=False) if hit[2]]


def _window(text: str, hits: Sequence[Found], length: int) -> tuple[int, int]:
    """The start and end of the best passage, at word boundaries. Each word counts once."""
    if len(text) <= length:
        return 0, len(text)
    best, begin = -1.0, 0
    starts, ends = [start for start, _, _ in hits], [end for _, end, _ in hits]
    words = [(text[start:end].casefold(), gain) for start, end, gain in hits]
    for place, start in enumerate(starts):
        seen = dict(words[place : bisect_right(ends, start + length)])
        if (total := sum(seen.values())) > best + 1e-9:
            best, begin = total, start
    begin = max(0, min(begin - length // 5, len(text) - length))
    if begin:
        begin = text.find(" ", begin) + 1
    end = text.rfind(" ", begin, begin + length + 1) if begin + length < len(text) else len(text)
    return begin, end if end > begin else begin + length
