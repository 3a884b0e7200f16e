"""A chat model on Ollama servers, asked for answers of a given form.

It is asked not to think aloud, which takes long and leaves no answer with some models. Others break
the form just then (github.com/ollama/ollama/issues/14850), so an answer that does not fit is asked
for once more without that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from ingestion.embedding.host import Model, Suspicion, parse_host
from ingestion.embedding.ollama_host import OllamaHost
from ingestion.exceptions import ConfigError, EmbedderUnavailable, TextRejected

T = TypeVar("T")


class Answered(NamedTuple, Generic[T]):
    value: T
    seconds: float


@dataclass
class Chat:
    """A chat model that is there. Thread-safe: each server gets one question at a time."""

    model: Model
    hosts: Sequence[OllamaHost]
    free: SimpleQueue[OllamaHost] = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        for host in self.hosts:
            self.free.put(host)

    @classmethod
    def open(cls, model: str, hosts: Sequence[str], timeout: float, **options: int) -> Chat:
        """Look for the model on each server; those that do not answer are left out.

        Raises EmbedderUnavailable if none answers, EmbedderError if one lacks the model.
        """
        addresses = dict.fromkeys(map(parse_host, hosts))
        if not addresses:
            raise ConfigError("Ollama needs a host: set OLLAMA_HOST, such as 127.0.0.1:11434.")
        there, away = list[OllamaHost](), list[str]()
        name = model
        for address in addresses:
            host = OllamaHost(address, timeout)
            try:
                name, _ = host.find(model)
                there.append(host)
            except EmbedderUnavailable as error:
                away.append(str(error))
        if not there:
            raise EmbedderUnavailable(
                f"No Ollama host can be used. {'; '.join(away)}. "
                "Start it with `ollama serve`, or correct OLLAMA_HOST."
            )
        return cls(Model(name, {"temperature": 0, "seed": 0, **options}), there)

    def ask(
        self, question: str, schema: Mapping[str, Any], read: Callable[[str], T]
    ) -> Answered[T]:
        """The answer as `read` understands it; `read` raises ValueError if it cannot.

        Raises TextRejected if nothing comes of this question, EmbedderUnavailable if the server is
        away, EmbedderError if the set-up is wrong.
        """
        host = self.free.get()
        try:
            return self._asked(host, question, schema, read)
        except Suspicion as suspicion:
            raise TextRejected(f"{host.url}: {suspicion}") from suspicion
        finally:
            self.free.put(host)

    def _asked(
        self,
        host: OllamaHost,
        question: str,
        schema: Mapping[str, Any],
        read: Callable[[str], T],
    ) -> Answered[T]:
        problem, spent = "", 0.0
        for think in (False, None):
            text, is_whole, seconds = host.chat(self.model, question, schema, think)
            spent += seconds
            try:
                return Answered(read(text), spent)
            except ValueError as error:
                problem = str(error) if is_whole else "the answer was cut off at its longest"
        raise TextRejected(f"{host.url}: {problem}")
