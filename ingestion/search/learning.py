"""Learn the weights of the relevance of passages from questions whose answers are known.

The likelihood that a passage is chosen is the softmax of the scores of all that were found, and
that of an answer is raised for each question (a listwise loss; Cao and others 2007), with a penalty
on large weights. The features are brought to the same spread first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingestion.search import hybrid, relevance
from ingestion.search.evaluation import Question
from ingestion.search.relevance import FEATURES, Features

PENALTY = 0.02
STEPS = 3000
RATE = 0.3


class Found(NamedTuple):
    """What was found for a question: the features of each hit, and whether it answers."""

    features: Features
    answers: NDArray[np.bool_]


@dataclass(frozen=True)
class Examples:
    found: Sequence[Found]
    models: str  # the set of weights


def examples(questions: Iterable[Question]) -> Examples:
    """Ask the index. Questions without an answer among the candidates teach nothing."""
    found, models = list[Found](), "words"
    for question in questions:
        asked = hybrid.candidates(question.query)
        models = relevance.set_of_weights(sentences=asked.sentences(), late=asked.late is not None)
        answers = np.array([any(p.rank for p in question.places([hit])) for hit in asked.hits])
        if answers.any():
            features = relevance.features(
                question.query, asked.terms, asked.hits, asked.added, asked.late
            )
            found.append(Found(features, answers))
    return Examples(found, models)


def learned(examples: Examples) -> dict[str, float]:
    """The weight of each feature."""
    everything = np.concatenate([one.features for one in examples.found])
    spread = everything.std(axis=0) + 1e-9
    scaled = [Found(one.features / spread, one.answers) for one in examples.found]
    weights = np.zeros(len(FEATURES))
    for _ in range(STEPS):
        weights -= RATE * _slope(weights, scaled)
    return {
        name: round(float(weight), 4)
        for name, weight in zip(FEATURES, weights / spread, strict=True)
    }


def _slope(weights: Features, found: Sequence[Found]) -> Features:
    total = 2 * PENALTY * len(found) * weights
    for features, answers in found:
        scores = features @ weights
        likely = np.exp(scores - scores.max())
        wanted: NDArray[Any] = likely * answers
        total += features.T @ (likely / likely.sum() - wanted / max(wanted.sum(), 1e-12))
    slope: Features = total / len(found)
    return slope
