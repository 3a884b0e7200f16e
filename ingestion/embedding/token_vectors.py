"""The vectors of a text's tokens, made small enough to be stored, for late interaction.

A transformer says something of each token of a text before that becomes one vector. The words of a
query can be compared with all of it, which shows more than one number for both (ColBERT: Khattab
and Zaharia 2020). Here all-MiniLM-L6-v2 says it, whatever model embeds the chunks. What it says is
brought to fewer dimensions; tokens that say nearly the same become one (token pooling: Clavié and
others 2024), and numbers are rounded to 4 bits: a passage of 200 tokens takes 4 KB. Which
dimensions tell answers from other passages, and how much a token of a query counts, was learnt from
questions with known answers.

A passage is found by the centroids that its tokens are nearest to, as PLAID does (Santhanam and
others 2022). `tests/scripts/learn_projection.py` makes the file of all this.
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

VERSION = 3
"""Of how vectors are made: those of another one are made again, and are not compared."""
WITH_ALL_TOKENS = 2
"""The version before: `pooled` makes this one of it."""

PROJECTION = minilm.VOCABULARY.with_name("projection.npz")
DIMENSIONS = 64
WIDTH = DIMENSIONS // 2  # bytes of a token: two numbers each
CENTROIDS = 4096
CENTROID = np.dtype("<u2")  # the number of one, as it is stored
LEVELS = 16  # of a number in 4 bits
REACH = 2.5  # standard deviations from the middle to the outermost levels
# Cosine of two tokens of a passage that become one. It leaves .60 of them, and changes how near the
# best 50 passages are by .006 (they differ by .032); 0.8 leaves .46 and changes it by .009, and by
# .011 if the first is kept instead of their mean.
ALIKE = 0.9
LONGEST_QUERY = 64  # tokens
LONGEST_PASSAGE = 4 * minilm.CONTEXT  # tokens; a passage that is too long is read in pieces


class Projection(NamedTuple):
    """`matrix` has the shape (minilm.DIMENSIONS, DIMENSIONS); `steps` is the distance between two
    levels in each dimension. `importance`, of the shape (minilm.DIMENSIONS,), is the direction of
    what makes a token of a query count more. `centroids` have the shape (CENTROIDS, DIMENSIONS) and
    the length 1, `shares` is the share of passages that have a token of each."""

    matrix: Vectors
    steps: Vectors
    importance: Vectors
    centroids: Vectors
    shares: Vectors


class Passage(NamedTuple):
    """`vectors` are WIDTH bytes for each token, or for several that became one; `centroids` those
    that its tokens are nearest to, each once, ascending. Tokens without a letter or a digit are
    left out."""

    vectors: bytes
    centroids: list[int]


class AskedTokens(NamedTuple):
    """The tokens of a query. `vectors` has the shape (len(words), DIMENSIONS); `words` is the word
    that each is part of, in lower case; `importance` how much each counts beside others that are as
    rare, above 0."""

    vectors: Vectors
    words: Sequence[str]
    importance: Vectors


def of_passage(text: str) -> Passage:
    """Raises EmbedderError if the model cannot be opened."""
    session, vocabulary = minilm.opened()
    pieces = vocabulary.numbers(text)[:LONGEST_PASSAGE]
    kept = [
        (_said(minilm.states(session, part)) @ projection().matrix)[telling()[list(part)]]
        for part in _parts(pieces)
    ]
    return packed(np.concatenate(kept)) if kept else Passage(b"", [])


def packed(vectors: Vectors) -> Passage:
    """Of tokens brought to the dimensions of the projection. Shape (number, DIMENSIONS)."""
    nearest = (vectors @ projection().centroids.T).argmax(axis=1)
    return Passage(_rounded(_pooled(vectors)), np.unique(nearest).tolist())


def pooled(vectors: bytes) -> bytes:
    """Of a passage WITH_ALL_TOKENS."""
    return _rounded(_pooled(_levels(vectors) * projection().steps))


def _pooled(vectors: Vectors) -> Vectors:
    """A token that is ALIKE one before it is one with the nearest of those: their mean."""
    of_length_1 = _normed(vectors)
    near = np.tril(of_length_1 @ of_length_1.T, -1)
    into = np.arange(len(near))
    first = np.ones(len(near), bool)
    for token in np.flatnonzero((near >= ALIKE).any(axis=1)).tolist():
        nearest = int((near[token] * first).argmax())
        if near[token, nearest] >= ALIKE:
            into[token], first[token] = nearest, False
    sums = np.zeros_like(vectors)
    np.add.at(sums, into, vectors)
    sums[first] /= np.bincount(into, minlength=len(into))[first, None]
    return sums[first]


def _rounded(vectors: Vectors) -> bytes:
    levels = np.clip(np.floor(vectors / projection().steps) + LEVELS // 2, 0, LEVELS - 1)
    halves = levels.astype(np.uint8)
    rounded: bytes = (halves[:, :WIDTH] + halves[:, WIDTH:] * LEVELS).tobytes()
    return rounded


def packed_centroids(centroids: Sequence[int]) -> bytes:
    return np.array(centroids, CENTROID).tobytes()


def unpacked_centroids(packed: bytes) -> NDArray[np.intp]:
    return np.frombuffer(packed, CENTROID).astype(np.intp)


def of_query(text: str) -> AskedTokens:
    """Raises EmbedderError if the model cannot be opened."""
    vocabulary = minilm.opened().vocabulary
    pieces = vocabulary.numbers(text)[:LONGEST_QUERY]
    words = [*_words([vocabulary.vocabulary[piece] for piece in pieces])]
    said = _said(minilm.states_of_query(tuple(pieces)))
    matrix, importance = projection().matrix, projection().importance
    return AskedTokens(_normed(said @ matrix), words, np.exp(said @ importance))


def nearness(asked: Vectors, passages: Sequence[bytes]) -> Vectors:
    """How near the nearest token of each passage is to each of those asked for, by their cosine.
    Shape (len(asked), len(passages)); no passage may be empty."""
    starts = np.cumsum([0, *(len(passage) // WIDTH for passage in passages[:-1])])
    levels = _levels(b"".join(passages))
    steps = projection().steps
    asked = asked * steps
    products = np.ascontiguousarray((levels @ asked.T).T)
    np.multiply(levels, levels, out=levels)
    products /= np.sqrt(levels @ (steps * steps))
    found: Vectors = np.maximum.reduceat(products, starts, axis=1)
    return found


def _levels(passages: bytes) -> Vectors:
    """Of each number of each token, from the middle. Shape (tokens, DIMENSIONS)."""
    both = np.frombuffer(passages, np.uint8).reshape(-1, WIDTH)
    levels = np.empty((len(both), DIMENSIONS), np.float32)
    levels[:, :WIDTH] = both & (LEVELS - 1)
    levels[:, WIDTH:] = both // LEVELS
    levels -= np.float32((LEVELS - 1) / 2)
    return levels


@cache
def projection() -> Projection:
    kept = np.load(PROJECTION)
    return Projection(
        kept["matrix"].astype(np.float32),
        kept["spread"].astype(np.float32) * (2 * REACH / LEVELS),
        kept["importance"].astype(np.float32),
        _normed(kept["centroids"].astype(np.float32)),
        kept["shares"].astype(np.float32),
    )


def _said(states: Vectors) -> Vectors:
    """What the model says of each token but the marks, of the length 1."""
    return _normed(states[1:-1])


def _parts(pieces: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(pieces), minilm.CONTEXT):
        yield pieces[start : start + minilm.CONTEXT]


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
