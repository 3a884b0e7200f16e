"""Embedding by Ollama servers, through the client library `ollama`.

`num_ctx` is sent with each request, so that the server's own default does not matter, with
`truncate` off; `num_batch` goes with it, since servers read a text in one batch and die on a longer
one. Without `num_ctx` a runner that has no room left for the marks of a text dies.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ingestion.embedding.base import EmbedderSettings
from ingestion.embedding.host import Model, Suspicion, parse_host
from ingestion.embedding.ollama_host import OllamaHost
from ingestion.embedding.served import (
    LEARNED_CONTEXT,
    MARKS,
    UNKNOWN_CONTEXT,
    ServedEmbedder,
    answering,
    indexed_dimensions,
    noted,
    out_of_hosts,
)
from ingestion.embedding.wordpiece import TokenBound, word_piece_count
from ingestion.exceptions import ConfigError, EmbedderError

logger = logging.getLogger(__name__)

COUNTED = "Zähle 3 words, x_y.z(): [0x1F] naïve — “q” ... ==== unbelievably"


class OllamaEmbedder(ServedEmbedder):
    provider = "ollama"

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


def _preflight(settings: EmbedderSettings, hosts: Sequence[OllamaHost]) -> OllamaEmbedder:
    failures: list[EmbedderError] = []
    for host, (name, digest) in answering(hosts, settings.model).items():
        with noted(host, failures):
            info, parameters = host.describe(name)
            size = _context(settings, info, parameters)
            model = Model(name, {"num_ctx": size, "num_batch": size})
            model = model._replace(dimensions=indexed_dimensions(host, model))
            if size > LEARNED_CONTEXT:
                _prove_context(host, model)
            count = _counter(host, model, info)
            return OllamaEmbedder(settings, hosts, model, digest, count, size - MARKS)
    raise out_of_hosts(hosts[0], failures)


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
