"""How well search answers: the figures of evaluations over time, and what fell, rose, and is never
found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ingestion.admin import actions
from ingestion.models import Chunk, Document, Evaluation, Question
from ingestion.runs import evaluations
from ingestion.search import comparison, evaluation, questions
from ingestion.search.results import MODES, Mode
from ingestion.worker.cluster import NO_WORKER, Presence

PAUSE = 1000  # milliseconds between two looks at one that runs
DRAWN = 60  # evaluations in the drawing
LISTED = 20  # evaluations in the table
QUESTIONS = 40  # of each group
WIDTH, HEIGHT, EDGE = 600, 150, 8
FOUND = "Each question has an answer among its first ten hits."
FOUND_ONCE = "Each question has an answer among its first ten hits, or had one the time before."
NAMES: dict[Mode, str] = {
    "hybrid": "meaning and words",
    "dense": "meaning only",
    "text": "words only",
}
# Figure in the report, its name, and its line in the drawing.
LINES = (
    ("mrr", "MRR", "mrr"),
    (f"recall@{evaluation.DEPTH}", f"recall@{evaluation.DEPTH}", "recall"),
    ("within 4000", "within 4,000 characters", "within"),
)
COLUMNS = (
    ("mrr", "MRR"),
    *((f"recall@{k}", f"recall@{k}") for k in (1, 5, 10)),
    *((f"within {most}", f"in {most:,}") for most in evaluation.BUDGETS),
)

View = Callable[..., Any]


@dataclass(frozen=True)
class Cell:
    name: str
    value: float
    change: float | None


@dataclass(frozen=True)
class Kind:
    """The figures of one kind of questions, with what became of them since the one before."""

    name: str
    questions: int
    cells: Sequence[Cell]
    is_worse: bool


@dataclass(frozen=True)
class Found:
    """A hit of a question. `url` leads to its chunk, or to its document if that was cut anew."""

    title: str
    heading: str
    url: str
    is_answer: bool


@dataclass(frozen=True)
class Asked:
    """A question with where its answer is now and was before, and both lists of hits."""

    query: str
    kind: str
    pk: int | None
    now: str
    before: str
    hits: Sequence[Found]
    hits_before: Sequence[Found]


@dataclass(frozen=True)
class Line:
    name: str
    look: str
    points: Sequence[tuple[float, float, Evaluation, float]]

    @property
    def path(self) -> str:
        return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y, *_ in self.points)


def paths(
    wrap: Callable[[View], View], each_context: Callable[[HttpRequest], Any]
) -> list[URLPattern]:
    """The addresses of evaluations below the admin's; `each_context` is what all its pages show."""

    def all_of_them(request: HttpRequest) -> HttpResponse:
        _may_look(request)
        context = {**each_context(request), **overall(request), "title": "How well search answers"}
        return TemplateResponse(request, "admin/evaluation/overall.html", context)

    def one(request: HttpRequest, pk: int) -> HttpResponse:
        row = found(request, pk)
        context = {**each_context(request), **seen(row), **details(row), "title": str(row)}
        return TemplateResponse(request, "admin/evaluation/page.html", context)

    place = "quality/search/"
    return [
        path(place, wrap(all_of_them), name="search_quality"),
        path(f"{place}start/", wrap(start), name="evaluation_start"),
        path(f"{place}<int:pk>/", wrap(one), name="evaluation"),
        path(f"{place}<int:pk>/live/", wrap(live), name="evaluation_live"),
        path(f"{place}<int:pk>/stop/", wrap(stop), name="evaluation_stop"),
    ]


def _may_look(request: HttpRequest) -> None:
    if not request.user.has_perm("ingestion.view_evaluation"):
        raise PermissionDenied


def found(request: HttpRequest, pk: int) -> Evaluation:
    _may_look(request)
    rows = Evaluation.objects.select_related("requested_by", "run").filter(pk=pk)
    row = rows.defer("report").first()
    if row is None:
        raise Http404(f"There is no evaluation {pk} (any more).")
    return row


def start(request: HttpRequest) -> HttpResponse:
    """Queue an evaluation, and lead to it."""
    if not request.user.has_perm("ingestion.start_evaluation"):
        raise PermissionDenied
    there = reverse("admin:search_quality")
    if request.method != "POST":
        return actions.not_done(request, there)
    if not questions.answered().exists():
        messages.error(request, "Nothing was started: there is no question. Add one, or import.")
        return HttpResponseRedirect(there)
    chosen = MODES if request.POST.get("modes") == "all" else evaluations.USUAL
    row = evaluations.request(request.user, modes=chosen)
    if not Presence.anybody():
        messages.warning(request, NO_WORKER)
    return HttpResponseRedirect(address(row))


