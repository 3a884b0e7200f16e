"""The contracts of `ingest_all` and `parse`: exit codes, what they print, what they refuse."""

from __future__ import annotations

import io
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from ingestion.index import quality
from ingestion.models import Chunk, Document, Failure, Run, SourceRun, State
from ingestion.runs import requests
from ingestion.worker import cluster
from sources.models import Source

pytestmark = pytest.mark.django_db(transaction=True)

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
PAGE = "---\ntitle: {0}\n---\n\n# {0}\n\nThe page says that {0} opens a window.\n"


@pytest.fixture
def docs(tmp_path: Path, settings: Any) -> Path:
    """A folder of three pages, and the source `pages` that reads it."""
    settings.DATA_DIR = tmp_path
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("one", "two", "three"):
        (folder / f"{name}.md").write_text(PAGE.format(name))
    Source.objects.all().delete()
    Source.objects.create(name="pages", title="Pages", parser="MdxParser", paths=["docs"])
    return folder


def run(*args: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `ingest_all`."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("ingest_all", *args, stdout=out, stderr=err)
    return int(end.value.code or 0), out.getvalue(), err.getvalue()


def test_it_works(docs: Path) -> None:
    code, out, _ = run("--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["status"] == "succeeded"
    (source,) = answer["sources"]
    assert {k: source[k] for k in ("name", "status", "documents", "failures")} == {
        "name": "pages",
        "status": "succeeded",
        "documents": 3,
        "failures": 0,
    }
    assert source["chunks"] == source["embedded"] == Chunk.objects.count() > 0
    assert answer["totals"]["documents"] == 3
    assert answer["run"] == Run.objects.get().pk


def test_json_has_exactly_the_promised_keys(docs: Path) -> None:
    answer = json.loads(run("--json")[1])
    assert set(answer) == {"run", "status", "sources", "totals"}
    assert set(answer["sources"][0]) == {
        *("name", "status", "documents", "chunks", "embedded", "reused", "removed"),
        *("failures", "seconds"),
    }


def test_the_summary_table_names_each_source_and_the_totals(
    docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, _ = run()
    shown = capfd.readouterr().out
    assert code == 0
    for word in ("Source", "Documents", "Chunks", "Embedded", "Reused", "Removed", "Failures"):
        assert word in shown
    assert "Duration" in shown
    assert "Status" in shown
    assert "pages" in shown
    assert "Total" in shown


def test_a_source_has_its_figures_when_the_command_ends(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = quality.figures

    def slowly(*asked: Any) -> dict[str, Any]:
        time.sleep(0.5)  # as those of many chunks are; the command ends its worker meanwhile
        return taken(*asked)

    monkeypatch.setattr(quality, "figures", slowly)
    assert run()[0] == 0
    assert SourceRun.objects.get().quality["documents"] == 3


def test_an_unknown_source_starts_nothing_and_lists_the_names(docs: Path) -> None:
    code, out, err = run("--source", "nope", "--json")
    assert code == 2
    assert "There is no source 'nope'" in err
    assert "pages" in err
    assert json.loads(out)["sources"] == []
    assert not Run.objects.exists()


def test_a_disabled_source_starts_nothing(docs: Path) -> None:
    Source.objects.update(enabled=False)
    code, _, err = run("--source", "pages")
    assert code == 2
    assert "disabled" in err


def test_a_missing_path_starts_nothing_and_names_the_source(docs: Path) -> None:
    Source.objects.create(name="gone", title="G", parser="MdxParser", paths=["gone"])
    code, _, err = run()
    assert code == 2
    assert "gone: 'gone' does not exist under DATA_DIR" in err
    assert not SourceRun.objects.exists()


def test_an_embedder_that_is_down_starts_nothing_and_says_how_to_start_it(
    docs: Path, settings: Any
) -> None:
    settings.EMBEDDING_PROVIDER = "ollama"
    settings.EMBEDDING_MODEL = "all-minilm"
    settings.OLLAMA_HOSTS = ["http://127.0.0.1:9"]
    code, _, err = run()
    assert code == 2
    assert "ollama serve" in err
    assert not SourceRun.objects.exists()


def test_a_failure_among_good_documents_ends_with_1_and_names_it(docs: Path) -> None:
    Source.objects.create(name="prog", title="P", parser="BbjSourceParser", paths=["docs"])
    (docs / "bad.bbj").write_bytes(b"<<bbj>>\x00\x01\x02" * 40)
    (docs / "good.bbj").write_text('rem says hello\nprint "hello"\n')
    code, out, err = run("--source", "prog", "--json")
    answer = json.loads(out)
    assert code == 1
    assert answer["status"] == "partial"
    assert answer["sources"][0]["documents"] == 1
    assert answer["sources"][0]["failures"] == 1
    assert "bad.bbj" in err
    failure = Failure.objects.get(level="error")
    assert failure.document_url == "prog://bad.bbj"


def test_one_source_failing_leaves_the_others_alone(docs: Path) -> None:
    """A folder that vanishes between the validation and the reading."""
    Source.objects.create(name="empty", title="E", parser="PdfParser", paths=["docs"])
    code, out, _ = run("--json")
    states = {row["name"]: row["status"] for row in json.loads(out)["sources"]}
    assert code == 1
    assert states == {"pages": "succeeded", "empty": "partial"}


def test_a_damaged_file_that_has_not_changed_is_not_read_again_but_still_told(docs: Path) -> None:
    whole = SAMPLES / "bbj-ai-strategy" / "GuideToGuiProgrammingInBBj.pdf"
    (docs / "cut.pdf").write_bytes(whole.read_bytes()[: whole.stat().st_size * 4 // 5])
    Source.objects.create(name="manual", title="M", parser="PdfParser", paths=["docs"])
    first = json.loads(run("--source", "manual", "--json")[1])["sources"][0]
    assert first["documents"] > 0
    assert first["failures"] == 1
    code, out, _ = run("--source", "manual", "--json")
    again = json.loads(out)["sources"][0]
    assert code == 1
    assert (again["status"], again["failures"], again["embedded"]) == ("partial", 1, 0)
    assert Failure.objects.filter(resolved=False).count() == 1


def test_no_wait_queues_and_warns_when_no_worker_is_alive(docs: Path) -> None:
    code, out, err = run("--no-wait")
    assert code == 0
    assert "queued pages" in out
    assert "No worker is alive" in err
    assert SourceRun.objects.get().state == State.QUEUED


def test_a_worker_is_known_from_its_start(docs: Path) -> None:
    started = cluster.Worker(1)
    assert not cluster.is_alive()
    started.start()
    try:
        assert "No worker is alive" not in run("--no-wait")[2]
    finally:
        started.stop()
    assert not cluster.is_alive()


def test_a_second_request_joins_the_open_run(docs: Path) -> None:
    run("--no-wait")
    first = SourceRun.objects.get()
    code, _, err = run("--json")
    assert code == 0
    assert f"run {first.run_id} already" in err
    assert SourceRun.objects.get().state == State.SUCCEEDED


def test_data_dir_reads_below_another_folder(docs: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "docs").mkdir(parents=True)
    (tmp_path / "other" / "docs" / "only.md").write_text(PAGE.format("only"))
    code, _, _ = run("--data-dir", str(tmp_path / "other"), "--json")
    assert code == 0
    assert list(Document.objects.values_list("url", flat=True)) == ["pages://only.md"]


def test_clean_embeds_everything_anew(docs: Path) -> None:
    first = json.loads(run("--json")[1])["totals"]
    again = json.loads(run("--json")[1])["totals"]
    clean = json.loads(run("--clean", "--json")[1])["totals"]
    assert again["embedded"] == 0
    assert again["reused"] == first["chunks"]
    assert clean["embedded"] == first["embedded"] > 0


def test_resume_without_an_interrupted_run_says_so(docs: Path) -> None:
    run("--json")
    code, _, err = run("--resume", "--json")
    assert code == 0
    assert "nothing to resume" in err


def test_resume_goes_on_as_the_run_was_begun(docs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(docs, other / "docs")
    (other / "docs/only.md").write_text(PAGE.format("only"))
    run("--json", "--data-dir", str(other))
    run("--clean", "--data-dir", str(other), "--no-wait")
    requests.interrupt(list(SourceRun.objects.open()), "Ctrl-C.")
    done = Document.objects.filter(url="pages://one.md")
    done.update(changed_at=timezone.now())  # as if that run had come so far
    code, out, err = run("--resume", "--json")
    assert code == 0
    assert f"as it was begun: --clean --data-dir {other}." in err
    rest = Chunk.objects.exclude(document__in=done).count()
    [source] = json.loads(out)["sources"]
    assert (source["documents"], source["embedded"], source["removed"]) == (4, rest, 0)


def test_retry_failed_without_a_failure_says_so(docs: Path) -> None:
    code, _, err = run("--retry-failed", "--json")
    assert code == 0
    assert "No document has an open failure" in err


def test_parse_shows_documents_as_json_lines_and_stores_nothing(docs: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    call_command("parse", "pages", "--json", stdout=out, stderr=err)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["url"] for row in rows] == ["pages://one.md", "pages://three.md", "pages://two.md"]
    assert set(rows[0]) == {
        *("url", "display_url", "title", "doc_type", "generations", "breadcrumb", "content"),
        "metadata",
    }
    assert "3 documents, 0 failures" in err.getvalue()
    assert not Document.objects.exists()


def test_parse_of_an_unknown_source_lists_the_names(docs: Path) -> None:
    with pytest.raises(CommandError, match=r"no source 'nope'.*pages"):
        call_command("parse", "nope")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("worker", "--workers=0"), "0 is out of range: use at least 1"),
        (("worker", "--workers=-3"), "-3 is out of range: use at least 1"),
        (("worker", "--workers=two"), "'two' is not a number"),
        (("mcp", "--http", "--port=99999"), "use at least 1 and at most 65535"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command(*arguments)
