"""Files of a source are opened beneath DATA_DIR, whatever is swapped in meanwhile: by the kernel's
own call, and without it."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingestion.documents import ParsedDocument
from ingestion.exceptions import DocumentError
from ingestion.parsers import beneath, parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.files import read_file, stat_input

SECRET = b"the secret of another folder"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["openat2", "by steps", "EPERM"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How files are opened: as the kernel, an older kernel or a sandbox has it."""

    def refused(*_: object) -> int:
        raise OSError(errno.EPERM if request.param == "EPERM" else errno.ENOSYS, "no such call")

    if request.param != "openat2":
        monkeypatch.setattr(beneath, "_openat2", refused)
    return str(request.param)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """DATA_DIR with a file in a folder, beside a folder with a secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "page.md").write_bytes(SECRET)
    (tmp_path / "data" / "s" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "s" / "page.md").write_text("harmless")
    (tmp_path / "data" / "s" / "deep" / "page.md").write_text("deep")
    return tmp_path / "data"


def read(data_dir: Path, path: str) -> bytes:
    return read_file(SourceConfig("s", data_dir), data_dir / path)[0]


def test_it_works(data_dir: Path) -> None:
    assert read(data_dir, "s/page.md") == b"harmless"
    assert read(data_dir, "s/deep/page.md") == b"deep"
    found = beneath.entries(data_dir, "s")
    assert [(e.name, e.is_folder, e.is_file) for e in found] == [
        ("deep", True, False),
        ("page.md", False, True),
    ]
    assert beneath.entries(data_dir, data_dir) == beneath.entries(data_dir, ".")
    status = (data_dir / "s/page.md").stat()
    known = stat_input(SourceConfig("s", data_dir), data_dir / "s/page.md")
    assert (known.path, known.size, known.mtime_ns) == ("s/page.md", 8, status.st_mtime_ns)


LINKS_INSIDE = [
    "page.md",
    "./deep/../page.md",
    "../s/page.md",
    "{data}/s/page.md",
    "{data}/./s//deep/../page.md",
    "../../data/s/page.md",
    "../../../{parent}/data/s/page.md",
    "{alias}/s/page.md",
    "{data}/../data/s/page.md",
]


@pytest.mark.parametrize("target", LINKS_INSIDE)
def test_a_link_that_stays_beneath_is_followed(data_dir: Path, target: str) -> None:
    alias = data_dir.parent / "alias"
    alias.symlink_to(data_dir)
    link = data_dir / "s" / "link.md"
    link.symlink_to(target.format(data=data_dir, parent=data_dir.parent.name, alias=alias))
    config = SourceConfig("s", alias)  # DATA_DIR is itself named by a link
    assert read_file(config, link)[0] == b"harmless"
    assert stat_input(config, link).size == 8
    (data_dir / "s" / "second.md").symlink_to(link)
    assert read_file(config, data_dir / "s" / "second.md")[0] == b"harmless"


LINKS_OUTSIDE = [
    "../../outside/page.md",
    "{outside}/page.md",
    "{data}/../outside/page.md",
    "{data}-other/page.md",
    "/proc/self/root{outside}/page.md",
    "deep/../../../outside/page.md",
    "folder/page.md",
]


@pytest.mark.parametrize("target", LINKS_OUTSIDE)
def test_a_link_that_leads_out_is_refused(data_dir: Path, target: str) -> None:
    outside = data_dir.parent / "outside"
    (data_dir.parent / "data-other").symlink_to(outside)
    (data_dir / "s" / "folder").symlink_to(outside)
    link = data_dir / "s" / "link.md"
    link.symlink_to(target.format(data=data_dir, outside=outside))
    assert link.read_bytes() == SECRET
    with pytest.raises(DocumentError, match="leads out of DATA_DIR"):
        read(data_dir, "s/link.md")
    assert stat_input(SourceConfig("s", data_dir), link).size == -1
    with pytest.raises(beneath.OutsideError):
        beneath.entries(data_dir, "s/folder")
    with pytest.raises(beneath.OutsideError):
        beneath.status(data_dir, "../outside")


def test_a_circle_of_links_ends(data_dir: Path) -> None:
    (data_dir / "s" / "a.md").symlink_to("b.md")
    (data_dir / "s" / "b.md").symlink_to(data_dir / "s" / "a.md")
    with pytest.raises(DocumentError, match="cannot be read"):
        read(data_dir, "s/a.md")
    with pytest.raises(DocumentError, match="cannot be read"):
        read(data_dir, "s/a.md/page.md")


@pytest.mark.parametrize("name", ["missing.md", "page.md/x", "deep/none/x", "nul\0.md", "x" * 300])
def test_what_is_not_there_is_said(data_dir: Path, name: str) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        read(data_dir, f"s/{name}")


def test_only_regular_files_are_read(data_dir: Path) -> None:
    os.mkfifo(data_dir / "s" / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(data_dir / "s")  # the path of a socket has to be short
        try:
            listener.bind("socket.md")
        finally:
            os.chdir(here)
    started = time.monotonic()
    for name in ("pipe.md", "socket.md", "deep", "."):
        with pytest.raises(DocumentError, match=r"not a regular file|cannot be read"):
            read(data_dir, f"s/{name}")
    assert time.monotonic() - started < 1.0, "nobody writes into the pipe"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_not_read(data_dir: Path) -> None:
    zero = os.stat("/dev/zero")
    try:
        os.mknod(data_dir / "s" / "zero.md", zero.st_mode, zero.st_rdev)
    except PermissionError:
        pytest.skip("this root may not make devices")
    with pytest.raises(DocumentError, match=r"not a regular file|cannot be read"):
        read(data_dir, "s/zero.md")


def test_a_file_is_read_up_to_the_limit(data_dir: Path) -> None:
    config, path = SourceConfig("s", data_dir), data_dir / "s/page.md"
    assert read_file(config, path, 8)[0] == b"harmless"
    with pytest.raises(DocumentError, match="8 bytes, above the limit of 7"):
        read_file(config, path, 7)


def test_no_descriptor_is_left_open(data_dir: Path) -> None:
    (data_dir / "s" / "out.md").symlink_to("/etc/passwd")
    (data_dir / "s" / "in.md").symlink_to(data_dir / "s/deep/../page.md")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        for name in ("out.md", "in.md", "missing.md", "page.md/x", "deep", "../../x"):
            with pytest.raises(DocumentError) if name != "in.md" else _nothing():
                read(data_dir, f"s/{name}")
    assert os.listdir("/proc/self/fd") == before


@contextmanager
def _nothing() -> Iterator[None]:
    yield


SWAP = """
import os, sys
folder, outside = sys.argv[1:]
os.chdir(folder)
while True:
    os.symlink(outside + "/page.md", "new"); os.replace("new", "page.md")
    with open("new", "w") as file: file.write("harmless")
    os.replace("new", "page.md")
    os.rename("deep", "kept"); os.symlink(outside, "deep")
    os.unlink("deep"); os.rename("kept", "deep")
