"""The admin site: Django's own, with the state of the index on the first page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import update_wrapper
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.db.models.base import ModelBase
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from ingestion.admin import (
    asked,
    evaluations,
    notifications,
    overview,
    preview,
    quality,
    search,
    starting,
)
from ingestion.admin.api_tokens import ApiTokenAdmin
from ingestion.admin.changes import kept
from ingestion.admin.chunks import ChunkAdmin
from ingestion.admin.documents import DocumentAdmin, EmbeddingProfileAdmin
from ingestion.admin.lookups import limited
from ingestion.admin.menu import menu
from ingestion.admin.people import Invitation, People
from ingestion.admin.problems import ProblemAdmin
from ingestion.admin.questions import QuestionAdmin, may_name
from ingestion.admin.runs import RunAdmin
from ingestion.admin.standings import open_failures
from ingestion.models import (
    ApiToken,
    Chunk,
    Document,
    EmbeddingProfile,
    Failure,
    Question,
    Run,
)
from ingestion.monitoring import health

# In the order of the list.
PAGES: dict[type[Model], type[admin.ModelAdmin[Any]]] = {
    Run: RunAdmin,
    Failure: ProblemAdmin,
    Document: DocumentAdmin,
    Chunk: ChunkAdmin,
    Question: QuestionAdmin,
    EmbeddingProfile: EmbeddingProfileAdmin,
    ApiToken: ApiTokenAdmin,
}
NAMES = [model._meta.object_name for model in PAGES]
APPS = ["sources", "ingestion"]  # listed first
LEFT_OUT = {"django_q", "account", "mfa", "socialaccount"}
PEOPLE = "People and roles"
SESSION_ENDED = (
    "Your session had ended, so nothing was done. Log in: what you had typed is filled in again, "
    "and you can send it."
)


class Site(admin.AdminSite):
    site_title = site_header = "bbjrag"
    site_url = None
    index_title = "Overview"
    index_template = "admin/overview.html"
    enable_nav_sidebar = False  # the menu is our own

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        for model, page in PAGES.items():
            self.register(model, page)

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[admin.ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Leave out the queue's own tables: a Schedule runs any dotted path and a task's arguments
        are pickles, which must not be edited in a browser; and those of second factors and single
        sign-on. Lists filter only by what they offer, and forms keep the values of changes."""
        given = model_or_iterable
        models = [given] if isinstance(given, ModelBase) else list(given)
        if models == [User] and admin_class:
            admin_class = type("PeopleAdmin", (People, admin_class), {})
        shown = [model for model in models if model._meta.app_label not in LEFT_OUT]
        super().register(shown, kept(limited(admin_class or admin.ModelAdmin)), **options)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The apps by importance instead of the alphabet."""
        found: list[Any] = super().get_app_list(request, app_label)
        for app in found:
            app["name"] = PEOPLE if app["app_label"] == "auth" else app["name"]
            app["models"].sort(key=lambda model: place(model["object_name"], NAMES))
        return sorted(found, key=lambda app: place(app["app_label"], APPS))

    def get_urls(self) -> list[URLPattern | URLResolver]:
        wrap = self.admin_view
        own = [
            path("overview/", wrap(self.overview), name="overview"),
            path("pulse/", wrap(self.pulse), name="pulse"),
            path("ingest/", wrap(self.ingest), name="ingest"),
            path("invitation/<uidb64>/<token>/", Invitation.as_view(), name="invitation"),
            path("search/", wrap(self.search), name="search"),
            path("quality/", wrap(self.quality), name="quality"),
        ]
        previews = preview.paths(wrap, self.each_context)
        measured = evaluations.paths(wrap, self.each_context)
        told = notifications.paths(wrap, self.each_context)
        questions = asked.paths(wrap, self.each_context)
        return [*own, *previews, *measured, *told, *questions, *super().get_urls()]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        context = {"may_look": may_look(request), **(extra_context or {})}
        if may_look(request):
            context |= overview.overview()
        return super().index(request, context)

    def overview(self, request: HttpRequest) -> HttpResponse:
        """The part of the first page that its script refreshes."""
        self._refuse(request)
        return render(request, "admin/overview_live.html", overview.overview())

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Say it when something is sent without a login, as after the session has ended."""
        inner = super().admin_view(view, cacheable)

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method == "POST" and not self.has_permission(request):
                messages.warning(request, SESSION_ENDED)
            response: HttpResponse = inner(request, *args, **kwargs)
            return response

        return update_wrapper(guarded, inner)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if context["has_permission"]:
            context["menu"] = shown = menu(request)
            sections = [*shown["sections"], *shown["settings"]]
            home = reverse("admin:index")
            found = (one for one in sections if one.current and one.url != home)
            context["section"] = next(found, None)
        return context

    def pulse(self, request: HttpRequest) -> HttpResponse:
        """What every page refreshes: the open problems, and whether all parts are there."""
        if not may_look(request):
            return JsonResponse({"problems": 0, "checks": []})
        checks = [asdict(check) for check in health.checks()]
        return JsonResponse({"problems": open_failures().count(), "checks": checks})

    def ingest(self, request: HttpRequest) -> HttpResponse:
        """Ingest all sources, after a confirmation."""
        if not request.user.has_perm("ingestion.start_run"):
            raise PermissionDenied
        return starting.ingest_all(request, self.each_context(request))

    def search(self, request: HttpRequest) -> HttpResponse:
        """The search page, with its scores."""
        if not request.user.has_perm("ingestion.view_chunk"):
            raise PermissionDenied
        found = search.results(request.GET)
        context = {**self.each_context(request), "title": "Search", **found}
        context["may_name"] = may_name(request)
        return TemplateResponse(request, "admin/search.html", context)

    def quality(self, request: HttpRequest) -> HttpResponse:
        """The quality page."""
        if not request.user.has_perm("ingestion.view_chunk"):
            raise PermissionDenied
        context = {**self.each_context(request), "title": "Quality", "tab": "stored"}
        context |= quality.page()
        return TemplateResponse(request, "admin/quality.html", context)

    def _refuse(self, request: HttpRequest) -> None:
        if not may_look(request):
            raise PermissionDenied


def place(name: str, order: Sequence[str | None]) -> int:
    return order.index(name) if name in order else len(order)


def may_look(request: HttpRequest) -> bool:
    return request.user.has_perms(["sources.view_source", "ingestion.view_run"])
