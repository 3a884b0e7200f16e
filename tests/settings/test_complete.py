"""Each setting of .env.example has a test of its effect in a real process."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from bbjrag import env

HERE = Path(__file__).parent


def shown() -> Iterator[str]:
    """The settings that tests of this folder are marked with."""
    for file in HERE.glob("test_*.py"):
        module = import_module(f"{__package__}.{file.stem}")
        for name, test in vars(module).items():
            if name.startswith("test_"):
                marks = getattr(test, "pytestmark", [])
                yield from (mark.args[0] for mark in marks if mark.name == "setting")


def test_each_setting_has_its_effect_shown() -> None:
    assert set(shown()) == env.listed()
