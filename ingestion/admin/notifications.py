"""The page of notifications: what people were told, where messages go, and a test of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST

from ingestion.models import Notification, NotificationMessage
from ingestion.notifications import channels, delivery

SHOWN = 50  # of what is over
TESTS_SHOWN = timedelta(hours=1)

Wrap = Callable[..., Any]
Context = Callable[[HttpRequest], dict[str, Any]]


@dataclass(frozen=True)
class Sent:
    """A message with its state: a colour and a word."""

    message: NotificationMessage
    state: str
    word: str


def paths(wrap: Wrap, context: Context) -> list[URLPattern]:
    def page(request: HttpRequest) -> HttpResponse:
        _refuse(request, "view_notification")
        shown = {**context(request), "title": "Notifications", **_shown()}
        return TemplateResponse(request, "admin/notifications.html", shown)

    return [
        path("notifications/", wrap(page), name="notifications"),
        path("notifications/live/", wrap(live), name="notifications_live"),
        path("notifications/test/", wrap(send_test), name="notifications_test"),
    ]


def live(request: HttpRequest) -> HttpResponse:
    """The part of the page that its script refreshes."""
    _refuse(request, "view_notification")
    return render(request, "admin/notifications_live.html", _shown())


@require_POST
def send_test(request: HttpRequest) -> HttpResponse:
    """Have a test sent beside; the page shows what comes of it."""
    _refuse(request, "test_notification")
    if channels.configured():
        delivery.send_tests()
        messages.info(request, "A test is being sent: the answer appears below.")
    else:
        messages.error(request, "There is nowhere to send it: set up mail or a webhook first.")
    return redirect("admin:notifications")


def _refuse(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(f"ingestion.{permission}"):
        raise PermissionDenied


def _shown() -> dict[str, Any]:
    rows = Notification.objects.prefetch_related("messages")
    names = channels.configured()
    tests = NotificationMessage.objects.filter(event=NotificationMessage.Event.TEST).order_by("-pk")
    lately = tests.filter(created_at__gt=timezone.now() - TESTS_SHOWN)
    return {
        "channels": [(name, channels.receiver(name)) for name in names],
        "tests": [sent(message) for message in lately[: 2 * len(names)]],
        "present": [(row, _sent(row)) for row in rows.filter(over=None).exclude(told=None)],
        "pending": rows.filter(over=None, told=None),
        "past": [(row, _sent(row)) for row in rows.exclude(over=None)[:SHOWN]],
    }


def _sent(row: Notification) -> list[Sent]:
    return [sent(message) for message in row.messages.all()]


def sent(message: NotificationMessage) -> Sent:
    if message.sent_at:
        return Sent(message, "ok", "sent")
    if message.created_at < timezone.now() - delivery.GIVEN_UP_AFTER:
        return Sent(message, "bad", "given up")
    if message.answer:
        is_test = message.event == NotificationMessage.Event.TEST
        return Sent(message, "bad" if is_test else "warn", "not sent" if is_test else "tried again")
    return Sent(message, "running", "being sent")
