"""What people see and do in the admin, at the server."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.admin import reports
from ingestion.admin.markdown import marked
from ingestion.api import tokens
from ingestion.models import (
    AskedQuery,
    Chunk,
    Document,
    EmbeddingProfile,
    Evaluation,
    Failure,
    Notification,
    NotificationMessage,
    Question,
    Run,
    SourceRun,
    State,
)
from ingestion.runs import dry_run
from ingestion.text.analyzer import forms, words
from sources.models import Source
from tests.support.reading import until

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data_dir(settings: Any, tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/window.md").write_text("# BBjWindow\n\nA window holds controls.\n")
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def source() -> Source:
    return Source.objects.create(name="mine", title="Mine", parser="MdxParser", paths=["docs"])


@pytest.fixture
def chunk(source: Source) -> Chunk:
    profile = EmbeddingProfile.objects.create(
        provider="wordllama", model="m", digest="d", dimensions=3
    )
    return add_chunk(source, profile, "A window holds controls.")


def add_chunk(source: Source, profile: EmbeddingProfile, content: str, url: str = "") -> Chunk:
    now = timezone.now()
    document = Document.objects.create(
        source=source,
        url=url or f"{source.name}://docs/window.md",
        title="BBjWindow",
        doc_type="concept",
        generations=["dwc"],
        first_seen=now,
        last_seen=now,
        changed_at=now,
    )
    return Chunk.objects.create(
        document=document,
        ordinal=0,
        title=document.title,
        content=content,
        tokens=5,
        profile=profile,
        embedding=[1.0, 0.0, 0.0],
        search_vector=" ".join({form.whole for form in map(forms, words(content))}),
    )


def source_run(source: Source, state: str, **fields: Any) -> SourceRun:
    run = Run.objects.create(origin="admin")
    return SourceRun.objects.create(
        run=run, source=source, source_name=source.name, state=state, **fields
    )


def form(**changes: Any) -> dict[str, Any]:
    fields = {
        "title": "New",
        "name": "new",
        "parser": "MdxParser",
        "enabled": "on",
        "paths": "docs",
        "start_url": "",
        "options": "{}",
        "generation": "auto",
        "display_base_url": "",
        "schedule": "",
    }
    return fields | changes


def page(client: Client, name: str, /, *args: Any, **query: Any) -> str:
    response = client.get(reverse(f"admin:{name}", args=args), query, follow=True)
    assert response.status_code == 200
    return str(response.content.decode())


def post(client: Client, name: str, /, *args: Any, **data: Any) -> str:
    response = client.post(reverse(f"admin:{name}", args=args), data, follow=True)
    assert response.status_code == 200
    return str(response.content.decode())


def run_action(client: Client, action: str, *sources: Source) -> str:
    data = {"action": action, "_selected_action": [source.pk for source in sources]}
    response = client.post(reverse("admin:sources_source_changelist"), data, follow=True)
    assert response.status_code == 200
    return str(response.content.decode())


def test_the_list_of_sources_shows_how_each_stands(admin_client: Client, chunk: Chunk) -> None:
    source_run(chunk.document.source, State.PARTIAL, failures=3, finished_at=timezone.now())
    html = page(admin_client, "sources_source_changelist", q="mine")
    assert "finished with failures" in html
    assert f"/chunk/?document__source__id__exact={chunk.document.source_id}" in html


def test_a_narrow_list_names_its_columns_in_each_cell(admin_client: Client, source: Source) -> None:
    html = page(admin_client, "sources_source_changelist")
    assert 'data-label="Kind"' in html
    assert 'data-label="Last state"' in html


def test_a_filter_tells_what_it_chose(admin_client: Client, source: Source) -> None:
    html = page(admin_client, "sources_source_changelist", parser__exact="PdfParser")
    assert "By kind: <strong>PDF manuals</strong>" in html
    assert "Clear all filters" in html


def test_an_empty_list_says_so(admin_client: Client) -> None:
    assert "There is nothing here yet." in page(admin_client, "ingestion_chunk_changelist")
    html = page(admin_client, "ingestion_chunk_changelist", q="nowhere")
    assert "Nothing matches." in html


def test_the_menu_begins_with_what_people_come_for(admin_client: Client) -> None:
    apps = admin_client.get(reverse("admin:index")).context["available_apps"]
    assert [app["name"] for app in apps[:2]] == ["What is read", "Index and runs"]
    assert [model["object_name"] for model in apps[1]["models"][:2]] == ["Run", "Failure"]


def test_a_source_is_added(admin_client: Client) -> None:
    admin_client.post(reverse("admin:sources_source_add"), form(paths=" docs \n\n"))
    assert Source.objects.get(name="new").paths == ["docs"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("paths", "nowhere", "nowhere"),
        ("paths", "../..", "DATA_DIR"),
        ("paths", "", "at least one path"),
        ("options", '{"colour": "red"}', "colour"),
        ("name", "MINE", "small letters"),
        ("schedule", "every day", "cron"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(
    admin_client: Client, field: str, value: str, message: str
) -> None:
    response = admin_client.post(reverse("admin:sources_source_add"), form(**{field: value}))
    assert message in " ".join(response.context["adminform"].form.errors[field])
    assert not Source.objects.filter(title="New").exists()


@pytest.mark.parametrize("button", ["_save", "_test", "_preview"])
@pytest.mark.parametrize("levels", [21, 500, 980, 3000, 20_000])
@pytest.mark.parametrize("nest", [("[", "]"), ('{"a":', "}")])
def test_options_nested_too_deep_are_refused_at_their_field(
    admin_client: Client, levels: int, nest: tuple[str, str], button: str
) -> None:
    opened, closed = nest
    options = f'{{"colour": {opened * levels}1{closed * levels}}}'
    given = form(options=options, **{button: "1"})
    response = admin_client.post(reverse("admin:sources_source_add"), given)
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors["options"]
    assert errors == ["It is nested more than 20 levels deep: take the inner levels out."]
    assert options in unescape(response.content.decode()), "as it was typed"
    assert not Source.objects.filter(title="New").exists()


def test_the_form_tells_what_each_parser_reads_and_knows(admin_client: Client) -> None:
    html = page(admin_client, "sources_source_add")
    assert "data-reads=" in html
    assert 'data-parser="MdxParser"' in html
    assert "Endings of program files" in html


def test_a_parser_of_another_version_is_named(admin_client: Client, source: Source) -> None:
    Source.objects.filter(pk=source.pk).update(parser="OtherParser")
    html = page(admin_client, "sources_source_change", source.pk, tab="settings")
    assert "OtherParser (not in this version)" in html


def test_a_source_keeps_its_name_while_documents_carry_it(
    admin_client: Client, chunk: Chunk
) -> None:
    source = chunk.document.source
    url = reverse("admin:sources_source_change", args=[source.pk])
    admin_client.post(url, form(name="other", title="Changed"))
    source.refresh_from_db()
    assert (source.name, source.title) == ("mine", "Changed")


def test_reingest_queues_a_run_and_says_what_happens_next(
    admin_client: Client, admin_user: User, source: Source
) -> None:
    html = run_action(admin_client, "reingest", source)
    run = Run.objects.get()
    assert run.requested_by == admin_user
    assert "Queued mine" in html
    assert f"Run {run.pk}</h1>" in html
    assert "No worker is alive" in html
    assert "<code>make serve</code>" in html


def test_reingest_joins_a_reading_that_is_open(admin_client: Client, source: Source) -> None:
    source_run(source, State.QUEUED)
    html = run_action(admin_client, "reingest", source)
    assert "no second reading was started" in html
    assert SourceRun.objects.count() == 1


def test_reingest_says_why_a_source_cannot_run(
    admin_client: Client, source: Source, data_dir: Path
) -> None:
    (data_dir / "docs/window.md").unlink()
    (data_dir / "docs").rmdir()
    html = run_action(admin_client, "reingest", source)
    assert "Not started: mine." in html
    assert not Run.objects.exists()


def test_a_broken_source_is_not_enabled(admin_client: Client, source: Source) -> None:
    Source.objects.filter(pk=source.pk).update(enabled=False, paths=["nowhere"])
    html = run_action(admin_client, "enable", source)
    assert "Not enabled: mine." in html
    assert not Source.objects.get(pk=source.pk).enabled


def test_chunks_are_found_by_words_and_filters(admin_client: Client, chunk: Chunk) -> None:
    add_chunk(chunk.document.source, chunk.profile, "A grid shows rows.", "mine://docs/grid.md")
    html = page(admin_client, "ingestion_chunk_changelist", q="grid -window", generation="dwc")
    assert "A grid shows rows." in html
    assert "A window holds controls." not in html


def test_lists_never_ask_for_vectors(
    admin_client: Client, chunk: Chunk, django_assert_max_num_queries: Any
) -> None:
    for name in ("ingestion_chunk_changelist", "ingestion_document_changelist"):
        with django_assert_max_num_queries(20) as queries:
            page(admin_client, name)
        assert not any('"embedding"' in query["sql"] for query in queries.captured_queries)


def test_nothing_stored_can_be_edited(admin_client: Client, chunk: Chunk) -> None:
    for model, pk in (("chunk", chunk.pk), ("document", chunk.document_id)):
        url = reverse(f"admin:ingestion_{model}_change", args=[pk])
        html = admin_client.get(url, follow=True).content.decode()
        assert "A window holds controls." in html
        assert 'name="_save"' not in html
        admin_client.post(url, {"content": "changed", "title": "changed"})
        assert admin_client.get(reverse(f"admin:ingestion_{model}_add")).status_code == 403
    chunk.refresh_from_db()
    assert chunk.content == "A window holds controls."


def test_hostile_text_is_shown_as_text(admin_client: Client, chunk: Chunk) -> None:
    hostile = "<script>alert(1)</script> [x](javascript:alert(2)) \u202egnihtemos" + "x" * 1_000_000
    Chunk.objects.filter(pk=chunk.pk).update(content=hostile)
    Document.objects.update(display_url="javascript:alert(3)", title="<img src=x onerror=y>")
    for name, pk in (("chunk", chunk.pk), ("document", chunk.document_id)):
        html = page(admin_client, f"ingestion_{name}_change", pk)
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert 'href="javascript:' not in html
        assert len(html) < 200_000
    assert "<script>alert" not in page(admin_client, "ingestion_chunk_changelist")


def test_a_run_shows_its_sources_and_failures(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.PARTIAL, failures=1, added=4)
    Failure.objects.create(
        source_run=row, source=source, document_url="mine://a.md", stage="parse", message="Torn."
    )
    html = page(admin_client, "ingestion_run_change", row.run_id)
    assert "Torn." in html
    assert "finished with failures" in page(admin_client, "ingestion_run_changelist")


def test_a_queued_reading_is_cancelled(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.QUEUED)
    assert "Cancel" in page(admin_client, "ingestion_run_change", row.run_id)
    admin_client.post(reverse("admin:ingestion_cancel", args=[row.pk]))
    row.refresh_from_db()
    assert row.state == State.CANCELLED


@pytest.mark.parametrize(("decision", "left"), [("approve", 0), ("refuse", 1)])
def test_a_removal_is_decided(admin_client: Client, chunk: Chunk, decision: str, left: int) -> None:
    row = source_run(
        chunk.document.source,
        State.NEEDS_APPROVAL,
        vanished=[chunk.document.url],
        started_at=timezone.now(),
    )
    html = page(admin_client, "ingestion_run_change", row.run_id)
    assert chunk.document.url in html
    admin_client.post(reverse("admin:ingestion_removal", args=[row.pk]), {"decision": decision})
    assert Document.objects.count() == left
    row.refresh_from_db()
    assert row.state == State.SUCCEEDED


def test_acting_needs_a_post(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.QUEUED)
    for address in (
        reverse("admin:ingestion_cancel", args=[row.pk]),
        reverse("admin:sources_source_act", args=[source.pk]),
    ):
        html = admin_client.get(address, follow=True).content.decode()
        assert "Nothing was done" in html
    row.refresh_from_db()
    assert row.state == State.QUEUED


def test_the_queues_own_pages_are_hidden(admin_client: Client) -> None:
    assert "django_q" not in page(admin_client, "index")
    assert admin_client.get("/admin/django_q/schedule/").status_code == 404


def test_deleting_a_source_counts_what_goes_with_it(admin_client: Client, chunk: Chunk) -> None:
    url = reverse("admin:sources_source_delete", args=[chunk.document.source_id])
    html = admin_client.get(url).content.decode()
    assert "Chunks: 1" in html
    admin_client.post(url, {"post": "yes"})
    assert not Chunk.objects.exists()


def test_the_first_page_shows_every_source(admin_client: Client, chunk: Chunk) -> None:
    source_run(chunk.document.source, State.QUEUED)
    html = page(admin_client, "index")
    assert "No worker is alive: start one with <code>python manage.py worker</code>." in html
    assert ">mine</a>" in html
    assert "Running now" in page(admin_client, "overview")


def test_what_waits_says_why_and_until_when(admin_client: Client, source: Source) -> None:
    since = timezone.now().replace(hour=20, minute=2)
    source_run(
        source,
        State.WAITING,
        error="Waits for the embedder: no connection.",
        waiting_since=since,
        resume_at=since + timedelta(minutes=43),
    )
    said = "no connection. It has waited since 20:02. It tries again at 20:45."
    assert said in page(admin_client, "overview")


def test_health_names_what_is_missing(admin_client: Client) -> None:
    until(lambda: "wordllama" in page(admin_client, "pulse"))
    known = json.loads(page(admin_client, "pulse"))
    assert "pgvector" in str(known)
    assert "No worker is alive" in str(known)
    assert "No worker is alive" in page(admin_client, "index")


def test_a_trial_survives_a_parser_that_crashes(source: Source) -> None:
    order = dry_run.order(source, seconds=5)
    found = dry_run.run(replace(order, parser="NoParser"))
    assert "NoParser" in found.problem
    assert not found.complete


def test_reading_from_scratch_is_confirmed_first(admin_client: Client, source: Source) -> None:
    html = post(admin_client, "sources_source_act", source.pk, action="reingest_clean")
    assert "Yes, read everything again" in html
    assert not Run.objects.exists()
    post(admin_client, "sources_source_act", source.pk, action="reingest_clean", confirmed="yes")
    assert Run.objects.get().options["clean"] is True


def test_failures_are_grouped_by_reason(source: Source) -> None:
    row = source_run(source, State.PARTIAL)
    for name, text in (("a", "page 3"), ("b", "page 14"), ("c", "no text")):
        url = f"mine://{name}.pdf"
        Failure.objects.create(
            source_run=row, document_url=url, stage="parse", message=f"{name}.pdf: Bad {text}."
        )
    for target in ("Content/a.htm", "Content/b/c.htm", "d/e.htm"):
        Failure.objects.create(
            source_run=row, stage="parse", message=f"It links to {target}, gone."
        )
    groups = reports.groups([row])[row.pk]
    assert [(group.number, len(group.rows)) for group in groups] == [(3, 3), (2, 2), (1, 1)]


def test_a_run_tells_what_it_changed(admin_client: Client, chunk: Chunk) -> None:
    before = chunk.document.first_seen - timedelta(minutes=1)
    row = source_run(
        chunk.document.source,
        State.SUCCEEDED,
        added=1,
        removed=1,
        vanished=["mine://gone.md"],
        started_at=before,
        finished_at=timezone.now(),
        timings={"store": 0.04, "embed": 12.0, "parse": 1.25},
    )
    html = page(admin_client, "ingestion_run_change", row.run_id)
    assert "Added (1)" in html
    assert "mine://gone.md" in html
    bars = html.split('<ul class="bars">')[1]
    stages = re.findall(r"(parse|embed|store): ([\d.]+ m?s)", bars)
    assert stages == [("parse", "1.2 s"), ("embed", "12 s"), ("store", "40 ms")]


def test_failures_are_retried_from_the_run(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.PARTIAL, failures=1, finished_at=timezone.now())
    Failure.objects.create(source_run=row, source=source, stage="parse", message="Torn.")
    assert "Retry the open errors" in page(admin_client, "ingestion_run_change", row.run_id)
    html = post(admin_client, "ingestion_retry", row.pk)
    assert Run.objects.latest("pk").options["retry_failed"] is True
    assert "only what had failed" in html


def test_the_search_page_finds_and_narrows(admin_client: Client, chunk: Chunk) -> None:
    html = page(admin_client, "search", q="controls", mode="text")
    assert f"/chunk/{chunk.pk}/change/" in html
    assert "source=mine" in html
    assert "Nothing was found" in page(
        admin_client, "search", q="controls", source="pdf", mode="text"
    )


def test_a_chunk_tells_whether_it_is_found(admin_client: Client, chunk: Chunk) -> None:
    html = page(admin_client, "ingestion_chunk_change", chunk.pk, findable="1")
    assert "place 1." in html


def test_a_chunks_whole_text_is_plain(admin_client: Client, chunk: Chunk) -> None:
    response = admin_client.get(reverse("admin:ingestion_chunk_plain", args=[chunk.pk]))
    assert response["Content-Type"].startswith("text/plain")
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("<script>alert(1)</script>", "<script"),
        ("[x](javascript:alert(1))", "href"),
        ("[x](data:text/html,x)", "href"),
        ("![x](https://example.org/x.png)", "<img"),
        ("| a |\n|--:|\n| b |", "style"),
        ("<a href=x onclick=y>", "<a"),
    ],
)
def test_rendered_text_is_harmless(text: str, never: str) -> None:
    assert never not in marked(text)


def test_rendered_text_reads_as_markdown() -> None:
    assert marked("## Head\n\n`x`") == "<h4>Head</h4>\n<p><code>x</code></p>\n"


def test_no_page_needs_inline_code_or_styles(admin_client: Client, chunk: Chunk) -> None:
    row = source_run(chunk.document.source, State.RUNNING, started_at=timezone.now())
    for name, *args in (
        ("index",),
        ("search",),
        ("sources_source_change", chunk.document.source_id),
        ("ingestion_run_change", row.run_id),
        ("ingestion_chunk_change", chunk.pk),
        ("ingestion_document_change", chunk.document_id),
    ):
        html = page(admin_client, name, *args)
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|<style|\son\w+=", html), name


def test_the_policy_allows_nothing_inline(admin_client: Client) -> None:
    policy = admin_client.get(reverse("admin:index"))["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def measured_and_asked() -> None:
    """Rows of each kind, so that a page that asks once for each asks for too many."""
    now = timezone.now()
    for number in range(15):
        Question.objects.create(query=f"gap {number}")
        Question.objects.create(query=f"window {number}", expected=["docs://window.md"])
        Evaluation.objects.create(modes=["hybrid"], state=Evaluation.State.FAILED)
        tokens.make(f"token {number}", sources=list(Source.objects.all()[:3]))
        asked = {"at": now, "mode": "hybrid", "asked_by": "mcp", "hits": 0, "trusted": 0.1}
        AskedQuery.objects.create(query=f"q{number}", same=str(number), **asked)
        told = Notification.objects.create(
            cause=f"c{number}", title="Down", since=now, seen=now, told=now
        )
        NotificationMessage.objects.create(
            notification=told, channel="mail", event="began", next_try=now
        )


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("index", 24),
        ("overview", 24),
        ("search", 14),
        ("sources_source_changelist", 12),
        ("ingestion_run_changelist", 10),
        ("ingestion_chunk_changelist", 14),
        ("ingestion_document_changelist", 12),
        ("ingestion_failure_changelist", 12),
        ("asked", 16),
        ("search_quality", 12),
        ("ingestion_question_changelist", 12),
        ("ingestion_question_add", 10),
        ("ingestion_apitoken_changelist", 12),
        ("ingestion_apitoken_add", 10),
        ("notifications", 12),
    ],
)
def test_pages_ask_a_bounded_number_of_queries(
    name: str, most: int, admin_client: Client, chunk: Chunk, django_assert_max_num_queries: Any
) -> None:
    for number in range(15):
        extra = Source.objects.create(
            name=f"s{number}", title="S", parser="MdxParser", paths=["docs"], schedule="0 3 * * *"
        )
        add_chunk(extra, chunk.profile, "A window.", f"s{number}://window.md")
        row = source_run(extra, State.RUNNING, started_at=timezone.now())
        source_run(extra, State.NEEDS_APPROVAL, vanished=["s://x"])
        Failure.objects.create(source_run=row, source=extra, stage="parse", message="Torn.")
    measured_and_asked()
    given = {} if name.endswith("_add") else {"q": "window"}
    with django_assert_max_num_queries(most):
        page(admin_client, name, **given)
