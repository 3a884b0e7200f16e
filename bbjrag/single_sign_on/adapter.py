from __future__ import annotations

import re
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthError
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.http import HttpRequest
from requests import RequestException

from bbjrag.single_sign_on import entrance, refusals
from bbjrag.single_sign_on.provider import Provider
from bbjrag.single_sign_on.refusals import Refusal, SignInRefused

# What the provider's address for tokens says of a request (RFC 6749, 5.2).
TOKEN_ERRORS = {
    "invalid_client": Refusal.CLIENT,
    "unauthorized_client": Refusal.CLIENT,
    "invalid_grant": Refusal.CODE,
}


class Adapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Goes on where allauth has talked to the provider."""

    def get_provider(
        self, request: HttpRequest, provider: str, client_id: str | None = None
    ) -> Provider:
        return Provider(request, app=self.get_app(request, provider, client_id))

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        try:
            answer = entrance.let_in(request, sociallogin.identity, sociallogin.state)
        except SignInRefused as error:
            answer = refusals.page(request, error)
        raise ImmediateHttpResponse(answer)

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        refused = refusal_of(exception) if exception else _without(request, error, extra_context)
        raise ImmediateHttpResponse(refusals.page(request, refused))


def _without(request: HttpRequest, error: Any, context: dict[str, Any] | None) -> SignInRefused:
    """Why there is no answer to work with."""
    if "state" not in (context or {}):
        return SignInRefused(Refusal.OLD)
    if error == AuthError.CANCELLED:
        return SignInRefused(Refusal.CANCELLED)
    return SignInRefused(Refusal.DECLINED, _code(request.GET.get("error", "")))


def refusal_of(exception: Exception) -> SignInRefused:
    """What a failure of the conversation means. No token gets into it."""
    if isinstance(exception, SignInRefused):
        return exception
    if isinstance(exception, RequestException) and not isinstance(exception, ValueError):
        return _of_request(exception)
    if isinstance(exception, OAuth2Error):
        code = _code(str(exception))
        return SignInRefused(TOKEN_ERRORS.get(code, Refusal.ODD), reason=code)
    return SignInRefused(Refusal.ODD, reason=exception.__class__.__name__)


def _of_request(error: RequestException) -> SignInRefused:
    answer, asked = error.response, error.request
    address = str(asked.url or "").partition("?")[0] if asked is not None else ""
    said = f"status {answer.status_code}" if answer is not None else error.__class__.__name__
    return SignInRefused(Refusal.AWAY, reason=f"{said} at {address}")


def _code(said: str) -> str:
    """An error's name, wherever it is in what was said; nothing else of it."""
    found = re.search(r'"error"\s*:\s*"(\w{1,40})"|^([a-z_]{1,40})$', said)
    return (found[1] or found[2]) if found else "no reason given"
