"""Count tokens as the model does that embeds the chunks, or else with wordllama's tokenizer.

Which one counts is said around the work, as with the precision of decimals:

    with counted_in(tokens):
        chunks = ...

In each of them the tokens of a text are those of its words (each with the spaces before it), one
after the other, so each word needs to be encoded only once. In wordllama's, a byte-pair encoding,
no token has a space after another character, none has a line break or tab beside another one, and
none a letter or digit beside a sign like the full stop.
What was found out for lines is remembered, too: each is counted with several others around it, and
then embedded.
"""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TypeVar

from tokenizers import Encoding, Tokenizer

from ingestion.exceptions import ConfigError

TOKENIZER_FILE = "tokenizers/l2_supercat_tokenizer_config.json"
REMEMBERED_WORDS = 1 << 17
REMEMBERED_LENGTH = 64
REMEMBERED_LINES = 1 << 11
LONGEST_LINE = 4096

Value = TypeVar("Value")

_WORD = re.compile(r" *[^ \n\t]+| +|[\n\t]")
_SIGN, _PLAIN = r"[!-/:-@\[-`{-~]", "[A-Za-z0-9]"
_SIGNS = re.compile(f"(?<={_SIGN})(?={_PLAIN})|(?<={_PLAIN})(?={_SIGN})")
_CROSSES_WORDS = re.compile(rf"[^▁]▁|[\n\t]|{_SIGN}{_PLAIN}|{_PLAIN}{_SIGN}")
_OF_NO_TEXT = re.compile(r"<0x[0-9A-F]{2}>|<unk>|</?s>")
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_TAGS = range(0xE0020, 0xE0080)
_LONGEST_CLUSTER = 32


class Tokens(ABC):
    """How a model divides texts into tokens. It can be sent to another process."""

    key = ""
    """What chunks that are counted in it depend on; empty for wordllama's."""

    left_out = ("counts", "line_counts", "_numbers", "_lines", "_tokenizer")
    """What is not sent along."""

    def __init__(self) -> None:
        self._forget()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in self.left_out}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self.counts = _for_words(self.length)
        self.line_counts = _for_lines(self._count_line)

    @abstractmethod
    def ends(self, text: str) -> list[int]:
        """The character after each token of a text at the beginning of a line."""

    def length(self, word: str) -> int:
        """The number of tokens of a word."""
        return len(self.ends(word))

    def count(self, text: str) -> int:
        """The number of tokens of a text, without begin and end marks; 0 for an empty one."""
        return self.count_within(f" {text}") if text else 0

    def count_within(self, text: str) -> int:
        if "▁" in text:
            text = text.replace("▁", " ")
        if "\n" not in text:
            return self.line_counts[text]
        lines = text.split("\n")
        breaks = self.counts["\n"] * (len(lines) - 1)
        return breaks + sum(map(self.line_counts.__getitem__, lines))

    def _count_line(self, line: str) -> int:
        return sum(map(self.counts.__getitem__, _WORD.findall(line)))


@contextmanager
def counted_in(tokens: Tokens) -> Iterator[None]:
    """Within it, this thread counts in these tokens."""
    before = _counted_in.set(tokens)
    try:
        yield
    finally:
        _counted_in.reset(before)


def count_tokens(text: str) -> int:
    """The number of tokens of `text`, without begin and end marks; 0 for an empty text.

    `<s>` and the like count as their characters. A lone surrogate counts as `?`.
    """
    return _counted_in.get().count(text)


def count_within(text: str) -> int:
    """The tokens that `text` adds to another text at the beginning of a line.

    Exact and additive: always over line breaks, and before a space.
    """
    return _counted_in.get().count_within(text)


def cut_to_fit(text: str, limit: int) -> list[str]:
    """Cut a text without spaces into parts of at most `limit` tokens, at token ends.

    Characters that are displayed as one (combining marks, joined emoji) stay together if possible;
    a single character is a part even if it has more than `limit` tokens.
    """
    parts = []
    ends = _counted_in.get().ends(text)
    start = position = 0
    while start < len(text):
        last = position + limit
        stop = _character_end(text, start, ends[last - 1] if last < len(ends) else len(text))
        while stop - start > 1 and count_within(text[start:stop]) > limit:
            stop = _character_end(text, start, start + (stop - start) * 7 // 8)
        parts.append(text[start:stop])
        start = stop
        while position < len(ends) and ends[position] <= start:
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


class _Remembered(dict[str, Value]):
    """What was found out for each text so far, except for long ones; cleared when it has `most`."""

    def __init__(self, find: Callable[[str], Value], most: int, longest: int) -> None:
        super().__init__()
        self.find = find
        self.most = most
        self.longest = longest

    def __missing__(self, text: str) -> Value:
        value = self.find(text)
        if len(text) <= self.longest:
            if len(self) >= self.most:
                self.clear()
            self[text] = value
        return value


def _for_words(find: Callable[[str], Value]) -> _Remembered[Value]:
    return _Remembered(find, REMEMBERED_WORDS, REMEMBERED_LENGTH)


def _for_lines(find: Callable[[str], Value]) -> _Remembered[Value]:
    return _Remembered(find, REMEMBERED_LINES, LONGEST_LINE)


class WordLlamaTokens(Tokens):
    def _forget(self) -> None:
        super()._forget()
        self._numbers = _for_words(self._numbers_of_word)
        self._lines = _for_lines(self._numbers_of_line)

    def ends(self, text: str) -> list[int]:
        return [end - 1 for _, end in _encode(text).offsets[2:]]

    def length(self, word: str) -> int:
        return len(self._numbers[word])

    def numbers(self, text: str) -> list[int]:
        """The place of each token of a text in the vocabulary."""
        first, *rest = f" {text}".replace("▁", " ").split("\n")
        found = [*self._lines[first]] if text else []
        for line in rest:
            found += self._numbers["\n"]
            found += self._lines[line]
        return found

    def _count_line(self, line: str) -> int:
        return len(self._lines[line])

    def _numbers_of_line(self, line: str) -> list[int]:
        return [*chain.from_iterable(map(self._numbers.__getitem__, _WORD.findall(line)))]

    def _numbers_of_word(self, word: str) -> tuple[int, ...]:
        """Signs at a word are looked up by themselves, so that there are fewer words to encode."""
        parts = _SIGNS.split(word)
        if len(parts) == 1:
            return tuple(_encode(word).ids[2:])
        return tuple(chain.from_iterable(map(self._numbers.__getitem__, parts)))


def _encode(word: str) -> Encoding:
    """`word` after a line break, so that the tokenizer's own leading space does not affect it."""
    readable = word.encode("utf-8", "replace").decode("utf-8")
    return tokenizer().encode(f"\n{readable}", add_special_tokens=False)


def installed_file(package: str, name: str) -> Path | None:
    """A file that came in the wheel of a package, which is not imported; None if it is missing."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / name if folders else None
    return path if path and path.is_file() else None


@cache
def tokenizer() -> Tokenizer:
    """The tokenizer from the wheel: nothing is downloaded, and wordllama is not imported.

    Raises ConfigError if it is missing or a different one.
    """
    path = installed_file("wordllama", TOKENIZER_FILE)
    if path is None:
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
        if _CROSSES_WORDS.search(token) and not _OF_NO_TEXT.fullmatch(token):
            raise ConfigError(
                f"{path} has the token {token!r}, which crosses words, so that tokens cannot be "
                "counted by word: install the version of wordllama that requirements.txt names."
            )


WORDLLAMA = WordLlamaTokens()
_counted_in: ContextVar[Tokens] = ContextVar("counted_in", default=WORDLLAMA)
