"""What the server for assistants is told by its environment, in the process that they start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters, stdio_client

from tests.mcp.test_pages import STAND_IN
from tests.mcp.test_server import talk
from tests.settings.place import Place
from tests.support.installation import ROOT

LONG = "# Long\n\n" + "\n\n".join(
    f"## Part {n}\n\n{' '.join(f'word{n}of{word}' for word in range(40))}" for n in range(30)
)


def ask(place: Place, *calls: tuple[str, dict[str, Any]], **given: str) -> Any:
    """The tools that `manage.py mcp` offers, and its answers."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["manage.py", "mcp"],
        env=place.environment | given,
        cwd=ROOT,
    )
    return talk(stdio_client(parameters), *calls)


@pytest.mark.setting("MCP_MAX_CHARACTERS")
def test_no_answer_is_longer_than_the_maximum(place: Place) -> None:
    place.write(["long"])
    (place.pages / "long.md").write_text(LONG)
    place.ingest()
    (url,) = place.all("SELECT url FROM ingestion_document WHERE title = 'Long'")
    call = ("get_document", {"url": url})
    _, (whole,) = ask(place, call)
    _, (page,) = ask(place, call, MCP_MAX_CHARACTERS="5000")
    assert len(whole.content[0].text) > len(LONG) * 0.9
    assert len(page.content[0].text) <= 5000
    assert "Go on with page 2" in page.content[0].text


@pytest.mark.setting("BBJ_COMPILER")
def test_code_is_checked_only_if_a_compiler_is_named(place: Place, tmp_path: Path) -> None:
    compiler = tmp_path / "bbjcpl"
    compiler.write_text(STAND_IN)
    compiler.chmod(0o755)
    without, _ = ask(place)
    call = ("check_bbj_syntax", {"code": "pritn 1"})
    there, (answer,) = ask(place, call, BBJ_COMPILER=str(compiler))
    assert set(there) - set(without) == {"check_bbj_syntax"}
    assert "error at line 1" in answer.content[0].text
