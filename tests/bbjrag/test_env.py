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


YES_AND_NO = [(word, True) for word in ("1", "true", "Yes", "on")]
YES_AND_NO += [(word, False) for word in ("0", "False", "no", "OFF")]


@pytest.mark.parametrize(("value", "wanted"), YES_AND_NO)
def test_boolean_reads_the_usual_words(
    monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool
) -> None:
    monkeypatch.setenv("X", value)
    assert env.boolean("X", not wanted) is wanted


@pytest.mark.parametrize(
    ("read", "value", "says"),
    [
        (lambda: env.boolean("X", True), "maybe", "use true or false"),
        (lambda: env.integer("X", 1), "ten", "X='ten' is not a number"),
        (lambda: env.integer("X", 1), "-1", "out of range"),
        (lambda: env.integer("X", 1, minimum=1), "0", "out of range"),
        (lambda: env.integer("X", 1, maximum=9), "10", "at most 9"),
        (lambda: env.number("X", 1.0), "-0.1", "at least 0.0"),
        (lambda: env.number("X", 1.0), "nan", "out of range"),
        (lambda: env.number("X", 0.2, maximum=1.0), "20", "at most 1.0"),
        (lambda: env.choice("X", "a", ("a", "b")), "c", "use one of a, b"),
        (lambda: env.pairs("X"), "fsync", "use key=value"),
        (lambda: env.pairs("X"), "a=b, =c", "use key=value"),
        (lambda: env.origins("X"), "ftp://a=http://b", "not a pair of origins"),
        (lambda: env.origins("X"), "https://=http://b", "not a pair of origins"),
        (lambda: env.origins("X"), "https://a=http://b/path", "not a pair of origins"),
        (lambda: env.origins("X"), "https://a=http://b:99999", "not a pair of origins"),
        (lambda: env.origins("X"), "https://[=http://b", "not a pair of origins"),
        (lambda: env.number("X", 1.0), "inf", "at most 2147483647"),
        (lambda: env.integer("X", 1), "2147483648", "at most 2147483647"),
        (lambda: env.web_address("X"), "http://[", "X is not a web address"),
        (lambda: env.hosts("X", ""), "https://a.example", "Leave out https://"),
        (lambda: env.hosts("X", ""), "a.example:8443", "Leave out https://, the port"),
        (lambda: env.hosts("X", ""), "a.example b.example", "not a name of a host"),
        (lambda: env.ascii_line("X"), "Jörg", "takes plain ASCII only"),
        (lambda: env.ascii_line("X"), "a\nb", "takes plain ASCII only"),
        (lambda: env.log_level("X", "INFO"), "loud", "use one of DEBUG, INFO"),
        (lambda: env.time_zone("X", "UTC"), "Mars/Olympus", "such as UTC or Europe/Berlin"),
        (lambda: env.time_zone("X", "UTC"), "/etc/passwd", "such as UTC or Europe/Berlin"),
        (lambda: env.postgres("X"), "senseless", "not the address of a PostgreSQL database"),
        (lambda: env.postgres("X"), "mysql://host/name", "not the address of a PostgreSQL"),
        (lambda: env.postgres("X"), "postgres://host", "not the address of a PostgreSQL"),
        (lambda: env.postgres("X"), "postgres://host:port/name", "Example: postgres://"),
        (lambda: env.postgres("X"), "postgres://[", "Example: postgres://"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_mend(
    monkeypatch: pytest.MonkeyPatch, read: object, value: str, says: str
) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match=re.escape(says)):
        read()  # type: ignore[operator]


def test_a_bound_itself_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "0")
    assert (env.integer("X", 1), env.number("X", 1.0)) == (0, 0.0)
    assert env.integer("X", 1, minimum=-1, maximum=0) == 0


def test_what_is_around_a_value_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", " a = b c , d=")
    assert env.pairs("X") == {"a": "b c", "d": ""}
    monkeypatch.setenv("X", "https://a/=http://b:1/")
    assert env.origins("X") == {"https://a": "http://b:1"}


def test_what_is_usual_for_a_host_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [".example.com", "*", "[2001:db8::1]", "10.1.2.3", "my_host", "docs-1.example.com"]
    monkeypatch.setenv("X", ",".join(usual))
    assert env.hosts("X", "") == usual


def test_the_address_of_a_database_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "postgresql://me:a%40b@%2Ftmp%2Fdb:5433/docs?sslmode=require")
    found = env.postgres("X") or {}
    assert [found[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME", "OPTIONS")] == [
        *("me", "a@b", "/tmp/db", 5433, "docs"),
        {"sslmode": "require"},
    ]
    monkeypatch.setenv("X", "")
    assert env.postgres("X") is None


def test_a_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("X", "a/../b")
    assert env.folder("X", tmp_path) == tmp_path.resolve() / "b"
    monkeypatch.setenv("X", "~/b")
    assert env.folder("X", tmp_path) == Path("/home/somebody").resolve() / "b"


def test_a_value_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "value").write_text(" from a file\n")
    monkeypatch.setenv("X_FILE", f" {tmp_path / 'value'} ")
    assert env.text("X", "default") == "from a file"
    monkeypatch.setenv("X", "itself")
    assert env.text("X", "default") == "itself"
    monkeypatch.setenv("Y_FILE", " ")
    assert env.text("Y", "default") == "default"


