"""Each cause is told of once, and once more when it is over; what mends itself is not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.models import Failure, Notification, NotificationMessage, Run, SourceRun, State
from ingestion.notifications import delivery
from ingestion.notifications.watching import look
from ingestion.runs import recovery, removals, state_machine
from sources.models import Source
from tests.notifications.conftest import Parts
from tests.support.indexed import source
from tests.support.mail_server import MailServer
from tests.support.webhook import Webhook

pytestmark = pytest.mark.django_db


@pytest.fixture
def docs() -> Source:
    Source.objects.all().delete()
    return source("docs")


def running(docs: Source) -> SourceRun:
    run = Run.objects.create(origin=Run.Origin.COMMAND)
    row = SourceRun.objects.create(run=run, source=docs, source_name=docs.name)
    state_machine.move(row, State.RUNNING, attempt=1)
    row.refresh_from_db()
    return row


def ended(docs: Source, state: State, **fields: Any) -> SourceRun:
    row = running(docs)
    state_machine.move(row, state, **fields)
    row.refresh_from_db()
    return row


def turn(after: float = 0.0) -> None:
    """What a watcher does, so many minutes from now."""
    look(later(after))
    NotificationMessage.objects.update(next_try=timezone.now())
    delivery.deliver_due()


def later(minutes: float) -> datetime:
    return timezone.now() + timedelta(minutes=minutes)


def test_a_source_that_failed_is_told_of_once_by_each_channel(
    docs: Source, mail: MailServer, webhook: Webhook
) -> None:
    ended(docs, State.FAILED, error="The folder is gone: mount it.")
    for _ in range(3):
        turn()
    assert mail.subjects == ["[bbjrag] docs failed"]
    assert mail.mails[0]["To"] == "ops@example.com, dev@example.com"
    assert "The folder is gone: mount it." in mail.mails[0].get_content()
    assert webhook.events == [("began", f"failed:{docs.pk}")]
    assert webhook.taken[0]["source"] == "docs"


def test_it_is_told_once_that_it_is_over(docs: Source, mail: MailServer, webhook: Webhook) -> None:
    ended(docs, State.FAILED, error="The folder is gone.")
    turn()
    ended(docs, State.SUCCEEDED)
    for _ in range(3):
        turn()
    assert mail.subjects == ["[bbjrag] docs failed", "[bbjrag] Over: docs failed"]
    assert [event for event, _ in webhook.events] == ["began", "over"]
    assert webhook.taken[1]["over"]


def test_the_same_again_after_that_is_a_cause_of_its_own(docs: Source, webhook: Webhook) -> None:
    for state in (State.FAILED, State.SUCCEEDED, State.FAILED):
        ended(docs, state)
        turn()
    assert [event for event, _ in webhook.events] == ["began", "over", "began"]


def test_a_source_that_fails_at_each_run_is_told_of_once(docs: Source, webhook: Webhook) -> None:
    for reason in ("The folder is gone.", "The site does not answer."):
        ended(docs, State.FAILED, error=reason)
        turn()
    assert len(webhook.taken) == 1
    assert Notification.objects.get().text == "The site does not answer."


def failing(docs: Source) -> SourceRun:
    row = running(docs)
    for name in ("a", "b"):
        fields = {"document_url": f"docs://{name}", "stage": "parse", "message": "It is broken."}
        Failure.objects.create(source_run=row, source=docs, **fields)
    state_machine.move(row, State.PARTIAL, failures=2)
    return row


def test_a_run_that_finished_with_failures_is_told_of(docs: Source, webhook: Webhook) -> None:
    failing(docs)
    turn()
    turn()
    assert webhook.events == [("began", f"failures:{docs.pk}")]
    assert "2 problems" in webhook.taken[0]["text"]
    assert "docs://a: It is broken." in webhook.taken[0]["text"]
    Failure.objects.update(resolved=True)
    turn()
    assert webhook.events[1:] == [("over", f"failures:{docs.pk}")]


def test_failures_of_a_run_that_goes_on_are_not(docs: Source, webhook: Webhook) -> None:
    row = running(docs)
    Failure.objects.create(source_run=row, source=docs, stage="parse", message="Broken.")
    turn()
    assert not webhook.taken


def test_removals_that_need_approval_are_told_of(docs: Source, webhook: Webhook) -> None:
    row = ended(docs, State.NEEDS_APPROVAL, last_line="12 documents vanished: approve or refuse.")
    turn()
    turn()
    assert webhook.events == [("began", f"approval:{docs.pk}")]
    assert webhook.taken[0]["text"] == "12 documents vanished: approve or refuse."
    removals.decide_removal(row, approve=False, who="ada")
    turn()
    assert webhook.events[1:] == [("over", f"approval:{docs.pk}")]


def test_a_retry_that_succeeds_in_the_same_run_is_not_told_of(
    docs: Source, webhook: Webhook
) -> None:
    row = running(docs)
    turn()
    recovery.crashed(row, "The process died.")
    turn()
    state_machine.move(row, State.RUNNING, attempt=2)
    turn()
    state_machine.move(row, State.SUCCEEDED)
    turn()
    assert not webhook.taken
    assert not Notification.objects.exists()


def test_a_source_that_waits_for_the_embedder_is_not_told_of(
    docs: Source, webhook: Webhook
) -> None:
    recovery.put_to_wait(running(docs), "It does not answer.")
    turn()
    assert not webhook.taken


def test_one_that_is_given_up_is(docs: Source, webhook: Webhook, settings: Any) -> None:
    settings.RUN_ATTEMPTS = 1
    recovery.crashed(running(docs), "The process died.")
    turn()
    assert webhook.events == [("began", f"failed:{docs.pk}")]


def test_a_cancelled_run_changes_nothing(docs: Source, webhook: Webhook) -> None:
    ended(docs, State.FAILED)
    turn()
    ended(docs, State.CANCELLED)
    turn()
    assert len(webhook.taken) == 1


def test_a_source_that_is_deleted_is_over(docs: Source, webhook: Webhook) -> None:
    ended(docs, State.FAILED)
    turn()
    docs.delete()
    turn()
    assert [event for event, _ in webhook.events] == ["began", "over"]


def test_a_source_that_is_not_read_for_long_is_told_of(
    docs: Source, webhook: Webhook, settings: Any
) -> None:
    settings.NOTIFY_NOT_READ_DAYS = 3
    ended(docs, State.SUCCEEDED)
    turn(after=60 * 24 * 2.9)
    assert not webhook.taken
    turn(after=60 * 24 * 3.1)
    assert webhook.events == [("began", f"not-read:{docs.pk}")]
    Source.objects.update(enabled=False)
    turn(after=60 * 24 * 3.2)
    assert [event for event, _ in webhook.events] == ["began", "over"]


def test_a_part_that_is_away_is_told_of_after_a_while(
    docs: Source, webhook: Webhook, parts: Parts, settings: Any
) -> None:
    settings.REAPER_INTERVAL = 60
    parts.worker, parts.embedder = "No worker is alive: start one.", "bad"
    for minute in range(14):
        turn(after=minute)
    assert sorted(webhook.events) == [("began", "embedder"), ("began", "worker")]
    parts.worker, parts.embedder = "", "ok"
    turn(after=15)
    assert sorted(webhook.events[2:]) == [("over", "embedder"), ("over", "worker")]


def test_one_that_is_away_for_less_is_not(docs: Source, webhook: Webhook, parts: Parts) -> None:
    parts.worker, parts.embedder = "No worker is alive.", "warn"
    for minute in range(9):
        turn(after=minute)
    parts.worker, parts.embedder = "", "ok"
    turn(after=9)
    parts.worker = "No worker is alive."
    turn(after=12)
    assert not webhook.taken
    assert Notification.objects.count() == 1


def test_a_time_in_which_nobody_looked_does_not_count(
    docs: Source, webhook: Webhook, parts: Parts
) -> None:
    """As after a night in which all was off."""
    parts.worker = "No worker is alive."
    turn()
    turn(after=600)
    assert not webhook.taken


def test_an_embedder_of_which_nothing_is_known_yet_is_not_back(
    docs: Source, webhook: Webhook, parts: Parts, settings: Any
) -> None:
    settings.NOTIFY_AWAY_MINUTES = 0
    parts.embedder = "bad"
    turn()
    parts.embedder = "unknown"
    turn()
    assert webhook.events == [("began", "embedder")]


def test_nothing_is_kept_or_sent_of_a_channel_that_is_not_set_up(
    docs: Source, webhook: Webhook
) -> None:
    ended(docs, State.FAILED)
    turn()
    assert list(NotificationMessage.objects.values_list("channel", flat=True)) == ["webhook"]
