"""What must hold before anything starts: rows, paths, database, embedder. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from ingestion.embedding.base import Embedder
from ingestion.embedding.configured import configured_embedder
from ingestion.exceptions import BbjragError, ConfigError
from ingestion.execution import fitting_chunker
from sources.models import Source


def database_problem() -> str:
    """Why the database cannot be used; empty when it can."""
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "The database lacks migrations: run `python manage.py migrate`."
    except (DatabaseError, BbjragError, OSError) as error:
        where = "DATABASE_URL" if settings.DATABASE_URL else "the embedded server's folder"
        return f"The database does not answer: {str(error).strip()} Check {where}."
    return ""


def chosen(names: Sequence[str]) -> list[Source]:
    """The named sources, or all enabled ones. Raises ConfigError for names that cannot run."""
    everything = {source.name: source for source in Source.objects.all()}
    if unknown := [name for name in names if name not in everything]:
        raise ConfigError(
            f"There is no source {', '.join(map(repr, unknown))}. "
            f"The sources are: {', '.join(everything) or 'none yet: add one in the admin'}."
        )
    if disabled := [name for name in names if not everything[name].enabled]:
        raise ConfigError(f"{', '.join(disabled)}: disabled. Enable it in the admin first.")
    found = [everything[n] for n in dict.fromkeys(names)] if names else list(everything.values())
    if enabled := [source for source in found if source.enabled]:
        return enabled
    raise ConfigError("No source is enabled: enable one in the admin.")


def source_problems(sources: Iterable[Source], data_dir: Path | None) -> list[str]:
    """One sentence for each thing that keeps a source from starting."""
    return [
        f"{source.name}: {message}"
        for source in sources
        for messages in source.problems(data_dir).values()
        for message in messages
    ]


def ready_embedder() -> Embedder:
    """Open the embedder and see that chunks fit it. Raises ConfigError or EmbedderError."""
    embedder = configured_embedder()
    fitting_chunker(embedder)
    return embedder
