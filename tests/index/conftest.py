from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingestion import access


@pytest.fixture(autouse=True)
def everything() -> Iterator[None]:
    """The tests ask as a command does: all sources are seen."""
    with access.everything():
        yield
