"""The menu beside every page: the sections that a person may open, and the number of problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from ingestion.admin.standings import open_failures

# Address, name, icon, permission, and the beginnings of the addresses that belong to the section.
SECTIONS = (
    ("index", "Overview", "overview", "", ("overview/", "ingest/")),
    (
        "sources_source_changelist",
        *("Sources", "sources", "sources.view_source"),
        ("sources/preview/",),
    ),
    ("ingestion_run_changelist", "Runs", "runs", "ingestion.view_run", ()),
    ("ingestion_failure_changelist", "Problems", "problems", "ingestion.view_failure", ()),
    ("search", "Search", "search", "ingestion.view_chunk", ()),
    ("quality", "Quality", "quality", "ingestion.view_chunk", ("ingestion/question/", "asked/")),
    (
        "ingestion_document_changelist",
        *("Documents", "documents", "ingestion.view_document"),
        ("ingestion/chunk/",),
    ),
)
SETTINGS = (
    (
        "ingestion_embeddingprofile_changelist",
        *("Models", "models", "ingestion.view_embeddingprofile"),
        (),
    ),
    ("auth_user_changelist", "People", "people", "auth.view_user", ("auth/",)),
    ("ingestion_apitoken_changelist", "API tokens", "tokens", "ingestion.view_apitoken", ()),
    ("notifications", "Notifications", "bell", "ingestion.view_notification", ()),
)


@dataclass(frozen=True)
class Section:
    """An entry of the menu; `number` is shown beside it unless it is 0."""

    name: str
    url: str
    icon: str
    current: bool
    number: int = 0


def menu(request: HttpRequest) -> dict[str, list[Section]]:
    return {
        "sections": [entry(request, *given) for given in SECTIONS if _may(request, given[3])],
        "settings": [entry(request, *given) for given in SETTINGS if _may(request, given[3])],
    }


def entry(
    request: HttpRequest, name: str, title: str, icon: str, permission: str, more: tuple[str, ...]
) -> Section:
    url = reverse(f"admin:{name}")
    home = reverse("admin:index")
    here = request.path
    current = here == url or (url != home and here.startswith(url))
    current = current or any(here.startswith(home + beginning) for beginning in more)
    number = open_failures().count() if icon == "problems" else 0
    return Section(title, url, icon, current, number)


def _may(request: HttpRequest, permission: str) -> bool:
    user: Any = request.user
    return not permission or bool(user.has_perm(permission))
