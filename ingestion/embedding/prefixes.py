"""What a model wants before its queries and its documents, by the model's own card.

- qwen3-embedding: https://huggingface.co/Qwen/Qwen3-Embedding-0.6B, "Usage": queries carry an
  instruction of one sentence, documents nothing.
- embeddinggemma: https://huggingface.co/google/embeddinggemma-300m, "Prompt Instructions".
- nomic-embed-text: https://huggingface.co/nomic-ai/nomic-embed-text-v1.5, "Task instruction
  prefixes": both sides must carry one.
- mxbai-embed-large: https://huggingface.co/mixedbread-ai/mxbai-embed-large-v1, "Quickstart".
- snowflake-arctic-embed and -embed2: https://huggingface.co/Snowflake/snowflake-arctic-embed-m and
  https://huggingface.co/Snowflake/snowflake-arctic-embed-l-v2.0, "Usage".
- bge (English, v1.5): https://huggingface.co/BAAI/bge-large-en-v1.5, "Model List"; not bge-m3.
- e5: https://huggingface.co/intfloat/multilingual-e5-large, "FAQ"; its -instruct variants:
  https://huggingface.co/intfloat/multilingual-e5-large-instruct, "Usage".

Any other model (all-minilm, granite-embedding, paraphrase-multilingual, ...) gets none.
"""

from __future__ import annotations

import re
from typing import NamedTuple

INSTRUCTION = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
)
SENTENCE = "Represent this sentence for searching relevant passages: "


class Prefixes(NamedTuple):
    document: str = ""
    query: str = ""


NONE = Prefixes()
RULES: tuple[tuple[str, Prefixes], ...] = (
    (r"qwen3-embedding", Prefixes(query=INSTRUCTION)),
    (r"embeddinggemma", Prefixes("title: none | text: ", "task: search result | query: ")),
    (r"nomic-embed-text", Prefixes("search_document: ", "search_query: ")),
    (r"mxbai-embed-large", Prefixes(query=SENTENCE)),
    (r"snowflake-arctic-embed(2|.*-v2)", Prefixes(query="query: ")),
    (r"snowflake-arctic-embed", Prefixes(query=SENTENCE)),
    (r"bge-(small|base|large)-en", Prefixes(query=SENTENCE)),
    (r"bge-large$", Prefixes(query=SENTENCE)),
    (r"(.*-)?e5-.*instruct", Prefixes(query=INSTRUCTION)),
    (r"(.*-)?e5-", Prefixes("passage: ", "query: ")),
)


def prefixes_of(model: str) -> Prefixes:
    """By the model's own name: registry, namespace, tag and case do not matter; first rule wins."""
    name = model.rpartition("/")[2].partition(":")[0].lower()
    return next((prefixes for rule, prefixes in RULES if re.match(rule, name)), NONE)
