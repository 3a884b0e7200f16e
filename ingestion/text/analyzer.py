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
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
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
_FOREIGN = re.compile(r"[^\x00-\x7f]{1,16}")
_MARKS = frozenset("#|-*+`~")  # with which headings, rows, items and fences begin
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
    return _WORD.findall(folded(text))


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
    for text, weight in _weighed(folded(content)):
        placing.add(_WORD.findall(text), weight)
    placing.position += GAP
    placing.add(words(added), D)
    return placing.packed()


class _Placing:
    """The terms of a chunk in UTF-8, with weight and position as the 16 bits of a tsvector."""

    def __init__(self) -> None:
        self.position = 1
        self.places: defaultdict[bytes, list[int]] = defaultdict(list)

    def add(self, found: Sequence[str], weight: int) -> None:
        whole_weight, part_weight = weight << 14, max(weight - 1, D) << 14
        positions = range(self.position, LAST_POSITION + 1)
        places = self.places
        for position, (whole, parts) in zip(positions, map(_encoded, found), strict=False):
            places[whole].append(whole_weight | position)
            for part in parts:
                self._add_part(part, part_weight | position)
        self.position += len(found)

    def _add_part(self, term: bytes, place: int) -> None:
        places = self.places[term]
        if not places or (places[-1] ^ place) & LAST_POSITION:  # the whole has a greater weight
            places.append(place)

    def packed(self) -> bytes:
        self.places.pop(b"", None)  # of words without a term
        packed = [struct.pack(">I", len(self.places))]
        for term in sorted(self.places):
            packed += term, _packed_places(self.places[term])
        return b"".join(packed)


def _packed_places(places: list[int]) -> bytes:
    if len(places) == 1:
        return _packed_place(places[0])
    kept = places[:POSITIONS_KEPT]
    return _PLACES[len(kept)].pack(0, len(kept), *kept)


@lru_cache(maxsize=1 << 16)
def _packed_place(place: int) -> bytes:
    return _PLACES[1].pack(0, 1, place)


@lru_cache(maxsize=1 << 16)
def _encoded(word: str) -> tuple[bytes, list[bytes]]:
    if len(word) > LONGEST_WORD:
        return b"", []
    whole, parts = forms(word)
    return whole.encode(), [part.encode() for part in parts]


def _weighed(content: str) -> Iterator[tuple[str, int]]:
    """The parts of a text with their weights: headings, the keys of rows, and what is between."""
    fenced = False
    plain: list[str] = []
    for line in content.split("\n"):
        if line.lstrip()[:1] not in _MARKS:
            plain.append(line)
            continue
        fenced ^= bool(_FENCE.match(line))
        end = 0 if fenced else _end_of_key(line)
        if not end:
            plain.append(line)
            continue
        yield "\n".join(plain), C
        yield line[:end], B
        plain = [line[end:]]
    yield "\n".join(plain), C


def _end_of_key(line: str) -> int:
    """Where the part of a line ends that says what it is about: all of a heading, the first cell of
    a row, the name that begins an item of a list. 0 for none."""
    if _HEADING.match(line):
        return len(line)
    key = _ROW.match(line) or _LISTED.match(line)
    return key.end() if key and len(key[1].strip()) <= LONGEST_KEY else 0


def folded(text: str) -> str:
    """Without accents and compatibility forms; ASCII stays as it is."""
    return text if text.isascii() else _FOREIGN.sub(_plain, text)


def _plain(foreign: re.Match[str]) -> str:
    return _without_accents(foreign[0])


@lru_cache(maxsize=1 << 12)
def _without_accents(text: str) -> str:
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
        if min(row) > limit:
            return limit + 1
        before, last = last, row
    return min(last[-1], limit + 1)
