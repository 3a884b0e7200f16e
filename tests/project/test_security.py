"""What a hostile source, or somebody who reads along, gets: nothing.

A folder outside DATA_DIR holds a secret. Every place of every format that can name a file tries to
reach it. What admin, API, MCP and web client refuse is tested beside them.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as live
from django.core.exceptions import ValidationError
from django.core.signing import BadSignature
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from ingestion.documents import Parsed, ParsedDocument
from ingestion.exceptions import BbjragError
from ingestion.models import Run
from ingestion.parsers import PARSERS, parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.runs import preflight, requests
from sources.models import Source

SECRET = "the-secret-of-another-folder"
NAMESPACE = 'xmlns:MadCap="http://www.madcapsoftware.com/Schemas/MadCap.xsd"'
BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
LAUGHS = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "laugh">{BOMB}]>'
TWO_GIGABYTES = 2 << 30


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """DATA_DIR, beside a folder with a secret in files of every kind."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("page.md", "page.mdx", "secret.txt", "program.bbj", "_category_.json"):
        (outside / name).write_text(f'{{"label": "{SECRET}"}}' if "json" in name else SECRET)
    xml = (
        f"<html {NAMESPACE}><head><title>{SECRET}</title></head><body><p>{SECRET}</p></body></html>"
    )
    for name in ("topic.htm", "snippet.flsnp"):
        (outside / name).write_text(xml)
    (outside / "set.flvar").write_text(
        f'<VariableSet><Variable Name="v" EvaluatedDefinition="{SECRET}">{SECRET}</Variable>'
        "</VariableSet>"
    )
    (outside / "toc.fltoc").write_text(
        f'<CatapultToc Version="1"><TocEntry Title="{SECRET}" Link="/Content/t.htm"/></CatapultToc>'
    )
    (tmp_path / "data" / "s").mkdir(parents=True)
    return tmp_path / "data"


def parse(name: str, data_dir: Path, *paths: str) -> list[Parsed]:
    config = SourceConfig("s", data_dir, paths or ("s",))
    return list(parser_class(name)(config).parse())


def write(data_dir: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = data_dir / "s" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def leaked(parsed: list[Parsed]) -> bool:
    """Whether anything that would be stored or shown holds the secret."""
    return any(SECRET in repr(item) for item in parsed)


def topic(body: str) -> str:
    return f"<html {NAMESPACE}><head/><body><p>harmless</p>{body}</body></html>"


WAYS_OUT = [
    "../../outside/{0}",
    "../../../outside/{0}",
    "{1}/outside/{0}",
    "file://{1}/outside/{0}",
    "..\\..\\outside\\{0}",
    "%2e%2e/%2e%2e/outside/{0}",
    "..%2f..%2foutside%2f{0}",
    "./x/../../../outside/{0}",
    "\x00../../outside/{0}",
]


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize(
    "body",
    [
        '<MadCap:snippetBlock src="{}"/>',
        '<p><MadCap:snippetText src="{}"/></p>',
        '<p><MadCap:xref href="{}"></MadCap:xref></p>',
        '<p><a href="{}"></a></p>',
        '<MadCap:codeSnippet><MadCap:codeSnippetBody src="{}"/></MadCap:codeSnippet>',
    ],
)
def test_no_flare_topic_reads_outside(data_dir: Path, way: str, body: str) -> None:
    name = "topic.htm" if "href" in body else "snippet.flsnp"
    target = way.format(name, data_dir.parent)
    write(data_dir, {"Content/t.htm": topic(body.format(target)), "Project/x.flprj": "<x/>"})
    parsed = parse("FlareParser", data_dir)
    assert not leaked(parsed)
    assert any(isinstance(item, ParsedDocument) for item in parsed)


@pytest.mark.parametrize("way", WAYS_OUT[:4])
def test_no_flare_project_file_reads_outside(data_dir: Path, way: str) -> None:
    toc = way.format("toc.fltoc", data_dir.parent)
    page = way.format("topic.htm", data_dir.parent)
    write(
        data_dir,
        {
            "Content/t.htm": topic(""),
            "Project/p.flprj": f'<CatapultProject MasterToc="{toc}"/>',
            "Project/TOCs/a.fltoc": f'<CatapultToc><TocEntry Title="[%=System.LinkedTitle%]" '
            f'Link="{page}"><TocEntry Title="b" Link="{toc}"/></TocEntry></CatapultToc>',
        },
    )
    assert not leaked(parse("FlareParser", data_dir))


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("Content/link.htm", "topic.htm"),
        ("Content/s.flsnp", "snippet.flsnp"),
        ("Project/VariableSets/Set.flvar", "set.flvar"),
        ("Project/TOCs/a.fltoc", "toc.fltoc"),
        ("Content/folder", ""),
        ("Project/TOCs", ""),
    ],
)
def test_no_link_in_a_flare_project_leads_outside(data_dir: Path, link: str, target: str) -> None:
    body = '<MadCap:snippetBlock src="s.flsnp"/><p><MadCap:variable name="Set.v"/></p>'
    write(data_dir, {"Content/t.htm": topic(body), "Project/p.flprj": "<x/>"})
    path = data_dir / "s" / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(data_dir.parent / "outside" / target)
    parsed = parse("FlareParser", data_dir)
    assert not leaked(parsed)
    assert any(isinstance(item, ParsedDocument) for item in parsed)


