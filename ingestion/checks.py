"""System checks: what the database must offer, reported before a migration or a run meets it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

# Earlier ones can corrupt an HNSW index, or fail, when autovacuum meets inserts (the changelog of
# 0.8.3 and 0.8.4), which is what a re-ingest does.
PGVECTOR_NEEDED = "0.8.4"
UNREACHABLE = "bbjrag.E001"
NO_PGVECTOR = "bbjrag.E002"
OLD_SERVER = "bbjrag.E003"
OLD_DATABASE = "bbjrag.E004"

_SERVER_HINT = (
    f"Install pgvector {PGVECTOR_NEEDED} or later on the server (in Docker: the image "
    "pgvector/pgvector:0.8.5-pg18), or unset DATABASE_URL to use the embedded PostgreSQL, "
    "which brings its own."
)
_DATABASE_HINT = (
    "Connect to the database as its owner or a superuser: ALTER EXTENSION vector UPDATE"
)

_VERSIONS_SQL = """
    SELECT (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),
           (SELECT extversion FROM pg_extension WHERE extname = 'vector')
"""


@register(Tags.database)
def pgvector_check(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """Refuse a database whose server has no pgvector, or one older than PGVECTOR_NEEDED.

    Runs with `migrate` and `check --database default`.
    """
    return [error for alias in databases or () for error in _check(connections[alias])]


def _check(connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_VERSIONS_SQL)
            offered, installed = cursor.fetchone()
    except OperationalError as error:
        return [_unreachable(connection, error)]
    return pgvector_errors(offered, installed)


def _unreachable(connection: BaseDatabaseWrapper, error: OperationalError) -> Error:
    name = connection.settings_dict["NAME"]
    return Error(
        f"The database {name} cannot be reached: {str(error).strip()}",
        hint="Check DATABASE_URL, or unset it to use the embedded PostgreSQL.",
        id=UNREACHABLE,
    )


def pgvector_errors(offered: str | None, installed: str | None) -> list[CheckMessage]:
    """What is wrong with the versions that the server offers and the database has installed."""
    if installed is not None and _suffices(installed):
        return []
    if offered is None:
        found = f"The server has no pgvector; {PGVECTOR_NEEDED} or later is needed."
        return [Error(found, hint=_SERVER_HINT, id=NO_PGVECTOR)]
    if not _suffices(offered):
        found = f"The server has pgvector {offered}; {PGVECTOR_NEEDED} or later is needed."
        return [Error(found, hint=_SERVER_HINT, id=OLD_SERVER)]
    if installed is None:
        return []
    found = f"The database still uses pgvector {installed}, though its server has {offered}."
    return [Error(found, hint=_DATABASE_HINT, id=OLD_DATABASE)]


def _suffices(version: str) -> bool:
    return _numbers(version) >= _numbers(PGVECTOR_NEEDED)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