# The least and the most of each number; None where it has no most of its own.
BOUNDS: dict[str, tuple[float, float | None]] = {
    "CHUNK_SIZE": (32, 8192),
    "CHUNK_OVERLAP": (0, None),
    "CHUNKING_PROCESSES": (0, 64),
    "ORIGINAL_LIMIT_KB": (0, 65536),
    "EMBEDDING_TIMEOUT": (1, None),
    "EMBEDDING_CONTEXT": (0, 1_000_000),
    "EMBEDDING_CONCURRENCY": (0, 64),
    "EMBEDDING_BATCH_SIZE": (0, 2048),
    "WORKERS": (1, 64),
    "RUN_ATTEMPTS": (1, None),
    "RUN_MEMORY_LIMIT_MB": (0, None),
    "RUN_CANCEL_GRACE": (0, None),
    "RUN_POLL": (0.01, None),
    "RUN_HEARTBEAT": (0.1, None),
    "RUN_STALL_LIMIT": (0, None),
    "DOCUMENT_TIME_LIMIT": (0, None),
    "DOCUMENT_MEMORY_LIMIT_MB": (0, None),
    "WORKER_STALL_LIMIT": (1, None),
    "REAPER_INTERVAL": (0.1, None),
    "CANARY_TIMEOUT": (0.1, None),
    "EMBEDDER_WAIT_LIMIT": (0, None),
    "EMBEDDER_WAIT_FIRST": (0.1, None),
    "EMBEDDER_WAIT_MAX": (0.1, None),
    "REMOVAL_GATE_SHARE": (0, 1),
    "REMOVAL_GATE_DOCUMENTS": (0, None),
    "RETENTION_DAYS": (0, 36500),
    "RERANKER_TIMEOUT": (0.1, 60),
    "QUERY_LOG_DAYS": (0, 36500),
    "NOTIFY_NOT_READ_DAYS": (0, 36500),
    "NOTIFY_AWAY_MINUTES": (0, 10080),
    "MCP_MAX_CHARACTERS": (4000, None),
    "WEB_STATEMENT_TIMEOUT": (0, 3600),
    "SERVER_PROCESSES": (1, 64),
    "SERVER_THREADS": (4, 64),
    "REQUEST_TIMEOUT": (1, 600),
    "PREVIEWS": (1, 4),
    "WEB_TIMEOUT": (0.1, 600),
    "WEB_REQUEST_LIMIT": (0.1, 3600),
    "WEB_ATTEMPTS": (1, 10),
    "GIT_MAX_MB": (1, None),
    "GIT_QUOTA_MB": (0, None),
    "GIT_TIMEOUT": (1, None),
    "GIT_STALL_LIMIT": (1, None),
    "TRUSTED_PROXIES": (0, 10),
    "HSTS_SECONDS": (0, None),
    "SESSION_HOURS": (1, None),
    "LOGIN_ATTEMPTS": (1, None),
}
TRY_EACH = """
import importlib, os
from django.core.exceptions import ImproperlyConfigured
from bbjrag import settings
found = []
for name, value in tried:
    os.environ[name] = value
    try:
        importlib.reload(settings)
        found.append([name, value])
    except ImproperlyConfigured as error:
        assert str(error).startswith(name), error
    del os.environ[name]
"""


