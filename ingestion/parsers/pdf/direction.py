"""Scripts that run leftward (Hebrew, Arabic): from the order in which a line is seen to the order
in which it is read.

This is the bidirectional algorithm (Unicode Standard Annex 9) backward. What is seen does not say
all: of a number beside a Latin word, the word is taken to come first ("Windows 11").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_LEFTWARD = r"\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
LEFTWARD = re.compile(rf"[{_LEFTWARD}]")
FORMS = re.compile(
    r"[\ufb1d-\ufdff\ufe70-\ufefc]+"
)  # letters in the form that their place asks for
_DIGIT = r"[\d\u0660-\u0669\u06f0-\u06f9]"
_LETTER = rf"[^\W\d_{_LEFTWARD}]"
LETTER = re.compile(_LETTER)
LETTERS = re.compile(rf"{_LETTER}|(?!{_DIGIT})[{_LEFTWARD}]")
STRONG = re.compile(rf"{_LETTER}|{_DIGIT}|[{_LEFTWARD}]")
# Code, or words and numbers with what is between them.
RIGHTWARD = re.compile(
    rf"`[^`]*`|(?:{_LETTER}|{_DIGIT})(?:(?:(?!{_DIGIT})[^{_LEFTWARD}`]|{_DIGIT})*(?:{_LETTER}|{_DIGIT}))?"
)
# Numbers from right to left: after Hebrew letters, more signs are part of them than after Arabic.
NUMBER = re.compile(rf"[%$€£°]*{_DIGIT}+(?:[.,:/+\-]{_DIGIT}+)*[%$€£°#]*")
ARABIC_NUMBER = re.compile(rf"{_DIGIT}+(?:[.,:/\u066b\u066c]{_DIGIT}+)*")
ARABIC = re.compile(r"[\u0600-\u08ff\ufb50-\ufdff\ufe70-\ufefc]")
BETWEEN = re.compile(
    rf"(?!{_DIGIT})[{_LEFTWARD}](?:(?:(?!{_LETTER})[^`])*(?!{_DIGIT})[{_LEFTWARD}])?"
)
PAIRS = ("()", "[]", "{}", "«»")
BRACKETS = frozenset("".join(PAIRS))
MOSTLY = 3  # times as many other letters on a page that runs leftward make a line rightward
KINDS = {char: pair for pair in PAIRS for char in pair}


def runs_leftward(text: str) -> bool:
    """Whether most letters are of scripts that run leftward."""
    leftward = len(LEFTWARD.findall(text))
    return leftward > 0 and leftward > len(LETTER.findall(text))


def without_forms(text: str) -> str:
    """The text with letters in place of their forms at the start, middle and end of words."""
    return FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)


def logical(text: str, *, from_right: bool) -> str:
    """The text of a line in the order of reading, given as it is seen: from left to right, or from
    right to left on a page that runs leftward."""
    if text.isascii() and not from_right:
        return text
    if not LEFTWARD.search(text) and not (from_right and not LETTER.search(text)):
        return text[::-1] if from_right else text
    letters, leftward = len(LETTER.findall(text)), len(LEFTWARD.findall(text))
    if letters > leftward * (MOSTLY if from_right else 1):
        text = text[::-1] if from_right else text
        return _turn_brackets(BETWEEN.sub(lambda match: _read_leftward(match[0][::-1]), text))
    return _turn_brackets(_read_leftward(text if from_right else text[::-1]))


def _read_leftward(seen: str) -> str:
    """The text of a line that is `seen` from right to left."""
    parts: list[str] = []
    end = 0
    for start, stop in _rightward(seen):
        parts += [seen[end:start], seen[start:stop][::-1]]
        end = stop
    return "".join([*parts, seen[end:]])


def _rightward(seen: str) -> Iterator[tuple[int, int]]:
    """The parts of the line that are read rightward."""
    for match in RIGHTWARD.finditer(seen):
        start, stop = match.span()
        if seen[start] != "`" and not LETTER.search(match[0]):
            yield from _numbers(seen, start, stop)
        else:
            yield _with_bracket(seen, start, stop), stop


def _numbers(seen: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    letters = LETTERS.findall(seen, 0, start)
    if letters and ARABIC.match(letters[-1]):
        pattern = ARABIC_NUMBER
    else:
        pattern = NUMBER
        while start and seen[start - 1] in "%$€£°":
            start -= 1
        while stop < len(seen) and seen[stop] in "%$€£°#":
            stop += 1
    yield from (match.span() for match in pattern.finditer(seen, start, stop))


def _with_bracket(seen: str, start: int, stop: int) -> int:
    """The start of a part with the bracket that closes one in it, as of a call."""
    pair = KINDS.get(seen[start - 1]) if start else None
    if pair is None:
        return start
    return start - sum(seen.count(bracket, start, stop) for bracket in pair) % 2


def _turn_brackets(text: str) -> str:
    """The text with brackets that open before words and close after them: files name them by their
    place in the text, or by their looks, which are the other way round in leftward text."""
    characters = list(text)
    open_of = dict.fromkeys(PAIRS, 0)
    for index, char in enumerate(text):
        pair = KINDS.get(char)
        if pair is not None:
            before, after = text[:index][-1:] or " ", text[index + 1 :][:1] or " "
            opens = _opens(before, after, open_of[pair])
            open_of[pair] = max(0, open_of[pair] + (1 if opens else -1))
            characters[index] = pair[0] if opens else pair[1]
    return "".join(characters)


def _opens(before: str, after: str, already: int) -> bool:
    starts = (before.isspace() or before in KINDS) and not after.isspace()
    ends = (after.isspace() or after in ".,;:!?") and not before.isspace()
    return starts if starts != ends else not already
