"""Messages reach a real mail server and a real webhook, whatever faults those have meanwhile."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from ingestion.models import Notification, NotificationMessage
from ingestion.notifications import channels, delivery
from tests.support.mail_server import MailServer
from tests.support.webhook import SECRET, Webhook

pytestmark = pytest.mark.django_db
Event = NotificationMessage.Event


def told(*names: str, event: str = Event.BEGAN, row: Notification | None = None) -> Notification:
    """A notification with messages that are due."""
    now = timezone.now()
    if row is None:
        times = {"since": now, "seen": now, "told": now}
        row = Notification.objects.create(
            cause="failed:1", title="docs failed", text="Oh.", **times
        )
    for name in names:
        NotificationMessage.objects.create(
            notification=row, channel=name, event=event, next_try=now
        )
    return row


def again() -> None:
    """Try once more, as if the pause were over."""
    NotificationMessage.objects.update(next_try=timezone.now())
    delivery.deliver_due()


@pytest.mark.parametrize("answer", [(500, "busy"), (404, ""), (302, "elsewhere")])
def test_a_webhook_that_does_not_take_it_is_asked_again(
    webhook: Webhook, answer: tuple[int, str]
) -> None:
    webhook.answers = [answer]
    webhook.location = webhook.url if answer[0] == 302 else ""
    told("webhook")
    delivery.deliver_due()
    message = NotificationMessage.objects.get()
    assert f"127.0.0.1 answered {answer[0]}" in message.answer
    assert (webhook.requests, message.sent_at) == (1, None)
    again()
    again()
    message.refresh_from_db()
    assert (webhook.requests, len(webhook.taken), message.attempts) == (2, 1, 2)
    assert message.answer == "127.0.0.1 answered 200: thanks"


def test_a_mail_server_that_does_not_take_it_is_asked_again(mail: MailServer) -> None:
    mail.refuses("450 4.3.2 busy")
    told("mail")
    delivery.deliver_due()
    assert "busy" in NotificationMessage.objects.get().answer
    mail.refuses("")
    again()
    again()
    assert mail.subjects == ["[bbjrag] docs failed"]


def test_pauses_grow_up_to_an_hour(webhook: Webhook, settings: Any) -> None:
    settings.REAPER_INTERVAL = 60.0
    pauses = [delivery.pause(number).total_seconds() for number in (1, 2, 3, 7, 500)]
    assert pauses == [60, 120, 240, 3600, 3600]
    webhook.answers = [(500, "")]
    told("webhook")
    delivery.deliver_due()
    delivery.deliver_due()
    assert webhook.requests == 1


def test_who_does_not_answer_holds_nothing_up_for_long(
    mail: MailServer, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail server that hangs does not keep the webhook from its message either."""
    monkeypatch.setattr(channels, "MOST_SECONDS", 0.5)
    mail.hangs = True
    row = told("mail", "webhook")
    told("mail", event=Event.OVER, row=row)
    began = time.monotonic()
    delivery.deliver_due()
    assert time.monotonic() - began < 2
    assert mail.connections == 1
    assert len(webhook.taken) == 1
    assert "did not answer within" in NotificationMessage.objects.filter(channel="mail")[0].answer


def test_that_it_is_over_comes_after_that_it_began(webhook: Webhook) -> None:
    webhook.answers = [(500, "")]
    row = told("webhook")
    told("webhook", event=Event.OVER, row=row)
    delivery.deliver_due()
    NotificationMessage.objects.filter(event=Event.OVER).update(next_try=timezone.now())
    delivery.deliver_due()
    assert not webhook.taken
    again()
    assert [event for event, _ in webhook.events] == ["began", "over"]


def test_a_message_is_given_up_after_days(webhook: Webhook) -> None:
    told("webhook")
    old = timezone.now() - delivery.GIVEN_UP_AFTER - timedelta(minutes=1)
    NotificationMessage.objects.update(created_at=old)
    delivery.deliver_due()
    assert webhook.requests == 0


def test_a_kill_between_sending_and_recording_sends_it_once_more(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have the same id, by which a receiver can tell."""

    def killed(channel: str, note: channels.Note) -> str:
        sent(channel, note)
        raise SystemExit

    sent = channels.send
    told("webhook")
    monkeypatch.setattr(channels, "send", killed)
    with pytest.raises(SystemExit):
        delivery.deliver_due()
    monkeypatch.setattr(channels, "send", sent)
    delivery.deliver_due()
    assert len(webhook.taken) == 1
    again()
    again()
    assert len({note["id"] for note in webhook.taken}) == 1
    assert len(webhook.taken) == 2


def test_a_mail_server_may_want_a_password(settings: Any) -> None:
    with MailServer("me", "p:w/d@1") as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "me", "wrong one"
        settings.NOTIFY_MAIL_TO = ["ops@example.com"]
        told("mail")
        delivery.deliver_due()
        answer = NotificationMessage.objects.get().answer
        assert "wrong password" in answer
        assert "wrong one" not in answer
        settings.EMAIL_HOST_PASSWORD = "p:w/d@1"
        again()
        assert len(server.mails) == 1


def test_no_answer_shows_a_secret(webhook: Webhook, settings: Any) -> None:
    webhook.answers = [(500, f"You sent {SECRET} to {webhook.url}")]
    told("webhook")
    delivery.deliver_due()
    settings.NOTIFY_WEBHOOK_URL = "http://127.0.0.1:1/hook/of-ours"
    again()
    answer = NotificationMessage.objects.get().answer
    assert "cannot be reached" in answer
    for secret in (SECRET, "of-ours"):
        assert secret not in answer


def test_the_check_that_the_documentation_shows_works(webhook: Webhook, settings: Any) -> None:
    page = (Path(settings.BASE_DIR) / "docs/operations.md").read_text()
    shown = re.search(r"```py\n(def is_ours.*?)```", page, re.DOTALL)
    assert shown
    known: dict[str, Any] = {}
    exec("import hashlib, hmac, time\n" + shown[1], known)
    body = b'{"id": 1}'
    headers = channels.signed(body, int(time.time()))
    assert known["is_ours"](headers, body, SECRET)
    assert not known["is_ours"](headers, body + b" ", SECRET)
    assert not known["is_ours"](headers, body, "another")
    assert not known["is_ours"](channels.signed(body, int(time.time()) - 600), body, SECRET)
