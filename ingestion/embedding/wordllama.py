"""wordllama: static token embeddings that come in the package's wheel, so nothing is downloaded.

The weights and the tokenizer are read where the wheel put them. The library itself is not
imported: on import it sets up the root logger, and it pads a batch to its longest text, which
takes gigabytes when one long text meets many short ones. Its vectors are the means of a text's
token rows, and so are these (a test compares the two).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from ingestion.embedding.base import EmbedderSettings, Vectors
from ingestion.embedding.checks import BadVectors, check_texts, checked
from ingestion.embedding.lanes import Lane
from ingestion.embedding.pace import FIRST, Pace, fixed
from ingestion.exceptions import EmbedderError, TextRejected, TextTooLong
from ingestion.text import tokenizer as measured

MODEL = "l2_supercat"
WEIGHTS = f"weights/{MODEL}_256.safetensors"
REINSTALL = "install the version that requirements.txt names (pip install -r requirements.txt)."

DIMENSIONS = 256
CONTEXT = 16384
CHUNK_LIMIT = 8192
"""A mean has no longest text, but says less the more is in it: these only bound the memory."""


class Weights(NamedTuple):
    rows: Vectors
    tokenizer: Tokenizer
    digest: str


class WordLlamaEmbedder:
    provider = "wordllama"
    model = MODEL
    context = CONTEXT
    tokens: measured.Tokens = measured.WORDLLAMA
    chunk_limit = CHUNK_LIMIT
    document_prefix = ""
    query_prefix = ""
    concurrency = 1
    in_passing = True

    def __init__(self, weights: Weights, batch_size: int) -> None:
        self.rows, _, self.digest = weights
        self.dimensions = int(self.rows.shape[1])
        self.batch_size = batch_size

    @classmethod
    def open(cls, settings: EmbedderSettings) -> WordLlamaEmbedder:
        """Raises EmbedderError when the wheel's files are missing or the model is another one."""
        if settings.model not in ("", MODEL):
            raise EmbedderError(
                f"wordllama carries no model {settings.model!r}: name {MODEL!r}, or choose the "
                "provider ollama."
            )
        return cls(_weights(), settings.batch_size or FIRST.size)

    def embed(self, texts: Sequence[str]) -> Vectors:
        check_texts(texts)
        means = np.stack([self._mean(measured.WORDLLAMA.numbers(text)) for text in texts])
        try:
            return checked(means, len(texts), self.dimensions)
        except BadVectors as problem:
            raise TextRejected(f"wordllama gave {problem}.") from None

    def lanes(self) -> list[Lane]:
        pace = Pace(fixed(self.batch_size, self.concurrency))
        return [Lane(self.embed, self.dimensions, pace)]

    def embed_query(self, text: str) -> Vectors:
        row: Vectors = self.embed([text])[0]
        return row

    def _mean(self, ids: list[int]) -> Vectors:
        if len(ids) > CONTEXT:
            raise TextTooLong(f"The text has {len(ids)} tokens, above the limit of {CONTEXT}.")
        mean: Vectors = np.add.reduce(self.rows.take(ids, axis=0)) / len(ids)
        return mean


def word_vectors(words: Sequence[str]) -> Vectors:
    """The vectors of single words, of length 1 (of 0 without a token).
    Shape (len(words), DIMENSIONS)."""
    rows, tokenizer, _ = _weights()
    means = np.zeros((len(words), DIMENSIONS), np.float32)
    encodings = tokenizer.encode_batch_fast(list(words), add_special_tokens=False)
    for mean, encoding in zip(means, encodings, strict=True):
        if encoding.ids:
            rows[encoding.ids].mean(axis=0, out=mean)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    means /= np.maximum(lengths, 1e-9)
    return means


@cache
def _weights() -> Weights:
    """The token rows (float32), the tokenizer and the SHA-256 of the weights file."""
    weights = _file(WEIGHTS)
    try:
        rows = load_file(weights)["embedding.weight"].astype(np.float32)
        tokenizer = measured.tokenizer()  # which chunks are measured with as well
    except Exception as error:  # both libraries raise bare Exceptions of their own
        raise EmbedderError(f"wordllama's files cannot be read ({error}): {REINSTALL}") from error
    if tokenizer.get_vocab_size() > len(rows):
        raise EmbedderError(f"wordllama's weights and tokenizer do not match: {REINSTALL}")
    return Weights(rows, tokenizer, hashlib.sha256(weights.read_bytes()).hexdigest())


def _file(name: str) -> Path:
    path = measured.installed_file("wordllama", name)
    if path is None:
        raise EmbedderError(f"wordllama's {name} is not installed: {REINSTALL}")
    return path
