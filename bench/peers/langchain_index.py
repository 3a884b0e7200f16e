"""LangChain's indexer over a folder of Markdown pages: `index` with a record manager, full cleanup.

Run by bench.peers in its own environment: FOLDER HOST MODEL DATABASE_URL. Prints what it did.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from langchain_classic.indexes import SQLRecordManager
from langchain_core.documents import Document
from langchain_core.indexing import index
from langchain_ollama import OllamaEmbeddings
from langchain_postgres import PGVector
from langchain_text_splitters import Language, RecursiveCharacterTextSplitter


def main(folder: str, host: str, model: str, database: str) -> None:
    splitter = RecursiveCharacterTextSplitter.from_language(
        Language.MARKDOWN, chunk_size=1400, chunk_overlap=100
    )
    pages = [
        Document(page_content=path.read_text("utf-8"), metadata={"source": str(path)})
        for path in sorted(Path(folder).rglob("*.md"))
    ]
    chunks = splitter.split_documents(pages)
    records = SQLRecordManager("bench", db_url=database)
    records.create_schema()
    store = PGVector(
        embeddings=OllamaEmbeddings(model=model, base_url=host),
        collection_name="bench",
        connection=database,
        use_jsonb=True,
        create_extension=False,
    )
    done = index(
        chunks,
        records,
        store,
        cleanup="full",
        source_id_key="source",
        batch_size=500,
        key_encoder="sha256",
    )
    sys.stdout.write(json.dumps({"chunks": len(chunks), **done}))


if __name__ == "__main__":
    main(*sys.argv[1:])