@pytest.mark.parametrize(
    "way", [*WAYS_OUT[:-1], "@site/../../outside/{0}", "@site/{1}/outside/{0}"]
)
@pytest.mark.parametrize("loader", ["", "!!raw-loader!"])
def test_no_import_of_an_mdx_page_reads_outside(data_dir: Path, way: str, loader: str) -> None:
    module = loader + way.format("secret.txt" if loader else "page.mdx", data_dir.parent)
    page = f"import X from '{module}'\n\nHarmless.\n\n<X/>\n\n<CodeBlock>{{X}}</CodeBlock>\n"
    write(data_dir, {"page.mdx": page})
    parsed = parse("MdxParser", data_dir)
    assert not leaked(parsed)
    assert any(isinstance(item, ParsedDocument) for item in parsed)


@pytest.mark.parametrize(
    ("parser", "link", "target"),
    [
        ("MdxParser", "link.mdx", "page.mdx"),
        ("MdxParser", "_partial.mdx", "page.mdx"),
        ("MdxParser", "_category_.json", "_category_.json"),
        ("MdxParser", "folder", ""),
        ("BbjSourceParser", "link.bbj", "program.bbj"),
        ("BbjSourceParser", "folder", ""),
        ("PdfParser", "link.pdf", "secret.txt"),
    ],
)
def test_no_link_in_a_folder_leads_outside(
    data_dir: Path, parser: str, link: str, target: str
) -> None:
    write(
        data_dir,
        {
            "page.mdx": "import P from './_partial.mdx'\n\nHarmless.\n\n<P/>\n",
            "program.bbj": "rem harmless\nprint 1\n",
        },
    )
    (data_dir / "s" / link).symlink_to(data_dir.parent / "outside" / target)
    assert not leaked(parse(parser, data_dir))


@pytest.mark.parametrize(
    "parser",
    [
        name
        for name in PARSERS
        if name not in {"AdvantageParser", "KnowledgeBaseParser", "WebCrawlParser"}
    ],
)
@pytest.mark.parametrize("path", ["../outside", "link", "/etc", "s/../../outside"])
def test_no_configured_path_leads_outside(data_dir: Path, parser: str, path: str) -> None:
    (data_dir / "link").symlink_to(data_dir.parent / "outside")
    with pytest.raises(BbjragError, match="leaves DATA_DIR"):
        parse(parser, data_dir, path)


def test_a_pipe_or_a_device_is_never_opened(data_dir: Path) -> None:
    """Reading a pipe that nobody writes to would wait for ever."""
    write(data_dir, {"page.md": "Harmless."})
    os.mkfifo(data_dir / "s" / "pipe.md")
    os.mkfifo(data_dir / "s" / "_category_.json")
    documents = [item for item in parse("MdxParser", data_dir) if isinstance(item, ParsedDocument)]
    assert [document.url for document in documents] == ["s://page.md"]


