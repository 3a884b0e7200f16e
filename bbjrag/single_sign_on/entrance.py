"""What happens once the provider has said who somebody is: log in, or link an account."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme

from bbjrag.oidc import BACKEND
from bbjrag.single_sign_on import accounts
from bbjrag.single_sign_on.claims import Identity
from bbjrag.single_sign_on.refusals import Refusal, SignInRefused


def let_in(request: HttpRequest, known: Identity, state: dict[str, Any]) -> HttpResponse:
    """Raises SignInRefused."""
    begun = state["data"]
    if not constant_time_compare(known.nonce, begun["nonce"]):
        raise SignInRefused(Refusal.ODD, reason="the ID token was made for another sign-in")
    if begun["links"] is not None:
        return _link(request, known, begun["links"])
    user = accounts.admitted(known)
    login(request, user, backend=BACKEND)
    return redirect(_here(request, state.get("next") or ""))


def _here(request: HttpRequest, wanted: str) -> str:
    """Where a sign-in leads: only to this site."""
    safe = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else reverse("admin:index")


def _link(request: HttpRequest, known: Identity, expected: int) -> HttpResponse:
    if request.user.pk != expected:
        raise SignInRefused(Refusal.OLD)
    accounts.link(request.user, known.subject)
    messages.success(request, "Linked: from now on you can sign in there, too.")
    return redirect("single_sign_on:account")
