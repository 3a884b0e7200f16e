"""The vectors of a text's tokens, made small enough to be stored, for late interaction.

A transformer says something of each token of a text before that becomes one vector. The words of a
query can be compared with all of it, which shows more than one number for both (ColBERT: Khattab
and Zaharia 2020). Here all-MiniLM-L6-v2 says it, whatever model embeds the chunks. What it says is
brought to fewer dimensions, those in which tokens differ most, and rounded to 4 bits: a passage of
150 tokens takes 5 KB. `tests/scripts/learn_projection.py` makes the file of the projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingestion.embedding import minilm
from ingestion.embedding.base import Vectors

VERSION = 1
"""Of how vectors are made: those of another one are made again, and are not compared."""

PROJECTION = minilm.VOCABULARY.with_name("projection.npz")
DIMENSIONS = 64
WIDTH = DIMENSIONS // 2  # bytes of a token: two numbers each
LEVELS = 16  # of a number in 4 bits
REACH = 2.5  # standard deviations from the middle to the outermost levels
LONGEST_QUERY = 64  # tokens
LONGEST_PASSAGE = 4 * minilm.CONTEXT  # tokens; a passage that is too long is read in pieces


class Projection(NamedTuple):
    """`matrix` has the shape (minilm.DIMENSIONS, DIMENSIONS); `steps` is the distance between two
    levels in each dimension."""

    matrix: Vectors
    steps: Vectors


class AskedTokens(NamedTuple):
    """The tokens of a query. `vectors` has the shape (len(words), DIMENSIONS); `words` is the word
    that each is part of, in lower case."""

    vectors: Vectors
    words: Sequence[str]


def of_passage(text: str) -> bytes:
    """WIDTH bytes for each token that is a letter or a digit. Raises EmbedderError if the model
    cannot be opened."""
    session, vocabulary = minilm.opened()
    pieces = vocabulary.numbers(text)[:LONGEST_PASSAGE]
    packed = [_packed(_said(session, part), part) for part in _parts(pieces)]
    return b"".join(packed)


def of_query(text: str) -> AskedTokens:
    """Raises EmbedderError if the model cannot be opened."""
    session, vocabulary = minilm.opened()
    pieces = vocabulary.numbers(text)[:LONGEST_QUERY]
    words = [*_words([vocabulary.vocabulary[piece] for piece in pieces])]
    return AskedTokens(_normed(_said(session, pieces)), words)


def nearness(asked: Vectors, passages: Sequence[bytes]) -> Vectors:
    """How near the nearest token of each passage is to each of those asked for, by their cosine.
    Shape (len(asked), len(passages)); no passage may be empty."""
    starts = np.cumsum([0, *(len(passage) // WIDTH for passage in passages[:-1])])
    halves = np.frombuffer(b"".join(passages), np.uint8).reshape(-1, WIDTH)
    levels = np.concatenate([halves & (LEVELS - 1), halves // LEVELS], axis=1)
    vectors = (levels.astype(np.float32) - (LEVELS - 1) / 2) * projection().steps
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    found: Vectors = np.maximum.reduceat(asked @ vectors.T / lengths, starts, axis=1)
    return found


@cache
def projection() -> Projection:
    kept = np.load(PROJECTION)
    matrix = kept["matrix"].astype(np.float32)
    return Projection(matrix, kept["spread"].astype(np.float32) * (2 * REACH / LEVELS))


def _said(session: object, pieces: Sequence[int]) -> Vectors:
    """What the model says of each token but the marks, projected."""
    said = _normed(minilm.states(session, pieces)[1:-1])
    found: Vectors = said @ projection().matrix
    return found


def _parts(pieces: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(pieces), minilm.CONTEXT):
        yield pieces[start : start + minilm.CONTEXT]


def _packed(vectors: Vectors, pieces: Sequence[int]) -> bytes:
    steps = projection().steps
    levels = np.clip(np.floor(vectors / steps) + LEVELS // 2, 0, LEVELS - 1).astype(np.uint8)
    kept = levels[telling()[list(pieces)]]
    packed: bytes = (kept[:, :WIDTH] + kept[:, WIDTH:] * LEVELS).tobytes()
    return packed


@cache
def telling() -> NDArray[np.bool_]:
    """Which tokens of the vocabulary hold a letter or a digit; punctuation tells little."""
    listed = minilm.opened().vocabulary.vocabulary
    return np.array([any(map(str.isalnum, token)) for token in listed])


def _words(tokens: Sequence[str]) -> Iterator[str]:
    """The word that each token is part of; those that go on within a word begin with ##."""
    begins = [n for n, token in enumerate(tokens) if not n or not token.startswith("##")]
    for start, end in pairwise([*begins, len(tokens)]):
        word = "".join(token.removeprefix("##") for token in tokens[start:end])
        yield from [word] * (end - start)


def _normed(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    normed: Vectors = vectors / np.maximum(lengths, 1e-9)
    return normed