def test_the_numbers_have_their_bounds(tmp_path: Path) -> None:
    allowed = [[name, str(b)] for name, bounds in BOUNDS.items() for b in bounds if b is not None]
    below = [[name, str(least - 1)] for name, (least, _) in BOUNDS.items()]
    above = [[name, str(most + 1)] for name, (_, most) in BOUNDS.items() if most is not None]
    tried = f"tried = {[*allowed, *below, *above]}"
    assert loaded(tmp_path, f"{tried}\n{TRY_EACH}") == allowed


def test_each_number_is_among_those_with_bounds() -> None:
    code = (Path(settings.BASE_DIR) / "bbjrag/settings.py").read_text()
    assert set(re.findall(r'env\.(?:integer|number)\(\s*"(\w+)"', code)) == set(BOUNDS)


@pytest.fixture
def kept_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("X", "X_FILE", "Y", "Z"):
        monkeypatch.setenv(name, "")  # so that what is loaded is forgotten afterwards
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("kept_environment")
def test_a_file_fills_in_what_is_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from its own file")
    (tmp_path / ".env").write_text("X=a\nY='b c'\nZ=${Y}d\nA B\nQ\n")
    monkeypatch.setenv("X_FILE", str(tmp_path / "given"))
    env.load("NO_SUCH_VARIABLE", tmp_path / ".env")
    assert [env.text(name, "") for name in "XYZQ"] == ["from its own file", "b c", "b cd", ""]


@pytest.mark.usefixtures("kept_environment")
def test_a_file_that_cannot_be_read_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env.load("X", tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"X=\xff")
    for default, given in [("binary", ""), ("missing", str(tmp_path))]:
        monkeypatch.setenv("X", given)
        with pytest.raises(ImproperlyConfigured, match=r"^X=.* cannot be read \(\w+Error\)"):
            env.load("X", tmp_path / default)


def test_variables_that_begin_alike_are_found_also_in_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "b").write_text(" two\n")
    for name, value in [("X_A", "one"), ("X_B_FILE", str(tmp_path / "b")), ("X_C", " ")]:
        monkeypatch.setenv(name, value)
    assert env.beginning("X_") == {"X_A": "one", "X_B": "two"}


def test_a_state_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        loaded(tmp_path / "file", "found = settings.SECRET_KEY", SECRET_KEY="")
    assert "cannot be used (File exists): name a folder" in refused.value.stderr


def test_env_example_lists_every_variable_and_no_other() -> None:
    root = Path(settings.BASE_DIR)
    read = set(READ.findall((root / "bbjrag/settings.py").read_text()))
    assert env.listed() == read


def numbers() -> dict[str, str]:
    return dict(NUMBER.findall(env.EXAMPLE.read_text()))


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
    return value / 2 if 0 < value < 1 else int(value) + 1


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


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail", ("smtp", "mail", 25, "", "")),
        ("smtp+starttls://me:a%40b@mail.lan", ("smtp+starttls", "mail.lan", 587, "me", "a@b")),
        ("smtps://me@[::1]:4650/", ("smtps", "::1", 4650, "me", "")),
        ("", ("smtp", "", 0, "", "")),
    ],
)
def test_a_mail_server_is_an_address(
    monkeypatch: pytest.MonkeyPatch, url: str, server: tuple[str, str, int, str, str]
) -> None:
    monkeypatch.setenv("X", url)
    assert env.mail_server("X") == env.MailServer(*server)


@pytest.mark.parametrize(
    "url", ["mail.lan", "imap://mail", "smtp://:secret@", "smtp://a:secret@b:c"]
)
def test_one_that_does_not_fit_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("X", url)
    with pytest.raises(ImproperlyConfigured, match="Example: smtp") as refused:
        env.mail_server("X")
    assert "secret" not in str(refused.value)


def test_a_web_address_that_does_not_fit_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "hook.example/secret")
    with pytest.raises(ImproperlyConfigured, match="X is not a web address") as refused:
        env.web_address("X")
    assert "secret" not in str(refused.value)
