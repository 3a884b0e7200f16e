"""Words as terms of the full text index: identifiers whole and in parts, prose as stems.

`BBjWindow::addButton` is found as `bbjwindow`, `addbutton`, and by the parts bbj, window, add and
button; `PROCESS_EVENTS` is `processevents` with the parts process and events. So a query may spell
a name in any of these ways. The vectors are not made by PostgreSQL's own parser, because it splits
identifiers only at punctuation and knows neither headings nor the first cell of a row.
"""

from __future__ import annotations

import re
import struct
import threading
import unicodedata
from collections.abc import Container, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import snowballstemmer

TERMS_VERSION = 1
"""Part of a document's fingerprint: another value makes the next run index each document again."""

A, B, C, D = 3, 2, 1, 0  # the weights of a tsvector, as its binary format numbers them

LONGEST_WORD = 80
LONGEST_KEY = 60  # characters of a first cell that counts as the key of its row
LAST_POSITION = 16383  # of a tsvector
POSITIONS_KEPT = 64  # of one term; the rank hardly grows beyond a few
GAP = 8  # positions between title, headings and text, so that no phrase spans them

_WORD = re.compile(r"\d+(?:\.\d+)+|\w+")
_PART = re.compile(r"BBj(?![a-z])|[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+|\d+")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s")
_ROW = re.compile(r"\s*\|([^|\n]*)\|")
_LISTED = re.compile(r"\s*[-*+]\s+`([^`\n]+)`")
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
_PLACES = [struct.Struct(f">BH{number}H") for number in range(POSITIONS_KEPT + 1)]


class _Stemming(threading.local):
    """A stemmer for each thread: a stemmer keeps its current word in itself."""

    def __init__(self) -> None:
        self.stemmer = snowballstemmer.stemmer("english")


_stemming = _Stemming()


class Forms(NamedTuple):
    """A word as a term, and the terms of its parts; no parts if it is a plain word."""

    whole: str
    parts: tuple[str, ...]


def words(text: str) -> list[str]:
    """The words of a text as written, in order."""
    return _WORD.findall(_folded(text))


def beginnings(terms: Iterable[str]) -> frozenset[str]:
    """How terms begin: what `is_foreign` needs. Two letters, because stemming may change the third
    (`using` is `use`), and of those y, which it may make i (`dying` is `die`)."""
    return frozenset(term[:2].replace("y", "i") for term in terms)


def is_foreign(word: str, beginnings: Container[str]) -> bool:
    """Whether a word cannot be any of the terms with these beginnings: it is a plain word that
    begins otherwise. This saves stemming most words of a text."""
    plain = word.isascii() and word.isalpha() and (word.islower() or word.istitle())
    begins = word[:2].lower().replace("y", "i")
    return plain and begins not in beginnings and begins[0] not in beginnings


@lru_cache(maxsize=1 << 14)
def forms(word: str) -> Forms:
    """The terms of a word from `words`; the whole is empty if it is all underscores."""
    whole = stem(word.replace("_", "").casefold())
    parts = _PART.findall(word) if word.isascii() else word.strip("_").split("_")
    if len(parts) < 2:
        return Forms(whole, ())
    return Forms(whole, tuple(stem(part.casefold()) for part in parts if part))


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem by Porter's second English stemmer; words with digits or non-ASCII letters stay."""
    if not word.isascii() or not word.isalpha():
        return word
    stemmed: str = _stemming.stemmer.stemWord(word)
    return stemmed


def vector(title: str, context_header: str, content: str, added: str = "") -> bytes:
    """The chunk's tsvector in PostgreSQL's binary format (`tsvectorrecv` in tsvector.c).

    The terms of the title weigh most, then headings and the keys of rows, text, parts of words and
    the words that were `added` to it.
    """
    placing = _Placing()
    for text, weight in ((title, A), (context_header, B)):
        placing.add(words(text), weight)
        placing.position += GAP
    for line, key_end, heading in _lines(content):
        if key_end and not heading:
            key = sum(match.start() < key_end for match in _WORD.finditer(line))
            found = _WORD.findall(line)
            placing.add(found[:key], B)
            placing.add(found[key:], C)
        else:
            placing.add(_WORD.findall(line), B if heading else C)
    placing.position += GAP
    placing.add(words(added), D)
    places = placing.places
    return struct.pack(">I", len(places)) + b"".join(
        [_packed(term, places[term]) for term in sorted(places)]
    )


class _Placing:
    """The terms of a chunk in UTF-8, with weight and position as the 16 bits of a tsvector."""

    def __init__(self) -> None:
        self.position = 1
        self.places: dict[bytes, list[int]] = {}

    def add(self, found: Iterable[str], weight: int) -> None:
        for word in found:
            position = self.position
            if position > LAST_POSITION:
                return
            whole, parts = _encoded(word)
            if whole:
                self._place(whole, weight << 14 | position)
            for part in parts:
                self._place(part, max(weight - 1, D) << 14 | position)
            self.position = position + 1

    def _place(self, term: bytes, place: int) -> None:
        places = self.places.get(term)
        if places is None:
            self.places[term] = [place]
        elif len(places) < POSITIONS_KEPT and (places[-1] ^ place) & LAST_POSITION:
            places.append(place)  # a part that equals the whole keeps the greater weight


@lru_cache(maxsize=1 << 16)
def _encoded(word: str) -> tuple[bytes, list[bytes]]:
    if len(word) > LONGEST_WORD:
        return b"", []
    whole, parts = forms(word)
    return whole.encode(), [part.encode() for part in parts]


def _packed(term: bytes, places: list[int]) -> bytes:
    return term + _PLACES[len(places)].pack(0, len(places), *places)


def _lines(content: str) -> Iterator[tuple[str, int, bool]]:
    """Each line, where its key ends (0 without one), and whether it is a heading."""
    fenced = False
    for line in _folded(content).split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        key = None if fenced else _ROW.match(line) or _LISTED.match(line)
        is_key = key and len(key[1].strip()) <= LONGEST_KEY
        yield line, key.end() if key and is_key else 0, not fenced and bool(_HEADING.match(line))


def _folded(text: str) -> str:
    """Without accents and compatibility forms; ASCII stays as it is."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def trigrams(term: str) -> set[str]:
    """Three letters each, the start counted twice: `  w`, ` wi`, `win`, ..., `ow `."""
    padded = f"  {term} "
    return {padded[start : start + 3] for start in range(len(padded) - 2)}


def edits(one: str, other: str, limit: int) -> int:
    """The number of letters added, removed, changed or swapped with a neighbour; `limit` + 1 if
    more.

    The restricted Damerau-Levenshtein distance (optimal string alignment).
    """
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    before, last = list[int](), list(range(len(other) + 1))
    for i, left in enumerate(one):
        row = [i + 1]
        for j, right in enumerate(other):
            cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (left != right))
            if i and j and left == other[j - 1] and one[i - 1] == right:
                cost = min(cost, before[j - 1] + 1)
            row.append(cost)
        before, last = last, row
    return min(last[-1], limit + 1)
