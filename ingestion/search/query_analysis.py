"""Analyze a query: its meaningful words, its clauses, and whether it is a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ingestion.text import analyzer

_ENGLISH = """
a about all also am an and any are as at be because been being but by can could did do
does doing done for from get give gets had has have having he her here him his how i if in
into is it its just let make me might must my no nor not of on one or our out please shall
she should show so some such than that the their them then there these they this those
through to too until up us use used using want was we were what when where which while who
whom why will with would you your
"""
_GERMAN = """
aber auch auf aus bei beim bin bitte dann das dass dem den der des diese diesen dieser dieses
doch durch ein eine einem einen einer eines fur gibt habe haben hat ich ihm ihn ihr ist jede
jeden kann kein keine konnen mein meine meinem meinen meiner mich mir nach nicht noch nur ob
oder ohne sein sich sie sind uber und uns vom von vor wann warum weil welche welchem welchen
welcher welches wenn wer werden wie wieso wir wird wo wofur womit wurde zu zum zur zwischen
"""
_GERMAN_OR_NOT = (
    "als am an bin das dem den der des die es hat im in man mit so um vor war was wer zu"
)
STOP_WORDS = frozenset(_ENGLISH.split())
GERMAN = frozenset(_GERMAN.split())  # folded as in the index: without umlauts
GERMAN_OR_NOT = frozenset(_GERMAN_OR_NOT.split())  # also words of other languages, or names
GERMAN_ENOUGH = 2  # German words that make a query German

STOP_WORDS_OF_PROSE = 0.3  # their approximate share in a question
LEAST_STOP_WORDS = 2  # "get user principal" is a name written as words
MOST_CLAUSES = 3
LONGEST_QUESTION = 1000  # characters; the patterns below take quadratic time
_NAME = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|_|\d")
LONGEST_NAMED = 300  # characters
_NAMED = re.compile(
    r"\s*(?:(?:[A-Za-z_]\w*\.)*(?P<owner>[A-Za-z_]\w*)(?:\.|::|#))?"
    r"(?P<name>[A-Za-z_]\w*)\s*(?P<call>\([^()]*\)?)?\s*"
)
LANGUAGE = "bbj"  # looks like a name, but may be in any question
_CODE = re.compile(r"[(){}=<>$#_%;]|::|!\w|\w!")
_ASKING = r"(?:how|what|which|where|when|why|who|wie|welche[rs]?|wo|wann|warum)\b"
_CLAUSE = re.compile(
    rf"[?;]\s+|,?\s+\b(?:and|und)\s+(?:(?:also|then|dann|auch)\s+)?(?={_ASKING})", re.I
)
_VERSUS = re.compile(r"\s+(?:vs\.?|versus)\s+", re.I)
_COMPARED = re.compile(
    r"\b(?:between|zwischen)\s+(?P<one>.+?)\s+(?:and|und)\s+(?P<other>.+)"
    r"|\bcompar(?:e|ed|ing|ison of)\s+(?P<first>.+?)\s+(?:and|with|to)\s+(?P<second>.+)",
    re.I,
)


class Named(NamedTuple):
    """A class or member that a query consists of; `owner` is its class, if that is named too.

    Not `sure`: it is a single word that may just as well be meant as a word, such as `close`.
    """

    owner: str
    name: str
    sure: bool


def named(query: str) -> Named | None:
    """What `Class.method`, `Class::method(...)`, `method()` or `someMethod` names."""
    match = _NAMED.fullmatch(query) if len(query) <= LONGEST_NAMED else None
    if match is None:
        return None
    sure = match["owner"] or match["call"] == "()" or _NAME.search(match["name"])
    return Named(match["owner"] or "", match["name"], bool(sure))


def clauses(query: str) -> list[str]:
    """The parts of a question about two or three things, or a comparison of two.

    Empty if it asks for one thing, or is too long for a question.
    """
    query = " ".join(query.split())
    if len(query) > LONGEST_QUESTION:
        return []
    found = [clause.strip() for clause in _CLAUSE.split(query)]
    worded = [clause for clause in found if content_words(analyzer.words(clause), strict=True)]
    if len(worded) == 1:
        worded = _compared(worded[0])
    return worded if 2 <= len(worded) <= MOST_CLAUSES else []


def _compared(clause: str) -> list[str]:
    if match := _COMPARED.search(clause):
        sides = [side for side in match.groups() if side]
    else:
        sides = _VERSUS.split(clause)
    return sides if all(content_words(analyzer.words(side), strict=True) for side in sides) else []


def prose(query: str) -> float:
    """How much of a sentence the query is: 0 for names, keywords and code, 1 for a question; less
    if it contains names or numbers."""
    words = analyzer.words(query)
    if not words or _CODE.search(query):
        return 0.0
    folded = [word.casefold() for word in words]
    stop_words = _stop_words(folded)
    number = sum(word in stop_words for word in folded)
    if number < LEAST_STOP_WORDS:
        return 0.0
    share = number / (STOP_WORDS_OF_PROSE * len(folded))
    return min(1.0, share) * (1 - _names(content_words(words)))


def _names(words: Sequence[str]) -> float:
    """The share of words that look like identifiers or numbers."""
    found = [word for word in words if _NAME.search(word) and word.casefold() != LANGUAGE]
    return len(found) / len(words)


def content_words(words: Sequence[str], *, strict: bool = False) -> list[str]:
    """The words without stop words; BASIC keywords (ON, IF, NOT) stay if they are in capitals.

    If only stop words are left, all of them, unless `strict`.
    """
    stop_words = _stop_words([word.casefold() for word in words])
    shouted = all(word.isupper() for word in words if word.isalpha())
    kept = [
        word
        for word in words
        if word.casefold() not in stop_words or (word.isupper() and len(word) > 1 and not shouted)
    ]
    return kept or ([] if strict else list(words))


def _stop_words(words: Sequence[str]) -> frozenset[str]:
    german = sum(word in GERMAN and word not in GERMAN_OR_NOT for word in words)
    return STOP_WORDS | GERMAN | GERMAN_OR_NOT if german >= GERMAN_ENOUGH else STOP_WORDS
