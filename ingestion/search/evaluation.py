"""Measure search on given questions: recall and mean reciprocal rank, per kind and mode.

A question lists what answers it: document addresses (or prefixes of them), or phrases that the
found text must contain. One of them is enough unless the question sets `all`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingestion.exceptions import ConfigError
from ingestion.search.results import Hit, Mode, Results

DEPTH = 10
RECALLS = (1, 3, 5, 10)
ALL = "all"

Find = Callable[[str, Mode], Results]


class Question(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field(min_length=1)
    kind: str = "question"
    half: str = ""
    expected: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    all: bool = False

    @model_validator(mode="after")
    def _answerable(self) -> Question:
        if not self.expected and not self.phrases:
            raise ValueError("give expected (addresses) or phrases")
        return self

    def places(self, hits: Sequence[Hit]) -> list[int]:
        """The first rank of each answer, from 1, in the order of the answers; 0 if it was not
        found."""
        found = [_place(hits, url, _is_at) for url in self.expected]
        found += [_place(hits, phrase, _says) for phrase in self.phrases]
        if self.all:
            return found
        return [min((place for place in found if place), default=0)]


def _place(hits: Sequence[Hit], wanted: str, answers: Callable[[Hit, str], bool]) -> int:
    return next((place for place, hit in enumerate(hits, 1) if answers(hit, wanted)), 0)


def _is_at(hit: Hit, url: str) -> bool:
    return hit.url.startswith(url) or hit.display_url.startswith(url)


def _says(hit: Hit, phrase: str) -> bool:
    text = " ".join(f"{hit.context_header} {hit.content}".split())
    return " ".join(phrase.split()).casefold() in text.casefold()


@dataclass(frozen=True, slots=True)
class Answer:
    question: Question
    places: Sequence[int]

    def recall(self, k: int) -> float:
        return sum(1 for place in self.places if 0 < place <= k) / len(self.places)

    @property
    def reciprocal_rank(self) -> float:
        return sum(1 / place for place in self.places if place) / len(self.places)


@dataclass(frozen=True, slots=True)
class Score:
    questions: int
    mrr: float
    recall: Mapping[int, float]

    def as_json(self) -> dict[str, Any]:
        recalls = {f"recall@{k}": round(value, 4) for k, value in self.recall.items()}
        return {"questions": self.questions, "mrr": round(self.mrr, 4)} | recalls


def read_questions(path: Path, half: str = "") -> list[Question]:
    """Read questions. Raises ConfigError naming the invalid line, or if there are none."""
    questions = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            questions.append(Question.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            raise ConfigError(f"{path}, line {number}, {place}: {first['msg']}") from error
    chosen = [question for question in questions if half in ("", question.half)]
    if not chosen:
        raise ConfigError(
            f"{path} holds no question" + (f" of the half {half!r}." if half else ".")
        )
    return chosen


def ask(questions: Iterable[Question], mode: Mode, find: Find) -> list[Answer]:
    return [Answer(q, q.places(find(q.query, mode).hits[:DEPTH])) for q in questions]


def scores(answers: Sequence[Answer]) -> dict[str, Score]:
    """The scores by kind, in order of appearance, and over all questions."""
    kinds: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        kinds[answer.question.kind].append(answer)
    return {kind: _score(chosen) for kind, chosen in [*kinds.items(), (ALL, list(answers))]}


def _score(answers: Sequence[Answer]) -> Score:
    number = len(answers)
    recall = {k: sum(answer.recall(k) for answer in answers) / number for k in RECALLS}
    return Score(number, sum(answer.reciprocal_rank for answer in answers) / number, recall)


def report(answers: Mapping[Mode, Sequence[Answer]]) -> dict[str, Any]:
    """The report that is saved and compared: scores by mode and kind, ranks per question."""
    return {
        mode: {
            "scores": {kind: score.as_json() for kind, score in scores(given).items()},
            "places": {answer.question.query: list(answer.places) for answer in given},
        }
        for mode, given in answers.items()
    }


def differences(now: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[str]:
    """Sentences on the scores that changed and the questions that got better or worse."""
    lines = []
    for mode in now.keys() & earlier.keys():
        old, new = earlier[mode]["scores"], now[mode]["scores"]
        for kind in (kind for kind in new if kind in old and new[kind]["mrr"] != old[kind]["mrr"]):
            change = new[kind]["mrr"] - old[kind]["mrr"]
            lines.append(f"{mode}, {kind}: MRR {change:+.3f} (was {old[kind]['mrr']:.3f})")
        before, after = earlier[mode]["places"], now[mode]["places"]
        for query in (query for query in after if query in before):
            if before[query] != after[query]:
                lines.append(
                    f"{mode}: place {_shown(before[query])} -> {_shown(after[query])}: {query}"
                )
    return lines


def _shown(places: Sequence[int]) -> str:
    return ", ".join(str(place or "none") for place in places)


def read_report(path: Path) -> dict[str, Any]:
    """Read a saved report. Raises ConfigError if the file is not one."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        for mode in saved.values():
            mode["scores"], mode["places"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not a result of `evaluate --save`: {error!r}") from error
    return dict(saved)
