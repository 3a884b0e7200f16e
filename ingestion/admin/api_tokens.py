"""Tokens of the HTTP API: created here, shown once, revoked."""

from __future__ import annotations

import json
import sys
from typing import Any, cast

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from ingestion.admin.display import ago, badge
from ingestion.admin.read_only import Admin
from ingestion.api import tokens
from ingestion.models import ApiToken


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
    """Only the name and the limit can be typed; the token itself is generated."""

    list_display = ("name", "starts", "state", "requests_per_minute", "used", "created_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name",)
    fields = ("name", "requests_per_minute")
    actions = (revoke,)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[Any]:
        known = ["starts", "state", "used", "created_at"] if obj else []
        return [*self.fields, *known]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        return ["starts", "state", "used", "created_at"]

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
            changed = {name: getattr(obj, name) for name in form.changed_data}
            ApiToken.objects.filter(pk=obj.pk).update(**changed)
            return
        made, token = tokens.make(obj.name, obj.requests_per_minute)
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
            "site": request.build_absolute_uri("/").rstrip("/"),
            "mcp": mcp_settings(),
        }
        return TemplateResponse(request, "admin/ingestion/apitoken/made.html", context)
