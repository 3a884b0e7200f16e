"""Measure search on given questions: how far up the answers are, and how much is read until then.

A question lists what answers it: passages (a document, and a phrase of the passage), document
addresses (or prefixes of them), or phrases that any text may hold. One of them is enough unless the
question sets `all`. Beside the rank counts how many characters of results somebody reads until the
end of the answer, which is what an assistant pays for and does not reward long chunks.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingestion.exceptions import ConfigError
from ingestion.search.results import Hit, Mode, Results

DEPTH = 10
RECALLS = (1, 3, 5, 10)
BUDGETS = (2000, 4000, 8000)  # characters of results
ALL = "all"

_WORD = re.compile(r"\w+")

Find = Callable[[str, Mode], Results]


class Place(NamedTuple):
    """Where an answer is: the rank of its hit from 1, and the characters of the results up to its
    end. Both are 0 if it was not found."""

    rank: int = 0
    characters: int = 0


class Passage(BaseModel):
    """A passage is known by some words of it. Case, punctuation and Markdown do not matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: str = Field(min_length=1)
    phrase: str = Field(pattern=r"\w")


class Question(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field(min_length=1)
    kind: str = "question"
    half: str = ""
    expected: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    all: bool = False

    @model_validator(mode="after")
    def _answerable(self) -> Question:
        if not self.expected and not self.phrases and not self.passages:
            raise ValueError("give passages, expected (addresses) or phrases")
        return self

    def places(self, hits: Sequence[Hit]) -> list[Place]:
        """The first place of each answer, in the order of the answers."""
        found = [_place(hits, url, "") for url in self.expected]
        found += [_place(hits, "", phrase) for phrase in self.phrases]
        found += [_place(hits, passage.document, passage.phrase) for passage in self.passages]
        if self.all:
            return found
        return [min((place for place in found if place.rank), default=Place())]


def _place(hits: Sequence[Hit], url: str, phrase: str) -> Place:
    read = 0
    for rank, hit in enumerate(hits, 1):
        if (hit.url.startswith(url) or hit.display_url.startswith(url)) and (
            end := _end(hit, phrase)
        ):
            return Place(rank, read + end)
        read += len(hit.content)
    return Place()


def _end(hit: Hit, phrase: str) -> int:
    """The character of the hit's text after the phrase; of its end if the phrase is in its header;
    0 if it is in neither."""
    words = _words(phrase)
    if not words:
        return len(hit.content)
    found = [*_WORD.finditer(hit.content)]
    spelt = [match[0].casefold() for match in found]
    for start in _starts(spelt, words):
        return found[start + len(words) - 1].end()
    return len(hit.content) if holds(hit.context_header, phrase) else 0


def holds(text: str, phrase: str) -> bool:
    """Whether a text has the phrase; case, punctuation and Markdown do not matter."""
    return any(True for _ in _starts(_words(text), _words(phrase)))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _starts(text: Sequence[str], words: Sequence[str]) -> Iterator[int]:
    first, length = words[0], len(words)
    for start, word in enumerate(text):
        if word == first and text[start : start + length] == words:
            yield start


@dataclass(frozen=True, slots=True)
class Answer:
    question: Question
    places: Sequence[Place]
    hits: Sequence[Hit] = ()

    def recall(self, k: int) -> float:
        return self._share(lambda place: place.rank <= k)

    def within(self, characters: int) -> float:
        return self._share(lambda place: place.characters <= characters)

    @property
    def reciprocal_rank(self) -> float:
        return sum(1 / place.rank for place in self.places if place.rank) / len(self.places)

    def _share(self, near: Callable[[Place], bool]) -> float:
        return sum(bool(place.rank) and near(place) for place in self.places) / len(self.places)


@dataclass(frozen=True, slots=True)
class Score:
    questions: int
    mrr: float
    recall: Mapping[int, float]
    within: Mapping[int, float]

    def as_json(self) -> dict[str, Any]:
        recalls = {f"recall@{k}": round(value, 4) for k, value in self.recall.items()}
        within = {f"within {most}": round(value, 4) for most, value in self.within.items()}
        return {"questions": self.questions, "mrr": round(self.mrr, 4)} | recalls | within


class Line(NamedTuple):
    """A line of a file of questions: its number, and the question, or what is wrong with it."""

    number: int
    question: Question | None
    problem: str = ""


def lines_of(text: str) -> Iterator[Line]:
    """The lines of a file of questions that are not empty."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield Line(number, Question.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            yield Line(number, None, f"{place}: {first['msg']}")


def read_questions(path: Path, half: str = "") -> list[Question]:
    """Read questions. Raises ConfigError naming the invalid line, or if there are none."""
    try:
        lines = list(lines_of(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    for line in lines:
        if line.problem:
            raise ConfigError(f"{path}, line {line.number}, {line.problem}")
    return of_half((line.question for line in lines if line.question), half, str(path))


def of_half(questions: Iterable[Question], half: str, place: str) -> list[Question]:
    """Those of a half, or all. Raises ConfigError, which names the place, if there are none."""
    chosen = [question for question in questions if half in ("", question.half)]
    if not chosen:
        raise ConfigError(
            f"{place} holds no question" + (f" of the half {half!r}." if half else ".")
        )
    return chosen


def ask(questions: Iterable[Question], mode: Mode, find: Find) -> list[Answer]:
    return [answer(question, mode, find) for question in questions]


def answer(question: Question, mode: Mode, find: Find) -> Answer:
    hits = find(question.query, mode).hits[:DEPTH]
    return Answer(question, question.places(hits), hits)


def scores(answers: Sequence[Answer]) -> dict[str, Score]:
    """The scores by kind, in order of appearance, and over all questions."""
    kinds: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        kinds[answer.question.kind].append(answer)
    return {kind: _score(chosen) for kind, chosen in [*kinds.items(), (ALL, list(answers))]}


def _score(answers: Sequence[Answer]) -> Score:
    number = len(answers)
    recall = {k: sum(answer.recall(k) for answer in answers) / number for k in RECALLS}
    within = {most: sum(answer.within(most) for answer in answers) / number for most in BUDGETS}
    mrr = sum(answer.reciprocal_rank for answer in answers) / number
    return Score(number, mrr, recall, within)


def report(answers: Mapping[Mode, Sequence[Answer]], *, with_hits: bool = False) -> dict[str, Any]:
    """The report that is saved and compared: scores by mode and kind, and for each question its
    kind, where its answers are, as rank and characters, and the hits if they are asked for."""
    return {
        mode: {
            "scores": {kind: score.as_json() for kind, score in scores(given).items()},
            "questions": {one.question.query: _told(one, with_hits) for one in given},
        }
        for mode, given in answers.items()
    }


def _told(answer: Answer, with_hits: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": answer.question.kind, "places": [*answer.places]}
    if with_hits:
        told["hits"] = [_hit(rank, hit) for rank, hit in enumerate(answer.hits, 1)]
    return told


def _hit(rank: int, hit: Hit) -> dict[str, Any]:
    named = {"chunk": hit.chunk_id, "url": hit.url, "title": hit.title}
    return {"rank": rank, **named, "heading": [*hit.heading_path]}


def differences(now: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[str]:
    """Sentences on the scores that changed and the questions that got better or worse."""
    lines = []
    for mode in now.keys() & earlier.keys():
        old, new = earlier[mode]["scores"], now[mode]["scores"]
        for kind in (kind for kind in new if kind in old and new[kind]["mrr"] != old[kind]["mrr"]):
            change = new[kind]["mrr"] - old[kind]["mrr"]
            lines.append(f"{mode}, {kind}: MRR {change:+.3f} (was {old[kind]['mrr']:.3f})")
        before, after = _ranks(earlier[mode]), _ranks(now[mode])
        for query in (query for query in after if query in before):
            if before[query] != after[query]:
                lines.append(
                    f"{mode}: place {_shown(before[query])} -> {_shown(after[query])}: {query}"
                )
    return lines


def _ranks(told: Mapping[str, Any]) -> dict[str, list[int]]:
    return {
        query: [rank for rank, _ in answer["places"]] for query, answer in told["questions"].items()
    }


def _shown(ranks: Sequence[int]) -> str:
    return ", ".join(str(rank or "none") for rank in ranks)


def read_report(path: Path) -> dict[str, Any]:
    """Read a saved report. Raises ConfigError if the file is not one."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        for mode in saved.values():
            mode["scores"], mode["questions"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not a result of `evaluate --save`: {error!r}") from error
    return dict(saved)
