"""How well `search.trust` tells questions without an answer from others, and what the log costs.

    python -m tests.scripts.measure_trust            # in the index of this installation
    python -m tests.scripts.measure_trust --cost     # seconds of searches with and without the log

The index has to hold what tests/data/questions_passages.jsonl asks for. Only --cost writes: to the
log of queries, which is empty again afterwards.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402

from ingestion import access  # noqa: E402
from ingestion.models import AskedQuery  # noqa: E402
from ingestion.search import search  # noqa: E402
from ingestion.search.evaluation import Question  # noqa: E402
from ingestion.search.query_log import query_log  # noqa: E402
from ingestion.search.trust import trusted  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
LIMITS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WELL = 3  # an answer up to this rank is a good one
ROUNDS = 3


def questions() -> list[Question]:
    lines = (DATA / "questions_passages.jsonl").read_text().splitlines()
    return [Question.model_validate_json(line) for line in lines]


def missing() -> list[str]:
    lines = (DATA / "questions_missing.jsonl").read_text().splitlines()
    return [json.loads(line)["query"] for line in lines]


def scores() -> Iterator[tuple[str, float]]:
    """The kind of each question, by where its answer was found, and how far it is trusted."""
    for question in questions():
        found = search(question.query)
        rank = question.places(found.hits)[0].rank
        kind = "well" if 0 < rank <= WELL else "found" if rank else "not found"
        yield kind, trusted(found)
    for query in missing():
        yield "missing", trusted(search(query))


def curve() -> None:
    found = list(scores())
    by_kind = {kind: [score for k, score in found if k == kind] for kind, _ in found}
    print("below", *(f"{kind} ({len(each)})" for kind, each in by_kind.items()), sep="\t")
    for limit in LIMITS:
        shares = [100 * sum(s < limit for s in each) / len(each) for each in by_kind.values()]
        print(limit, *(f"{share:.1f} %" for share in shares), sep="\t")
    pairs = [(good, bad) for good in by_kind["well"] for bad in by_kind["missing"]]
    area = sum(good > bad for good, bad in pairs) / len(pairs)
    print(f"Area under the curve, well against missing: {area:.3f}")


def cost() -> None:
    """In turns, so that what else the machine does meets both alike."""
    queries = [question.query for question in questions()]
    taken: dict[int, list[float]] = {0: [], 30: []}
    for query in queries:
        search(query)  # its vector is kept from now on
    for _ in range(ROUNDS):
        for days, times in taken.items():
            settings.QUERY_LOG_DAYS = days
            times += [_timed(query) for query in queries]
            query_log.finish(60)
    AskedQuery.objects.filter(asked_by="measure_trust").delete()
    for days, times in taken.items():
        print("with the log" if days else "without", _described(times))


def _timed(query: str) -> float:
    started = time.perf_counter()
    query_log.note(search(query), "measure_trust")
    return 1000 * (time.perf_counter() - started)


def _described(times: Sequence[float]) -> str:
    cuts = statistics.quantiles(times, n=100)
    return f"median {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms of {len(times)}"


if __name__ == "__main__":
    with access.everything():
        cost() if "--cost" in sys.argv else curve()
