"""How near the words of a passage are to the words of a query: "remove" is near to "delete".

The vectors of words are those of wordllama, which come in its wheel, whatever model embeds chunks.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import numpy as np

from ingestion.embedding.base import Vectors
from ingestion.embedding.wordllama import DIMENSIONS, word_vectors

UNRELATED = 0.3  # cosine; words that have nothing to do with each other are often that near
REMEMBERED = 1 << 15  # words: 16 MB in half precision


class WordMeanings:
    """The vectors of words, of length 1 each. One instance per process; thread-safe."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self.lock = threading.Lock()
        self.rows: dict[str, int] = {}
        self.known = np.empty((most, DIMENSIONS), np.float16)

    def vectors(self, words: Sequence[str]) -> Vectors:
        """Shape (len(words), DIMENSIONS)."""
        most = len(self.known)
        parts = [self._few(words[start : start + most]) for start in range(0, len(words), most)]
        return np.concatenate(parts) if parts else np.empty((0, DIMENSIONS), np.float32)

    def _few(self, words: Sequence[str]) -> Vectors:
        with self.lock:
            if len(self.rows) + len(words) > len(self.known):
                self.rows.clear()
            self._add([*dict.fromkeys(word for word in words if word not in self.rows)])
            found = self.known[[self.rows[word] for word in words]]
        return found.astype(np.float32)

    def _add(self, words: Sequence[str]) -> None:
        first = len(self.rows)
        if words:
            self.known[first : first + len(words)] = word_vectors(words)
        self.rows.update(zip(words, range(first, first + len(words)), strict=True))

    def nearness(self, asked: Sequence[str], texts: Sequence[Collection[str]]) -> Vectors:
        """How near the nearest word of each text is to each word that is asked for: 1 for the same
        word, 0 for an unrelated one. Shape (len(asked), len(texts)); an empty text is 0."""
        near = np.zeros((len(asked), len(texts)), dtype=np.float32)
        numbered = _Numbered()
        columns = [[*map(numbered.__getitem__, text)] for text in texts]
        worded = [number for number, column in enumerate(columns) if column]
        if not asked or not worded:
            return near
        cosines = self.vectors(asked) @ self.vectors([*numbered.folded]).T
        starts = np.cumsum([0, *(len(columns[number]) for number in worded[:-1])])
        chosen = np.concatenate([columns[number] for number in worded])
        best = np.maximum.reduceat(cosines[:, chosen], starts, axis=1)
        near[:, worded] = np.clip((best - UNRELATED) / (1 - UNRELATED), 0, 1)
        return near


class _Numbered(dict[str, int]):
    """Words by the number of what they are in lower case."""

    def __init__(self) -> None:
        super().__init__()
        self.folded: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        number = self[word] = self.folded.setdefault(word.casefold(), len(self.folded))
        return number


word_meanings = WordMeanings()
