"""How many tokens of the model a text has: exactly for BERT models, else at most.

A server that is sent more than the model's context cuts the text off or dies, so what may not fit
is not sent with others (`ingestion.embedding.ollama`).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from ingestion.text.tokenizer import count_tokens

WORD_START = "\N{LOWER ONE EIGHTH BLOCK}"


MOST_PER_TOKEN = 2.5
"""Tokens of a model for one of the product's: see TOKENS_PER_TOKEN in `ingestion.embedding.ollama`
for what was measured (2.3 at worst, with the vocabulary that splits most)."""


class TokenBound:
    """At most this many tokens, whatever the vocabulary: the lesser of two bounds.

    A token of a byte-pair or SentencePiece vocabulary covers one byte at least; such models may
    put a space before the text, and may normalise it to compatibility forms first (in which some
    characters become many). The other bound is measured.
    """

    exact = False

    def __call__(self, text: str) -> int:
        normalised = text if text.isascii() else unicodedata.normalize("NFKD", text)
        by_bytes = max(len(text.encode()), len(normalised.encode())) + 1
        return min(by_bytes, math.ceil(count_tokens(text) * MOST_PER_TOKEN) + 1)


class WordPieceCount:
    """The tokens of a BERT model, without its begin and end marks.

    Marks written in a text ("[SEP]") and letters that are joined from parts count for more here
    than with the server, never for less.
    """

    exact = True

    def __init__(self, vocabulary: Mapping[str, int], unknown: str) -> None:
        model = WordPiece(dict(vocabulary), unk_token=unknown, max_input_chars_per_word=1 << 20)
        self.tokenizer = Tokenizer(model)
        self.tokenizer.normalizer = BertNormalizer(lowercase=True, strip_accents=True)
        self.tokenizer.pre_tokenizer = BertPreTokenizer()

    def __call__(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))


def word_piece_count(info: Mapping[str, Any]) -> WordPieceCount | None:
    """From the `model_info` that Ollama's /api/show gives with `verbose`; None for another kind.

    GGUF marks the tokens that begin a word, where BERT's own list marks those that go on (##).
    """
    tokens = info.get("tokenizer.ggml.tokens")
    if info.get("tokenizer.ggml.model") != "bert" or not isinstance(tokens, list):
        return None
    vocabulary = {_bert_token(str(token)): number for number, token in enumerate(tokens)}
    unknown = info.get("tokenizer.ggml.unknown_token_id", 100)
    if not isinstance(unknown, int) or not 0 <= unknown < len(tokens):
        return None
    return WordPieceCount(vocabulary, _bert_token(str(tokens[unknown])))


def _bert_token(token: str) -> str:
    if token.startswith(WORD_START):
        return token[1:]
    return (
        token if token.startswith("[") and token.endswith("]") and len(token) > 2 else f"##{token}"
    )
