"""Questions with known answers: typed, taken from a result of search, imported and exported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from ingestion.admin import actions
from ingestion.admin.display import ago, badge
from ingestion.admin.lookups import number_in
from ingestion.admin.question_form import Passage, QuestionForm
from ingestion.admin.read_only import Admin
from ingestion.documents import counted, shortened
from ingestion.models import Chunk, Document, Question
from ingestion.search import questions
from ingestion.search.hybrid import cleaned
from ingestion.search.phrases import phrase_of

LONGEST = 8000  # characters of a question
LISTED = 160  # characters of a question in the list
SHOWN_PROBLEMS = 100
MOST_BYTES = 10_000_000
ASKED = ("query", "chunk", "document", "back")  # what a link that makes a question may say
NAMING = ("ingestion.add_question", "ingestion.change_question")


def may_name(request: HttpRequest) -> bool:
    """Whether somebody may say what answers a question."""
    return request.user.has_perms(NAMING)


class ImportForm(forms.Form):
    file = forms.FileField(help_text="JSON Lines, as Export or `manage.py evaluate` has them.")

    def clean_file(self) -> str:
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(f"The file is larger than {MOST_BYTES // 1_000_000} MB.")
        try:
            return str(file.read().decode("utf-8-sig")).replace("\x00", "")
        except UnicodeDecodeError:
            raise forms.ValidationError("The file is not a text in UTF-8.") from None


class AnswerFilter(admin.SimpleListFilter):
    title = "answer"
    parameter_name = "answer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("known", "known"), ("gap", "none: a gap")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Question]) -> QuerySet[Question]:
        match self.value():
            case "known":
                return queryset.exclude(questions.GAP)
            case "gap":
                return queryset.filter(questions.GAP)
        return queryset


@admin.action(description="Export as JSON Lines", permissions=["view"])
def export_selected(
    modeladmin: Any, request: HttpRequest, queryset: QuerySet[Question]
) -> HttpResponse:
    return exported_file(queryset.order_by("pk"))


def exported_file(rows: Iterable[Question]) -> HttpResponse:
    headers = {"Content-Disposition": 'attachment; filename="questions.jsonl"'}
    return HttpResponse("".join(questions.exported(rows)), "application/jsonl", headers=headers)


class QuestionAdmin(Admin):
    form = QuestionForm
    list_display = ("short_query", "kind", "answers", "half", "by", "created")
    list_filter = (
        AnswerFilter,
        "kind",
        "half",
        "all",
        ("author", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("author",)
    list_per_page = 50
    search_fields = ("query", "note")
    search_help_text = "Words of a question or its note."
    actions = (export_selected,)
    fieldsets = (
        (None, {"fields": ("query", "kind", "passages")}),
        (
            "More",
            {
                "fields": ("expected", "phrases", "all", "half", "note"),
                "classes": ("collapse",),
            },
        ),
    )

    @admin.display(description="question", ordering="query")
    def short_query(self, row: Question) -> str:
        return shortened(row.query, LISTED)

    @admin.display(description="answers")
    def answers(self, row: Question) -> str:
        if row.is_gap:
            return badge("warn", "gap")
        named = (row.passages, "passage"), (row.expected, "document"), (row.phrases, "phrase")
        told = [counted(len(given), name) for given, name in named if given]
        return ", ".join(told) + (", all needed" if row.all else "")

    @admin.display(description="by", ordering="author")
    def by(self, row: Question) -> str:
        return row.author.get_username() if row.author else "-"

    @admin.display(description="made", ordering="created_at")
    def created(self, row: Question) -> str:
        return ago(row.created_at)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("answer/", wrap(self.answer), name="ingestion_question_answer"),
            path("gap/", wrap(self.keep_gap), name="ingestion_question_gap"),
            path("import/", wrap(self.import_page), name="ingestion_question_import"),
            path("export/", wrap(self.export), name="ingestion_question_export"),
        ]
        return [*own, *super().get_urls()]

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Lead to the form of a question whose answer a link names: a new one, or the one that is
        there already."""
        if not may_name(request):
            raise PermissionDenied
        asked = {name: request.GET[name] for name in ASKED if request.GET.get(name)}
        query = cleaned(asked.get("query", ""))
        there = Question.objects.filter(query=query).first() if query else None
        place, args = ("change", [there.pk]) if there else ("add", [])
        url = reverse(f"admin:ingestion_question_{place}", args=args)
        return HttpResponseRedirect(f"{url}?{urlencode(asked)}")

    def keep_gap(self, request: HttpRequest) -> HttpResponse:
        """Keep a question that nothing answers, and lead back."""
        if not may_name(request):
            raise PermissionDenied
        if request.method != "POST":
            return actions.not_done(request, reverse("admin:search"))
        query = cleaned(request.POST.get("query", ""))[:LONGEST]
        if query:
            kept = {"author": request.user}
            row, is_new = Question.objects.get_or_create(query=query, defaults=kept)
            messages.success(request, _kept(row, is_new))
        back = _own(request, request.POST.get("back", ""))
        return HttpResponseRedirect(back or reverse("admin:asked"))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        query = request.GET.get("query", "").strip()
        taken = _answer_of(request)
        return {"query": query, "passages": [taken] if taken else [], "kind": "question"}

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Question | None:
        """The question; in its form with the answer that a link names, which is not stored yet."""
        row: Question | None = super().get_object(request, object_id, from_field)
        if row and request.method == "GET" and (taken := _answer_of(request)):
            row.passages = [*row.passages, *([] if taken in row.passages else [taken])]
        return row

    def save_model(self, request: HttpRequest, obj: Question, form: Any, change: bool) -> None:
        if not change:
            obj.author_id = request.user.pk
        super().save_model(request, obj, form, change)
        for text in () if obj.is_gap else questions.warnings(questions.asked(obj)):
            messages.warning(request, text)

    def response_post_save_add(self, request: HttpRequest, obj: Question) -> HttpResponseRedirect:
        return _back(request) or super().response_post_save_add(request, obj)

    def response_post_save_change(
        self, request: HttpRequest, obj: Question
    ) -> HttpResponseRedirect:
        return _back(request) or super().response_post_save_change(request, obj)

    def export(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return exported_file(Question.objects.order_by("pk"))

    def import_page(self, request: HttpRequest) -> HttpResponse:
        """Take the questions of a file, and say what is wrong in which line."""
        if not may_name(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        context = {
            **self.admin_site.each_context(request),
            "title": "Import questions",
            "opts": self.opts,
            "form": form,
        }
        if request.method == "POST" and form.is_valid():
            result = questions.import_text(form.cleaned_data["file"], request.user)
            if not result.problems:
                messages.success(request, f"Questions: {result}")
                return HttpResponseRedirect(reverse("admin:ingestion_question_changelist"))
            problems = result.problems
            context |= {
                "result": result,
                "problems": problems[:SHOWN_PROBLEMS],
                "more": max(len(problems) - SHOWN_PROBLEMS, 0),
            }
        return TemplateResponse(request, "admin/question/import.html", context)


def _answer_of(request: HttpRequest) -> Passage | None:
    """The passage that the address of the form names by its chunk or document."""
    if chunk_pk := number_in(request.GET.get("chunk", "")):
        return _of_chunk(chunk_pk, request.GET.get("query", ""))
    pk = number_in(request.GET.get("document", ""))
    url = Document.objects.filter(pk=pk or 0).values_list("url", flat=True).first()
    return Passage(document=url, phrase="") if url else None


def _of_chunk(pk: int, query: str) -> Passage:
    rows = Chunk.objects.select_related("document").only("content", "document__url")
    chunk = rows.filter(pk=pk).first()
    if chunk is None:
        raise Http404(f"There is no chunk {pk} (any more): search again.")
    text = questions.text_of(chunk.document)
    return Passage(document=chunk.document.url, phrase=phrase_of(chunk.content, text, query))


def _kept(row: Question, is_new: bool) -> str:
    if is_new:
        return f"“{row}” is kept as a gap until somebody names its answer."
    if row.is_gap:
        return f"“{row}” is kept as a gap already."
    return f"“{row}” is no gap: its answer is known."


def _back(request: HttpRequest) -> HttpResponseRedirect | None:
    """Lead back to the page whose link made the question."""
    back = _own(request, request.GET.get("back", ""))
    return HttpResponseRedirect(back) if back else None


def _own(request: HttpRequest, address: str) -> str:
    """The address, if it is one of the admin."""
    own = url_has_allowed_host_and_scheme(address, {request.get_host()}, request.is_secure())
    return address if own and address.startswith(reverse("admin:index")) else ""
