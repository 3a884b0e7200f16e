"""How near the words of a passage are to the words of a query: "remove" is near to "delete".

The vectors of words are those of wordllama, which come in its wheel, whatever model embeds chunks.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from ingestion.embedding.base import Vectors
from ingestion.embedding.wordllama import word_vector

UNRELATED = 0.3  # cosine; words that have nothing to do with each other are often that near
REMEMBERED = 1 << 15  # words: 16 MB in half precision


class WordMeanings:
    """The vectors of words, of length 1 each. One instance per process; thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[str, np.ndarray] = {}

    def vectors(self, words: Sequence[str]) -> Vectors:
        """Shape (len(words), 256)."""
        found = [self.known.get(word) for word in words]
        rows = [
            self._add(word) if row is None else row for row, word in zip(found, words, strict=True)
        ]
        return np.asarray(rows, dtype=np.float32)

    def _add(self, word: str) -> np.ndarray:
        row = word_vector(word).astype(np.float16)
        with self.lock:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            self.known[word] = row
        return row

    def nearness(self, asked: Sequence[str], texts: Sequence[Sequence[str]]) -> Vectors:
        """How near the nearest word of each text is to each word that is asked for: 1 for the same
        word, 0 for an unrelated one. Shape (len(asked), len(texts)); an empty text is 0."""
        near = np.zeros((len(asked), len(texts)), dtype=np.float32)
        worded = [number for number, text in enumerate(texts) if text]
        if not asked or not worded:
            return near
        numbered = {word: n for n, word in enumerate({w for text in texts for w in text})}
        cosines = self.vectors(asked) @ self.vectors([*numbered]).T
        columns = [numbered[word] for number in worded for word in texts[number]]
        starts = np.cumsum([0, *(len(texts[number]) for number in worded[:-1])])
        best = np.maximum.reduceat(cosines[:, columns], starts, axis=1)
        near[:, worded] = np.clip((best - UNRELATED) / (1 - UNRELATED), 0, 1)
        return near


word_meanings = WordMeanings()
