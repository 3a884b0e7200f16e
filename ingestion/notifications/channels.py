"""The ways to people: mail, and a signed webhook. Values in, an answer out; no database."""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from ingestion.documents import shortened
from ingestion.exceptions import BbjragError

SECONDS = float(settings.EMAIL_TIMEOUT)  # of silence
MOST_SECONDS = 30.0  # for one message
LONGEST_ANSWER = 300  # characters that are kept
TIMESTAMP, SIGNATURE = "X-Bbjrag-Timestamp", "X-Bbjrag-Signature"


class NotSent(BbjragError):
    """A receiver did not take a message: the answer, and what to do."""


@dataclass(frozen=True)
class Note:
    """A message as it goes out; its names are those of the webhook. Times are ISO 8601."""

    id: int
    event: str
    cause: str
    title: str
    text: str
    source: str = ""
    since: str = ""
    over: str = ""

    @property
    def subject(self) -> str:
        over = "Over: " if self.event == "over" else ""
        return " ".join(f"[bbjrag] {over}{self.title}".split())

    @property
    def body(self) -> str:
        times = [f"Since: {self.since}"] if self.since else []
        times += [f"Over: {self.over}"] if self.over else []
        return "\n\n".join([self.title, self.text, "\n".join(times)]).strip() + "\n"


def configured() -> list[str]:
    """The names of the channels that are set up."""
    return [name for name, (is_set, _, _) in CHANNELS.items() if is_set()]


def receiver(channel: str) -> str:
    """Where a channel leads to, without any secret."""
    return CHANNELS[channel][1]()


def send(channel: str, note: Note) -> str:
    """Send a message; what the receiver said. Raises NotSent, within half a minute."""
    sending = _Sending(lambda: CHANNELS[channel][2](note))
    sending.start()
    sending.join(MOST_SECONDS)
    if sending.is_alive():
        raise NotSent(f"{receiver(channel)} did not answer within {MOST_SECONDS:g} s.")
    if not sending.answer:
        problem = sending.problem or "The sending failed: the log says more."
        raise NotSent(_without_secrets(problem))
    return _without_secrets(sending.answer)


class _Sending(threading.Thread):
    """One sending, so that nobody waits longer than they want to for a receiver that dawdles."""

    def __init__(self, action: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self.action = action
        self.answer = self.problem = ""

    def run(self) -> None:
        try:
            self.answer = self.action()
        except (NotSent, OSError, ValueError) as error:
            self.problem = str(error)


def _send_mail(note: Note) -> str:
    backend = EmailBackend(
        host=settings.EMAIL_HOST,
        port=settings.EMAIL_PORT,
        username=settings.EMAIL_HOST_USER,
        password=settings.EMAIL_HOST_PASSWORD,
        use_tls=settings.EMAIL_USE_TLS,
        use_ssl=settings.EMAIL_USE_SSL,
        timeout=SECONDS,
    )
    sender = settings.NOTIFY_MAIL_FROM
    headers = {
        "Message-ID": f"<bbjrag-{note.id}@{sender.rpartition('@')[2].strip('> ')}>",
        "Auto-Submitted": "auto-generated",
    }
    to = settings.NOTIFY_MAIL_TO
    mail = EmailMessage(note.subject, note.body, sender, to, connection=backend, headers=headers)
    try:
        mail.send()
    except (OSError, smtplib.SMTPException) as error:
        place = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
        raise NotSent(f"{place} did not take the mail: {error} Check EMAIL_URL.") from error
    finally:
        backend.close()
    return f"{settings.EMAIL_HOST} took the mail for {', '.join(to)}."


def _send_webhook(note: Note) -> str:
    body = json.dumps(asdict(note)).encode()
    request: dict[str, Any] = {
        "content": body,
        "headers": signed(body, int(time.time())),
        "timeout": SECONDS,
        "follow_redirects": False,
    }
    try:
        with httpx.stream("POST", settings.NOTIFY_WEBHOOK_URL, **request) as answer:
            said = shortened(_beginning(answer), LONGEST_ANSWER)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        problem = f"{error.__class__.__name__}: {error}".removesuffix(": ")
        raise NotSent(f"{receiver('webhook')} cannot be reached: {problem}.") from error
    status = f"{receiver('webhook')} answered {answer.status_code}"
    if answer.is_redirect:
        raise NotSent(f"{status}. Redirects are not followed: set NOTIFY_WEBHOOK_URL to its goal.")
    if not answer.is_success:
        raise NotSent(f"{status}: {said}".removesuffix(": "))
    return f"{status}: {said}".removesuffix(": ")


def _beginning(answer: httpx.Response) -> str:
    """The first part of an answer; the rest is not read."""
    part = next(answer.iter_bytes(4096), b"")
    return " ".join(part.decode("utf-8", "replace").split())


def signed(body: bytes, timestamp: int) -> dict[str, str]:
    """The headers of a webhook: HMAC-SHA256 over the timestamp, a dot and the body."""
    secret = settings.NOTIFY_WEBHOOK_SECRET.encode()
    digest = hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "User-Agent": f"bbjrag/{settings.VERSION}",
        TIMESTAMP: str(timestamp),
        SIGNATURE: f"sha256={digest}",
    }


def _without_secrets(text: str) -> str:
    url, secret = settings.NOTIFY_WEBHOOK_URL, settings.NOTIFY_WEBHOOK_SECRET
    for hidden in (url, secret, settings.EMAIL_HOST_PASSWORD):
        text = text.replace(hidden, "***") if hidden else text
    return text


def _mail_is_set() -> bool:
    return bool(settings.NOTIFY_MAIL_TO and settings.EMAIL_HOST)


def _webhook_is_set() -> bool:
    return bool(settings.NOTIFY_WEBHOOK_URL)


def _mail_receiver() -> str:
    return f"{', '.join(settings.NOTIFY_MAIL_TO)} by {settings.EMAIL_HOST}"


def _webhook_receiver() -> str:
    """Its host: path and query are often what lets one in."""
    return urlsplit(settings.NOTIFY_WEBHOOK_URL).hostname or "The webhook"


# Whether it is set up, where it leads to, and how it sends.
Channel = tuple[Callable[[], bool], Callable[[], str], Callable[[Note], str]]
CHANNELS: dict[str, Channel] = {
    "mail": (_mail_is_set, _mail_receiver, _send_mail),
    "webhook": (_webhook_is_set, _webhook_receiver, _send_webhook),
}
