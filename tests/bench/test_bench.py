"""The benchmark's own instruments; what it measures is never asserted here."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from bench import embedder, material
from bench.measures import SIZES, Finding
from bench.report import table
from ingestion.embedding.base import EmbedderSettings
from ingestion.embedding.registry import open_embedder
from tests.scripts import generate_flare


def test_the_embedder_answers_the_product_as_ollama_does() -> None:
    with embedder.serving(64) as host:
        settings = EmbedderSettings(provider="ollama", model=embedder.MODEL, hosts=(host,))
        opened = open_embedder(settings)
        vectors = opened.embed(["one text", "another text", "one text"])
    assert vectors.shape == (3, 64)
    assert np.array_equal(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[1])


def test_every_text_gets_another_vector_and_vectors_lie_in_clusters() -> None:
    with embedder.serving(256) as host:
        texts = [f"text {number}" for number in range(2000)]
        asked = {"model": embedder.MODEL, "input": texts}
        rows = np.array(httpx.post(f"{host}/api/embed", json=asked).json()["embeddings"])
    assert len({row.tobytes() for row in rows}) == len(texts)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = np.sort(rows @ rows.T, axis=1)[:, -2]
    assert np.median(nearest) > 0.5


def test_the_share_that_is_asked_for_changes(tmp_path: Path) -> None:
    generate_flare.generate(tmp_path, 50, 50 * material.BYTES_A_TOPIC, seed=1)
    topics = {path: path.read_text() for path in (tmp_path / "Content").rglob("*.htm")}
    assert material.change(tmp_path, 0.1) == 5
    assert sum(path.read_text() != text for path, text in topics.items()) == 5


@pytest.mark.parametrize(
    ("finding", "held", "with_slack"),
    [
        (Finding("x", 1.2, most=1.3), True, True),
        (Finding("x", 2.0, most=1.3), False, True),
        (Finding("x", 4.0, most=1.3), False, False),
        (Finding("x", 0.5, least=0.9), False, True),
        (Finding("x", 1, most=0, exact=True), False, False),
        (Finding("x", 4.0), True, True),
    ],
)
def test_slack_widens_every_bound_but_exact_ones(
    finding: Finding, held: bool, with_slack: bool
) -> None:
    assert (finding.held, finding.within(3.0)) == (held, with_slack)


def test_the_table_shows_ratios_first() -> None:
    shown = table([Finding("cold", 1.234, most=1.3, note="7 s")])
    assert shown.splitlines()[-1] == "| cold | 1.23 x | <= 1.3 | yes | 7 s |"


def test_each_size_has_every_measure() -> None:
    assert set(SIZES) == {"quick", "standard", "full"}
    assert all(len(size.growth) >= 2 for size in SIZES.values())