def test_a_circle_of_links_ends(data_dir: Path) -> None:
    write(data_dir, {"page.md": "Harmless."})
    (data_dir / "s" / "again").symlink_to(data_dir / "s")
    (data_dir / "s" / "self.md").symlink_to(data_dir / "s" / "self.md")
    documents = [item for item in parse("MdxParser", data_dir) if isinstance(item, ParsedDocument)]
    assert [document.url for document in documents] == ["s://page.md"]


XML_FILES = {
    "topic": ("Content/t.htm", "<html><body><p>{0}</p></body></html>"),
    "snippet": ("Content/s.flsnp", "<html><body><p>{0}</p></body></html>"),
    "TOC": (
        "Project/TOCs/a.fltoc",
        '<CatapultToc><TocEntry Title="{0}" Link="/Content/u.htm"/></CatapultToc>',
    ),
    "variables": (
        "Project/VariableSets/Set.flvar",
        "<VariableSet><Variable Name='v'>{0}</Variable></VariableSet>",
    ),
    "project": ("Project/p.flprj", "<CatapultProject MasterToc='{0}'/>"),
}


@pytest.mark.parametrize("kind", XML_FILES)
def test_no_entity_brings_in_a_file(data_dir: Path, kind: str) -> None:
    name, shape = XML_FILES[kind]
    secret = data_dir.parent / "outside" / "secret.txt"
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>'
    body = '<MadCap:snippetBlock src="s.flsnp"/><p><MadCap:variable name="Set.v"/></p>'
    write(data_dir, {"Content/u.htm": topic(body), name: f"{entity}{shape.format('&e;')}"})
    parsed = parse("FlareParser", data_dir)
    assert not leaked(parsed)
    assert any(isinstance(item, ParsedDocument) for item in parsed)


@pytest.mark.parametrize("kind", XML_FILES)
def test_entities_cannot_multiply(data_dir: Path, kind: str) -> None:
    """A billion laughs: 5 GB, were they told."""
    name, shape = XML_FILES[kind]
    body = '<MadCap:snippetBlock src="s.flsnp"/><p><MadCap:variable name="Set.v"/></p>'
    write(data_dir, {"Content/u.htm": topic(body), name: f"{LAUGHS}{shape.format('&e9;')}"})
    parsed = parse("FlareParser", data_dir)
    assert sum(len(repr(item)) for item in parsed) < 100_000


def test_front_matter_makes_no_objects(data_dir: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    write(
        data_dir,
        {
            "page.md": f"---\ntitle: !!python/object/apply:os.mkdir ['{proof}']\n---\n\nHi.\n",
            "alias.md": "---\na: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{k}: &{k} [{','.join([f'*{chr(ord(k) - 1)}'] * 9)}]\n" for k in "bcdefghi")
            + "title: *i\n---\n\nHarmless.\n",
        },
    )
    parsed = parse("MdxParser", data_dir)
    assert not proof.exists()
    assert sum(len(repr(item)) for item in parsed) < 1_000_000


def pdf_bomb() -> bytes:
    """A PDF whose one page unpacks to 400 MB, twice packed."""
    packer = zlib.compressobj(9)
    block = b" " * (1 << 20)
    once = b"".join(packer.compress(block) for _ in range(400)) + packer.flush()
    stream = zlib.compress(once, 9)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
        b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n%b\nendstream"
        % (len(stream), stream),
    ]
    out = b"%PDF-1.4\n"
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 5\n0000000000 65535 f \n"
    return out + head + table + b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(out)


