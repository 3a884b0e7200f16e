"""The words of the passages that searches meet, by number: what a word is a form of, how near it is
to another in meaning, and which words a passage has.

Searches meet the same words and passages again and again, so each is looked at once. Passages
become arrays of numbers, which are compared with a query in a few steps for all at once. The
vectors of words are those of wordllama, which come in its wheel, whatever model embeds chunks.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingestion.embedding.base import Vectors
from ingestion.embedding.wordllama import DIMENSIONS, word_vectors
from ingestion.text import analyzer
from ingestion.text.analyzer import LONGEST_WORD

WORDS = 60_000  # after which a process begins with none; with the passages 75 MB at most
PASSAGES = 1 << 13  # whose words are kept
GROWTH = 1 << 12
LARGEST = 127  # of a number in a vector, in units of its own: cosines are exact to .001
UNRELATED = 0.3  # cosine; words that have nothing to do with each other are often that near

_NONE = array("i")
Numbers = NDArray[np.int32]
Values = NDArray[np.float64]
Masks = NDArray[np.uint64]


class Text(NamedTuple):
    """A chunk and what it says: its text, and its headings."""

    chunk: int
    text: str
    headings: str


class Passage(NamedTuple):
    """The numbers of the words of a text and of its headings."""

    text: Numbers
    headings: Numbers


NO_WORD = ""
"""Has the number 0. It is near to none, and in each text, so that none is empty."""


class Lexicon:
    """Grows with each new word; thread-safe. `lexicons.current` gives the one to use."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.numbers = {NO_WORD: 0}
        self.words = [NO_WORD]
        self.wholes = [NO_WORD]
        self.holders: defaultdict[str, array[int]] = defaultdict(partial(array, "i"))
        self.folded = {NO_WORD: 0}
        self.rows = np.zeros(GROWTH, np.int32)
        self.vectors = np.zeros((GROWTH, DIMENSIONS), np.int8)
        self.units = np.zeros(GROWTH, np.float32)
        self.read: OrderedDict[tuple[int, int], Passage] = OrderedDict()

    def passages(self, texts: Sequence[Text]) -> list[Passage]:
        keys = [(text.chunk, hash((text.text, text.headings))) for text in texts]
        with self.lock:
            missing = [key not in self.read for key in keys]
            self._read(list(compress(zip(keys, texts, strict=True), missing)))
            for key in keys:
                self.read.move_to_end(key)
            found = [self.read[key] for key in keys]
            while len(self.read) > PASSAGES:
                self.read.popitem(last=False)
            return found

    def _read(self, texts: Sequence[tuple[tuple[int, int], Text]]) -> None:
        worded = [(key, _words(text.text), _words(text.headings)) for key, text in texts]
        self._add({word for _, *both in worded for words in both for word in words})
        for key, text, headings in worded:
            self.read[key] = Passage(self._numbered(text), self._numbered(headings))

    def _numbered(self, words: Collection[str]) -> Numbers:
        return np.fromiter(map(self.numbers.__getitem__, words), np.int32, len(words))

    def _add(self, words: Collection[str]) -> None:
        new = [word for word in words if word not in self.numbers]
        first = len(self.numbers)
        self._add_meanings({word.casefold() for word in new})
        self.rows = _with_room(self.rows, first + len(new))
        for number, word in enumerate(new, first):
            self.numbers[word] = number
            self.words.append(word)
            self.rows[number] = self.folded[word.casefold()]
            self._add_terms(number, word)

    def _add_meanings(self, folded: Collection[str]) -> None:
        new = [word for word in folded if word not in self.folded]
        first, end = len(self.folded), len(self.folded) + len(new)
        self.vectors = _with_room(self.vectors, end)
        self.units = _with_room(self.units, end)
        if new:
            vectors = word_vectors(new)
            units = np.abs(vectors).max(axis=1) / LARGEST
            self.vectors[first:end] = np.rint(vectors / np.maximum(units, 1e-9)[:, None])
            self.units[first:end] = units
        self.folded.update(zip(new, range(first, end), strict=True))

    def _add_terms(self, number: int, word: str) -> None:
        whole, parts = analyzer.forms(word)
        self.wholes.append(whole)
        for term in {whole, *parts}:
            self.holders[term].append(number)

    def masks(self, among: Numbers, terms: Sequence[str], beginnings: Collection[str]) -> Masks:
        """For each of some words a bit for each term that it is a form of, the first term's the
        lowest; of those in `beginnings`, also if it only begins with it. At most 64 terms."""
        with self.lock:
            masks = np.zeros(len(self.numbers), np.uint64)
            begun = [*self._begun(among, beginnings)] if beginnings else []
            for place, term in enumerate(terms):
                masks[self._holding(term)] |= np.uint64(1 << place)
        for number, beginning in begun:
            masks[number] |= np.uint64(1 << terms.index(beginning))
        return masks[among]

    def _holding(self, term: str) -> Numbers:
        """The words that are forms of a term; to be used before one more may be added."""
        return np.frombuffer(self.holders.get(term, _NONE), np.int32)

    def gains(self, terms: Mapping[str, float]) -> Values:
        """The greatest value of the terms that each word is a form of."""
        with self.lock:
            gains = np.zeros(len(self.numbers))
            for term, gain in sorted(terms.items(), key=lambda item: item[1]):
                gains[self._holding(term)] = gain
        return gains

    def folds(self, words: Numbers) -> frozenset[int]:
        """Some words without regard to case, as numbers of this lexicon."""
        return frozenset(self.rows[words[words > 0]].tolist())

    def _begun(self, among: Numbers, beginnings: Collection[str]) -> Iterator[tuple[int, str]]:
        for number in np.unique(among).tolist():
            for beginning in beginnings:
                if self.wholes[number].startswith(beginning):
                    yield number, beginning

    def nearness(self, asked: Sequence[str], among: Numbers) -> Vectors:
        """How near each of some words is to each that is asked for, in lower case: 1 for the same
        word, 0 for an unrelated one. Shape (len(asked), len(among))."""
        with self.lock:
            vectors, units, rows = self.vectors, self.units, self.rows[among]
        there = np.zeros(len(vectors), np.bool_)
        there[rows] = True
        met = np.flatnonzero(there)
        cosines = word_vectors(asked) @ vectors.take(met, 0).astype(np.float32).T * units[met]
        near = np.clip((cosines - UNRELATED) / (1 - UNRELATED), 0, 1)
        found: Vectors = near.take((np.cumsum(there) - 1)[rows], 1)
        return found


def _words(text: str) -> set[str]:
    """The words that a full text index may hold, and NO_WORD."""
    return {word for word in analyzer.words(text) if len(word) <= LONGEST_WORD} | {NO_WORD}


def _with_room(values: Any, size: int) -> Any:
    """An array, or a longer one with the same beginning if it has fewer than `size` rows."""
    if size <= len(values):
        return values
    larger = np.zeros((max(size, 2 * len(values)), *values.shape[1:]), values.dtype)
    larger[: len(values)] = values
    return larger


class Lexicons:
    """One after the other, so that memory is bounded."""

    def __init__(self, most: int = WORDS) -> None:
        self.most = most
        self.begin()

    def begin(self) -> None:
        """Start with none, also in a forked process, where a lock may be held by nobody."""
        self.lexicon = Lexicon()

    def current(self) -> Lexicon:
        """For one search, which goes on with it even if it becomes full."""
        if len(self.lexicon.numbers) > self.most:
            self.lexicon = Lexicon()
        return self.lexicon


lexicons = Lexicons()
os.register_at_fork(after_in_child=lexicons.begin)
