"""Embedding by servers over HTTP: which one is asked, how often, and whose fault it was.

No text longer than the model's context is ever sent, or else the answer is not used. Texts are
counted here if the model's tokens are known (`ingestion.embedding.wordpiece`); if they can only be
bounded, one that may be too long is sent alone, and the server's own count of it decides. Servers
count without the model's begin and end marks, or cut off silently when there is no room left for
them: so two tokens are kept free.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar, TypeVar

import numpy as np

from ingestion.embedding.base import EmbedderSettings, Vectors
from ingestion.embedding.checks import MAX_DIMENSIONS, check_texts
from ingestion.embedding.host import Host, HostDown, Model, Suspicion
from ingestion.embedding.lanes import Lane
from ingestion.embedding.pace import FIRST, Limits, Pace
from ingestion.embedding.prefixes import prefixes_of
from ingestion.embedding.wordpiece import TokenBound
from ingestion.exceptions import EmbedderError, EmbedderUnavailable, TextRejected, TextTooLong
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

H = TypeVar("H", bound=Host)


class Hosts:
    """Which server is asked next: the least busy one, in turn; failed ones last."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.all = list(hosts)
        self.lock = threading.Lock()
        self.turns = 0

    def pick(self, tried: set[Host], *, failed_too: bool, first: Host | None = None) -> Host | None:
        """The `first` one, unless it was tried or failed lately."""
        with self.lock:
            healthy = [host for host in self.all if not host.is_away()]
            choice = self.all if failed_too or not healthy else healthy
            untried = [host for host in choice if host not in tried]
            if not untried:
                return None
            host = first if first in untried else min(untried, key=_order)
            self.turns += 1
            host.turn = self.turns
            host.in_flight += 1
            return host

    @contextmanager
    def watched(self, host: Host) -> Iterator[None]:
        """What fails in here marks the host as failed, unless a text is at fault."""
        failure: EmbedderError | None = None
        try:
            yield
        except TextRejected:
            raise
        except EmbedderError as error:
            failure = error
            skipped = _skipped_seconds(error)
            logger.warning("%s host skipped for %g s: %s", host.kind, skipped, error)
            raise
        finally:
            with self.lock:
                host.in_flight -= 1
                host.failed_until = time.monotonic() + skipped if failure else 0.0
                host.proven = host.proven and failure is None


def _order(host: Host) -> tuple[bool, int, int]:
    return host.is_away(), host.in_flight, host.turn


def _skipped_seconds(error: EmbedderError) -> float:
    """A server that has too much to do may say when it wants to be asked again."""
    return getattr(error, "retry_after", 0.0) or SKIPPED_SECONDS


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


