"""What a language model is asked about a passage, and what is taken of its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ingestion.documents import storable

PROMPT_VERSION = 1
"""Another value makes `manage.py enrich` ask about each passage again."""

QUESTIONS = 3
LONGEST_OPENING = 1000  # characters of the document's beginning
LONGEST_CONTEXT = 400  # characters that are taken of an answer
LONGEST_QUESTION = 200
MOST_TOKENS = 400  # that the model may answer with

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "context": {"type": "string"},
        "questions": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": QUESTIONS,
            "maxItems": QUESTIONS,
        },
    },
    "required": ["context", "questions"],
}
_ASKED = f"""\
You help a search engine to find passages of technical documentation. Below are the title of a
document, its beginning, and one passage of it. Answer in JSON:
- "context": one sentence that says what the passage is about within its document. Name the product,
  class or topic that the passage itself takes for granted.
- "questions": {QUESTIONS} short questions that a reader may have and that this passage answers.
Use the language of the passage, and nothing that is not written below."""


class Passage(NamedTuple):
    """The text of a chunk, and where it is from; `opening` is empty if it is the beginning."""

    title: str
    context_header: str
    content: str
    opening: str = ""

    @property
    def prompt(self) -> str:
        parts = [_ASKED, f"Document: {self.title}"]
        if self.opening:
            parts.append(f"It begins:\n{self.opening[:LONGEST_OPENING]}")
        parts.append(f"The passage is from: {self.context_header or self.title}")
        parts.append(f"Passage:\n{self.content}")
        return "\n\n".join(parts)


class Words(NamedTuple):
    """One sentence, and the questions that the passage answers."""

    context: str
    questions: tuple[str, ...]


def read_answer(text: str) -> Words:
    """Raises ValueError, with the reason, for what is not such an answer."""
    try:
        answer = json.loads(text[text.find("{") : text.rfind("}") + 1])
        context, questions = answer["context"], answer["questions"]
        found = [_line(question, LONGEST_QUESTION) for question in questions]
        words = Words(_line(context, LONGEST_CONTEXT), tuple(filter(None, found))[:QUESTIONS])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("the answer is not the JSON that was asked for") from None
    if not words.context or not words.questions:
        raise ValueError("the answer has no sentence, or no question")
    return words


def _line(text: str, longest: int) -> str:
    line: str = storable(" ".join(text.split()))
    return line[:longest]
