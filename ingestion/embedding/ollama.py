"""Embedding by Ollama servers, through the client library `ollama`.

No text longer than the model's context is ever sent, or else the answer is not used:
`num_ctx` is sent with each request, so that the server's own default does not matter, with
`truncate` off; `num_batch` goes with it, since servers read a text in one batch and die on a longer
one. A server counts without the model's begin and end marks, cuts off silently when there is no
room left for them, and without `num_ctx` its runner dies then: so two tokens are kept free. Texts
are counted here (`ingestion.embedding.wordpiece`); if they can only be bounded, one that may be
too long is sent alone, and the server's own count of it decides.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ingestion.embedding.base import EmbedderSettings, Vectors
from ingestion.embedding.checks import MAX_DIMENSIONS, check_texts
from ingestion.embedding.ollama_host import Model, OllamaHost, Suspicion, parse_host
from ingestion.embedding.prefixes import prefixes_of
from ingestion.embedding.wordpiece import TokenBound, word_piece_count
from ingestion.exceptions import (
    ConfigError,
    EmbedderError,
    EmbedderUnavailable,
    TextRejected,
    TextTooLong,
)
from ingestion.text.tokenizer import WORDLLAMA, Tokens

logger = logging.getLogger(__name__)

MARKS = 2
"""Tokens that a model puts around a text (begin and end)."""

LEARNED_CONTEXT = 2048
"""The most that is asked of a model when nothing is set: larger ones need more memory, and current
servers read at most so many tokens of a text (github.com/ollama/ollama/issues/16582, 14259)."""

UNKNOWN_CONTEXT = 512
TOKENS_PER_TOKEN = 1.5
"""Tokens of a model whose own cannot be counted here, for one of the product's. With BERT's, over
12,000 pieces of documentation and programs of 900 characters: median 0.98, 99.5 % at most 1.5, the
worst 2.3 (rulers of "=" and "/")."""

PAUSES = (0.0, 0.5, 2.0)
"""Seconds before each round over the hosts: a short blip is waited for, an outage is reported."""

SKIPPED_SECONDS = 30.0
COUNTED = "Zähle 3 words, x_y.z(): [0x1F] naïve — “q” ... ==== unbelievably"


class Hosts:
    """Which server is asked next: the least busy one, in turn; failed ones last."""

    def __init__(self, hosts: Sequence[OllamaHost]) -> None:
        self.all = list(hosts)
        self.lock = threading.Lock()
        self.turns = 0

    def pick(self, tried: set[OllamaHost], *, failed_too: bool) -> OllamaHost | None:
        with self.lock:
            now = time.monotonic()
            healthy = [host for host in self.all if host.failed_until <= now]
            choice = self.all if failed_too or not healthy else healthy
            untried = [host for host in choice if host not in tried]
            if not untried:
                return None
            host = min(untried, key=lambda h: (h.failed_until > now, h.in_flight, h.turn))
            self.turns += 1
            host.turn = self.turns
            host.in_flight += 1
            return host

    @contextmanager
    def watched(self, host: OllamaHost) -> Iterator[None]:
        """What fails in here marks the host as failed, unless a text is at fault."""
        failure: EmbedderError | None = None
        try:
            yield
        except TextRejected:
            raise
        except EmbedderError as error:
            failure = error
            logger.warning("Ollama host skipped for %g s: %s", SKIPPED_SECONDS, error)
            raise
        finally:
            with self.lock:
                host.in_flight -= 1
                host.failed_until = time.monotonic() + SKIPPED_SECONDS if failure else 0.0
                host.proven = host.proven and failure is None


class Gate:
    """Requests pass together, or one alone: who kills the runner takes down those beside it."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.inside = 0
        self.closed = False

    @contextmanager
    def together(self) -> Iterator[None]:
        with self.condition:
            self.condition.wait_for(lambda: not self.closed)
            self.inside += 1
        try:
            yield
        finally:
            with self.condition:
                self.inside -= 1
                self.condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self.condition:
            self.condition.wait_for(lambda: not self.closed)
            self.closed = True
            self.condition.wait_for(lambda: not self.inside)
        try:
            yield
        finally:
            with self.condition:
                self.closed = False
                self.condition.notify_all()