IN_A_SMALL_PROCESS = r"""
import re, sys
from pathlib import Path
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
config = SourceConfig("s", Path(sys.argv[1]), ("s",))
for item in parser_class("PdfParser")(config).parse():
    print(type(item).__name__, getattr(item, "message", ""))
# The peak of this program; that of getrusage begins with what the process was forked from.
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def test_a_pdf_that_unpacks_without_end_is_given_up(data_dir: Path) -> None:
    write(data_dir, {"bomb.pdf": pdf_bomb()})
    ended = subprocess.run(
        [sys.executable, "-c", IN_A_SMALL_PROCESS, str(data_dir)],
        cwd=live.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (TWO_GIGABYTES, TWO_GIGABYTES)),
    )
    *said, megabytes = ended.stdout.splitlines()
    assert any(line.startswith("DocumentFailure") for line in said), ended.stdout
    assert int(megabytes) < 400


def test_reading_starts_no_thread_for_each_core() -> None:
    """Each takes 40 MB of what a run may take, however little there is to read."""
    program = "import os; import ingestion.parsers.pdf; print(len(os.listdir('/proc/self/task')))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=live.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "1\n"


@pytest.fixture
def queued(db: None) -> OrmQ:
    """The task of a run of one source."""
    OrmQ.objects.all().delete()
    requests.request([Source.objects.get(name="pdf")], origin=Run.Origin.COMMAND)
    return OrmQ.objects.get()


def test_a_task_carries_an_id_and_nothing_else(queued: OrmQ) -> None:
    task = queued.task
    assert task["args"] == (Run.objects.get().source_runs.get().pk,)
    assert task["func"] == "ingestion.tasks.run_source"
    assert not task.get("kwargs")


class Proof:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.django_db
@pytest.mark.parametrize("signed", ["", ":1tXyZa:forged-signature"])
def test_a_forged_task_is_not_unpickled(tmp_path: Path, signed: str) -> None:
    """Whoever can write to the table still lacks the SECRET_KEY."""
    payload = pickle.dumps(Proof(tmp_path / "proof")).hex() + signed
    row = OrmQ.objects.create(key="bbjrag", payload=payload, lock=timezone.now())
    with pytest.raises(BadSignature):
        SignedPackage.loads(payload)
    assert "func" not in row.task
    assert not (tmp_path / "proof").exists()


@pytest.mark.django_db
def test_a_password_in_the_embedders_address_is_shown_nowhere(settings: Any) -> None:
    settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL = "ollama", "all-minilm"
    for host in ("http://me:hunter2@127.0.0.1:9", "ftp://me:hunter2@host", "http://me:hunter2@[x"):
        settings.OLLAMA_HOSTS = [host]
        with pytest.raises(BbjragError) as error:
            preflight.ready_embedder()
        assert "hunter2" not in str(error.value)


@pytest.mark.django_db
def test_a_database_that_does_not_answer_keeps_its_password(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = connection.settings_dict | {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": "9",
        "USER": "me",
        "PASSWORD": "hunter2",
        "OPTIONS": {},
    }
    monkeypatch.setattr(preflight, "connection", DatabaseWrapper(elsewhere, "elsewhere"))
    problem = preflight.database_problem()
    assert "does not answer" in problem
    assert "hunter2" not in problem


def test_no_row_keeps_a_password_of_an_address() -> None:
    """A source's start address with a password is refused, so it is in no row, log or export."""
    source = Source(
        name="x", title="x", parser="WebCrawlParser", start_url="https://a:b@example.com/"
    )
    assert "Leave user names and passwords out" in json.dumps(source.problems())


def test_what_is_not_outside_is_seen(data_dir: Path) -> None:
    """That the tests above would notice: the same ways, within DATA_DIR."""
    (data_dir.parent / "outside").rename(data_dir / "outside")
    body = '<MadCap:snippetBlock src="snippet.flsnp"/>'
    write(data_dir, {"Content/t.htm": topic(body), "Project/p.flprj": "<x/>"})
    (data_dir / "s/Content/snippet.flsnp").symlink_to(data_dir / "outside/snippet.flsnp")
    assert leaked(parse("FlareParser", data_dir))
    for module in ("../outside/page.mdx", "!!raw-loader!../outside/secret.txt"):
        page = f"import X from '{module}'\n\n<X/>\n\n<CodeBlock>{{X}}</CodeBlock>\n"
        write(data_dir, {"page.mdx": page})
        assert leaked(parse("MdxParser", data_dir)), module


@pytest.mark.django_db
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("path", ["a\x00b", "loop", "x" * 5000])
def test_a_path_that_no_file_system_can_follow_is_refused_at_its_field(
    data_dir: Path, settings: Any, path: str, enabled: bool
) -> None:
    settings.DATA_DIR = data_dir
    (data_dir / "loop").symlink_to(data_dir / "loop")
    row = Source(name="x", title="x", parser="MdxParser", paths=[path], enabled=enabled)
    with pytest.raises(ValidationError) as error:
        row.full_clean()
    assert "paths" in error.value.message_dict
