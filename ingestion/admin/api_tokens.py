"""Tokens of the HTTP API: created here with what they may see and do, shown once, revoked."""

from __future__ import annotations

import json
import sys
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from ingestion.access import RIGHTS
from ingestion.admin.display import ago, badge
from ingestion.admin.read_only import Admin
from ingestion.api import tokens
from ingestion.models import ApiToken
from sources.models import Source

DOES = {"search": "search", "read": "read documents", "run": "start runs"}


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a token may do, and of which sources."""

    every_source = forms.TypedChoiceField(
        label="Sources",
        choices=[(True, "All, also those that are added later"), (False, "Only these:")],
        coerce=lambda chosen: chosen == "True",
        widget=forms.RadioSelect,
        initial=True,
        help_text="Of other sources nothing shows: no hit, no document, no number, no name.",
    )
    sources = forms.ModelMultipleChoiceField(
        Source.objects.order_by("name"),
        label="Which",
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = ApiToken
        fields = (
            *("name", "requests_per_minute", "may_search", "may_read", "may_run"),
            *("every_source", "sources"),
        )
        labels = {
            "may_search": "May search",
            "may_read": "May read documents",
            "may_run": "May start and cancel runs, and decide on removals",
        }

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or self.cleaned_data
        if not any(typed.get(f"may_{right}") for right in RIGHTS):
            self.add_error("may_search", "Tick at least one thing that it may do.")
        if typed.get("every_source"):
            typed["sources"] = Source.objects.none()
        elif not typed.get("sources"):
            self.add_error("sources", "Tick the sources that it may see, or choose all.")
        return typed


def allowed(token: ApiToken) -> str:
    """What a token may do, in words."""
    names = sorted(source.name for source in token.sources.all())
    if not token.every_source and not names:
        return "nothing: its sources were deleted"
    does = listed([DOES[right] for right in RIGHTS if getattr(token, f"may_{right}")])
    return f"{does}, in {'all sources' if token.every_source else f'{listed(names)} only'}"


def listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


@admin.action(description="Revoke selected tokens", permissions=["change"])
def revoke(
    modeladmin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[ApiToken]
) -> HttpResponse | None:
    """Revoke after a confirmation, because it cannot be undone."""
    chosen = queryset.filter(revoked_at=None)
    if not chosen:
        messages.info(request, "All of these are revoked already.")
        return None
    if request.POST.get("confirmed"):
        LogEntry.objects.log_actions(request.user.pk, list(chosen), CHANGE, "Revoked.")  # type: ignore[arg-type]
        names = ", ".join(str(row) for row in chosen)
        chosen.update(revoked_at=timezone.now())
        messages.success(request, f"Revoked {names}: requests with it are refused from now on.")
        return None
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": "Revoke these tokens?",
        "opts": modeladmin.opts,
        "tokens": chosen,
    }
    return TemplateResponse(request, "admin/ingestion/apitoken/confirm_revoke.html", context)


def mcp_settings() -> str:
    """The settings of an assistant that starts our MCP server, as JSON."""
    server = {"command": sys.executable, "args": [str(settings.BASE_DIR / "manage.py"), "mcp"]}
    return json.dumps({"mcpServers": {"bbjrag": server}}, indent=2)


class ApiTokenAdmin(Admin):
    """What it is called, its limits and its rights are typed; the token itself is generated."""

    form = TokenForm
    list_display = ("name", "starts", "state", "may", "requests_per_minute", "used", "created_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name",)
    actions = (revoke,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        rows: QuerySet[ApiToken] = super().get_queryset(request)
        return rows.prefetch_related("sources")

    def get_fieldsets(self, request: HttpRequest, obj: ApiToken | None = None) -> list[Any]:
        known = ["may", "starts", "state", "used", "created_at"] if obj else []
        return [
            (None, {"fields": ["name", "requests_per_minute", *known]}),
            ("What it may do", {"fields": [f"may_{right}" for right in RIGHTS]}),
            ("What it may see", {"fields": ["every_source", "sources"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        return ["may", "starts", "state", "used", "created_at"]

    @admin.display(description="may")
    def may(self, token: ApiToken) -> str:
        return allowed(token)

    @admin.display(description="begins with", ordering="beginning")
    def starts(self, token: ApiToken) -> str:
        return f"{token.beginning}..."

    @admin.display(description="state", ordering="revoked_at")
    def state(self, token: ApiToken) -> str:
        return badge("off", "revoked") if token.revoked_at else badge("ok", "valid")

    @admin.display(description="last used", ordering="last_used_at")
    def used(self, token: ApiToken) -> str:
        return ago(token.last_used_at) if token.last_used_at else "never"

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if change:
            typed = [name for name in form.changed_data if name != "sources"]
            changed = {name: getattr(obj, name) for name in typed}
            if changed:
                ApiToken.objects.filter(pk=obj.pk).update(**changed)
            return
        rights = [right for right in RIGHTS if getattr(obj, f"may_{right}")]
        chosen = form.cleaned_data["sources"]
        made, token = tokens.make(obj.name, obj.requests_per_minute, sources=chosen, rights=rights)
        obj.pk, obj.beginning = made.pk, made.beginning
        cast(Any, obj).token = token  # for the one page that shows it

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the token on a page of its own, because a redirect or message would store it."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"The token for {obj.name}",
            "opts": self.opts,
            "original": obj,
            "token": cast(Any, obj).token,
            "may": allowed(ApiToken.objects.get(pk=obj.pk)),
            "site": request.build_absolute_uri("/").rstrip("/"),
            "mcp": mcp_settings(),
        }
        return TemplateResponse(request, "admin/ingestion/apitoken/made.html", context)
