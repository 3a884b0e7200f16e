"""Documents that people have left out of search: they stay stored, and nothing finds them.

What is left out is known by its address (`sources.models.LeftOut`). Everything that hands out
documents to others than the managers of the admin asks here which to skip.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction
from django.db.models import QuerySet

from ingestion import access
from ingestion.index import source_terms, term_statistics
from ingestion.models import Document
from sources.models import LeftOut

_FOLLOW = """
    UPDATE sources_leftout AS l SET url = pair.new
    FROM unnest(%s::text[], %s::text[]) AS pair(old, new)
    WHERE l.url = pair.old AND NOT EXISTS (SELECT FROM sources_leftout WHERE url = pair.new)"""


def keys() -> list[int]:
    """The keys of the stored documents that are left out."""
    with connection.cursor() as cursor:
        cursor.execute(source_terms.LEFT_OUT)
        return [row[0] for row in cursor.fetchall()]


def searchable() -> QuerySet[Document]:
    """The documents that are not left out, of the sources that may be seen."""
    seen = Document.objects.filter(access.current().within("source"))
    return seen.exclude(url__in=LeftOut.objects.values("url"))


@transaction.atomic
def leave_out(document: Document, reason: str, author: str) -> LeftOut:
    """Leave a document out from now on; if it is already, the first reason stays."""
    row, _ = LeftOut.objects.get_or_create(
        url=document.url,
        defaults={
            "source": document.source,
            "title": document.title,
            "reason": reason,
            "author": author,
        },
    )
    term_statistics.forget(document.pk)
    return row


@transaction.atomic
def take_back(left_out: LeftOut) -> None:
    """Let a document be found again, as soon as this is committed."""
    left_out.delete()
    if stored := list(Document.objects.filter(url=left_out.url).values_list("pk", flat=True)):
        term_statistics.learn(stored)
        term_statistics.add(stored)


def follow(moved: Sequence[tuple[str, str]]) -> None:
    """What is left out stays so at its new address; `moved` are old and new addresses."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLLOW, [[old for old, _ in moved], [new for _, new in moved]])