def stop(request: HttpRequest, pk: int) -> HttpResponse:
    row = found(request, pk)
    if not request.user.has_perm("ingestion.start_evaluation"):
        raise PermissionDenied
    if request.method != "POST":
        return actions.not_done(request, address(row))
    messages.success(request, evaluations.stop(row, request.user.get_username()))
    return HttpResponseRedirect(address(row))


def live(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that a script refreshes while it runs."""
    row = found(request, pk)
    return render(request, "admin/evaluation/live.html", {**seen(row), **details(row)})


def address(row: Evaluation) -> str:
    return reverse("admin:evaluation", args=[row.pk])


def seen(row: Evaluation) -> dict[str, Any]:
    return {
        "row": row,
        "total": row.questions * len(row.modes),
        "modes": [NAMES[mode] for mode in MODES if mode in row.modes],
        "pause": PAUSE,
    }


def ended() -> QuerySet[Evaluation]:
    """Those with figures, the newest first."""
    rows = Evaluation.objects.filter(state=Evaluation.State.SUCCEEDED).defer("report")
    return rows.order_by("-pk")


def overall(request: HttpRequest) -> dict[str, Any]:
    """What the page shows that is not about one evaluation alone, and the last one."""
    last = ended().first()
    kinds = _kinds(last.figures[_first_mode(last)]) if last else []
    kind = request.GET.get("kind", evaluation.ALL)
    kind = kind if kind in kinds else evaluation.ALL
    recent = list(ended().filter(modes__contains=["hybrid"])[:DRAWN])[::-1]
    listed = Evaluation.objects.defer("report").select_related("requested_by", "run")
    return {
        "last": last,
        "number": questions.answered().count(),
        "kinds": kinds,
        "kind": kind,
        "lines": lines(recent, kind),
        "recent": recent,
        "width": WIDTH,
        "height": HEIGHT,
        "listed": [(row, _headline(row)) for row in listed.order_by("-pk")[:LISTED]],
        **(details(last) if last else {}),
    }


def _kinds(scores: Mapping[str, Any]) -> list[str]:
    """All questions first, then each kind."""
    return [evaluation.ALL, *sorted(scores.keys() - {evaluation.ALL})]


def _headline(row: Evaluation) -> list[float | None]:
    """The figures of a row of the table."""
    scores = row.figures[_first_mode(row)][evaluation.ALL] if row.figures else {}
    return [scores.get(name) for name, *_ in LINES]


def _first_mode(row: Evaluation) -> str:
    return next(mode for mode in MODES if mode in row.figures)


def lines(rows: Sequence[Evaluation], kind: str) -> list[Line]:
    """The lines of the drawing, the oldest at the left; none for fewer than two evaluations."""
    rows = [row for row in rows if kind in row.figures["hybrid"]]
    if len(rows) < 2:
        return []
    step = (WIDTH - 2 * EDGE) / (len(rows) - 1)
    return [
        Line(name, look, [_point(row, EDGE + at * step, kind, key) for at, row in enumerate(rows)])
        for key, name, look in LINES
    ]


def _point(
    row: Evaluation, x: float, kind: str, key: str
) -> tuple[float, float, Evaluation, float]:
    value = row.figures["hybrid"][kind][key]
    return x, EDGE + (HEIGHT - 2 * EDGE) * (1 - value), row, value


def details(row: Evaluation) -> dict[str, Any]:
    """The figures of one evaluation by kind, and its questions in groups."""
    if row.state != Evaluation.State.SUCCEEDED:
        return {}
    earlier = evaluations.before(row)
    return {
        "evaluation": row,
        "earlier": earlier,
        "columns": [name for _, name in COLUMNS],
        "tables": [
            (NAMES[mode], table(row, earlier, mode)) for mode in MODES if mode in row.figures
        ],
        **groups(row, earlier),
    }


def table(row: Evaluation, earlier: Evaluation | None, mode: Mode) -> list[Kind]:
    """The figures of a mode, those of all questions first."""
    now = row.figures[mode]
    then = earlier.figures.get(mode, {}) if earlier else {}
    worse = row.change.get("worse", []) if row.change.get("mode") == mode else []
    order = _kinds(now)
    return [
        Kind(kind, now[kind]["questions"], _cells(now[kind], then.get(kind)), kind in worse)
        for kind in order
    ]


def _cells(now: Mapping[str, float], then: Mapping[str, float] | None) -> list[Cell]:
    return [
        Cell(name, now[key], round(now[key] - then[key], 4) if then and key in then else None)
        for key, name in COLUMNS
    ]


def groups(row: Evaluation, earlier: Evaluation | None) -> dict[str, Any]:
    """The questions that fell most, those that rose most, and those whose answer is not found, each
    with its hits of both evaluations."""
    mode, now, then = _reports(row, earlier)
    moved = comparison.moved(now, then)
    fell = [one.query for one in moved if one.gain < 0]
    rose = [one.query for one in reversed(moved) if one.gain > 0]
    lost = [query for query in sorted(now["questions"]) if _is_never_found(query, now, then)]
    shown = _Shown(
        now["questions"], then["questions"], [*fell[:QUESTIONS], *rose[:QUESTIONS]], lost
    )
    return {
        "mode_name": NAMES[mode],
        "fell": [shown.question(query) for query in fell[:QUESTIONS]],
        "rose": [shown.question(query) for query in rose[:QUESTIONS]],
        "lost": [shown.question(query) for query in lost[:QUESTIONS]],
        "none_lost": FOUND_ONCE if earlier else FOUND,
        "numbers": {"fell": len(fell), "rose": len(rose), "lost": len(lost)},
    }


def _reports(row: Evaluation, earlier: Evaluation | None) -> tuple[Mode, Any, Any]:
    if earlier is not None:
        return evaluations.comparable(row.report, earlier)
    mode = next(mode for mode in MODES if mode in row.report)
    return mode, row.report[mode], {"questions": {}}


def _is_never_found(query: str, now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    """Whether no answer is found, and none was before."""
    both = [told["questions"][query] for told in (now, then) if query in told["questions"]]
    return not any(comparison.found(told["places"]) for told in both)


class _Shown:
    """Makes questions for the page, with links to the chunks and documents that still exist."""

    def __init__(
        self,
        now: Mapping[str, Any],
        then: Mapping[str, Any],
        moved: Iterable[str],
        lost: Iterable[str],
    ) -> None:
        self.now, self.then = now, then
        queries = [*moved, *list(lost)[:QUESTIONS]]
        hits = [hit for told in (now, then) for query in queries for hit in _hits(told, query)]
        chunks = {hit["chunk"] for hit in hits}
        urls = {hit["url"] for hit in hits}
        self.chunks = set(Chunk.objects.filter(pk__in=chunks).values_list("pk", flat=True))
        self.documents = dict(Document.objects.filter(url__in=urls).values_list("url", "pk"))
        self.rows = dict(Question.objects.filter(query__in=queries).values_list("query", "pk"))

    def question(self, query: str) -> Asked:
        now, then = self.now[query], self.then.get(query, {})
        return Asked(
            query=query,
            kind=now["kind"],
            pk=self.rows.get(query),
            now=_place(now),
            before=_place(then) if then else "",
            hits=[*self._found(now)],
            hits_before=[*self._found(then)],
        )

    def _found(self, told: Mapping[str, Any]) -> Iterator[Found]:
        answers = {rank for rank, _ in told.get("places", ())}
        for hit in told.get("hits", ()):
            heading = " › ".join(hit["heading"])  # noqa: RUF001
            yield Found(hit["title"] or hit["url"], heading, self._url(hit), hit["rank"] in answers)

    def _url(self, hit: Mapping[str, Any]) -> str:
        if hit["chunk"] in self.chunks:
            return reverse("admin:ingestion_chunk_change", args=[hit["chunk"]])
        pk = self.documents.get(hit["url"])
        return reverse("admin:ingestion_document_change", args=[pk]) if pk else ""


def _hits(told: Mapping[str, Any], query: str) -> Sequence[Mapping[str, Any]]:
    hits: Sequence[Mapping[str, Any]] = told.get(query, {}).get("hits", ())
    return hits


def _place(told: Mapping[str, Any]) -> str:
    """Where the answers are: "place 2", or "places 1 and none" if it needs all."""
    ranks = [str(rank) if rank else "none" for rank, _ in told["places"]]
    if len(ranks) == 1:
        return "not found" if ranks == ["none"] else f"place {ranks[0]}"
    return f"places {', '.join(ranks)}"
