"""The way to the provider and back, and the page where people link their accounts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import urlencode

import jwt
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from requests import RequestException

from bbjrag.single_sign_on import accounts, refusals
from bbjrag.single_sign_on.adapter import refusal_of
from bbjrag.single_sign_on.provider import OpenIDConnect
from bbjrag.single_sign_on.refusals import Refusal, SignInRefused

# What a conversation may end with, an answer of the provider that lacks something included.
FAILURES = (
    SignInRefused,
    OAuth2Error,
    RequestException,
    jwt.PyJWTError,
    KeyError,
    TypeError,
    ValueError,
)
# Of the threads of this process, so that a provider that hangs leaves most of them to others.
_talking = BoundedSemaphore(max(1, settings.SERVER_THREADS // 4))


def _talk(request: HttpRequest, conversation: Callable[[], HttpResponse]) -> HttpResponse:
    """What the conversation comes to; a page that says why, if it fails."""
    if not _talking.acquire(blocking=False):
        return refusals.page(request, SignInRefused(Refusal.BUSY))
    try:
        return conversation()
    except FAILURES as error:
        return refusals.page(request, refusal_of(error))
    finally:
        _talking.release()


@never_cache
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Lead to the provider, to log in."""
    return _talk(request, lambda: _lead(request, request.POST.get("next", ""), None))


@never_cache
@require_POST
def link(request: HttpRequest) -> HttpResponse:
    """Lead to the provider, to link the account that is logged in."""
    return _talk(request, lambda: _lead(request, "", request.user.pk))


def _lead(request: HttpRequest, wanted: str, links: int | None) -> HttpResponse:
    """A page that goes on by itself: the policy of the page with the button lets no form lead to
    another site."""
    nonce = secrets.token_urlsafe(24)
    answer = _provider(request).redirect(
        request,
        "login",
        next_url=wanted,
        data={"nonce": nonce, "links": links},
        auth_params={"nonce": nonce},
    )
    context = {**admin.site.each_context(request), "title": "Sign in", "address": answer.url}
    return TemplateResponse(request, "admin/single_sign_on/leaving.html", context)


def _provider(request: HttpRequest) -> Any:
    return OpenIDConnect(request).get_provider()


@never_cache
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Where the provider sends people back to."""
    view = OAuth2CallbackView.adapter_view(OpenIDConnect(request))
    return _talk(request, lambda: view(request))


@never_cache
@require_GET
def sign_out(request: HttpRequest) -> HttpResponse:
    """Lead to where the provider ends its own session."""
    return _talk(request, lambda: _lead_out(request))


def _lead_out(request: HttpRequest) -> HttpResponse:
    address = OpenIDConnect(request).openid_config.get("end_session_endpoint")
    if not address:
        raise SignInRefused(Refusal.NO_SIGN_OUT)
    back = request.build_absolute_uri(reverse("admin:login"))
    given = {"client_id": settings.OIDC_CLIENT_ID, "post_logout_redirect_uri": back}
    return HttpResponseRedirect(f"{address}?{urlencode(given)}")


def account(request: HttpRequest) -> HttpResponse:
    """Whether the account that is logged in is linked; and the buttons that change it."""
    if request.method == "POST":
        return _unlink(request)
    context = {
        **admin.site.each_context(request),
        "title": "Single sign-on",
        "linked": accounts.link_of(request.user) is not None,
    }
    return TemplateResponse(request, "admin/single_sign_on/account.html", context)


def _unlink(request: HttpRequest) -> HttpResponse:
    """Only if a password is left to log in with."""
    user: Any = request.user
    if settings.OIDC_ONLY or not user.has_usable_password():
        messages.error(request, "Not removed: you could not log in any more.")
    elif accounts.unlink(user):
        messages.success(request, "Removed: from now on only your password lets you in.")
    return redirect("single_sign_on:account")