class ServedEmbedder:
    """What all that embed by a server have in common. Up to `sure` tokens, the server reads a text
    whole or refuses it."""

    provider: ClassVar[str]
    in_passing = False

    def __init__(
        self,
        settings: EmbedderSettings,
        hosts: Sequence[Host],
        model: Model,
        digest: str,
        count: Callable[[str], int],
        context: int,
    ) -> None:
        prefixes = prefixes_of(settings.model)
        self.document_prefix = chosen(settings.document_prefix, prefixes.document)
        self.query_prefix = chosen(settings.query_prefix, prefixes.query)
        self.model = model.name
        self.digest = digest
        self.dimensions = model.dimensions
        self.context = context
        self.sure: float = context
        self.batch_size = settings.batch_size or FIRST.size
        self.concurrency = (settings.concurrency or FIRST.at_once) * len(hosts)
        self.hosts = Hosts(hosts)
        self.gate = Gate()
        self.asked = model
        self.count = count
        self.tokens: Tokens = count if isinstance(count, Tokens) else WORDLLAMA
        self.chunk_limit = chunk_limit(self.context, self.document_prefix, count)
        self._set_limits(settings)

    def _set_limits(self, settings: EmbedderSettings) -> None:
        numbers = self.dimensions * len(self.hosts.all)
        limits = Limits.of(settings.batch_size, settings.concurrency, settings.timeout, numbers)
        for host in self.hosts.all:
            host.pace = Pace(limits)

    def lanes(self) -> list[Lane]:
        return [self._lane(host) for host in self.hosts.all]

    def _lane(self, host: Host) -> Lane:
        embed = partial(self._embed_documents, first=host)
        return Lane(embed, self.dimensions, host.pace, host.url, host.is_away)

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._embed_documents(texts)

    def embed_query(self, text: str) -> Vectors:
        check_texts([text])
        row: Vectors = self._embed([self.query_prefix + text])[0]
        return row

    def _embed_documents(self, texts: Sequence[str], first: Host | None = None) -> Vectors:
        check_texts(texts)
        return self._embed([self.document_prefix + text for text in texts], first)

    def _embed(self, texts: list[str], first: Host | None = None) -> Vectors:
        """With `first`, that host is asked before all others."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for request in self._requests(texts, first):
            vectors[request] = self._request([texts[index] for index in request], first)
        return vectors

    def _requests(self, texts: list[str], first: Host | None) -> Iterator[list[int]]:
        """Which texts are asked for together; one that may be too long goes alone."""
        fitting = []
        for index, text in enumerate(texts):
            if self._is_sure(text):
                fitting.append(index)
            elif isinstance(self.count, Tokens):
                raise TextTooLong(self._too_long(self.count(text)))
            else:
                yield [index]
        while fitting:
            size = self._largest_request(first)
            yield fitting[:size]
            fitting = fitting[size:]

    def _is_sure(self, text: str) -> bool:
        if isinstance(self.count, TokenBound):
            return self.count.within(text, self.sure)
        return self.count(text) <= self.sure

    def _largest_request(self, first: Host | None) -> int:
        return first.pace.size if first else min(host.pace.size for host in self.hosts.all)

    def _too_long(self, tokens: int) -> str:
        return (
            f"The text has {tokens} tokens of {self.model}, above its context of {self.context}: "
            "lower CHUNK_SIZE, or choose a model with a larger context."
        )

    def _request(self, texts: list[str], first: Host | None) -> Vectors:
        """Ask the hosts in turn, and a few times over when they fail at once; wait longer if they
        say that they have too much to do, and until when.

        Raises TextRejected when a host does well without the texts, and otherwise, within
        `2 * timeout` seconds a host, EmbedderUnavailable or EmbedderError.
        """
        patience = self.hosts.all[0].timeout
        for round_, pause in enumerate(PAUSES):
            time.sleep(pause * random.uniform(0.8, 1.2))
            found, failures = self._round(texts, first, failed_too=round_ > 0)
            while found is None and 0 < (wait := _asked_to_wait(failures)) <= patience:
                patience -= wait
                time.sleep(wait * random.uniform(1.0, 1.1))
                found, failures = self._round(texts, first, failed_too=True)
            if found is not None:
                return found
            if any(getattr(error, "slow", False) for error in failures):
                break
        raise self._out_of_hosts(failures)

    def _round(
        self, texts: list[str], first: Host | None, *, failed_too: bool
    ) -> tuple[Vectors | None, list[EmbedderError]]:
        """The vectors, or why each host has none. Raises TextRejected."""
        failures: list[EmbedderError] = []
        tried: set[Host] = set()
        while host := self.hosts.pick(tried, failed_too=failed_too, first=first):
            tried.add(host)
            try:
                with self.hosts.watched(host):
                    return self._ask(host, texts), []
            except TextRejected:
                raise
            except EmbedderError as error:
                failures.append(error)
        return None, failures

    def _ask(self, host: Host, texts: list[str]) -> Vectors:
        sent = time.monotonic()
        try:
            with self.gate.together():
                self._admit(host)
                sent = time.monotonic()
                vectors, read = host.embed(self.asked, texts)
                host.pace.answered(len(texts), sum(map(len, texts)), sent)
        except HostDown as down:
            if down.busy:
                host.pace.too_many(sent)
            raise
        except Suspicion as suspicion:
            with self.gate.alone():
                vectors, read = self._try_alone(host, texts, suspicion)
        if len(texts) == 1 and self.count(texts[0]) > self.sure and not 0 < read <= self.context:
            raise TextTooLong(self._too_long(read or self.count(texts[0])))
        return vectors

    def _admit(self, host: Host) -> None:
        """A host that was away may have come back with another model."""
        if not host.proven:
            if host.find(self.model)[1] != self.digest:
                raise EmbedderError(different(self.model, [host]))
            host.proven = True

    def _try_alone(self, host: Host, texts: list[str], suspicion: Suspicion) -> tuple[Vectors, int]:
        """Ask once more, unless it was slow or too much, and then whether the host is well."""
        hopeless = suspicion.slow or suspicion.too_long or (suspicion.too_much and len(texts) > 1)
        again = 0 if hopeless else 1 if len(texts) > 1 else 2
        for _ in range(again):
            try:
                return host.embed(self.asked, texts)
            except Suspicion as next_suspicion:
                suspicion = next_suspicion
        if suspicion.too_long:
            raise TextTooLong(self._refused(texts[0], suspicion)) from suspicion
        try:
            host.prove(self.asked)
        finally:
            if suspicion.slow or suspicion.too_much:
                _ask_for_less(host, len(texts), suspicion)
        raise TextRejected(
            f"{host.url} cannot embed it: {suspicion}, while other texts work."
        ) from suspicion

    def _refused(self, text: str, suspicion: Suspicion) -> str:
        tokens = self.count(text)
        if tokens > self.context:
            return self._too_long(tokens)
        return f"{suspicion}: lower CHUNK_SIZE, or choose a model with a larger context."

    def _out_of_hosts(self, failures: Iterable[EmbedderError]) -> EmbedderError:
        return out_of_hosts(self.hosts.all[0], failures)


def _ask_for_less(host: Host, texts: int, suspicion: Suspicion) -> None:
    """Ask for batches in halves from now on, so that a slow host gets on."""
    if not host.pace.too_much(texts, for_good=suspicion.too_much):
        return
    what = "took too long over" if suspicion.slow else "cannot take"
    logger.warning(
        "%s %s %s texts: from now on %s at once. "
        "Lower EMBEDDING_BATCH_SIZE or raise EMBEDDING_TIMEOUT.",
        host.kind,
        what,
        texts,
        host.pace.size,
    )


def _asked_to_wait(failures: Sequence[EmbedderError]) -> float:
    """The seconds after which a host wants to be asked again; 0 if none says so."""
    waits = [getattr(error, "retry_after", 0.0) for error in failures]
    return min((wait for wait in waits if wait), default=0.0)


def chunk_limit(context: int, prefix: str, count: Callable[[str], int]) -> int:
    """The tokens that a chunk may have in a `context` of the model's, measured in the model's own
    if they are known, else in the product's.

    It depends on the model alone: another limit re-makes every document.
    """
    room = context - (count(prefix) if prefix else 0)
    return room if isinstance(count, Tokens) else int(room / TOKENS_PER_TOKEN)


def answering(hosts: Sequence[H], model: str) -> dict[H, tuple[str, str]]:
    """Of each host that answers, the model's name there and what it is known by.

    A host that does not answer is left out for now. Raises EmbedderUnavailable if none answers,
    EmbedderError if one lacks the model, or they have different ones.
    """
    failures: list[EmbedderError] = []
    found: dict[H, tuple[str, str]] = {}
    for host in hosts:
        with noted(host, failures):
            found[host] = host.find(model)
            host.proven = True
    if len({digest for _, digest in found.values()}) > 1:
        raise EmbedderError(different(model, list(found)))
    if not found:
        raise out_of_hosts(hosts[0], failures)
    return found


@contextmanager
def noted(host: Host, failures: list[EmbedderError]) -> Iterator[None]:
    """A host that is away is asked again later; one that is set up wrongly stops everything."""
    try:
        yield
    except EmbedderUnavailable as error:
        host.failed_until = time.monotonic() + SKIPPED_SECONDS
        failures.append(error)
        logger.warning("%s host left out for now: %s", host.kind, error)


def indexed_dimensions(host: Host, model: Model) -> int:
    """As a real embedding has them. Raises EmbedderError when they are too many to be indexed."""
    dimensions = host.prove(model)
    if dimensions > MAX_DIMENSIONS:
        raise EmbedderError(
            f"{model.name} gives vectors of {dimensions} dimensions, and pgvector indexes at most "
            f"{MAX_DIMENSIONS}: choose another model."
        )
    return dimensions


def out_of_hosts(host: Host, failures: Iterable[EmbedderError]) -> EmbedderError:
    """What to raise if no host can be used; `host` is one of them."""
    reasons = list(failures)
    text = "; ".join(map(str, reasons))
    if any(isinstance(reason, EmbedderUnavailable) for reason in reasons):
        return EmbedderUnavailable(f"No {host.kind} host can be used. {text}. {host.advice}")
    return EmbedderError(text)


def different(model: str, hosts: Sequence[Host]) -> str:
    where = ", ".join(host.url for host in hosts)
    return (
        f"The model {model!r} is not the same everywhere ({where}): {hosts[0].same(model)} "
        "each host, or name one host only."
    )


def chosen(setting: str | None, default: str) -> str:
    return default if setting is None else setting
