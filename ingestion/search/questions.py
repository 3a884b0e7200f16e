"""The questions of the database: asked by evaluations, imported and exported as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from ingestion.index import texts
from ingestion.models import Chunk, Document, DocumentText, Question
from ingestion.search import evaluation, search
from ingestion.search.results import Mode, Results

ANSWERS = ("expected", "phrases", "passages")
FIELDS = ("kind", *ANSWERS, "all", "half")
KINDS = ("question", "paraphrase", "where", "code", "number", "error message", "language", "typo")
GAP = Q(expected=[], phrases=[], passages=[])
LOOKED_AT = 20  # documents of one passage, whose address is the beginning of many


def find(query: str, mode: Mode, sources: Sequence[str] = ()) -> Results:
    """Search as every evaluation does."""
    return search(query, limit=evaluation.DEPTH, sources=sources, mode=mode)


def stored(half: str = "") -> list[evaluation.Question]:
    """The questions of the database. Raises ConfigError if there are none."""
    return evaluation.of_half(map(asked, answered()), half, "The database")


def answered() -> QuerySet[Question]:
    """The questions that evaluations ask."""
    return Question.objects.exclude(GAP)


def gaps() -> QuerySet[Question]:
    """Those that were kept because nothing answers them: somebody has to write that first."""
    return Question.objects.filter(GAP)


def asked(row: Question) -> evaluation.Question:
    given = {name: getattr(row, name) for name in FIELDS}
    return evaluation.Question.model_validate({"query": row.query, **given})


def columns(question: evaluation.Question) -> dict[str, Any]:
    """A question's values for a row, without the query."""
    told = question.model_dump(mode="json")
    return {name: told[name] for name in FIELDS}


def digest(question: evaluation.Question) -> str:
    """What differs if the answers of a question do."""
    told = question.model_dump_json(include={*ANSWERS, "all"})
    return sha256(told.encode()).hexdigest()[:12]


def exported(rows: Iterable[Question]) -> Iterator[str]:
    """A line for each question, as `evaluation.lines_of` reads it; empty values are left out, and
    so are gaps."""
    for row in rows:
        if row.is_gap:
            continue
        told = {"query": row.query} | {name: getattr(row, name) for name in FIELDS}
        yield json.dumps({k: v for k, v in told.items() if v}, ensure_ascii=False) + "\n"


@dataclass
class Imported:
    """How many questions came, were changed or were there already; and what is wrong by line."""

    added: int = 0
    changed: int = 0
    same: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = f"{self.added} added, {self.changed} changed, {self.same} there already"
        return f"{told}, {len(self.problems)} refused." if self.problems else f"{told}."


@transaction.atomic
def import_text(text: str, author: Any = None, *, apply: bool = True) -> Imported:
    """Store the questions of a file. One that is there gets the answers of the file; a line that
    is wrong is refused, and the others are stored."""
    result = Imported()
    there = {row.query: row for row in Question.objects.all()}
    for line in evaluation.lines_of(text):
        if line.question is None:
            result.problems.append(f"Line {line.number}, {line.problem}")
        else:
            row = there.setdefault(line.question.query, Question(query=line.question.query))
            _take(row, line.question, author, result, apply)
    return result


def _take(
    row: Question, question: evaluation.Question, author: Any, result: Imported, apply: bool
) -> None:
    new = columns(question)
    is_new = row.pk is None and row._state.adding
    is_same = all(getattr(row, name) == value for name, value in new.items())
    if not is_new and is_same:
        result.same += 1
        return
    for name, value in new.items():
        setattr(row, name, value)
    row.author = row.author if not is_new else author
    result.added += is_new
    result.changed += not is_new
    row._state.adding = is_new and apply
    if apply:
        row.save()


def warnings(question: evaluation.Question) -> list[str]:
    """Sentences on answers that no stored text holds, so that no search can find them."""
    told = [_passage_warning(one.document, one.phrase) for one in question.passages]
    told += [_document_warning(address) for address in question.expected]
    return [text for text in told if text]


def named(address: str) -> Q:
    """Selects documents whose address, or link for people, begins so."""
    return Q(url__startswith=address) | Q(display_url__startswith=address)


def _document_warning(address: str) -> str:
    if Document.objects.filter(named(address)).exists():
        return ""
    return f"No stored document has the address {address}: ingest its source, or correct it."


def _passage_warning(address: str, phrase: str) -> str:
    documents = list(Document.objects.filter(named(address)).order_by("pk")[:LOOKED_AT])
    if not documents:
        return _document_warning(address)
    chunks = Chunk.objects.filter(document__in=documents).values_list("context_header", "content")
    if any(evaluation.holds(part, phrase) for chunk in chunks.iterator() for part in chunk):
        return ""
    if any(evaluation.holds(text_of(document), phrase) for document in documents):
        return (
            f"“{phrase}” is in the text of {address}, but no chunk has all of it: choose fewer "
            "words of it."
        )
    return f"“{phrase}” is not in the stored text of {address} now: choose other words of it."


def text_of(document: Document) -> str:
    """The stored text of a document; of one that is stored without, that of its chunks."""
    packed = DocumentText.objects.filter(document=document).values_list("text", flat=True).first()
    if packed is not None:
        return texts.unpacked(packed)
    chunks = Chunk.objects.filter(document=document).order_by("ordinal")
    return "\n\n".join(chunks.values_list("content", flat=True))
