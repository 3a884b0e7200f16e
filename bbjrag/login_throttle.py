"""Who guesses passwords has to wait: by address, and, if many addresses guess, by account.

The second would let anybody lock anybody out. So a browser that has logged into an account keeps a
signed cookie that says so, and what others guess does not count for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.crypto import salted_hmac

from bbjrag.client_ip import client_address

ACCOUNT_FACTOR = 5  # guesses at an account from all addresses, for each that one address may make
KNOWN_BROWSER = "known_browser"
REMEMBERED = timedelta(days=90)


def login_origin(request: HttpRequest) -> str | None:
    """What counts as one address: of IPv6 the network (/64), which one customer has to himself."""
    try:
        address = ip_address(client_address(request).partition("%")[0])
    except ValueError:
        return None  # counted together
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False).network_address)


class LoginThrottle(AxesDatabaseHandler):  # type: ignore[misc]
    """Counts by address, as axes does, and by account."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        return super().is_locked(request, credentials) or _account_is_locked(
            request, (credentials or {}).get("username") or ""
        )


def _account_is_locked(request: HttpRequest, username: str) -> bool:
    recent = AccessAttempt.objects.filter(
        username=username, attempt_time__gte=get_cool_off_threshold(request)
    )
    guesses = recent.aggregate(total=Sum("failures_since_start"))["total"] or 0
    return guesses >= ACCOUNT_FACTOR * settings.AXES_FAILURE_LIMIT and not _knows(request, username)


def _knows(request: HttpRequest, username: str) -> bool:
    """Whether this browser has logged into the account before."""
    shown = request.get_signed_cookie(KNOWN_BROWSER, default="", max_age=REMEMBERED)
    return shown == _mark(username)


def _mark(username: str) -> str:
    return salted_hmac(KNOWN_BROWSER, username).hexdigest()


class KnownBrowserMiddleware:
    """Gives the cookie to a browser that has just logged in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.method == "POST" and request.path.startswith(reverse("admin:login")):
            self._remember(request, response)
        return response

    def _remember(self, request: HttpRequest, response: HttpResponse) -> None:
        if not request.user.is_authenticated:
            return
        response.set_signed_cookie(
            KNOWN_BROWSER,
            _mark(request.user.get_username()),
            max_age=REMEMBERED,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
            path=reverse("admin:login"),
        )
