"""Previews at the server: a thread reads, and rows say how far it is and what it found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from ingestion.models import Chunk, Document, Preview, PreviewDocument
from ingestion.runs import previews, retention
from sources.models import FIELDS, Source
from tests.admin.test_admin import chunk, data_dir, form, page, post, source
from tests.support.web_server import LOOPBACK, WebServer, endless

__all__ = ["chunk", "data_dir", "source"]
pytestmark = pytest.mark.django_db(transaction=True)


def begun(client: Client, button: str, source: Source | None = None, **fields: Any) -> Preview:
    """The preview that a button of the form starts; the form need not be saved."""
    name = "sources_source_change" if source else "sources_source_add"
    typed = form(**{"name": "mine", "title": "Mine", **fields})
    post(client, name, *([source.pk] if source else []), **typed, **{button: "1"})
    return Preview.objects.latest("pk")


def when(preview: Preview, is_so: Callable[[Preview], bool]) -> Preview:
    """The preview as soon as it is so."""
    deadline = time.monotonic() + 120
    while not is_so(preview) and time.monotonic() < deadline:
        time.sleep(0.1)
        preview.refresh_from_db()
    assert is_so(preview), preview.state
    return preview


def ended(preview: Preview) -> Preview:
    return when(preview, lambda one: one.state != Preview.State.READING)


def shown(client: Client, preview: Preview) -> str:
    return page(client, "preview", ended(preview).pk)


def test_a_test_shows_what_comes_and_stores_nothing(admin_client: Client, source: Source) -> None:
    html = shown(admin_client, begun(admin_client, "_test", source))
    assert "It can be read" in html
    assert "mine://window" in html
    assert "Added (1)" in html
    assert not Document.objects.exists()


def test_a_preview_takes_what_is_typed_and_leads_back_to_it(
    admin_client: Client, source: Source, data_dir: Path
) -> None:
    (data_dir / "drafts").mkdir()
    (data_dir / "drafts/grid.md").write_text("# Grid\n\nA grid.\n")
    preview = begun(admin_client, "_test", source, paths="drafts", title="Typed")
    assert "mine://grid" in shown(admin_client, preview)
    source.refresh_from_db()
    assert (source.paths, source.title) == (["docs"], "Mine")
    assert not LogEntry.objects.exists()
    again = {"tab": "settings", "preview": str(preview.pk)}
    html = page(admin_client, "sources_source_change", source.pk, **again)
    assert 'value="Typed"' in html
    assert ">\ndrafts</textarea>" in html


@pytest.mark.parametrize("button", ["_test", "_preview"])
def test_what_is_wrong_is_said_at_its_field_and_not_tried(
    admin_client: Client, source: Source, button: str
) -> None:
    typed = form(name="mine", paths="nowhere", **{button: "1"})
    html = post(admin_client, "sources_source_change", source.pk, **typed)
    assert 'class="errorlist"' in html
    assert "nowhere" in html
    assert not Preview.objects.exists()


def test_a_disabled_source_without_its_files_cannot_run(
    admin_client: Client, source: Source
) -> None:
    html = shown(admin_client, begun(admin_client, "_preview", source, paths="nope", enabled=""))
    assert "It cannot run" in html
    assert "does not exist under DATA_DIR" in html


def test_a_preview_says_what_a_run_would_do(
    admin_client: Client, chunk: Chunk, data_dir: Path
) -> None:
    mine = chunk.document.source
    assert "Moved (1)" in shown(admin_client, begun(admin_client, "_preview", mine))
    Chunk.objects.update(content="Another text.")
    html = shown(admin_client, begun(admin_client, "_preview", mine))
    assert "Added (1)" in html
    assert "Gone (1)" in html
    assert Document.objects.count() == 1


def test_a_changed_document_shows_how_its_text_differs(admin_client: Client, chunk: Chunk) -> None:
    Document.objects.update(url="mine://window.md")
    Chunk.objects.update(content="A window held controls.")
    preview = ended(begun(admin_client, "_preview", chunk.document.source))
    row = PreviewDocument.objects.get(preview=preview)
    assert row.kind == "changed"
    html = page(admin_client, "preview_document", preview.pk, row.pk)
    assert "<del>-A window held controls.</del>" in html
    assert "<ins>+A window holds controls.</ins>" in html


def test_a_preview_that_stops_does_not_say_that_there_is_more(
    admin_client: Client, source: Source, settings: Any
) -> None:
    settings.WEB = replace(settings.WEB, attempts=1)
    where = {"paths": "", "start_url": "http://127.0.0.1:9/"}
    html = shown(
        admin_client, begun(admin_client, "_test", source, parser="WebCrawlParser", **where)
    )
    assert "It cannot be read" in html
    assert "0 documents and 0 problems came before it stopped" in html
    assert "there may be more" not in html


def test_a_preview_is_cancelled(admin_client: Client, source: Source, settings: Any) -> None:
    with WebServer() as server:
        server.always("/", endless(part=b"x", pause=0.2))
        settings.WEB = replace(settings.WEB, allow_networks=LOOPBACK, origin_map={})
        where = {"paths": "", "start_url": f"{server.origin}/"}
        preview = begun(admin_client, "_preview", source, parser="WebCrawlParser", **where)
        when(preview, lambda _: "/" in server.requests)
        post(admin_client, "preview_cancel", preview.pk)
        asked = time.monotonic()
        html = shown(admin_client, preview)
    assert time.monotonic() - asked < 5
    assert ">cancelled</span>" in html
    assert "0 documents and 0 problems came before it stopped" in html


def test_one_person_has_one_preview_at_a_time_and_others_have_theirs(
    admin_client: Client, source: Source, settings: Any
) -> None:
    other = User.objects.create_superuser("bea", "", "secret")
    with WebServer() as server:
        server.always("/", endless(part=b"x", pause=0.2))
        settings.WEB = replace(settings.WEB, allow_networks=LOOPBACK, origin_map={})
        where = {"paths": "", "start_url": f"{server.origin}/", "parser": "WebCrawlParser"}
        first = begun(admin_client, "_preview", source, **where)
        second = begun(admin_client, "_preview", source, **where)
        one, two = ended_but_one(first, second)
        assert "Your last preview is still under way" in shown(admin_client, two)
        theirs = Client()
        theirs.force_login(other)
        assert "It can be read" in shown(theirs, begun(theirs, "_preview", source))
        previews.cancel(one)
        assert ended(one).state == Preview.State.CANCELLED


def ended_but_one(first: Preview, second: Preview) -> tuple[Preview, Preview]:
    """Of two at once, the one that reads and the one that was refused."""
    both = [first, second]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        refused = [one for one in both if one.state == Preview.State.REFUSED]
        if refused:
            return next(one for one in both if one not in refused), refused[0]
        time.sleep(0.1)
        for one in both:
            one.refresh_from_db()
    raise AssertionError("none was refused")


def test_a_preview_whose_process_has_ended_is_interrupted_and_tried_again(
    admin_client: Client, admin_user: User, source: Source
) -> None:
    lost = Preview.objects.create(
        person=admin_user,
        source=source,
        values={name: getattr(source, name) for name in FIELDS},
        seconds=5,
        heartbeat=timezone.now() - timedelta(seconds=16),
    )
    assert "interrupted" in page(admin_client, "preview", lost.pk)
    post(admin_client, "preview_again", lost.pk)
    assert "It can be read" in shown(admin_client, Preview.objects.latest("pk"))


@pytest.mark.parametrize("days", [0, 90])
def test_a_preview_is_kept_for_a_day(
    admin_client: Client, source: Source, settings: Any, days: int
) -> None:
    settings.RETENTION_DAYS = days
    preview = ended(begun(admin_client, "_test", source))
    retention.prune()
    assert PreviewDocument.objects.exists()
    Preview.objects.update(created_at=timezone.now() - timedelta(hours=25))
    retention.prune()
    assert not PreviewDocument.objects.exists()
    assert admin_client.get(f"/admin/sources/preview/{preview.pk}/").status_code == 404
