"""Files that vanish, change, or are written just while their source is read: each parser goes on
with the others, and says what is the matter with those."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument
from ingestion.exceptions import SourceError
from ingestion.parsers import PARSERS, parser_class
from ingestion.parsers.base import SourceConfig

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
FOLDERS = {
    "FlareParser": "flare/gadget",
    "MdxParser": "mdx/docs",
    "BbjSourceParser": "bbj/programs",
    "JavaDocParser": "javadoc",
    "PdfParser": "pdf",
}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _vanish(folder: Path) -> None:
    for path in files(folder):
        path.unlink()


def _unmount(folder: Path) -> None:
    shutil.rmtree(folder)


def _empty(folder: Path) -> None:
    for path in files(folder):
        os.truncate(path, 0)


def _half(folder: Path) -> None:
    """As when it is being copied."""
    for path in files(folder):
        os.truncate(path, path.stat().st_size // 2)


def _garbage(folder: Path) -> None:
    for path in files(folder):
        path.write_bytes(bytes(range(256)) * 20)


def _folders(folder: Path) -> None:
    for path in files(folder):
        path.unlink()
        path.mkdir()


MISCHIEF = [_vanish, _unmount, _empty, _half, _garbage, _folders]


def disturbed(parsed: Iterator[Parsed], mischief: Callable[[], None]) -> Iterator[Parsed]:
    """What comes when the mischief is done after the first document."""
    done = False
    for item in parsed:
        yield item
        if not done and isinstance(item, ParsedDocument):
            mischief()
            done = True


def test_each_parser_of_files_is_among_these() -> None:
    assert set(FOLDERS) == {name for name in PARSERS if parser_class(name).reads == "paths"}


@pytest.mark.parametrize("mischief", MISCHIEF, ids=lambda deed: deed.__name__.strip("_"))
@pytest.mark.parametrize("parser", FOLDERS)
def test_what_happens_to_the_files_meanwhile_ends_no_reading(
    parser: str, mischief: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    shutil.copytree(FIXTURES / FOLDERS[parser], folder)
    config = SourceConfig("files", tmp_path, ("files",))
    reading = parser_class(parser)(config).parse()
    try:
        found = list(disturbed(reading, lambda: mischief(folder)))
    except SourceError:
        return  # said for the source as a whole, which removes nothing either
    assert sum(isinstance(item, ParsedDocument) for item in found) >= 1
    assert all(item.message for item in found if isinstance(item, DocumentFailure))
    if mischief in (_vanish, _unmount):
        assert any(isinstance(item, DocumentFailure) and not item.warning for item in found)
