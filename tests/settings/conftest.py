from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.settings.place import Place
from tests.support.ollama_server import OllamaServer


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tests of this folder: a database server takes seconds to make."""
    with OllamaServer() as ollama:
        place = Place(tmp_path_factory.mktemp("settings"), ollama)
        yield place
        place.server.stop()


@pytest.fixture
def place(installation: Place) -> Iterator[Place]:
    """It stores nothing, has three pages to read, and an embedder that works."""
    installation.fresh("one", "two", "three")
    installation.ollama.calls.clear()
    installation.ollama.bodies.clear()
    installation.ollama.embedded.clear()
    installation.ollama.most_at_once = 0
    yield installation
    installation.ollama.queued.clear()
    installation.ollama.by_text.clear()
    installation.ollama.always(None)