"""


@contextmanager
def swapping(data_dir: Path) -> Iterator[None]:
    """A process that puts links to the secret in the place of a file and of a folder, and back."""
    outside = data_dir.parent / "outside"
    process = subprocess.Popen([sys.executable, "-c", SWAP, data_dir / "s", outside])
    try:
        yield
        assert process.poll() is None, "it swapped to the end"
    finally:
        process.kill()
        process.wait()


def test_a_link_swapped_in_meanwhile_is_not_followed(data_dir: Path) -> None:
    config = SourceConfig("s", data_dir, ("s",))
    parser = parser_class("MdxParser")(config)
    seen, texts = 0, set()
    with swapping(data_dir):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            found = [item for item in parser.parse() if isinstance(item, ParsedDocument)]
            texts |= {document.content.strip() for document in found}
            seen += len(found)
            assert SECRET.decode() not in texts
    assert seen > 100
    assert texts <= {"harmless", "deep", ""}


def test_no_parser_opens_files_by_itself() -> None:
    opens = re.compile(r"read_bytes|read_text|scandir|iterdir|glob\(|\bopen\(|os\.walk|listdir")
    for path in (ROOT / "ingestion/parsers").rglob("*.py"):
        if path.name != "beneath.py":
            assert not opens.findall(path.read_text()), path
