"""LlamaIndex's ingestion pipeline over a folder of Markdown pages, with a stored document store.

Run by bench.peers in its own environment: FOLDER HOST MODEL DATABASE_URL STATE. Prints what it did.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llama_index.core import SimpleDirectoryReader
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.embeddings.ollama import OllamaEmbedding
from llama_index.vector_stores.postgres import PGVectorStore

DIMENSIONS = 1024


def main(folder: str, host: str, model: str, database: str, state: str) -> None:
    kept = Path(state)
    pipeline = IngestionPipeline(
        transformations=[
            SentenceSplitter(chunk_size=400, chunk_overlap=50),
            OllamaEmbedding(model_name=model, base_url=host, embed_batch_size=100),
        ],
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        vector_store=_store(database),
    )
    if kept.exists():
        pipeline.load(str(kept))
    reader = SimpleDirectoryReader(
        folder,
        recursive=True,
        required_exts=[".md"],
        filename_as_id=True,
        exclude_hidden=False,  # the pages lie below .data
    )
    nodes = pipeline.run(documents=reader.load_data())
    pipeline.persist(str(kept))
    sys.stdout.write(json.dumps({"chunks": len(nodes)}))


def _store(database: str) -> PGVectorStore:
    return PGVectorStore.from_params(
        connection_string=database.replace("+psycopg:", "+psycopg2:"),
        async_connection_string=database.replace("+psycopg:", "+asyncpg:"),
        table_name="bench",
        embed_dim=DIMENSIONS,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
