"""Hybrid search: vectors and full text ranked in one statement, fused by reciprocal rank; what is
found is then put in order by its relevance, with further passages of the best documents.

A question for two things is asked as a whole and by its parts, each a ranking of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from django.conf import settings

from ingestion.exceptions import EmbedderError
from ingestion.index import left_out
from ingestion.models import EmbeddingProfile
from ingestion.search import fetching, late_interaction, relevance, unknown_filters
from ingestion.search.diversity import varied
from ingestion.search.fetching import NOTHING, Found, gain
from ingestion.search.highlighting import Gains, snippet
from ingestion.search.late_interaction import LATE, Comparison
from ingestion.search.query_analysis import clauses, named
from ingestion.search.query_expansion import QueryTerms, query_terms
from ingestion.search.relevance import Features
from ingestion.search.reranking import reranked
from ingestion.search.results import MODES, Hit, Mode, Results
from ingestion.search.retrievers import (
    NAME_WEIGHT,
    OF_THE_NAME,
    Filters,
    Ranking,
    dense_rankings,
    embeds_sentences,
    in_use,
    name_rankings,
    profiles_in_use,
    text_rankings,
)
from ingestion.text.joining import joined

MAX_LIMIT = 100
LONGEST_QUERY = 8192  # characters; the rest is ignored
CANDIDATES = 40  # fused hits that are put in order by their relevance
LATE_CANDIDATES = 60  # with late interaction; 50 and 70 were as good, with the passages beside
# Which document answers is found far more surely than which of its passages: so further ones are
# put in order, too. Those of models of sentences, which are smaller; with those of a model of
# words that found nothing more.
DOCUMENTS = 3  # the best; 2 and 5 were as good
BESIDE = 30  # passages of each of them, those nearest to one that was found; so were 15 and 60
WHOLE_WEIGHT = 0.5  # of a question for two things, beside its clauses

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Candidates(NamedTuple):
    """What the rankings found, best first; `notes` are for the user. `added` are the words of a
    language model by chunk, which are found and not shown; `profiles` are those in use; `late` is
    what late interaction says of the hits, if it is on and knows enough of them."""

    terms: QueryTerms
    hits: list[Hit]
    added: Mapping[int, str]
    notes: tuple[str, ...]
    profiles: Sequence[EmbeddingProfile]
    late: Features | None = None

    def sentences(self) -> bool:
        """Whether a model of sentences made some of the vectors."""
        return embeds_sentences(self.profiles)


def search(
    query: str,
    *,
    limit: int = 10,
    sources: Sequence[str] = (),
    generations: Sequence[str] = (),
    doc_types: Sequence[str] = (),
    include_deprecated: bool | None = None,
    mode: Mode = "hybrid",
) -> Results:
    """The best chunks for `query`, best first; ties are ordered by chunk id.

    A filter keeps documents with any of its values; an empty one keeps all. Deprecated documents
    are at the end of the list; with `include_deprecated` True they keep their rank, with False they
    are left out. Raises ValueError for an unknown mode or an invalid limit.
    """
    if mode not in MODES:
        raise ValueError(f"There is no mode {mode!r}: use one of {', '.join(MODES)}.")
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"A limit of {limit} is not between 1 and {MAX_LIMIT}.")
    asked = cleaned(query)
    filters = Filters(
        _without_control(sources),
        _without_control(generations),
        _without_control(doc_types),
        deprecated=include_deprecated is not False,
        left_out=left_out.keys(),
    )
    if not any(map(str.isalnum, asked)):
        nothing = "The query holds no word to search for."
        return Results(query=query, mode=mode, notes=(nothing,))
    asked_terms = query_terms(asked)
    found = _found(asked, asked_terms, filters, mode, 2 * limit + 20)
    hits = _in_order(asked, found) if mode == "hybrid" else found.hits
    hits, of_reranker = reranked(asked, _each_clause_first(hits))
    gains = Gains(asked_terms.gains)
    chosen = [_as_one(beside, gains) for beside in varied(hits, limit, gains)]
    if include_deprecated is None:
        chosen.sort(key=lambda hit: hit.deprecated)
    return Results(
        query=query,
        mode=mode,
        hits=tuple(chosen),
        notes=(
            *found.notes,
            *of_reranker,
            *(unknown_filters.notes(filters) if not chosen else ()),
        ),
        corrected={term: tuple(meant) for term, meant in asked_terms.corrected.items()},
    )


def _as_one(hits: Sequence[Hit], gains: Gains) -> Hit:
    """Hits that stand next to each other in a document, as one: the first, which is the best, with
    the text of all."""
    best = hits[0].with_snippet(snippet(hits[0].content, gains))
    if len(hits) == 1:
        return best
    in_order = sorted(hits, key=lambda hit: hit.ordinal)
    text = joined(hit.content for hit in in_order)
    keys = tuple(hit.chunk_id for hit in in_order)
    return best.model_copy(update={"content": text, "chunk_ids": keys})


def candidates(query: str) -> Candidates:
    """What is put in order for a query without filters, as the rankings found it."""
    asked = cleaned(query)
    terms = query_terms(asked)
    filters = Filters(left_out=left_out.keys())
    return _found(asked, terms, filters, "hybrid", least=0)


def _late(query: str, terms: QueryTerms, mode: Mode, notes: list[str]) -> Comparison | None:
    """If late interaction is on, and its model is there. A name alone says nothing more by its
    meaning."""
    asked = named(query)
    if mode != "hybrid" or not settings.LATE_INTERACTION or (asked and asked.sure):
        return None
    try:
        spelt = late_interaction.spelt(query, terms.corrected)
        return late_interaction.comparison(spelt, relevance.rarities(spelt, terms))
    except EmbedderError as error:
        notes.append(f"Late interaction is left out: {error}")
        return None


def cleaned(query: str) -> str:
    """Without what no text in the database holds."""
    return _CONTROL.sub(" ", query[:LONGEST_QUERY]).strip()


def _without_control(values: Sequence[str]) -> list[str]:
    return [_CONTROL.sub("", value) for value in values]


def _found(asked: str, terms: QueryTerms, filters: Filters, mode: Mode, least: int) -> Candidates:
    """At least so many hits, if there are.

    Asked again if a profile has come into use meanwhile: documents that a run re-embeds with
    another model leave the profiles that were asked.
    """
    by_meaning = mode != "text"
    used = profiles_in_use() if by_meaning else []
    while True:
        notes = list[str]()
        late = _late(asked, terms, mode, notes)
        few = by_meaning and filters.keep_few(terms.chunks)
        rankings = [*_rankings(asked, terms, filters, mode, used, notes, few=few)]
        if late:
            keys = [profile.pk for profile in used]
            rankings += late.rankings(filters, terms.chunks, keys, few=few)
        number = max(least, LATE_CANDIDATES if late else CANDIDATES)
        (hits, added), now = _fused(rankings, number) if rankings else (NOTHING, _keys_in_use())
        if not by_meaning or now <= {profile.pk for profile in used}:
            if mode == "hybrid" and embeds_sentences(used):
                further = fetching.beside(hits, rankings, DOCUMENTS, BESIDE)
                hits, added = [*hits, *further.hits], {**added, **further.added}
            nearness = late.of(hits) if late else None
            if late and nearness is None:
                hits = _without_late(hits)
            return Candidates(terms, hits, added, tuple(notes), used, nearness)
        used = profiles_in_use()


def _rankings(
    asked: str,
    asked_terms: QueryTerms,
    filters: Filters,
    mode: Mode,
    profiles: Sequence[EmbeddingProfile],
    notes: list[str],
    *,
    few: bool,
) -> Iterator[Ranking]:
    """`few`: whether the filters keep few chunks."""
    parts = clauses(asked)
    whole = WHOLE_WEIGHT if parts else 1.0
    if mode != "dense":
        yield from name_rankings(asked, filters)
        yield from text_rankings(0, whole, asked_terms, filters)
        for number, clause in enumerate(parts, 1):
            yield from text_rankings(number, 1.0, query_terms(clause), filters)
    if mode != "text":
        texts = [(asked, whole), *((part, 1.0) for part in parts)]
        yield from dense_rankings(texts, profiles, filters, notes, exact=few)


def _fused(rankings: Sequence[Ranking], number: int) -> tuple[Found, set[int]]:
    """With the keys of the profiles that are in use after that."""
    found, keys = fetching.fused(rankings, number, in_use("id"))
    return found, {key for (key,) in keys}


def _without_late(hits: Sequence[Hit]) -> list[Hit]:
    """What the other rankings found, best first, as if there were only these."""
    others = [[part for part in hit.parts if part.ranking != LATE] for hit in hits]
    left = [
        hit.model_copy(update={"parts": tuple(parts), "score": sum(map(gain, parts))})
        for hit, parts in zip(hits, others, strict=True)
        if parts or not hit.parts
    ]
    return sorted(left, key=lambda hit: (-hit.score, hit.chunk_id))


def _keys_in_use() -> set[int]:
    return {profile.pk for profile in profiles_in_use()}


def _in_order(asked: str, found: Candidates) -> list[Hit]:
    """By relevance; what the query names comes first, whatever else is known of it."""
    hits = found.hits
    scored = relevance.ordered(
        asked, found.terms, hits, found.added, sentences=found.sentences(), late=found.late
    )
    places = {hit.chunk_id: place for place, hit in enumerate(hits) if _is_named(hit)}
    return sorted(scored, key=lambda hit: places.get(hit.chunk_id, len(hits)))


def _is_named(hit: Hit) -> bool:
    return any(p.ranking == OF_THE_NAME and p.weight >= NAME_WEIGHT for p in hit.parts)


def _each_clause_first(hits: Sequence[Hit]) -> list[Hit]:
    """The best hit, the best hit of each clause, then the rest in order."""
    clauses = {part.clause for hit in hits for part in hit.parts} - {0}
    best = {max(hits, key=lambda hit: _gained(hit, clause)).chunk_id for clause in sorted(clauses)}
    return [*hits[:1], *sorted(hits[1:], key=lambda hit: hit.chunk_id not in best)]


def _gained(hit: Hit, clause: int) -> float:
    return sum(gain(part) for part in hit.parts if part.clause == clause)
