"""Checks before anything starts: rows, paths, database, embedder. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q

from ingestion.embedding.base import Embedder
from ingestion.embedding.configured import configured_embedder, first_embedder
from ingestion.exceptions import BbjragError, ConfigError
from ingestion.index import enrichments
from ingestion.index.change_detection import read_key
from ingestion.models import Chunk, Document, EmbeddingProfile
from ingestion.runs.attempt import fitting_chunker, versions_of
from sources.models import Source

WORTH_MEASURING = 500  # chunks


def database_problem() -> str:
    """Why the database cannot be used; empty if it can."""
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
    """The named sources, or all enabled ones. Raises ConfigError for names that cannot be run."""
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
    """A sentence for each problem that keeps a source from starting."""
    return [
        f"{source.name}: {message}"
        for source in sources
        for messages in source.problems(data_dir).values()
        for message in messages
    ]


def ready_embedder() -> Embedder:
    """Open the embedder and check that chunks fit it. Raises ConfigError or EmbedderError."""
    embedder = configured_embedder()
    fitting_chunker(embedder)
    return embedder


@dataclass(frozen=True, slots=True)
class Remake:
    """What a run would process again although it may not have changed.

    Of `documents` stored, `again` were made with other versions or settings. These have `chunks`
    chunks; `foreign` of them have vectors of another model, which cannot be reused.
    """

    source: str
    documents: int
    again: int
    chunks: int
    foreign: int


def profile_in_use(embedder: Embedder) -> EmbeddingProfile | None:
    """The embedder's profile; None if no run has used it yet."""
    return EmbeddingProfile.objects.filter(
        provider=embedder.provider,
        model=embedder.model,
        digest=embedder.digest,
        dimensions=embedder.dimensions,
        document_prefix=embedder.document_prefix,
    ).first()


def remakes(sources: Iterable[Source], embedder: Embedder) -> list[Remake]:
    """What the next run re-makes of each source because of an upgrade or a changed setting."""
    profile = profile_in_use(embedder)
    usable = [one for one in (profile, profile_in_use(first_embedder(embedder))) if one]
    chunker = fitting_chunker(embedder)
    stale = enrichments.stale(settings.ENRICHMENT_MODEL)
    found = []
    for source in sources:
        versions = versions_of(source, chunker, profile.pk if profile else None)
        key = read_key(source, versions)
        stored = Document.objects.filter(source=source)
        others = stored.filter(~Q(read_key=key) | stale)
        if again := others.count():
            chunks = Chunk.objects.filter(document__in=others)
            foreign = chunks.exclude(profile__in=usable).count()
            found.append(Remake(source.name, stored.count(), again, chunks.count(), foreign))
    return found


def described(remakes: Sequence[Remake], embedder: Embedder) -> Iterator[str]:
    """Sentences for people: one per source, then what has to be embedded before a run ends."""
    embedder = first_embedder(embedder)
    for remake in remakes:
        yield (
            f"{remake.source}: {remake.again:,} of {remake.documents:,} documents are read again, "
            "as the parser, the chunks, the model, added words or the source's settings changed."
        )
    chunks = sum(remake.chunks for remake in remakes)
    foreign = sum(remake.foreign for remake in remakes)
    if foreign:
        yield (
            f"{foreign:,} chunks have vectors of another model and are embedded again with "
            f"{embedder.provider}/{embedder.model}{_duration(foreign, embedder)}. "
            "What is stored answers until it is replaced."
        )
    elif chunks:
        yield (
            f"Of their {chunks:,} chunks, those whose text stays the same keep their vectors; "
            f"the others are embedded again{_duration(chunks, embedder)}."
        )


def _duration(chunks: int, embedder: Embedder) -> str:
    """An estimate from embedding one batch of stored chunks; empty if there are only few."""
    if chunks < WORTH_MEASURING:
        return ""
    sample = Chunk.objects.values_list("context_header", "content")[: embedder.batch_size]
    texts = ["\n\n".join(parts) for parts in sample]
    try:
        embedder.embed(texts[:1])  # loads the model, which must not be counted
        begun = time.monotonic()
        embedder.embed(texts)
    except BbjragError:
        return ""
    minutes = (time.monotonic() - begun) / len(texts) * chunks / 60
    return f", in about {minutes:,.0f} minutes at most" if minutes >= 1 else ", within a minute"
