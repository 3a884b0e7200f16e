"""The places that settings come from, and which of them wins."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bbjrag import env
from tests.settings.place import Place
from tests.support.installation import ROOT
from tests.support.pages import page

CODE = ("bbjrag", "sources", "ingestion", "templates", "manage.py")


def data(folder: Path, name: str) -> Path:
    """A folder of data in which the source has one page of that name."""
    pages = folder / name / "pages"
    pages.mkdir(parents=True, exist_ok=True)
    (pages / f"{name}.md").write_text(page(name))
    return folder / name


def titles(place: Place, **given: Any) -> list[str]:
    """Of the pages that the source has with these settings."""
    said, _ = place.says("parse", "mdx-dwc", **given)
    return [line[4:] for line in said.splitlines() if line.startswith("=== ")]


@pytest.mark.setting("ENV_FILE")
def test_a_file_holds_what_the_environment_leaves_unset_or_empty(
    place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "settings"
    file.write_text(f"# where it is\nexport DATA_DIR='{data(tmp_path, 'inside')}'\nDEBUG=\n")
    assert titles(place, ENV_FILE=str(file), DATA_DIR=" ") == ["Page inside"]


def test_the_environment_wins_over_the_file(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text(f"DATA_DIR={data(tmp_path, 'inside')}\n")
    outside = data(tmp_path, "outside")
    assert titles(place, ENV_FILE=str(file), DATA_DIR=str(outside)) == ["Page outside"]
    named = tmp_path / "named"
    named.write_text(f"  {outside}\n")
    given = {"ENV_FILE": str(file), "DATA_DIR_FILE": str(named)}
    assert titles(place, unset=("DATA_DIR",), **given) == ["Page outside"]


def test_the_file_beside_the_code_is_read_by_itself(place: Place, tmp_path: Path) -> None:
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / ".env").write_text(f"DATA_DIR={data(tmp_path, 'beside')}\n")
    script = str(tmp_path / "manage.py")
    unset = ("ENV_FILE", "DATA_DIR")
    assert titles(place, script=script, unset=unset) == ["Page beside"]


def test_a_file_that_is_named_must_be_there(place: Place) -> None:
    _, errors = place.says("parse", "mdx-dwc", code=2, ENV_FILE="/nowhere/settings")
    assert errors.startswith("ENV_FILE=/nowhere/settings cannot be read (FileNotFoundError)")


def test_what_is_empty_counts_as_unset(place: Place) -> None:
    place.do("UPDATE sources_source SET paths = '{bbj-dwc-tutorial/docs}' WHERE name = 'mdx-dwc'")
    kept = {"STATE_DIR", "ENV_FILE"}
    empty: dict[str, Any] = dict.fromkeys(env.listed() - kept, " ")
    assert titles(place, **empty)
