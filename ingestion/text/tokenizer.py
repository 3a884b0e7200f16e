"""Count tokens with wordllama's tokenizer, whatever model embeds the chunks.

It is a byte-pair encoding in which no token has a space after another character, and none has a
line break or tab beside another one. So the count of a text is the exact sum of the counts of its
words (each with the spaces before it), and each word needs to be encoded only once.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from ingestion.exceptions import ConfigError

TOKENIZER_FILE = "tokenizers/l2_supercat_tokenizer_config.json"
REMEMBERED_WORDS = 1 << 17
REMEMBERED_LENGTH = 64

_WORD = re.compile(r" *[^ \n\t]+| +|[\n\t]")
_CROSSES_WORDS = re.compile(r"[^▁]▁|[\n\t]")
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_TAGS = range(0xE0020, 0xE0080)
_LONGEST_CLUSTER = 32


def count_tokens(text: str) -> int:
    """The number of tokens of `text`, without begin and end marks; 0 for an empty text.

    `<s>` and the like count as their characters. A lone surrogate counts as `?`.
    """
    return count_within(f" {text}") if text else 0


def count_within(text: str) -> int:
    """The tokens that `text` adds to another text at the beginning of a line.

    Exact and additive: always over line breaks, and before a space.
    """
    return sum(map(_counts().__getitem__, _WORD.findall(text.replace("▁", " "))))


def cut_to_fit(text: str, limit: int) -> list[str]:
    """Cut a text without spaces into parts of at most `limit` tokens, at token ends.

    Characters that are displayed as one (combining marks, joined emoji) stay together if possible;
    a single character is a part even if it has more than `limit` tokens.
    """
    parts = []
    ends = [end for _, end in _encode(text).offsets[2:]]
    start = position = 0
    while start < len(text):
        stop = _character_end(text, start, ends[min(position + limit, len(ends)) - 1] - 1)
        while stop - start > 1 and count_within(text[start:stop]) > limit:
            stop = _character_end(text, start, start + (stop - start) * 7 // 8)
        parts.append(text[start:stop])
        start = stop
        while position < len(ends) and ends[position] - 1 <= start:
            position += 1
    return parts


def _character_end(text: str, start: int, stop: int) -> int:
    """The last place up to `stop`, but after `start`, that splits no displayed character."""
    stop = max(stop, start + 1)
    for place in range(stop, max(start, stop - _LONGEST_CLUSTER), -1):
        if place >= len(text) or not (_extends(text[place]) or text[place - 1] == "\u200d"):
            return place
    return stop


def _extends(character: str) -> bool:
    """Whether a character is displayed with the one before it: marks, joiners, skin tones, tags."""
    code = ord(character)
    return code >= 0x300 and (
        code in _SKIN_TONES
        or code in _TAGS
        or character in "\u200c\u200d"
        or unicodedata.category(character).startswith("M")
    )


class _Counts(dict[str, int]):
    """The token count of each word so far; cleared when it has grown large."""

    def __missing__(self, word: str) -> int:
        count = len(_encode(word)) - 2
        if len(word) <= REMEMBERED_LENGTH:
            if len(self) >= REMEMBERED_WORDS:
                self.clear()
            self[word] = count
        return count


def _encode(word: str) -> Encoding:
    """`word` after a line break, so that the tokenizer's own leading space does not affect it."""
    readable = word.encode("utf-8", "replace").decode("utf-8")
    return tokenizer().encode(f"\n{readable}", add_special_tokens=False)


@cache
def _counts() -> _Counts:
    return _Counts()


@cache
def tokenizer() -> Tokenizer:
    """The tokenizer from the wheel: nothing is downloaded, and wordllama is not imported.

    Raises ConfigError if it is missing or a different one.
    """
    spec = find_spec("wordllama")
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / TOKENIZER_FILE if folders else None
    if path is None or not path.is_file():
        raise ConfigError(
            f"wordllama's tokenizer ({TOKENIZER_FILE}) is not installed: "
            "run pip install -r requirements.txt."
        )
    definition = path.read_text("utf-8")
    _check_words_are_apart(json.loads(definition)["model"]["vocab"], path)
    read = Tokenizer.from_str(definition)
    read.no_padding()
    read.no_truncation()
    read.encode_special_tokens = True
    return read


def _check_words_are_apart(vocabulary: dict[str, int], path: Path) -> None:
    for token in vocabulary:
        if _CROSSES_WORDS.search(token):
            raise ConfigError(
                f"{path} has the token {token!r}, which crosses words, so that tokens cannot be "
                "counted by word: install the version of wordllama that requirements.txt names."
            )
