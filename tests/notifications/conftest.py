from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ingestion.monitoring import health
from ingestion.notifications import causes
from tests.support.mail_server import MailServer
from tests.support.webhook import SECRET, Webhook


@pytest.fixture
def mail(settings: Any) -> Iterator[MailServer]:
    with MailServer() as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.NOTIFY_MAIL_TO = ["ops@example.com", "dev@example.com"]
        yield server


@pytest.fixture
def webhook(settings: Any) -> Iterator[Webhook]:
    with Webhook() as receiver:
        settings.NOTIFY_WEBHOOK_URL, settings.NOTIFY_WEBHOOK_SECRET = receiver.url, SECRET
        yield receiver


class Parts:
    """Whether worker and embedder are there; what is empty is."""

    worker = ""
    embedder = "ok"


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Parts:
    """Their faults in real processes are in tests/settings/test_notifications.py."""
    there = Parts()
    monkeypatch.setattr(causes, "worker_problem", lambda: there.worker)
    checked = lambda: health.Check("Embedder", there.embedder, "It is asleep.")  # noqa: E731
    monkeypatch.setattr(health, "embedder_now", checked)
    settings.NOTIFY_NOT_READ_DAYS = 0
    return there
