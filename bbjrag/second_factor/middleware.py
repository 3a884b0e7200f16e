from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from bbjrag import oidc
from bbjrag.second_factor import codes, sessions

CLOSED = {"admin", "single_sign_on"}
OPEN = {
    "admin:login",
    "admin:code",
    "admin:logout",
    "single_sign_on:start",
    "single_sign_on:callback",
    "single_sign_on:sign_out",
}
SET_UP = "admin:second_factor"


class SecondFactorMiddleware:
    """Keeps the admin closed to a session that has shown no code of a second factor that there is,
    however it was logged in; and, if one is required, to a person who has none and came by a
    password."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, arguments: Any, named: Any
    ) -> HttpResponse | None:
        page = request.resolver_match
        if page is None or not CLOSED & {*page.app_names} or page.view_name in OPEN:
            return None
        return _refusal(request, page.view_name) if request.user.is_authenticated else None


def _refusal(request: HttpRequest, page: str) -> HttpResponse | None:
    totp = codes.totp_of(request.user)
    if totp is None:
        missing = settings.SECOND_FACTOR == "required" and page != SET_UP
        return redirect(SET_UP) if missing and not _came_by_single_sign_on(request) else None
    if sessions.has_shown(request, totp):
        return None
    return _ask_for_code(request) if _came_by_single_sign_on(request) else _ask_for_login(request)


def _came_by_single_sign_on(request: HttpRequest) -> bool:
    return bool(request.session.get(BACKEND_SESSION_KEY) == oidc.BACKEND)


def _ask_for_login(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect_to_login(request.get_full_path(), reverse("admin:login"))


def _ask_for_code(request: HttpRequest) -> HttpResponse:
    """The provider has vouched for this person, who is logged in again once the code is right."""
    user: Any = request.user
    user.backend = oidc.BACKEND
    logout(request)
    sessions.begin(request, user)
    return redirect_to_login(request.get_full_path(), reverse("admin:code"))
