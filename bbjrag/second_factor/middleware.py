from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from bbjrag.second_factor import codes, sessions

OPEN = {"admin:login", "admin:code", "admin:logout"}
SET_UP = "admin:second_factor"


class SecondFactorMiddleware:
    """Keeps the admin closed to a session that has shown no code of a second factor that there is,
    however it was logged in; and, if one is required, to a person who has none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, arguments: Any, named: Any
    ) -> HttpResponse | None:
        page = request.resolver_match
        if page is None or "admin" not in page.app_names or page.view_name in OPEN:
            return None
        return _refusal(request, page.view_name) if request.user.is_authenticated else None


def _refusal(request: HttpRequest, page: str) -> HttpResponse | None:
    totp = codes.totp_of(request.user)
    if totp is None:
        missing = settings.SECOND_FACTOR == "required" and page != SET_UP
        return redirect(SET_UP) if missing else None
    if sessions.has_shown(request, totp):
        return None
    logout(request)
    return redirect_to_login(request.get_full_path(), reverse("admin:login"))
