"""The strict readers of the environment, and .env.example as their true list."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from bbjrag import env

WEB_OF_A_SOURCE = """
from sources.models import Source
web = Source(parser="WebCrawlParser", start_url="https://a.example/").config().web
found = [web.contact, str(web.allow_networks[0]), dict(web.origin_map), web.connect_seconds,
         web.read_seconds, web.request_seconds, web.attempts]
"""
NUMBER = re.compile(r"(?m)^# ([A-Z_]+)=([\d.]+)$")
READ = re.compile(r"env\.\w+\(\s*\"(\w+)\"")


def test_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", " 7 ")
    assert env.integer("X", 1) == 7
    assert env.text("X", "") == "7"
    assert env.number("X", 0.5) == 7.0


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "  ")
    assert env.integer("X", 3) == 3
    assert env.boolean("X", True) is True
    assert env.listing("X", "a, b,") == ["a", "b"]


@pytest.mark.parametrize(("value", "wanted"), [("true", True), ("OFF", False), ("1", True)])
def test_boolean_reads_the_usual_words(
    monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool
) -> None:
    monkeypatch.setenv("X", value)
    assert env.boolean("X", not wanted) is wanted


@pytest.mark.parametrize(
    ("read", "value", "says"),
    [
        (lambda: env.boolean("X", True), "maybe", "use true or false"),
        (lambda: env.integer("X", 1), "ten", "X='ten' is no number"),
        (lambda: env.integer("X", 1, minimum=1), "0", "out of range"),
        (lambda: env.number("X", 0.2, maximum=1.0), "20", "at most 1.0"),
        (lambda: env.choice("X", "a", ("a", "b")), "c", "use one of a, b"),
        (lambda: env.pairs("X"), "fsync", "use key=value"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_mend(
    monkeypatch: pytest.MonkeyPatch, read: object, value: str, says: str
) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match=re.escape(says)):
        read()  # type: ignore[operator]


def test_env_example_lists_every_variable_and_no_other() -> None:
    root = Path(settings.BASE_DIR)
    read = set(READ.findall((root / "bbjrag/settings.py").read_text()))
    assert env.listed() == read


def numbers() -> dict[str, str]:
    return dict(NUMBER.findall(env.EXAMPLE.read_text()))


def test_env_example_tells_the_true_defaults() -> None:
    """Numbers and words; what depends on the place is only named."""
    told = numbers()
    assert told
    for name, value in told.items():
        assert float(getattr(settings, name)) == float(value), name


def test_each_number_in_env_example_can_be_changed(tmp_path: Path) -> None:
    told = numbers()
    other = {name: str(_another(float(value))) for name, value in told.items()}
    found = f"{{name: getattr(settings, name) for name in {list(other)}}}"
    read = loaded(tmp_path, f"found = {found}", **other)
    assert read == {name: float(value) for name, value in other.items()}


def test_web_settings_reach_the_sources(tmp_path: Path) -> None:
    assert loaded(
        tmp_path,
        WEB_OF_A_SOURCE,
        WEB_CONTACT="ops@example.org",
        WEB_ALLOW_NETWORKS="10.0.0.0/8",
        WEB_ORIGIN_MAP="https://a.example=http://127.0.0.1:1",
        WEB_TIMEOUT="7",
        WEB_REQUEST_LIMIT="70",
        WEB_ATTEMPTS="5",
    ) == [
        "ops@example.org",
        "10.0.0.0/8",
        {"https://a.example": "http://127.0.0.1:1"},
        *(7.0, 7.0, 70.0, 5),
    ]


def _another(value: float) -> float | int:
    return value / 2 if value < 1 else int(value) + 1


def loaded(tmp_path: Path, code: str, **given: str) -> Any:
    """What `code` has found with the settings that a process has in that environment."""
    begin = "import django, json; django.setup(); from django.conf import settings"
    done = subprocess.run(
        [sys.executable, "-c", f"{begin}\n{code}\nprint(json.dumps(found))"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "STATE_DIR": str(tmp_path), **given},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
