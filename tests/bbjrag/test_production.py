"""What a deployment demands, and what it gets: settings, cookies, headers, throttling, logs."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import os
import subprocess
import sys
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as live
from django.contrib.auth import get_user_model
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from bbjrag import env
from bbjrag.client_ip import client_address
from ingestion.log_context import RunContext, log_context

ROOT = Path(live.BASE_DIR)
SECRET = "k" * 20 + "0123456789" * 4
SHOW = """
import json
from bbjrag import settings
print(json.dumps({name: getattr(settings, name) for name in dir(settings) if name.isupper()},
                 default=str))
"""


def run(tmp_path: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = set(os.environ) - env.listed() - {"DJANGO_ALLOW_ASYNC_UNSAFE"}
    clean = {name: os.environ[name] for name in kept}
    given = {"ENV_FILE": os.devnull, "STATE_DIR": str(tmp_path / "state"), **environment}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=clean | given,
        check=False,
        capture_output=True,
        text=True,
    )


def settings_under(tmp_path: Path, **environment: str) -> dict[str, Any]:
    ended = run(tmp_path, "-c", SHOW, **environment)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_it_works_without_any_setting_on_this_machine(tmp_path: Path) -> None:
    found = settings_under(tmp_path)
    assert found["PRODUCTION"] is False
    assert found["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    key = tmp_path / "state" / "secret_key"
    assert found["SECRET_KEY"] == key.read_text()
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_kept_secret_stays(tmp_path: Path) -> None:
    first = settings_under(tmp_path)["SECRET_KEY"]
    assert settings_under(tmp_path)["SECRET_KEY"] == first


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"ALLOWED_HOSTS": "docs.example.com"}, "SECRET_KEY of at least 50 characters"),
        ({"ALLOWED_HOSTS": "docs.example.com", "SECRET_KEY": "x" * 49}, "at least 50 characters"),
        ({"PRODUCTION": "true", "SECRET_KEY": SECRET}, "PRODUCTION needs ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": "a.example", "SECRET_KEY": SECRET, "DEBUG": "true"}, "DEBUG shows"),
        ({"SECRET_KEY_FILE": "/nowhere/key"}, "SECRET_KEY_FILE=/nowhere/key cannot be read"),
        ({"SESSION_HOURS": "0"}, "SESSION_HOURS=0 is out of range"),
        ({"LOG_FORMAT": "xml"}, "use one of line, json"),
    ],
)
def test_what_a_deployment_lacks_is_one_sentence_and_no_traceback(
    tmp_path: Path, environment: dict[str, str], says: str
) -> None:
    ended = run(tmp_path, "manage.py", "check", **environment)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stderr


def test_check_deploy_is_clean(tmp_path: Path) -> None:
    given = {"ALLOWED_HOSTS": "docs.example.com", "SECRET_KEY": SECRET}
    ended = run(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING", **given)
    assert ended.returncode == 0, ended.stderr


def test_a_deployment_gets_secure_cookies_redirects_and_hsts(tmp_path: Path) -> None:
    found = settings_under(tmp_path, ALLOWED_HOSTS="docs.example.com", SECRET_KEY=SECRET)
    assert found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is True
    assert found["SECURE_SSL_REDIRECT"] is True
    assert found["SECURE_HSTS_SECONDS"] == 31536000
    assert found["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]
    assert not (tmp_path / "state").exists()


def test_a_deployment_without_https_keeps_cookies_that_work(tmp_path: Path) -> None:
    given = {"ALLOWED_HOSTS": "lan", "SECRET_KEY": SECRET, "HTTPS": "false"}
    found = settings_under(tmp_path, **given)
    assert found["SESSION_COOKIE_SECURE"] is found["SECURE_SSL_REDIRECT"] is False
    assert found["SECURE_HSTS_SECONDS"] == 0
    assert found["SECURE_PROXY_SSL_HEADER"] is None


@pytest.mark.parametrize(
    ("variable", "value", "name", "wanted"),
    [
        ("SESSION_HOURS", "2", "SESSION_COOKIE_AGE", 7200),
        ("LOGIN_ATTEMPTS", "3", "AXES_FAILURE_LIMIT", 3),
        ("TRUSTED_PROXIES", "2", "TRUSTED_PROXIES", 2),
        ("CSRF_TRUSTED_ORIGINS", "https://a:1", "CSRF_TRUSTED_ORIGINS", ["https://a:1"]),
        ("TIME_ZONE", "Europe/Berlin", "TIME_ZONE", "Europe/Berlin"),
        ("HSTS_SECONDS", "60", "HSTS_SECONDS", 60),
        ("WORKERS", "3", "WORKERS", 3),
        ("CANARY_TIMEOUT", "9", "CANARY_TIMEOUT", 9.0),
        ("REMOVAL_GATE_SHARE", "0.5", "REMOVAL_GATE_SHARE", 0.5),
        ("REMOVAL_GATE_DOCUMENTS", "3", "REMOVAL_GATE_DOCUMENTS", 3),
    ],
)
def test_each_setting_makes_its_difference(
    tmp_path: Path, variable: str, value: str, name: str, wanted: object
) -> None:
    assert settings_under(tmp_path)[name] != wanted
    assert settings_under(tmp_path, **{variable: value})[name] == wanted


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    (tmp_path / "password").write_text("p@ss/word\n")
    found = settings_under(
        tmp_path,
        SECRET_KEY_FILE=str(tmp_path / "key"),
        DATABASE_URL="postgres://me@db:5432/bbjrag",
        DATABASE_PASSWORD_FILE=str(tmp_path / "password"),
    )
    assert found["SECRET_KEY"] == SECRET
    assert found["DATABASES"]["default"]["PASSWORD"] == "p@ss/word"
    assert found["DATABASES"]["default"]["HOST"] == "db"


def test_a_connection_to_another_server_is_kept_and_looked_at(tmp_path: Path) -> None:
    found = settings_under(tmp_path, DATABASE_URL="postgres://me@db/x")["DATABASES"]["default"]
    assert (found["CONN_MAX_AGE"], found["CONN_HEALTH_CHECKS"]) == (60, True)


def test_a_secret_is_made_in_a_folder_that_is_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "there", tmp_path / "not" / "yet"):
        found = settings_under(tmp_path, STATE_DIR=str(folder))
        assert [path.name for path in folder.iterdir()] == ["secret_key"]
        assert len(found["SECRET_KEY"]) >= 50


def test_the_password_of_the_address_wins(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgres://me:mine@db/x", "DATABASE_PASSWORD": "other"}
    found = settings_under(tmp_path, **given)
    assert found["DATABASES"]["default"]["PASSWORD"] == "mine"
    assert found["DATABASE_URL"] == "db/x"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "wanted"),
    [
        (0, "6.6.6.6", "10.0.0.1"),
        (1, "6.6.6.6, 7.7.7.7", "7.7.7.7"),
        (2, "6.6.6.6, 7.7.7.7, 8.8.8.8", "7.7.7.7"),
        (2, "8.8.8.8", "8.8.8.8"),
        (1, "", "10.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_who_asks(
    settings: Any, proxies: int, forwarded: str, wanted: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {"X-Forwarded-For": forwarded} if forwarded else None
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR="10.0.0.1")
    assert client_address(request) == wanted


@pytest.fixture
def manager(db: None) -> Any:
    return get_user_model().objects.create_superuser("manager", password="right-horse-battery")


def log_in(password: str, address: str = "10.0.0.9") -> Any:
    form = {"username": "manager", "password": password}
    return Client(REMOTE_ADDR=address).post("/admin/login/?next=/admin/", form)


def test_guessing_passwords_is_stopped_for_that_address_only(manager: Any, settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    assert log_in("right-horse-battery").status_code == 302
    assert [log_in(f"guess {n}").status_code for n in range(3)] == [200, 200, 429]
    assert log_in("right-horse-battery").status_code == 429
    assert log_in("right-horse-battery", "10.0.0.10").status_code == 302


def test_no_password_is_kept_of_a_failed_login(manager: Any) -> None:
    log_in("a guess that was nearly right")
    rows = [str(row) for row in AccessAttempt.objects.values()]
    assert rows
    assert "nearly right" not in "".join(rows)


@pytest.mark.django_db
def test_the_headers_keep_a_page_to_itself() -> None:
    answer = Client().get("/admin/login/")
    policy = answer["Content-Security-Policy"]
    for part in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.django_db
def test_a_foreign_host_name_is_refused(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["docs.example.com"]
    assert Client().get("/admin/login/", HTTP_HOST="evil.example").status_code == 400


@pytest.mark.django_db
def test_plain_http_is_sent_to_https_but_for_health_checks(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/admin/login/")["Location"].startswith("https://")
    assert "Location" not in Client().get("/health")


def formatted(style: str, **fields: object) -> str:
    """A line logged about a run, as the handler of LOG_FORMAT writes it."""
    stream = io.StringIO()
    config = {**live.LOGGING, "loggers": {}, "root": {"handlers": [], "level": "WARNING"}}
    handler = {"class": "logging.StreamHandler", "stream": stream, "formatter": style}
    config["handlers"] = {"stderr": {**handler, "filters": ["run"]}}
    config["loggers"] = {"tests.logs": {"handlers": ["stderr"], "level": "INFO"}}
    del config["root"]
    logging.config.dictConfig({**config, "incremental": False})
    with log_context(**fields):
        logging.getLogger("tests.logs").info("read %s", "a.htm")
    return stream.getvalue()


def test_json_logs_name_the_run_and_the_source() -> None:
    record = json.loads(formatted("json", run=7, source="kb"))
    assert {k: record[k] for k in ("level", "logger", "message", "run", "source")} == {
        "level": "INFO",
        "logger": "tests.logs",
        "message": "read a.htm",
        "run": 7,
        "source": "kb",
    }
    assert "time" in record


@pytest.mark.parametrize(("level", "seen"), [("", False), ("info", True)])
def test_the_log_level_says_what_is_told(tmp_path: Path, level: str, seen: bool) -> None:
    code = "import logging.config; from bbjrag.settings import LOGGING;"
    code += "logging.config.dictConfig(LOGGING); logging.getLogger('ingestion').info('read it')"
    assert ("read it" in run(tmp_path, "-c", code, LOG_LEVEL=level).stderr) is seen


def test_a_line_is_the_default() -> None:
    assert formatted("line", run=7).endswith("INFO tests.logs: read a.htm\n")


def test_the_context_ends_with_its_block() -> None:
    record = logging.makeLogRecord({})
    with log_context(run=1):
        pass
    assert RunContext().filter(record)
    assert not hasattr(record, "run")


def broken() -> Any:
    try:
        raise RuntimeError("something broke")
    except RuntimeError:
        return sys.exc_info()


def test_an_error_page_shows_no_password_even_with_debug(settings: Any) -> None:
    settings.DEBUG = True
    secret = token_hex(20)
    settings.OLLAMA_HOSTS = [f"http://me:{secret}@ollama"]
    settings.SECRET_KEY = secret
    request = RequestFactory().get("/", DATABASE_URL=f"postgres://me:{secret}@db/x")
    request.META["OLLAMA_HOST"] = f"http://me:{secret}@ollama"
    page = ExceptionReporter(request, *broken()).get_traceback_html()
    assert "something broke" in page
    assert "OLLAMA_HOSTS" in page
    assert secret not in page
