"""The pages for what cannot be answered: each says why, and where to go on."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import admin
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)

PROGRAMS = ("/api/", "/mcp")  # addresses that programs use, which read JSON
TEXTS = {
    400: (
        "This request cannot be understood",
        "The address or what was sent with it is not complete. Go back, and try again from there.",
    ),
    403: (
        "You may not do this",
        "Your roles do not include it. Ask an administrator for the role Manager or Administrator.",
    ),
    404: (
        "There is nothing at this address",
        "It may have been deleted, or the address has a mistake.",
    ),
    405: (
        "This address only takes what a button sends",
        "Open the page that has the button, and press it there.",
    ),
    500: (
        "Something went wrong here",
        "The error is in the server's log. What was stored before is unchanged. Try again; if it "
        "stays, send that part of the log with a report.",
    ),
}
OLD_FORM = (
    "This form is too old",
    "You logged in or out after it was opened, so nothing was done. Go back, load the page again, "
    "and press the button there.",
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 400, str(exception) if exception.args else "")


def denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page(request, 403, str(exception) if exception.args else "")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    reason = exception.args[0] if exception.args else ""
    return page(request, 404, reason if isinstance(reason, str) else "")


def server_error(request: HttpRequest) -> HttpResponse:
    return page(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's view for a form whose secret does not match the cookie."""
    logger.warning("%s: %s", request.path, reason)
    title, text = OLD_FORM
    return _framed(request, 403, title, text, is_old_form=True)


def page(request: HttpRequest, status: int, reason: str = "") -> HttpResponse:
    """The page of a status; `reason` says it in the words of who refused."""
    title, text = TEXTS[status]
    if request.path.startswith(PROGRAMS):
        return JsonResponse({"error": reason or f"{title}."}, status=status)
    return _framed(request, status, title, f"{reason} {text}" if reason else text)


def _framed(
    request: HttpRequest, status: int, title: str, text: str, is_old_form: bool = False
) -> HttpResponse:
    facts = {"title": title, "text": text, "status": status, "is_old_form": is_old_form}
    context = facts | _frame(request)
    html = render_to_string("admin/error.html", context, request if status != 500 else None)
    return HttpResponse(html, status=status)


def _frame(request: HttpRequest) -> dict[str, Any]:
    """The menu; without a database the page has none."""
    try:
        return {
            name: value
            for name, value in admin.site.each_context(request).items()
            if name in ("has_permission", "menu")
        } | {"user": request.user}
    except (Error, AttributeError) as error:
        logger.warning("The page is shown without a menu: %s", error)
        return {}


class EmptyAnswers:
    """Middleware: gives answers without a text, such as 405, a page."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self.get_response(request)
        if response.status_code == 405 and not response.streaming and not response.content:
            shown = page(request, 405)
            shown["Allow"] = response.headers.get("Allow", "POST")
            return shown
        return response
