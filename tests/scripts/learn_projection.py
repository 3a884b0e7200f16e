"""Learn what late interaction keeps of tokens, from questions with known passages.

    python -m tests.scripts.learn_projection tests/data/questions_training.jsonl

Makes the file of `ingestion.embedding.token_vectors` with the index as it is, which has to hold
what the questions ask for; an hour for 2,400 questions and 12,000 chunks on two cores, and 2 GB of
disk.

The matrix begins as the dimensions in which tokens differ most, and the importance of a token at
0. Both are then moved so that the passage of a question is nearer than those that were taken for it
(the softmax of all; Adam: Kingma and Ba 2015). The others are chosen anew for the second round, by
what the first has learnt. Centroids are found by k-means.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import django
import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
django.setup()

from ingestion import access  # noqa: E402
from ingestion.chunking.chunker import embedded_text  # noqa: E402
from ingestion.embedding import minilm, token_vectors  # noqa: E402
from ingestion.models import Chunk  # noqa: E402
from ingestion.search import evaluation, late_interaction, relevance  # noqa: E402
from ingestion.search.query_expansion import query_terms  # noqa: E402

Numbers = NDArray[Any]

ROUNDS = (3, 8)  # times that all questions are gone through, with the same other passages
OTHERS = 40  # passages beside the answer
LOOKED_AT = 400  # passages, the nearest by the mean of their tokens
AT_ONCE = 32  # questions
RATE, RATE_OF_IMPORTANCE = 5e-4, 5e-3
DECAY, SQUARES_DECAY = 0.9, 0.99
SCALE = 20.0  # of the nearness of a passage
PENALTY = 0.0005  # on a large importance
SAMPLE = 200_000  # tokens, for the dimensions to begin with and the centroids
STEPS_OF_KMEANS = 8
AT_A_TIME = 8192  # tokens


@dataclass
class Texts:
    """The tokens of all chunks. `states` has the shape (number of tokens, minilm.DIMENSIONS)."""

    keys: Sequence[int]
    documents: Sequence[str]
    said: Sequence[tuple[str, str]]  # header and content
    states: Numbers
    starts: Sequence[int]

    def of(self, place: int) -> Numbers:
        found: Numbers = self.states[self.starts[place] : self.starts[place + 1]]
        return found.astype(np.float32)

    def means(self) -> Numbers:
        return normed(np.array([self.of(n).mean(axis=0) for n in range(len(self.keys))]))


@dataclass
class Asked:
    """A question. `states` of its tokens; `shares` of their rarity; `answers` and `others` are
    places in `Texts`."""

    states: Numbers
    shares: Numbers
    answers: list[int]
    others: list[int] = field(default_factory=list)


class Learnt:
    """The matrix and the importance, and how they move."""

    def __init__(self, matrix: Numbers) -> None:
        self.values = [matrix, np.zeros(len(matrix))]
        self.means = [np.zeros_like(value) for value in self.values]
        self.squares = [np.zeros_like(value) for value in self.values]
        self.steps = 0

    def weights(self, asked: Asked) -> Numbers:
        weights = asked.shares * np.exp(asked.states @ self.values[1])
        found: Numbers = weights / weights.sum()
        return found

    def near(self, asked: Asked, passages: Sequence[Numbers]) -> Numbers:
        matrix = self.values[0]
        tokens = normed(np.concatenate(passages) @ matrix)
        starts = np.cumsum([0, *map(len, passages[:-1])])
        similar = normed(asked.states @ matrix) @ tokens.T
        found: Numbers = self.weights(asked) @ np.maximum.reduceat(similar, starts, axis=1)
        return found

    def slope(self, asked: Asked, texts: Texts) -> tuple[float, tuple[Numbers, Numbers]]:
        """The loss of a question, and its slopes by the matrix and by the importance."""
        passages = [texts.of(place) for place in (*asked.answers, *asked.others)]
        matrix, answers = self.values[0], len(asked.answers)
        tokens = np.concatenate(passages)
        starts = np.cumsum([0, *map(len, passages)])
        query, said = asked.states @ matrix, tokens @ matrix
        lengths = np.linalg.norm(query, axis=1, keepdims=True) + 1e-6
        lengths_said = np.linalg.norm(said, axis=1, keepdims=True) + 1e-6
        query, said = query / lengths, said / lengths_said
        similar = query @ said.T
        parts = [similar[:, a:b].argmax(axis=1) + a for a, b in pairwise(starts)]
        nearest = np.stack(parts, axis=1)
        values = np.take_along_axis(similar, nearest, axis=1)
        weights = self.weights(asked)
        scores = SCALE * (weights @ values)
        likely = np.exp(scores - scores.max())
        likely /= likely.sum()
        right = likely[:answers].sum()
        wanted = np.where(np.arange(len(likely)) < answers, likely / max(right, 1e-9), 0)
        by_score = SCALE * (likely - wanted)
        by_value = np.outer(weights, by_score)
        by_weight = values @ by_score
        by_importance = (weights * (by_weight - weights @ by_weight)) @ asked.states
        chosen = said[nearest]
        by_query = (by_value[..., None] * (chosen - values[..., None] * query[:, None])).sum(axis=1)
        by_said = by_value[..., None] * (query[:, None] - values[..., None] * chosen)
        by_said /= lengths_said[nearest]
        by_matrix = asked.states.T @ (by_query / lengths)
        by_matrix += tokens[nearest].reshape(-1, len(matrix)).T @ by_said.reshape(-1, said.shape[1])
        return -float(np.log(right + 1e-9)), (by_matrix, by_importance)

    def move(self, slopes: Sequence[Numbers]) -> None:
        self.steps += 1
        for n, rate in enumerate((RATE, RATE_OF_IMPORTANCE)):
            slope = slopes[n] + (PENALTY * self.values[n] if n else 0)
            self.means[n] = DECAY * self.means[n] + (1 - DECAY) * slope
            self.squares[n] = SQUARES_DECAY * self.squares[n] + (1 - SQUARES_DECAY) * slope**2
            mean = self.means[n] / (1 - DECAY**self.steps)
            spread = np.sqrt(self.squares[n] / (1 - SQUARES_DECAY**self.steps))
            self.values[n] = (self.values[n] - rate * mean / (spread + 1e-8)).astype(np.float32)


def main(questions: Path, into: Path, most: int | None, rounds: Sequence[int]) -> None:
    random = np.random.default_rng(0)
    with tempfile.NamedTemporaryFile() as file, access.everything():
        texts = read_texts(file.file, file.name)
        asked = [*read_questions(questions, texts, most)]
        print(f"{len(asked)} questions, {len(texts.keys)} chunks, {len(texts.states)} tokens")
        places = random.choice(len(texts.states), min(SAMPLE, len(texts.states)), replace=False)
        sample = texts.states[np.sort(places)].astype(np.float32)
        _, vectors = np.linalg.eigh(sample.T @ sample)
        learnt = Learnt(vectors[:, ::-1][:, : token_vectors.DIMENSIONS].astype(np.float32))
        means = texts.means()
        for times in rounds:
            for one in asked:
                choose_others(one, learnt, texts, means)
            for _ in range(times):
                print(f"loss {go_through(asked, learnt, texts, random):.4f}", flush=True)
        keep(learnt, texts, sample, into)


def read_texts(file: IO[bytes], name: str) -> Texts:
    session, vocabulary = minilm.opened()

    def states(row: tuple[int, str, str, str]) -> Numbers:
        pieces = vocabulary.numbers(embedded_text(row[2], row[3]))[: token_vectors.LONGEST_PASSAGE]
        said = [
            normed(minilm.states(session, part)[1:-1])[token_vectors.telling()[list(part)]]
            for part in token_vectors._parts(pieces)
        ]
        return np.concatenate(said) if said else np.zeros((0, minilm.DIMENSIONS))

    columns = ("pk", "document__url", "context_header", "content")
    kept, starts = list[tuple[int, str, str, str]](), [0]
    rows = [*Chunk.objects.order_by("pk").values_list(*columns)]
    with ThreadPoolExecutor(minilm.threads()) as pool:
        for row, said in zip(rows, pool.map(states, rows), strict=True):
            if len(said):
                file.write(said.astype(np.float16).tobytes())
                kept.append(row)
                starts.append(starts[-1] + len(said))
    file.flush()
    tokens = np.memmap(name, np.float16, "r").reshape(-1, minilm.DIMENSIONS)
    keys, documents = [row[0] for row in kept], [row[1] for row in kept]
    return Texts(keys, documents, [row[2:] for row in kept], tokens, starts)


def read_questions(path: Path, texts: Texts, most: int | None) -> Iterator[Asked]:
    """Those whose passages are there."""
    by_document: dict[str, list[int]] = {}
    for place, document in enumerate(texts.documents):
        by_document.setdefault(document, []).append(place)
    for question in evaluation.read_questions(path)[:most]:
        answers = [
            place
            for passage in question.passages
            for place in by_document.get(passage.document, ())
            if any(evaluation.holds(text, passage.phrase) for text in texts.said[place])
        ]
        rarities = relevance.rarities(question.query, query_terms(question.query))
        compared = late_interaction.comparison(question.query, rarities)
        if answers and compared is not None:
            shares = compared.weights / compared.asked.importance
            yield Asked(asked_states(question.query), shares / shares.sum(), answers[:2])


def asked_states(query: str) -> Numbers:
    session, vocabulary = minilm.opened()
    pieces = vocabulary.numbers(query)[: token_vectors.LONGEST_QUERY]
    return normed(minilm.states(session, pieces)[1:-1])


def choose_others(asked: Asked, learnt: Learnt, texts: Texts, means: Numbers) -> None:
    near = np.argsort(-(means @ normed(asked.states.mean(axis=0))))[:LOOKED_AT]
    places = [place for place in near.tolist() if place not in asked.answers]
    order = np.argsort(-learnt.near(asked, [texts.of(place) for place in places]))
    asked.others = [places[n] for n in order[:OTHERS].tolist()]


def go_through(
    asked: Sequence[Asked], learnt: Learnt, texts: Texts, random: np.random.Generator
) -> float:
    order, losses = random.permutation(len(asked)).tolist(), list[float]()
    for start in range(0, len(order), AT_ONCE):
        slopes = [learnt.slope(asked[n], texts) for n in order[start : start + AT_ONCE]]
        losses += [loss for loss, _ in slopes]
        learnt.move([np.mean([one[n] for _, one in slopes], axis=0) for n in (0, 1)])
    return sum(losses) / len(losses)


def keep(learnt: Learnt, texts: Texts, sample: Numbers, into: Path) -> None:
    matrix, importance = learnt.values
    said = sample @ matrix
    centroids = np.round(127 * kmeans(normed(said))).astype(np.int8)
    exact = normed(centroids.astype(np.float32))
    passages = np.zeros(len(centroids))
    for place in range(len(texts.keys)):
        passages[np.unique((texts.of(place) @ matrix @ exact.T).argmax(axis=1))] += 1
    np.savez_compressed(
        into,
        matrix=matrix.astype(np.float16),
        spread=said.std(axis=0).astype(np.float32),
        importance=importance.astype(np.float16),
        centroids=centroids,
        shares=(passages / len(texts.keys)).astype(np.float16),
    )


def kmeans(tokens: Numbers) -> Numbers:
    random = np.random.default_rng(0)
    number = token_vectors.CENTROIDS
    centroids = tokens[random.choice(len(tokens), number, replace=len(tokens) < number)]
    for _ in range(STEPS_OF_KMEANS):
        parts = range(0, len(tokens), AT_A_TIME)
        nearest = [(tokens[n : n + AT_A_TIME] @ centroids.T).argmax(axis=1) for n in parts]
        sums = np.zeros_like(centroids)
        np.add.at(sums, np.concatenate(nearest), tokens)
        centroids = np.where(sums.any(axis=1, keepdims=True), normed(sums), centroids)
    return centroids


def normed(vectors: Numbers) -> Numbers:
    found: Numbers = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--into", type=Path, default=token_vectors.PROJECTION)
    parser.add_argument("--most", type=int, help="only so many questions")
    parser.add_argument("--rounds", type=int, nargs="+", default=ROUNDS)
    given = parser.parse_args()
    main(given.questions, given.into, given.most, given.rounds)
