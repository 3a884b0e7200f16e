"""How far the results of a search can be trusted to answer it: one number, from 0 to 1.

What is not in the index is asked for in words that are not in it either, or that are far apart in
it. So three things count: the words of the query that no text has, how much of the query's rare
words the best hit holds, and which share of them the best hits hold together. Their weights are a
logistic regression over tests/data/questions_passages.jsonl and questions_missing.jsonl; run
`python -m tests.scripts.measure_trust` after a change. Nothing here depends on the embedder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from ingestion.index import term_statistics
from ingestion.search.query_analysis import content_words
from ingestion.search.query_expansion import rarity
from ingestion.search.results import Hit, Results
from ingestion.text import analyzer

DOUBTFUL = 0.5  # below this, a query counts as not answered
LOOKED_AT = 5  # hits
MOST_WORDS = 64  # of the query
MOST_STRANGE = 3
SLIP = 5  # letters of the shortest word that may be misspelt; of the shortest with two slips: 8
SLIP_GAIN = 4.0
ENDING = 8  # letters
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
STRANGE_WEIGHT, BEST_WEIGHT, SHARE_WEIGHT, REST = -2.5, 0.39, 2.7, -5.26


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the query: the terms of which a text has to have one, and what that is worth; 0 if
    the index does not know the word."""

    terms: Sequence[str]
    gain: float


def trusted(results: Results) -> float:
    words = _words(results)
    texts = [_text(hit) for hit in results.hits[:LOOKED_AT]]
    if not words or not texts:
        return 0.0
    strange = sum(not any(_has(text, word) for text in texts) for word in words if not word.gain)
    gains = [[word.gain * _has(text, word) for word in words] for text in texts]
    best = max(map(sum, gains))
    all_ = sum(word.gain for word in words)
    together = sum(map(max, zip(*gains, strict=True)))
    if not strange and best == all_:
        return 1.0  # one text holds everything, however little that is
    share = together / all_ if all_ else 0.0
    said = STRANGE_WEIGHT * min(strange, MOST_STRANGE) + BEST_WEIGHT * best + SHARE_WEIGHT * share
    return 1 / (1 + math.exp(-said - REST))


def _words(results: Results) -> list[Word]:
    found = content_words(analyzer.words(results.query))
    forms = {form.whole: form for form in map(analyzer.forms, found) if form.whole}
    forms = dict(islice(forms.items(), MOST_WORDS))
    counts, chunks = term_statistics.counts(list(forms))
    words = []
    for term in forms:
        if term in counts:
            words.append(Word([term], rarity(counts[term], chunks)))
        elif meant := [one for one in results.corrected.get(term, ()) if _is_slip(term, one)]:
            words.append(Word(meant, SLIP_GAIN))
        else:
            words.append(Word([term], 0.0))
    return words


def _is_slip(term: str, meant: str) -> bool:
    slips = 1 if len(term) < 8 else 2
    return len(term) >= SLIP and analyzer.edits(term, meant, slips) <= slips


def _text(hit: Hit) -> str:
    """What a hit says, in small letters; what is written as one word also in its parts."""
    text = f" {hit.context_header}\n{hit.title}\n{hit.content}".replace("_", "")
    return f"{text}\n{_HUMP.sub(' ', text)} ".casefold()


def _has(text: str, word: Word) -> bool:
    return any(_occurs(term, text) for term in word.terms)


def _occurs(term: str, text: str) -> bool:
    """Whether a word of the text has this stem, nearly: it begins with it, and is hardly longer.
    (Stemming all words of a text takes twenty times as long.)"""
    stem = term[:-1] if term.endswith("i") else term  # of `query` and `queries`
    at = text.find(stem)
    while at >= 0:
        end = at + len(stem)
        if not text[at - 1].isalnum() and not text[end : end + ENDING + 1].isalnum():
            return True
        at = text.find(stem, end)
    return False
