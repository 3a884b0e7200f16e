"""Make the projection of `ingestion.embedding.token_vectors` from the chunks of an index.

    python -m tests.scripts.learn_projection [--chunks 1500]

Takes the dimensions in which the tokens of these chunks differ most (by the eigenvectors of their
second moments), and how far they spread in each.
"""

from __future__ import annotations

import argparse
import os

import django
import numpy as np

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
django.setup()

from ingestion.chunking.chunker import embedded_text  # noqa: E402
from ingestion.embedding import minilm, token_vectors  # noqa: E402
from ingestion.models import Chunk  # noqa: E402

TAKEN = 5  # each so many tokens: neighbours say nearly the same


def main(number: int) -> None:
    session, vocabulary = minilm.opened()
    every = max(1, Chunk.objects.count() // number)
    said = []
    for header, content in Chunk.objects.order_by("pk").values_list("context_header", "content")[
        ::every
    ]:
        pieces = vocabulary.numbers(embedded_text(header, content))[: minilm.CONTEXT]
        kept = minilm.states(session, pieces)[1:-1][token_vectors.telling()[pieces]]
        said.append(kept[::TAKEN])
    tokens = np.concatenate(said)
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(tokens.T @ tokens / len(tokens))
    matrix = vectors[:, ::-1][:, : token_vectors.DIMENSIONS]
    spread = (tokens @ matrix).std(axis=0)
    np.savez(
        token_vectors.PROJECTION,
        matrix=matrix.astype(np.float16),
        spread=spread.astype(np.float32),
    )
    share = values[::-1][: token_vectors.DIMENSIONS].sum() / values.sum()
    print(f"{len(tokens)} tokens; the projection keeps {share:.0%} of what they say.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1500)
    main(parser.parse_args().chunks)
