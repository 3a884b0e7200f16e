"""The vectors of tokens: small, near to what the model says, and by the words they are part of."""

from __future__ import annotations

import numpy as np
import pytest

from ingestion.embedding import minilm, token_vectors
from ingestion.embedding.token_vectors import WIDTH, of_passage, of_query

TEXT = "The record is locked until the channel is closed, or the program ends."


def exact(query: str, text: str) -> list[float]:
    """The cosine of the nearest token for each of the query, by the projection without rounding."""
    session, vocabulary = minilm.opened()
    asked, said = (
        normed(minilm.states(session, vocabulary.numbers(one))[1:-1]) for one in (query, text)
    )
    matrix = token_vectors.projection().matrix
    nearest: list[float] = (normed(asked @ matrix) @ normed(said @ matrix).T).max(axis=1).tolist()
    return nearest


def normed(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def nearness(query: str, *texts: str) -> np.ndarray:
    passages = [of_passage(text).vectors for text in texts]
    return token_vectors.nearness(of_query(query).vectors, passages)


def test_it_works() -> None:
    near = nearness("how do I block a row", TEXT, "Bread is baked in an oven, and eaten warm.")
    assert near.shape == (6, 2)
    assert near[:, 0].mean() > near[:, 1].mean() + 0.1


def test_little_is_lost_by_making_them_small() -> None:
    texts = [TEXT, "Bread is baked.", "CHANNEL=UNT; OPEN(CHANNEL)'A'", "Rows and columns of a grid"]
    query = "lock a record in a channel"
    stored = nearness(query, *texts).mean(axis=0)
    said = [float(np.mean(exact(query, text))) for text in texts]
    assert np.argsort(stored).tolist() == np.argsort(said).tolist()
    assert np.corrcoef(stored, said)[0, 1] > 0.95


def test_punctuation_is_left_out() -> None:
    assert len(of_passage("one, two; (three)").vectors) == 3 * WIDTH
    assert of_passage("--- *** ---") == of_passage("") == (b"", [])


def test_tokens_that_say_nearly_the_same_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{TEXT} " * 4
    asked = of_query("how do I block a row").vectors
    fewer = of_passage(text)
    monkeypatch.setattr(token_vectors, "ALIKE", 2.0)
    every = of_passage(text)
    assert len(fewer.vectors) < len(every.vectors) / 2
    assert fewer.centroids == every.centroids
    near = token_vectors.nearness(asked, [fewer.vectors, every.vectors])
    assert np.allclose(near[:, 0], near[:, 1], atol=0.1)
    assert token_vectors.pooled(every.vectors) == every.vectors


def test_a_passage_can_be_without_tokens() -> None:
    assert token_vectors.pooled(b"") == b""


def test_a_long_text_is_read_in_pieces_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_vectors, "ALIKE", 2.0)
    assert len(of_passage("word " * 300).vectors) == 300 * WIDTH
    assert len(of_passage("word " * 3000).vectors) == token_vectors.LONGEST_PASSAGE * WIDTH
    assert nearness("the moon", "word " * 300 + "a moon")[1, 0] > nearness("the moon", "word")[1, 0]


def test_the_tokens_of_a_query_know_their_words() -> None:
    asked = of_query("Call BBjWindow::addButton!")
    assert asked.words[0] == "call"
    assert {"bbjwindow", "addbutton"} <= {*asked.words}
    assert len(asked.words) == len(asked.vectors)
    assert len(of_query("word " * 500).words) == token_vectors.LONGEST_QUERY
    assert of_query("").words == []


@pytest.mark.parametrize("text", ["漢字", "é", "\x00", "[SEP]", "x" * 5000])
def test_odd_texts_have_some_or_none(text: str) -> None:
    passage = of_passage(text)
    assert len(passage.vectors) % WIDTH == 0
    assert bool(passage.vectors) == bool(passage.centroids)


def test_texts_that_say_the_like_share_centroids() -> None:
    text, like, other = (
        {*of_passage(one).centroids}
        for one in (
            TEXT,
            "A lock on a record ends with its channel.",
            "Bread is baked, and eaten warm.",
        )
    )
    assert len(text & like) > len(text & other)
    assert len(text) <= len(of_passage(TEXT).vectors) // WIDTH
    assert text <= {*range(token_vectors.CENTROIDS)}


def test_words_count_differently() -> None:
    importance = of_query("how do I lock a record in a channel").importance
    assert importance.min() > 0
    assert importance.max() > 1.5 * importance.min()
