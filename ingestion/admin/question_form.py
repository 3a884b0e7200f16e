"""The form of a question: passages by document and phrase, and what else may answer it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from django import forms
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from pydantic import ValidationError

from ingestion.models import Document, Question
from ingestion.search import evaluation, questions

CANDIDATES = 12  # documents offered for a part of a title or address
EMPTY_ROWS = 2
HALVES = ("tune", "held-out")
NO_ANSWER = "Say what answers it: at least one passage, address or phrase."
GAP = "Kept as a gap, because nothing answers it. Name the passage when somebody has written it."
NO_WORD = "Give some words of the passage, as they are in the document."


class Passage(TypedDict):
    document: str
    phrase: str


class Choices(forms.TextInput):
    """A text field that offers values."""

    def __init__(self, offered: Iterable[str] = ()) -> None:
        super().__init__({"class": "vTextField"})
        self.offered = offered

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        listed = f"id_{name}-offered"
        field = super().render(name, value, {**(attrs or {}), "list": listed}, renderer)
        context = {"field": field, "listed": listed, "offered": [*dict.fromkeys(self.offered)]}
        return render_to_string("admin/question/choices.html", context)


class Lines(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 60, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        lines = (value or "").splitlines()
        return [line.strip() for line in lines if line.strip()]


class PassageRows(forms.Widget):
    """Rows of a document and a phrase. If what was typed for a document may mean several, they are
    offered in its place."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        given: Sequence[Passage] = value or []
        rows = [
            {**row, "meant": _meant(row["document"]) if row["document"] else []} for row in given
        ]
        rows += [{"document": "", "phrase": "", "meant": []}] * EMPTY_ROWS
        return render_to_string("admin/question/passages.html", {"name": name, "rows": rows})

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Passage]:
        documents, phrases = data.getlist(f"{name}-document"), data.getlist(f"{name}-phrase")
        rows = [
            Passage(document=document.strip(), phrase=phrase.strip())
            for document, phrase in zip(documents, phrases, strict=False)
        ]
        return [row for row in rows if row["document"] or row["phrase"]]

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return f"{name}-document" not in data

    def id_for_label(self, id_: str) -> str:
        return f"{id_}-document-1"


class Passages(forms.Field):
    widget = PassageRows

    def clean(self, value: Any) -> list[Passage]:
        problems = [problem for row in value if (problem := _problem(row))]
        if problems:
            raise forms.ValidationError(problems)
        return [Passage(document=_address(row["document"]), phrase=row["phrase"]) for row in value]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != (data or []))


def _problem(row: Passage) -> str:
    typed = row["document"]
    if not typed:
        return f"Which document says “{row['phrase']}”? Give its address or a part of its title."
    if not any(map(str.isalnum, row["phrase"])):
        return f"{typed}: {NO_WORD}"
    if _is_address(typed) or len(meant := _meant(typed)) == 1:
        return ""
    if not meant:
        return f"No document has “{typed}” in its title or address."
    return f"More than one document has “{typed}” in its title or address: choose one."


def _is_address(typed: str) -> bool:
    """Whether it is an address, or the beginning of one. It need not be stored yet."""
    return "://" in typed or Document.objects.filter(questions.named(typed)).exists()


def _meant(typed: str) -> list[Document]:
    """The documents with this in their title or address; none if it is an address."""
    if _is_address(typed):
        return []
    named = Q(title__icontains=typed) | Q(url__icontains=typed)
    return list(Document.objects.filter(named).only("url", "title").order_by("title")[:CANDIDATES])


def _address(typed: str) -> str:
    meant = _meant(typed)
    return meant[0].url if meant else typed


def _help(name: str) -> str:
    return str(getattr(Question._meta.get_field(name), "help_text", ""))


def _is_gap(typed: Mapping[str, Any]) -> bool:
    return not any(typed[name] for name in questions.ANSWERS)


class QuestionForm(forms.ModelForm):  # type: ignore[type-arg]
    passages = Passages(
        required=False,
        help_text="One of them is enough, unless it needs all. Case, punctuation and Markdown do "
        "not matter. Empty rows are left out; save to get more.",
    )
    expected = Lines(
        required=False, label="Addresses", help_text=f"{_help('expected')} One a line."
    )
    phrases = Lines(required=False, help_text=f"{_help('phrases')} One a line.")

    class Meta:
        model = Question
        fields = ("query", "kind", "passages", "expected", "phrases", "all", "half", "note")
        widgets = {
            "query": forms.Textarea(attrs={"rows": 2, "cols": 60}),
            "note": forms.Textarea(attrs={"rows": 2, "cols": 60}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.was_gap = bool(self.instance.pk) and self.instance.is_gap
        if "kind" in self.fields:  # a person who may only look has no fields
            used = Question.objects.order_by("kind").values_list("kind", flat=True).distinct()
            self.fields["kind"].widget = Choices([*used, *questions.KINDS])
            self.fields["half"].widget = Choices(HALVES)
            if self.was_gap:
                self.fields["passages"].help_text = GAP

    def clean_query(self) -> str:
        return str(self.cleaned_data["query"]).strip()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors or (self.was_gap and _is_gap(cleaned)):
            return cleaned
        try:
            evaluation.Question.model_validate(
                {name: cleaned[name] for name in ("query", *questions.FIELDS)}
            )
        except ValidationError as error:
            first = error.errors()[0]
            self.add_error("passages", first["msg"] if first["loc"] else NO_ANSWER)
        return cleaned
