"""The page of notifications: what people were told, where messages go, and a test of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from ingestion.models import Notification, NotificationMessage
from tests.support.mail_server import MailServer
from tests.support.reading import until
from tests.support.webhook import SECRET, Webhook

PAGE = "/admin/notifications/"


@pytest.fixture
def webhook(settings: Any) -> Iterator[Webhook]:
    with Webhook() as receiver:
        settings.NOTIFY_WEBHOOK_URL, settings.NOTIFY_WEBHOOK_SECRET = receiver.url, SECRET
        yield receiver


@pytest.fixture
def mail(settings: Any) -> Iterator[MailServer]:
    with MailServer() as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.NOTIFY_MAIL_TO = ["ops@example.com"]
        yield server


def told(cause: str, title: str, **fields: Any) -> Notification:
    now = timezone.now()
    times = {"since": now, "seen": now, "told": now}
    return Notification.objects.create(cause=cause, title=title, text="Mount it.", **times | fields)


def text(client: Client) -> str:
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.django_db
def test_the_page_says_how_it_is_turned_on(admin_client: Client) -> None:
    assert "nobody is told" in text(admin_client)
    assert "Send a test" not in text(admin_client)


@pytest.mark.django_db
def test_the_page_shows_what_people_were_told(admin_client: Client, webhook: Webhook) -> None:
    row = told("failed:1", "docs failed")
    told("failed:2", "manuals failed", over=timezone.now())
    told("worker", "No worker is alive", told=None)
    now = timezone.now()
    fields = {"channel": "webhook", "next_try": now, "event": NotificationMessage.Event.BEGAN}
    NotificationMessage.objects.create(
        notification=row, attempts=3, answer="127.0.0.1 answered 500: busy", **fields
    )
    page = text(admin_client)
    for shown in ("docs failed", "manuals failed", "tried again", "attempts: 3", "answered 500"):
        assert shown in page
    assert "nobody is told before it has lasted longer" in page


@pytest.mark.django_db
def test_the_page_shows_no_secret(admin_client: Client, webhook: Webhook, mail: MailServer) -> None:
    page = text(admin_client)
    assert "127.0.0.1" in page
    assert "ops@example.com" in page
    assert SECRET not in page
    assert "of-ours" not in page


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_test_shows_the_answers(page: Page, webhook: Webhook, mail: MailServer) -> None:
    webhook.answers = [(403, "not from you")]
    page.goto(PAGE)
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("127.0.0.1 answered 403: not from you")).to_be_visible()
    expect(page.get_by_text("127.0.0.1 took the mail for ops@example.com.")).to_be_visible()
    assert mail.subjects == ["[bbjrag] Test"]
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("127.0.0.1 answered 200: thanks")).to_be_visible()
    assert [note["event"] for note in webhook.taken] == ["test"]


@pytest.mark.django_db(transaction=True)
def test_a_test_does_not_wait_for_a_server_that_hangs(
    admin_client: Client, mail: MailServer
) -> None:
    mail.hangs = True
    assert admin_client.post(f"{PAGE}test/").status_code == 302
    until(lambda: mail.connections, 10)
    assert "being sent" in text(admin_client)
    mail.over.set()
    until(lambda: "not sent" in text(admin_client), 10)


@pytest.mark.django_db
@pytest.mark.parametrize(("role", "looks", "sends"), [("Viewer", 200, 403), ("Manager", 200, 302)])
def test_a_viewer_looks_and_a_manager_tests(
    client: Client, role: str, looks: int, sends: int
) -> None:
    person = User.objects.create_user("eve", is_staff=True)
    person.groups.add(Group.objects.get(name=role))
    client.force_login(person)
    assert client.get(PAGE).status_code == looks
    assert client.get(f"{PAGE}live/").status_code == looks
    assert client.get(f"{PAGE}test/").status_code == 405
    assert client.post(f"{PAGE}test/").status_code == sends
    assert client.get("/admin/asked/").status_code == 200


@pytest.mark.django_db
def test_who_has_no_role_sees_nothing(client: Client) -> None:
    client.force_login(User.objects.create_user("eve", is_staff=True))
    assert client.get(PAGE).status_code == 403
