"""Moving out: chunks as files; backup and restore on another server."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone
from pyarrow import parquet

from bbjrag import env
from ingestion.index import export as chunk_export
from ingestion.models import Chunk, Document, EmbeddingProfile
from sources.models import Source

ROOT = Path(settings.BASE_DIR)


@pytest.fixture
def chunks(db: None) -> list[Chunk]:
    """Two documents of two sources, three chunks; one profile of three dimensions."""
    profile = EmbeddingProfile.objects.create(
        provider="p", model="m", digest="d", dimensions=3, document_prefix="", query_prefix=""
    )
    now = timezone.now()
    made = []
    for name, contents in (("kb", ["first ä", "second"]), ("pdf", ["third"])):
        document = Document.objects.create(
            source=Source.objects.get(name=name),
            url=f"{name}://a",
            title=f"Title of {name}",
            doc_type="concept",
            generations=["dwc"],
            breadcrumb=["One", "Two"],
            metadata={"page": 3},
            first_seen=now,
            last_seen=now,
            changed_at=now,
        )
        made += [
            Chunk.objects.create(
                document=document,
                ordinal=ordinal,
                title=document.title,
                heading_path=["H"],
                context_header="One > Two",
                content=content,
                content_hash=f"{name}{ordinal}",
                tokens=2,
                profile=profile,
                embedding=[0.5, -0.25, 1.0],
            )
            for ordinal, content in enumerate(contents)
        ]
    return made


def export(*args: str) -> list[dict[str, Any]]:
    path = Path(args[0])
    call_command("export_chunks", "--output", *args, stderr=io.StringIO())
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_works(chunks: list[Chunk], tmp_path: Path) -> None:
    first, *others = export(str(tmp_path / "chunks.jsonl"))
    assert len(others) == 2
    assert set(first) == set(chunk_export.COLUMNS)
    wanted = {
        "source": "kb",
        "url": "kb://a",
        "content": "first ä",
        "heading_path": ["H"],
        "generations": ["dwc"],
        "metadata": {"page": 3},
        "start_page": None,
        "model": "m",
        "dimensions": 3,
        "embedding": [0.5, -0.25, 1.0],
    }
    assert {name: first[name] for name in wanted} == wanted


def test_parquet_holds_the_same_rows(chunks: list[Chunk], tmp_path: Path) -> None:
    lines = export(str(tmp_path / "chunks.jsonl"))
    call_command(
        "export_chunks", "--output", str(tmp_path / "chunks.parquet"), stderr=io.StringIO()
    )
    rows = parquet.read_table(tmp_path / "chunks.parquet").to_pylist()
    assert [row | {"metadata": json.loads(row["metadata"])} for row in rows] == lines


def test_one_source_may_be_chosen_and_vectors_left_out(chunks: list[Chunk], tmp_path: Path) -> None:
    (row,) = export(str(tmp_path / "x.jsonl"), "--source", "pdf", "--no-vectors")
    assert row["content"] == "third"
    assert "embedding" not in row


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.parquet"])
def test_an_empty_index_is_an_empty_file(db: None, tmp_path: Path, name: str) -> None:
    err = io.StringIO()
    call_command("export_chunks", "--output", str(tmp_path / name), stderr=err)
    assert "0 chunks written" in err.getvalue()
    assert (tmp_path / name).exists()


def test_an_unknown_source_lists_the_names(chunks: list[Chunk], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no source 'nope'.*kb"):
        export(str(tmp_path / "x.jsonl"), "--source", "nope")


def test_a_file_that_cannot_be_written_is_one_sentence(chunks: list[Chunk], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        export(str(tmp_path / "no" / "x.jsonl"))


def test_a_failed_export_leaves_the_earlier_file(
    chunks: list[Chunk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(str(tmp_path / "x.jsonl"))
    before = (tmp_path / "x.jsonl").read_bytes()

    def breaks(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chunk_export, "write_json_lines", breaks)
    with pytest.raises(CommandError, match="No space left"):
        export(str(tmp_path / "x.jsonl"))
    assert (tmp_path / "x.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_parquet_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ingestion.index.export_parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandError, match="pip install pyarrow"):
        call_command("export_chunks", "--format", "parquet")


class Installation:
    """bbjrag with an embedded server of its own."""

    def __init__(self, folder: Path) -> None:
        kept = set(os.environ) - env.listed()
        self.environment = {
            **{name: os.environ[name] for name in kept},
            "ENV_FILE": os.devnull,
            "STATE_DIR": str(folder),
            "EMBEDDED_POSTGRES_SETTINGS": "fsync=off,shared_buffers=32MB",
        }

    def run(self, *args: str, code: int = 0) -> str:
        ended = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def pipe(self, data: bytes, *args: str) -> bytes:
        """What the command writes to standard output, given this on standard input."""
        return subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=self.environment,
            check=True,
            input=data,
            capture_output=True,
        ).stdout

    def stop(self) -> None:
        self.run("postgres", "stop")


@pytest.fixture
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Installation]]:
    one, other = (Installation(tmp_path_factory.mktemp(name)) for name in ("one", "other"))
    yield one, other
    one.stop()
    other.stop()


SHOWN = """
from ingestion.models import Chunk, Document
print(Document.objects.count(), Chunk.objects.count())
"""


def test_a_backup_restored_on_another_server_answers_the_same(
    two: tuple[Installation, Installation], tmp_path: Path
) -> None:
    one, other = two
    saved = str(tmp_path / "bbjrag.dump")
    one.run("migrate", "--verbosity", "0")
    one.run("ingest_all", "--source", "mdx-dwc")
    assert "Saved to" in one.run("backup", saved)
    assert Path(saved).stat().st_mode & 0o777 == 0o600
    other.pipe(one.pipe(b"", "backup", "-"), "restore", "-")
    other.run("migrate", "--verbosity", "0")
    other.run("sanity")
    counted = one.run("shell", "--verbosity", "0", "-c", SHOWN)
    assert counted == other.run("shell", "--verbosity", "0", "-c", SHOWN)
    assert not counted.startswith("0 ")
    query = ("search", "open a window", "--json")
    found, again = json.loads(one.run(*query)), json.loads(other.run(*query))
    assert found["hits"]
    assert found["hits"] == again["hits"]
    assert "tables already, and nothing is overwritten" in other.run("restore", saved, code=1)
    assert "is not a file" in other.run("restore", str(tmp_path / "nope"), code=1)
    assert "cannot be written" in one.run("backup", str(tmp_path / "no" / "x"), code=1)
