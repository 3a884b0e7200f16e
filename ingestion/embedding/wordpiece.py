"""The tokens of a BERT model, and for others how many a text has at most.

A server that is sent more than the model's context cuts the text off or dies, so what may not fit
is not sent with others (`ingestion.embedding.ollama`).
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from ingestion.text.tokenizer import WORDLLAMA, Tokens

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

    def __call__(self, text: str) -> int:
        measured = math.ceil(WORDLLAMA.count(text) * MOST_PER_TOKEN) + 1
        return min(self._by_bytes(text), measured)

    def within(self, text: str, limit: float) -> bool:
        """Whether it is at most `limit`: mostly known by the bytes, without counting tokens."""
        return self._by_bytes(text) <= limit or self(text) <= limit

    def _by_bytes(self, text: str) -> int:
        if text.isascii():
            return len(text) + 1
        normalised = unicodedata.normalize("NFKD", text)
        return max(len(text.encode()), len(normalised.encode())) + 1


LONGEST_ENCODED = 200
"""Characters: the time that a word takes grows with the square of its length."""


class WordPieceTokens(Tokens):
    """The tokens of a BERT model, without its begin and end marks.

    `vocabulary` is the list of its tokens, in which those that go on within a word begin with "##".
    Marks written in a text ("[SEP]"), letters that are joined from parts and very long words count
    for more here than with the server, never for less.
    """

    def __init__(self, vocabulary: Sequence[str], unknown: str) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.unknown = unknown
        listed = hashlib.sha256("\n".join(self.vocabulary).encode()).hexdigest()
        self.key = f"WordPiece {listed[:12]}"

    def __call__(self, text: str) -> int:
        return self.count(text)

    def ends(self, text: str) -> list[int]:
        return [*self._ends(text)]

    def numbers(self, text: str) -> list[int]:
        """The place of each token in the vocabulary; a very long word is unknown."""
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        return [*encoded.ids]

    def _ends(self, text: str) -> Iterator[int]:
        for start in range(0, len(text), LONGEST_ENCODED):
            part = text[start : start + LONGEST_ENCODED].encode("utf-8", "replace").decode()
            encoded = self._tokenizer.encode(part, add_special_tokens=False)
            yield from (start + end for _, end in encoded.offsets)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        numbered = {token: number for number, token in enumerate(self.vocabulary)}
        longest = LONGEST_ENCODED
        made = Tokenizer(
            WordPiece(numbered, unk_token=self.unknown, max_input_chars_per_word=longest)
        )
        made.normalizer = BertNormalizer(lowercase=True, strip_accents=True)
        made.pre_tokenizer = BertPreTokenizer()
        return made


def word_piece_count(info: Mapping[str, Any]) -> WordPieceTokens | None:
    """From the `model_info` that Ollama's /api/show gives with `verbose`; None for another kind.

    GGUF marks the tokens that begin a word, where BERT's own list marks those that go on (##).
    """
    tokens = info.get("tokenizer.ggml.tokens")
    if info.get("tokenizer.ggml.model") != "bert" or not isinstance(tokens, list):
        return None
    vocabulary = [_bert_token(str(token)) for token in tokens]
    unknown = info.get("tokenizer.ggml.unknown_token_id", 100)
    if not isinstance(unknown, int) or not 0 <= unknown < len(tokens):
        return None
    return WordPieceTokens(vocabulary, vocabulary[unknown])


def _bert_token(token: str) -> str:
    if token.startswith(WORD_START):
        return token[1:]
    return (
        token if token.startswith("[") and token.endswith("]") and len(token) > 2 else f"##{token}"
    )
