"""Embedding by servers with an OpenAI-compatible interface.

Such a server says little of its model, so what is not set is found out by asking: how long a text
may be, and what happens to a longer one. Most refuse it, so texts can be sent together, and the one
that is too long is found. Of a server that cuts texts off silently, only texts that surely fit are
sent together; of each other one its own count decides. A model has no digest (TEI alone has one),
so hosts are compared by their vectors of one text. Nobody can tell whether a model was replaced by
another one of the same name.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

import numpy as np

from ingestion.embedding.base import EmbedderSettings, Vectors
from ingestion.embedding.host import Host, Model, Suspicion
from ingestion.embedding.openai_host import OpenAIHost, parse_url
from ingestion.embedding.served import (
    LEARNED_CONTEXT,
    MARKS,
    UNKNOWN_CONTEXT,
    ServedEmbedder,
    answering,
    different,
    indexed_dimensions,
    noted,
    out_of_hosts,
)
from ingestion.embedding.wordpiece import TokenBound
from ingestion.exceptions import ConfigError, EmbedderError

logger = logging.getLogger(__name__)

SAMPLE = "Zähle 3 words, x_y.z(): the same text for each host."
SAME = 0.99
"""The cosine of two vectors of one text and model, though made on different machines."""

TRIED = (4096, 2048, 1024, 512, 256)
KEPT_SECONDS = 600.0
"""For which what was found out of a server is believed: probes ask often."""


class Window(NamedTuple):
    """The tokens that a text may have, and those up to which no text is cut off silently."""

    tokens: int
    sure: float


class OpenAIEmbedder(ServedEmbedder):
    provider = "openai"

    def __init__(
        self,
        settings: EmbedderSettings,
        hosts: Sequence[OpenAIHost],
        model: Model,
        digest: str,
        window: Window,
        sample: Vectors,
    ) -> None:
        context = window.tokens - MARKS
        super().__init__(settings, hosts, model, digest, TokenBound(), context)
        self.sure = window.sure - MARKS
        self.sample = sample

    @classmethod
    def open(cls, settings: EmbedderSettings) -> OpenAIEmbedder:
        """Ask one host for a vector, and how long a text may be; compare the others with it.

        A host that does not answer is left for later, as long as one does. Raises
        EmbedderUnavailable when none answers; EmbedderError when one refuses the key or the model,
        when they hold different ones, when the context that is set is more than the model has, and
        when its vectors are too long to be indexed.
        """
        if not settings.hosts:
            raise ConfigError("Set EMBEDDING_URL to the server, such as http://127.0.0.1:8000/v1.")
        if not settings.model:
            raise ConfigError("Set EMBEDDING_MODEL to the name of the model on EMBEDDING_URL.")
        addresses = dict.fromkeys(map(parse_url, settings.hosts))
        hosts = [OpenAIHost(one, settings.timeout, settings.key) for one in addresses]
        return _preflight(settings, hosts)

    def _admit(self, host: Host) -> None:
        """A host that was away may have come back with another model."""
        if not host.proven:
            if not _is_same(host, self.asked, self.sample):
                raise EmbedderError(different(self.model, [host]))
            super()._admit(host)


def _preflight(settings: EmbedderSettings, hosts: list[OpenAIHost]) -> OpenAIEmbedder:
    failures: list[EmbedderError] = []
    opened: OpenAIEmbedder | None = None
    for host, (name, digest) in answering(hosts, settings.model).items():
        with noted(host, failures):
            if opened is None:
                opened = _opened(settings, hosts, host, name, digest)
            elif not _is_same(host, opened.asked, opened.sample):
                raise EmbedderError(different(name, hosts))
    if opened is None:
        raise out_of_hosts(hosts[0], failures)
    return opened


def _opened(
    settings: EmbedderSettings, hosts: list[OpenAIHost], host: OpenAIHost, name: str, digest: str
) -> OpenAIEmbedder:
    model = Model(name, {})
    model = model._replace(dimensions=indexed_dimensions(host, model))
    window = WINDOWS.of(host, model, settings.context)
    return OpenAIEmbedder(settings, hosts, model, digest, window, _vector(host, model))


def _vector(host: Host, model: Model) -> Vectors:
    try:
        row: Vectors = host.embed(model, [SAMPLE])[0][0]
    except Suspicion as suspicion:
        raise host.down(suspicion) from suspicion
    return row


def _is_same(host: Host, model: Model, sample: Vectors) -> bool:
    found = _vector(host, model._replace(dimensions=0))
    return found.shape == sample.shape and bool(np.dot(found, sample) > SAME)


class Windows:
    """What was found out of each server and model, for a while. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[tuple[str, str, int], tuple[float, Window]] = {}

    def of(self, host: OpenAIHost, model: Model, wanted: int) -> Window:
        """`wanted` is the context that is set, or 0. Raises EmbedderError if it is too large."""
        key = (host.url, model.name, wanted)
        with self.lock:
            asked, found = self.known.get(key, (-math.inf, Window(0, 0)))
        if time.monotonic() - asked > KEPT_SECONDS:
            found = _window(host, model, wanted)
            with self.lock:
                self.known[key] = time.monotonic(), found
        return found


WINDOWS = Windows()


class Fate(Enum):
    """What happens to a text."""

    WHOLE = auto()
    CUT = auto()
    REFUSED = auto()
    UNSAID = auto()


def _window(host: OpenAIHost, model: Model, wanted: int) -> Window:
    said = host.facts(model.name).window
    if wanted and said and wanted > said:
        raise EmbedderError(
            f"EMBEDDING_CONTEXT is {wanted} tokens, but {model.name} has {said} on {host.url}: "
            "set that or less."
        )
    if not said and not wanted:
        return _tried(host, model)
    tokens = wanted or min(said, LEARNED_CONTEXT)
    if _fate(host, model, tokens) in (Fate.CUT, Fate.REFUSED):
        raise EmbedderError(
            f"{host.url} does not read a text of {tokens} tokens whole with {model.name}: set "
            "EMBEDDING_CONTEXT to what it reads."
        )
    return Window(tokens, said if said >= 2 * tokens else _sure(host, model, tokens))


def _sure(host: OpenAIHost, model: Model, tokens: int) -> float:
    fate = _fate(host, model, 2 * tokens)
    return {Fate.REFUSED: math.inf, Fate.WHOLE: 2 * tokens}.get(fate, tokens)


def _tried(host: OpenAIHost, model: Model) -> Window:
    """Nobody says it: ask for texts of several lengths."""
    sure = 0.0
    for tokens in TRIED:
        fate = _fate(host, model, tokens)
        sure = math.inf if fate is Fate.REFUSED else sure
        if fate is Fate.WHOLE:
            return Window(min(tokens, LEARNED_CONTEXT), max(sure, tokens))
    logger.warning(
        "%s does not say how many tokens it reads: %s are assumed. Set EMBEDDING_CONTEXT to what "
        "the model has.",
        host.url,
        UNKNOWN_CONTEXT,
    )
    return Window(UNKNOWN_CONTEXT, max(sure, UNKNOWN_CONTEXT))


def _fate(host: OpenAIHost, model: Model, tokens: int) -> Fate:
    """Of a text of so many tokens. What is refused twice without a reason is too long as well."""
    words = tokens - 4 * MARKS
    for _ in range(2):
        try:
            _, read = host.embed(model, ["word " * words])
        except Suspicion as suspicion:
            if suspicion.slow:
                raise host.down(suspicion) from suspicion
            if suspicion.too_long:
                break
        else:
            return Fate.WHOLE if read >= words else Fate.CUT if read else Fate.UNSAID
    return Fate.REFUSED
