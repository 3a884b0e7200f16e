"""Who is told of what, by a worker and a web server as people start them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.settings.place import Place, end
from tests.settings.test_web_server import PASSWORD, make_manager, serve
from tests.support.browser import chromium, log_in, visit
from tests.support.looks import serious, width_beyond
from tests.support.mail_server import MailServer
from tests.support.ollama_server import status
from tests.support.reading import until
from tests.support.webhook import SECRET, Webhook

AT_ONCE = {"REAPER_INTERVAL": "0.3", "EMBEDDER_WAIT_LIMIT": "0"}
FORGET = "TRUNCATE ingestion_notification CASCADE"
IN_A_CHUNK = "Section"  # a word of every page, and of no question whether the embedder is there
WAITED_FOR = 1.5  # seconds in which a message too many would have come


@pytest.fixture
def webhook(place: Place) -> Iterator[Webhook]:
    place.do(FORGET)
    with Webhook() as receiver:
        yield receiver


def by_webhook(webhook: Webhook, **given: str) -> dict[str, str]:
    named = {"NOTIFY_WEBHOOK_URL": webhook.url, "NOTIFY_WEBHOOK_SECRET": SECRET}
    return {**AT_ONCE, **named, **given}


def fail(place: Place) -> None:
    """The embedder answers whoever asks whether it is there, and not the reading."""
    place.ollama.for_text(IN_A_CHUNK, status(503))
    place.ingest(code=1, **AT_ONCE)
    place.ollama.by_text.clear()


@pytest.mark.setting("NOTIFY_WEBHOOK_URL")
@pytest.mark.setting("NOTIFY_WEBHOOK_SECRET")
def test_a_source_that_failed_is_told_of_once(place: Place, webhook: Webhook) -> None:
    """However many look: two web processes and one beside the worker. The receiver takes only what
    is signed with the secret."""
    given = by_webhook(webhook, SERVER_PROCESSES="2")
    worker = place.manage("worker", **given)
    web = serve(place, "127.0.0.1", **given)
    try:
        fail(place)
        until(lambda: webhook.taken, 60)
        time.sleep(WAITED_FOR)
        place.ingest()
        until(lambda: len(webhook.taken) > 1, 60)
        time.sleep(WAITED_FOR)
    finally:
        end(worker)
        end(web.process)
    assert [note["event"] for note in webhook.taken] == ["began", "over"]
    assert {note["title"] for note in webhook.taken} == {"mdx-dwc failed"}
    assert "EMBEDDER_WAIT_LIMIT" in webhook.taken[0]["text"]


@pytest.mark.setting("NOTIFY_AWAY_MINUTES")
def test_a_worker_that_is_away_is_told_of_by_the_web_server(place: Place, webhook: Webhook) -> None:
    web = serve(place, "127.0.0.1", **by_webhook(webhook, NOTIFY_AWAY_MINUTES="0.02"))
    try:
        until(lambda: webhook.taken, 60)
        worker = place.manage("worker")
        until(lambda: len(webhook.taken) > 1, 60)
        end(worker)
    finally:
        end(web.process)
    assert webhook.events[:2] == [("began", "worker"), ("over", "worker")]


@pytest.mark.setting("NOTIFY_NOT_READ_DAYS")
def test_a_source_that_has_not_been_read_for_long_is_told_of(
    place: Place, webhook: Webhook
) -> None:
    place.ingest()
    place.do("UPDATE ingestion_sourcerun SET finished_at = now() - interval '50 hours'")
    worker = place.manage("worker", **by_webhook(webhook, NOTIFY_NOT_READ_DAYS="2"))
    try:
        until(lambda: webhook.taken, 60)
    finally:
        end(worker)
    assert [note["title"] for note in webhook.taken] == ["mdx-dwc has not been read for 2 days"]


@pytest.mark.setting("EMAIL_URL")
@pytest.mark.setting("EMAIL_PASSWORD")
@pytest.mark.setting("NOTIFY_MAIL_TO")
@pytest.mark.setting("NOTIFY_MAIL_FROM")
def test_people_get_a_mail(place: Place) -> None:
    place.do(FORGET)
    fail(place)
    with MailServer("me", "secret") as server:
        given = {
            **AT_ONCE,
            "EMAIL_URL": f"smtp://me@127.0.0.1:{server.port}",
            "EMAIL_PASSWORD": "secret",
            "NOTIFY_MAIL_TO": "ada@example.com, ops@example.com",
            "NOTIFY_MAIL_FROM": "index@example.com",
        }
        worker = place.manage("worker", **given)
        try:
            until(lambda: server.mails, 60)
        finally:
            end(worker)
    (mail,) = server.mails
    assert mail["Subject"] == "[bbjrag] mdx-dwc failed"
    assert mail["To"] == "ada@example.com, ops@example.com"
    assert mail["From"] == "index@example.com"


def test_nothing_is_watched_before_it_is_set_up(place: Place) -> None:
    place.do(FORGET)
    fail(place)
    worker = place.manage("worker", **AT_ONCE)
    time.sleep(WAITED_FOR + 2)
    end(worker)
    assert place.ask("SELECT count(*) FROM ingestion_notification") == 0


@pytest.mark.browser
def test_the_button_of_the_page_sends_a_test(place: Place, webhook: Webhook) -> None:
    """On a phone: pressed, taken by both servers, and shown without another press."""
    make_manager(place)
    with MailServer() as server, chromium() as browser:
        given = {"EMAIL_URL": server.url, "NOTIFY_MAIL_TO": "ops@example.com"}
        web = serve(place, "127.0.0.1", **by_webhook(webhook, **given))
        try:
            with visit(browser, f"http://127.0.0.1:{web.port}") as page:
                press_send_a_test(page)
        finally:
            end(web.process)
    assert server.subjects == ["[bbjrag] Test"]
    assert [note["event"] for note in webhook.taken] == ["test"]


def press_send_a_test(page: Page) -> None:
    log_in(page, "manager", PASSWORD)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/admin/notifications/")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("127.0.0.1 took the mail for ops@example.com.")).to_be_visible()
    expect(page.get_by_text("127.0.0.1 answered 200: thanks")).to_be_visible()
    assert width_beyond(page) <= 0
    assert serious(page) == []
