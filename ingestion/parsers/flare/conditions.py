"""Condition tags: what the output of a target leaves out.

A target, or the tag that includes a snippet, has an expression: `include[A.x or B.y] exclude[C.z]`,
each half a Boolean expression over tags. Content without tags is in the output, and so is content
whose tags no half names. Content with an excluded tag is not, unless another of its tags is
included: the include wins. That is all it does, because the rest is in the output without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ingestion.parsers.markup.html import Element, local_name

Test = Callable[[frozenset[str]], bool]

MAX_NESTED = 50
MAX_EXPRESSION = 20_000  # characters
MAX_DECIDED = 10_000
WEB_TYPES = ("webhelp", "html5")
PRINT_TYPES = ("pdf", "word", "xps", "framemaker", "print")

_PRINT = re.compile(r"(?:for|only)?print(?:ed)?(?:only|output)?")
_HALF = re.compile(r'\b(include|exclude)\s*\[((?:"[^"]*"|[^\]"])*)\]', re.IGNORECASE)
_TOKEN = re.compile(r'"([^"]*)"|([(),])|([^\s(),"]+)')


def split_conditions(value: str | None) -> list[str]:
    return [tag.strip() for tag in (value or "").split(",") if tag.strip()]


def only_for_print(conditions: str | None) -> bool:
    """Whether every condition tag is for print (`*.PrintOnly`, `*.Print_Only`, `*.Print`)."""
    if not conditions or "print" not in conditions.casefold():
        return False
    return all(map(_is_for_print, split_conditions(conditions)))


def _is_for_print(tag: str) -> bool:
    name = re.sub(r"[\W_]", "", tag.rpartition(".")[2]).casefold()
    return _PRINT.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Expression:
    """The halves of a condition tag expression; None for one that is missing."""

    include: Test | None = None
    exclude: Test | None = None

    def verdict(self, tags: frozenset[str]) -> bool | None:
        """Whether content with these tags is in the output; None if that is not said."""
        if self.include is not None and self.include(tags):
            return True
        return False if self.exclude is not None and self.exclude(tags) else None


@lru_cache(maxsize=256)
def expression_of(text: str) -> Expression:
    """The expression that a text contains. Raises ValueError if it is not understood."""
    if len(text) > MAX_EXPRESSION:
        raise ValueError(f"it is longer than {MAX_EXPRESSION:,} characters")
    halves = {match[1].casefold(): _test_of(match[2]) for match in _HALF.finditer(text)}
    rest = _HALF.sub("", text).strip(" ,;\t\r\n")
    if rest:
        raise ValueError(f"{rest[:50]!r} is neither include[...] nor exclude[...]")
    return Expression(halves.get("include"), halves.get("exclude"))


def tag_key(tag: str) -> str:
    return " ".join(tag.split()).casefold()


def _test_of(text: str) -> Test | None:
    tokens = list(_tokens(text))
    return _Reader(tokens).whole() if tokens else None


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Each token, and whether it is a name in quotation marks."""
    for match in _TOKEN.finditer(text):
        quoted, mark, word = match.groups()
        yield (quoted, True) if quoted is not None else (mark or word, False)


class _Reader:
    """Reads `or` (or a comma), `and`, `not`, brackets and tags, with their usual precedence."""

    def __init__(self, tokens: list[tuple[str, bool]]) -> None:
        self.tokens = tokens
        self.place = 0
        self.depth = 0

    def whole(self) -> Test:
        found = self.any_of()
        if self.place < len(self.tokens):
            raise ValueError(f"{self.tokens[self.place][0]!r} is not expected there")
        return found

    def any_of(self) -> Test:
        self.depth += 1
        if self.depth > MAX_NESTED:
            raise ValueError("its brackets are nested too deep")
        parts = [self.all_of()]
        while self._takes("or", ","):
            parts.append(self.all_of())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else lambda tags: any(part(tags) for part in parts)

    def all_of(self) -> Test:
        parts = [self.one()]
        while self._takes("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else lambda tags: all(part(tags) for part in parts)

    def one(self) -> Test:
        negated = False
        while self._takes("not"):
            negated = not negated
        if self._takes("("):
            found = self.any_of()
            if not self._takes(")"):
                raise ValueError("a bracket is not closed")
        else:
            found = self._tag()
        return (lambda tags: not found(tags)) if negated else found

    def _tag(self) -> Test:
        words = []
        while self.place < len(self.tokens):
            word, quoted = self.tokens[self.place]
            if not quoted and word.casefold() in ("and", "or", "not", "(", ")", ","):
                break
            words.append(word)
            self.place += 1
        if not words:
            raise ValueError("a tag is missing")
        key = tag_key(" ".join(words))
        return lambda tags: key in tags

    def _takes(self, *wanted: str) -> bool:
        if self.place >= len(self.tokens):
            return False
        word, quoted = self.tokens[self.place]
        found = not quoted and word.casefold() in wanted
        self.place += found
        return found


class Target(NamedTuple):
    """A target of a project; `kind` is Flare's Type, such as `WebHelp2` for HTML5."""

    name: str
    kind: str
    expression: Expression

    @property
    def is_web(self) -> bool:
        return self.kind.casefold().startswith(WEB_TYPES)

    @property
    def is_print(self) -> bool:
        return self.kind.casefold().startswith(PRINT_TYPES)


def target_of(name: str, root: Element) -> Target:
    """The target that a `.fltar` file describes. Raises ValueError for its expression."""
    values = _attributes(root)
    text = values.get("conditiontagexpression") or values.get("conditionexpression") or ""
    expression = expression_of(text) if text.strip() else _of_actions(root)
    return Target(name, values.get("type", ""), expression)


def _attributes(element: Element) -> dict[str, str]:
    return {str(name).casefold(): str(value) for name, value in element.attrib.items()}


def _of_actions(root: Element) -> Expression:
    """The expression of an older target, which lists its tags with what to do with each."""
    named: dict[str, list[str]] = {"include": [], "exclude": []}
    for element in root.iter():
        if local_name(element.tag).casefold() == "conditiontag":
            values = _attributes(element)
            action = values.get("action", "").casefold()
            tag = values.get("name") or values.get("tag") or (element.text or "")
            if action in named and tag.strip():
                named[action].append(tag_key(tag))
    return Expression(*(_has_one_of(frozenset(tags)) for tags in named.values()))


def _has_one_of(wanted: frozenset[str]) -> Test | None:
    return (lambda tags: not wanted.isdisjoint(tags)) if wanted else None


@dataclass(slots=True)
class Rule:
    """What is left out because of its condition tags: what the target says, and what is only for
    print unless the target is."""

    target: Target | None = None
    _decided: dict[tuple[str, tuple[Expression, ...]], bool] = field(default_factory=dict)

    def leaves_out(self, conditions: str | None, inner: Sequence[Expression] = ()) -> bool:
        """Whether these conditions keep content out. `inner` are the expressions of the snippets
        that it is in; the innermost that says something decides, before the target's."""
        if not conditions:
            return False
        key = (conditions, tuple(inner))
        if key not in self._decided:
            if len(self._decided) >= MAX_DECIDED:
                self._decided.clear()
            self._decided[key] = self._decide(conditions, inner)
        return self._decided[key]

    def _decide(self, conditions: str, inner: Sequence[Expression]) -> bool:
        tags = frozenset(map(tag_key, split_conditions(conditions)))
        if not tags:
            return False
        outer = (self.target.expression,) if self.target else ()
        for expression in (*reversed(inner), *outer):
            verdict = expression.verdict(tags)
            if verdict is not None:
                return not verdict
        return only_for_print(conditions) and not (self.target and self.target.is_print)
