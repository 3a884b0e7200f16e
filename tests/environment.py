"""Loaded by pytest before Django's settings are read: nothing of the developer's own set-up counts.

Every test runs against a real PostgreSQL with pgvector: the embedded one, in a folder of the tests'
own, unless DATABASE_URL names another server.
"""

from __future__ import annotations

import os
from pathlib import Path

KEPT = {"BBJRAG_CORPUS", "OLLAMA_HOST", "DATABASE_URL"}
LISTED = Path(__file__).resolve().parent.parent / ".env.example"


def own_variables() -> set[str]:
    """The names in .env.example."""
    lines = LISTED.read_text().splitlines()
    return {line.lstrip("# ").partition("=")[0] for line in lines if "=" in line}


for name in own_variables() - KEPT:
    os.environ.pop(name, None)
os.environ |= {
    "ENV_FILE": os.devnull,
    "STATE_DIR": str(LISTED.parent / ".data" / "tests"),
    "EMBEDDED_POSTGRES_SETTINGS": "fsync=off,synchronous_commit=off,full_page_writes=off",
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # Playwright's own loop runs beside the tests
}
