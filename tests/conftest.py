from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real material that BBJRAG_CORPUS names."""
    folder = os.environ.get("BBJRAG_CORPUS", "")
    if not folder:
        pytest.skip("BBJRAG_CORPUS names no folder of real material")
    return Path(folder)
