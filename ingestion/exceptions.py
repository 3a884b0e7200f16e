"""One family of errors; each message says what failed and what to do."""

from __future__ import annotations

import logging

from ingestion.documents import DocumentFailure

logger = logging.getLogger(__name__)


class BbjragError(Exception):
    """An error that is reported to a person instead of a crash."""


class ConfigError(BbjragError):
    """A setting, an option or a row that cannot work as it is."""


class SourceError(BbjragError):
    """The whole source cannot be read (its folder is gone, its site does not answer)."""


class TimeIsOver(BbjragError):
    """The seconds that a parser was given are over; what it has read by then came before."""


class DocumentError(BbjragError):
    """One document cannot be read; the rest of the source can."""


class EmbedderError(BbjragError):
    """The embedder is set up wrongly, or returned something that cannot be stored."""


class EmbedderUnavailable(EmbedderError):
    """The embedder does not answer now but may later: wait."""


class TextRejected(EmbedderError):
    """The embedder refuses this one text; the others of its batch are fine."""


class TextTooLong(TextRejected):
    """The text is longer than the embedder's context: cut it smaller and ask again."""


class RerankerError(BbjragError):
    """The reranker cannot be asked, or its answer is of no use; a search goes on without it."""


def failure_at(url: str, error: Exception, stage: str = "read") -> DocumentFailure:
    """The Failure of a document that cannot be read, or at which bbjrag itself fails; the rest of
    its source is read. Raises `error` again if it concerns the whole source."""
    if isinstance(error, DocumentError):
        return DocumentFailure(url, str(error), stage)
    if isinstance(error, (BbjragError, MemoryError)):
        raise error
    logger.error("bbjrag itself failed at %s.", url, exc_info=error)
    message = (
        f"bbjrag itself failed here ({type(error).__name__}: {error}). What is stored of it stays; "
        "report it with the file, or exclude the file."
    )
    return DocumentFailure(url, message, stage)
