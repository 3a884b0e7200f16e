"""Every way in which a sign-in may end badly: what the page says, and what to do."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Any

from allauth.socialaccount.providers.base import ProviderException
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Words:
    status: int
    what: str
    then: str


class Refusal(Enum):
    """In `Words`, {label} is the provider and {detail} what is known of this case."""

    OLD = Words(
        400,
        "This sign-in was begun in another browser, or more than ten minutes ago, or was used.",
        "Begin again here. If that does not help, allow cookies of this site.",
    )
    CANCELLED = Words(
        403,
        "{label} did not let you in: you cancelled, or may not use bbjrag there.",
        "Try again; if it stays, ask whoever keeps the accounts of {label}.",
    )
    DECLINED = Words(
        403,
        "{label} declined the sign-in ({detail}).",
        "Try again; if it stays, tell an administrator of bbjrag, whose settings of single sign-on "
        "do not fit there.",
    )
    AWAY = Words(
        503,
        "{label} cannot be reached, or does not work at this moment.",
        "Try again in a minute. If it stays, an administrator finds the reason in the log.",
    )
    BUSY = Words(
        503,
        "Many sign-ins wait for {label} at this moment.",
        "Try again in a minute.",
    )
    CLIENT = Words(
        503,
        "{label} does not accept the client id and secret of bbjrag.",
        "An administrator has to correct OIDC_CLIENT_ID and OIDC_CLIENT_SECRET.",
    )
    CODE = Words(
        400,
        "{label} did not accept its own answer: it was too old, or was used before.",
        "Begin again.",
    )
    CLOCK = Words(
        503,
        "What {label} answered is not valid at this time: the clocks there and here differ.",
        "An administrator has to set the clock of this server, or that of {label}.",
    )
    ODD = Words(
        503,
        "What {label} answered cannot be trusted or understood.",
        "Begin again. If it stays, an administrator finds the reason in the log.",
    )
    NO_ROLE = Words(
        403,
        "{label} knows you, but its claim {detail}, so you have no role here.",
        "Ask an administrator of bbjrag which group you need, and whoever keeps the accounts of "
        "{label} to put you into it. Then sign in again.",
    )
    TAKEN = Words(
        403,
        "There is an account named {detail} here already, which is not linked to this account of "
        "{label}.",
        "If it is yours, log in with its password, choose Single sign-on beside Log out, and link "
        "it. If it is not yours, ask an administrator to rename it.",
    )
    TAKEN_FOR_GOOD = Words(
        403,
        "There is an account named {detail} here already, which is not linked to this account of "
        "{label}.",
        "Ask an administrator to link it, if it is yours, or else to rename it.",
    )
    DISABLED = Words(
        403,
        "Your account here, {detail}, is switched off.",
        "Ask an administrator of bbjrag.",
    )
    OTHER = Words(
        403,
        "This account of {label} is linked to another account here.",
        "Sign out at {label} and choose your own, or remove the link there first.",
    )
    NO_SIGN_OUT = Words(
        404,
        "{label} has no address to sign out at.",
        "You are logged out here. Sign out there yourself, or close the browser.",
    )


class SignInRefused(ProviderException):  # type: ignore[misc]
    """`detail` is for the page; `reason` for the log, and holds no token."""

    def __init__(self, refusal: Refusal, detail: str = "", reason: str = "") -> None:
        super().__init__(reason or detail or refusal.name)
        self.refusal = refusal
        self.detail = detail


def page(request: HttpRequest, error: SignInRefused) -> HttpResponse:
    """Log the refusal, and say it."""
    logger.warning("Single sign-on: %s (%s)", error.refusal.name, error)
    words = error.refusal.value
    known = {"label": settings.OIDC_LABEL, "detail": error.detail}
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Not signed in",
        "what": words.what.format(**known),
        "then": words.then.format(**known),
        "next": request.POST.get("next", ""),
    }
    template = "admin/single_sign_on/refused.html"
    return TemplateResponse(request, template, context, status=words.status)
