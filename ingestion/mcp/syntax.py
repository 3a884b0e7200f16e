"""Check BBj code with the compiler of a BBj installation, where BBJ_COMPILER names one."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

from django.conf import settings
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

LONGEST_CODE = 100_000  # characters
PATIENCE = 30  # seconds
MOST_MESSAGES = 8_000  # characters


def check_bbj_syntax(
    code: Annotated[str, Field(max_length=LONGEST_CODE, description="A whole BBj program.")],
) -> str:
    """Check BBj code with the BBj compiler, without running it. Answers with its messages."""
    with tempfile.TemporaryDirectory(prefix="bbj-") as folder:
        program = Path(folder) / "program.bbj"
        program.write_text(code, encoding="utf-8")
        said = _compiled(program)
    messages = [line.replace(f"{folder}/", "") for line in said.splitlines() if line.strip()]
    if not messages:
        return "The compiler finds no error."
    return f"The compiler says:\n{chr(10).join(messages)}"[:MOST_MESSAGES]


def _compiled(program: Path) -> str:
    """What the compiler writes; its exit code is 0 whether it finds errors or not.

    With -N it checks the syntax alone, and writes no program.
    """
    command = [settings.BBJ_COMPILER, "-N", str(program)]
    try:
        done = subprocess.run(
            command,
            cwd=program.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"The compiler did not answer within {PATIENCE} seconds.") from None
    except OSError as error:
        raise ToolError(f"The compiler {settings.BBJ_COMPILER} cannot be run: {error}") from None
    if done.returncode:
        said = done.stdout[:500]
        raise ToolError(f"The compiler failed with exit code {done.returncode}: {said}")
    return done.stdout
