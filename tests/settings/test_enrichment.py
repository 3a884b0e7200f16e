"""The language model as the environment names it, in the process that a person starts."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.settings.place import Place
from tests.support.ollama_server import DIGEST, MODEL, OllamaServer, Reply
from tests.support.reading import until

WRITER = "writer:latest"
STORED = "SELECT count(*) FROM ingestion_enrichment"


@pytest.mark.setting("ENRICHMENT_MODEL")
def test_the_model_that_is_named_is_asked_and_its_words_are_found(place: Place) -> None:
    place.ingest()
    with OllamaServer(models={MODEL: DIGEST, WRITER: "1" * 64}) as ollama:
        given: dict[str, Any] = {"OLLAMA_HOST": ollama.host, "ENRICHMENT_MODEL": "writer"}
        _, said = place.says("enrich", code=1, OLLAMA_HOST=ollama.host)
        assert "ENRICHMENT_MODEL is not set" in said
        out, _ = place.says("enrich", **given)
        assert "Words of 6 texts were stored" in out
        assert {chat["model"] for chat in ollama.chats} == {"writer"}
        place.ingest(**given)
        (word,) = place.all(
            "SELECT context FROM ingestion_enrichment e JOIN ingestion_chunk c"
            " ON c.enrichment_id = e.id WHERE c.title = 'Page two' AND ordinal = 0"
        )
        out, _ = place.says("search", word, "--mode", "text", **given)
        assert "Page two" in out.splitlines()[0]
        place.is_sound()


def test_an_interruption_loses_no_answer(place: Place) -> None:
    place.do("TRUNCATE ingestion_enrichment CASCADE")
    place.ingest()
    with OllamaServer(models={MODEL: DIGEST, WRITER: "1" * 64}) as ollama:

        def slow(body: dict[str, Any]) -> Reply | None:
            if len(ollama.chats) > 3:
                ollama.stopping.wait(1.0)
            return None

        ollama.chat_fault = slow
        given: dict[str, Any] = {"OLLAMA_HOST": ollama.host, "ENRICHMENT_MODEL": "writer"}
        command = place.manage("enrich", **given)
        until(lambda: place.all(STORED)[0] >= 3)
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=30)
        assert command.returncode == 130
        assert "Interrupted. Words of 3 texts were stored." in said
        assert "Traceback" not in said
        ollama.chat_fault = None
        out, _ = place.says("enrich", **given)
        assert "Words of 3 texts were stored" in out