class OllamaEmbedder:
    provider = "ollama"
    in_passing = False

    def __init__(
        self,
        settings: EmbedderSettings,
        hosts: Sequence[OllamaHost],
        model: Model,
        digest: str,
        count: Callable[[str], int],
    ) -> None:
        prefixes = prefixes_of(settings.model)
        self.document_prefix = _chosen(settings.document_prefix, prefixes.document)
        self.query_prefix = _chosen(settings.query_prefix, prefixes.query)
        self.model = model.name
        self.digest = digest
        self.dimensions = model.dimensions
        self.context = model.options["num_ctx"] - MARKS
        self.batch_size = settings.batch_size
        self.concurrency = settings.concurrency * len(hosts)
        self.hosts = Hosts(hosts)
        self.gate = Gate()
        self.asked = model
        self.count = count
        self.largest_request = settings.batch_size
        self.tokens: Tokens = count if isinstance(count, Tokens) else WORDLLAMA
        self.chunk_limit = chunk_limit(self.context, self.document_prefix, count)

    @classmethod
    def open(cls, settings: EmbedderSettings) -> OllamaEmbedder:
        """Ask every host for the model, and one for its facts.

        A host that does not answer is left for later, as long as one does. Raises
        EmbedderUnavailable when none answers; EmbedderError when one lacks the model, when they
        hold different ones, when the context that is set is more than the model has, and when its
        vectors are too long to be indexed.
        """
        if not settings.model:
            raise ConfigError("Ollama needs a model: name one, such as qwen3-embedding:0.6b.")
        addresses = dict.fromkeys(parse_host(host) for host in settings.hosts)
        if not addresses:
            raise ConfigError("Ollama needs a host: set OLLAMA_HOST, such as 127.0.0.1:11434.")
        hosts = [OllamaHost(address, settings.timeout) for address in addresses]
        return _preflight(settings, hosts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        check_texts(texts)
        return self._embed([self.document_prefix + text for text in texts])

    def embed_query(self, text: str) -> Vectors:
        check_texts([text])
        row: Vectors = self._embed([self.query_prefix + text])[0]
        return row

    def _embed(self, texts: list[str]) -> Vectors:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for request in self._requests(texts):
            vectors[request] = self._request([texts[index] for index in request])
        return vectors

    def _requests(self, texts: list[str]) -> Iterator[list[int]]:
        """Which texts are asked for together; one that may be too long goes alone."""
        fitting = []
        for index, text in enumerate(texts):
            tokens = self.count(text)
            if tokens <= self.context:
                fitting.append(index)
            elif isinstance(self.count, Tokens):
                raise TextTooLong(self._too_long(tokens))
            else:
                yield [index]
        while fitting:
            size = self.largest_request
            yield fitting[:size]
            fitting = fitting[size:]

    def _too_long(self, tokens: int) -> str:
        return (
            f"The text has {tokens} tokens of {self.model}, above its context of {self.context}: "
            "lower CHUNK_SIZE, or choose a model with a larger context."
        )

    def _request(self, texts: list[str]) -> Vectors:
        """Ask the hosts in turn, and a few times over when they fail at once.

        Raises TextRejected when a host does well without the texts, and otherwise, within
        `2 * timeout` seconds a host, EmbedderUnavailable or EmbedderError.
        """
        failures: dict[str, EmbedderError] = {}
        for round_, pause in enumerate(PAUSES):
            time.sleep(pause * random.uniform(0.8, 1.2))
            slow = False
            tried: set[OllamaHost] = set()
            while host := self.hosts.pick(tried, failed_too=round_ > 0):
                tried.add(host)
                try:
                    with self.hosts.watched(host):
                        return self._ask(host, texts)
                except TextRejected:
                    raise
                except EmbedderError as error:
                    failures[host.url] = error
                    slow = slow or getattr(error, "slow", False)
            if slow:
                break
        raise _out_of_hosts(failures.values())

    def _ask(self, host: OllamaHost, texts: list[str]) -> Vectors:
        try:
            with self.gate.together():
                self._admit(host)
                started = time.monotonic()
                vectors, read = host.embed(self.asked, texts)
                self._ask_for_more(len(texts), (time.monotonic() - started) / host.timeout)
        except Suspicion as suspicion:
            with self.gate.alone():
                vectors, read = self._try_alone(host, texts, suspicion)
        if len(texts) == 1 and self.count(texts[0]) > self.context and not 0 < read <= self.context:
            raise TextTooLong(self._too_long(read or self.count(texts[0])))
        return vectors

    def _admit(self, host: OllamaHost) -> None:
        """A host that was away may have come back with another model."""
        if not host.proven:
            if host.find(self.model)[1] != self.digest:
                raise EmbedderError(_different(self.model, [host]))
            host.proven = True

    def _try_alone(
        self, host: OllamaHost, texts: list[str], suspicion: Suspicion
    ) -> tuple[Vectors, int]:
        """Ask once more, unless it was slow or too long, and then whether the host is well."""
        again = 0 if suspicion.slow or suspicion.too_long else 1 if len(texts) > 1 else 2
        for _ in range(again):
            try:
                return host.embed(self.asked, texts)
            except Suspicion as next_suspicion:
                suspicion = next_suspicion
        if suspicion.too_long:
            raise TextTooLong(self._too_long(self.count(texts[0]))) from suspicion
        try:
            host.prove(self.asked)
        finally:
            if suspicion.slow:
                self._ask_for_less(len(texts))
        raise TextRejected(
            f"{host.url} cannot embed it: {suspicion}, while other texts work."
        ) from suspicion

    def _ask_for_less(self, texts: int) -> None:
        """Ask for batches in halves from now on, so that a slow host gets on."""
        if self.largest_request == 1:
            return
        self.largest_request = max(1, min(self.largest_request, texts // 2))
        logger.warning(
            "Ollama took too long over %s texts: from now on %s at once. "
            "Lower EMBEDDING_BATCH_SIZE or raise EMBEDDING_TIMEOUT.",
            texts,
            self.largest_request,
        )

    def _ask_for_more(self, texts: int, share: float) -> None:
        """What took under a quarter of its time may be twice as much, up to the batch size."""
        if share < 0.25 and texts == self.largest_request < self.batch_size:
            self.largest_request = min(2 * texts, self.batch_size)


def chunk_limit(context: int, prefix: str, count: Callable[[str], int]) -> int:
    """The tokens that a chunk may have in a `context` of the model's, measured in the model's own
    if they are known, else in the product's.

    It depends on the model alone: another limit re-makes every document.
    """
    room = context - (count(prefix) if prefix else 0)
    return room if isinstance(count, Tokens) else int(room / TOKENS_PER_TOKEN)


def _preflight(settings: EmbedderSettings, hosts: list[OllamaHost]) -> OllamaEmbedder:
    failures: list[EmbedderError] = []
    answering: dict[OllamaHost, tuple[str, str]] = {}
    for host in hosts:
        with _noted(host, failures):
            answering[host] = host.find(settings.model)
            host.proven = True
    if len({digest for _, digest in answering.values()}) > 1:
        raise EmbedderError(_different(settings.model, list(answering)))
    for host, (name, digest) in answering.items():
        with _noted(host, failures):
            info, parameters = host.describe(name)
            size = _context(settings, info, parameters)
            model = Model(name, {"num_ctx": size, "num_batch": size})
            model = model._replace(dimensions=_dimensions(host, model))
            if size > LEARNED_CONTEXT:
                _prove_context(host, model)
            return OllamaEmbedder(settings, hosts, model, digest, _counter(host, model, info))
    raise _out_of_hosts(failures)


@contextmanager
def _noted(host: OllamaHost, failures: list[EmbedderError]) -> Iterator[None]:
    """A host that is away is asked again later; one that is set up wrongly stops everything."""
    try:
        yield
    except EmbedderUnavailable as error:
        host.failed_until = time.monotonic() + SKIPPED_SECONDS
        failures.append(error)
        logger.warning("Ollama host left out for now: %s", error)


def _context(settings: EmbedderSettings, info: Mapping[str, Any], parameters: str) -> int:
    """What to ask for as `num_ctx`: what is set, else the model's own, up to LEARNED_CONTEXT."""
    known = info.get(f"{info.get('general.architecture')}.context_length")
    trained = known if isinstance(known, int) and known > 0 else 0
    if settings.context:
        if trained and settings.context > trained:
            raise EmbedderError(
                f"A context of {settings.context} tokens is set, but {settings.model} has "
                f"{trained}: set that or less."
            )
        return settings.context
    own = re.search(r"^num_ctx\s+(\d+)", parameters, re.MULTILINE)
    wanted = int(own[1]) if own else LEARNED_CONTEXT if trained else UNKNOWN_CONTEXT
    return min(wanted, trained or wanted, LEARNED_CONTEXT)


def _dimensions(host: OllamaHost, model: Model) -> int:
    """As a real embedding has them. Raises EmbedderError when they are too many to be indexed."""
    dimensions = host.prove(model)
    if dimensions > MAX_DIMENSIONS:
        raise EmbedderError(
            f"{model.name} gives vectors of {dimensions} dimensions, and pgvector indexes at most "
            f"{MAX_DIMENSIONS}: choose another model."
        )
    return dimensions


def _prove_context(host: OllamaHost, model: Model) -> None:
    """Servers are known to read less than the context they report; a text of that size tells."""
    words = model.options["num_ctx"] - 4 * MARKS
    try:
        _, read = host.embed(model, ["word " * words])
    except Suspicion as suspicion:
        raise EmbedderError(_small_context(host, model, str(suspicion))) from suspicion
    if read < words:
        raise EmbedderError(_small_context(host, model, f"it read {read} tokens"))


def _small_context(host: OllamaHost, model: Model, reason: str) -> str:
    return (
        f"{host.url} does not take a text of {model.options['num_ctx']} tokens for {model.name} "
        f"({reason}): set a smaller context, such as {LEARNED_CONTEXT}."
    )


def _counter(host: OllamaHost, model: Model, info: Mapping[str, Any]) -> Callable[[str], int]:
    """Count tokens as the model does, unless the server counts more in a sample; else bound them.
    A server that does not say how many it reads is not in contradiction."""
    if info.get("tokenizer.ggml.model") == "bert":
        exact = word_piece_count(host.vocabulary(model.name))
        if exact and host.tokens(model, COUNTED) <= exact(COUNTED) + MARKS:
            return exact
        logger.warning("%s: the tokens of %s are bounded, not counted", host.url, model.name)
    return TokenBound()


def _out_of_hosts(failures: Iterable[EmbedderError]) -> EmbedderError:
    reasons = list(failures)
    text = "; ".join(map(str, reasons))
    if any(isinstance(reason, EmbedderUnavailable) for reason in reasons):
        return EmbedderUnavailable(
            f"No Ollama host can be used. {text}. "
            "Start it with `ollama serve`, or correct OLLAMA_HOST."
        )
    return EmbedderError(text)


def _different(model: str, hosts: Sequence[OllamaHost]) -> str:
    where = ", ".join(host.url for host in hosts)
    return (
        f"The model {model!r} is not the same everywhere ({where}): run `ollama pull {model}` on "
        "each host, or name one host only."
    )


def _chosen(setting: str | None, default: str) -> str:
    return default if setting is None else setting
