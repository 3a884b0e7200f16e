"""The Dockerfile and docker-compose.yml: their form, what they promise, and that each command runs.

There need be no Docker here: every service's command line is started as a process, with the
service's environment, against a database of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import psycopg
import pytest
import yaml
from django.conf import settings
from django.db import connection

from bbjrag import env
from bbjrag.embedded.installation import installation

ROOT = Path(settings.BASE_DIR)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ONE_SHOT = {"migrate", "ollama-model"}
OURS = {"migrate", "web", "worker"}
MEGABYTE = {"m": 1, "mb": 1, "g": 1024, "gb": 1024}


def default_of(value: str) -> str:
    """The value as Compose fills it in where nothing is set; what must be given is left empty."""
    value = re.sub(r"\$\{\w+:\?[^}]*\}", "", value)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def megabytes(value: str) -> int:
    match = re.fullmatch(r"(\d+)([mg]b?)", value.lower())
    assert match, value
    return int(match[1]) * MEGABYTE[match[2]]


def test_the_compose_file_is_valid() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))


@pytest.mark.skipif(
    not shutil.which("hadolint", path=str(Path(sys.executable).parent)), reason="no"
)
def test_the_dockerfile_has_nothing_to_complain_about() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    ended = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"")


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "privileged" not in service
    assert "cap_add" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert 512 <= megabytes(default_of(service["mem_limit"])) <= 8192
    assert 256 <= service["pids_limit"] <= 2048
    for place in service["tmpfs"]:
        options = dict(option.partition("=")[::2] for option in place.partition(":")[2].split(","))
        assert megabytes(options["size"]) <= 256, "a tmpfs counts as memory"


def test_the_memory_of_a_service_holds_what_its_settings_allow() -> None:
    def limit(name: str) -> int:
        return megabytes(default_of(SERVICES[name]["mem_limit"]))

    given = {k: default_of(v) for k, v in SERVICES["worker"]["environment"].items()}
    assert limit("worker") >= 1.25 * int(given["WORKERS"]) * int(given["RUN_MEMORY_LIMIT_MB"])
    options = " ".join(default_of(part) for part in SERVICES["db"]["command"])
    asked = re.findall(r"(?:shared_buffers|maintenance_work_mem)=(\S+)", options)
    assert limit("db") >= sum(map(megabytes, asked)) + 1024


def test_the_limits_that_the_documentation_names_are_those_of_the_file() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    told = dict(re.findall(r"(?m)^\| `(\w+_MEMORY)` \| (\w+) \|", text))
    limits = " ".join(service["mem_limit"] for service in SERVICES.values())
    assert told == dict(re.findall(r"\$\{(\w+):-(\w+)\}", limits))


@pytest.mark.parametrize("name", SERVICES)
def test_each_image_is_pinned(name: str) -> None:
    image = default_of(SERVICES[name]["image"])
    assert not image.endswith(":latest")
    if name not in OURS:
        assert re.search(r":\d+\.\d+\.\d+", image)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_each_lasting_service_restarts_and_tells_its_health(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_a_one_shot_service_is_waited_for(name: str) -> None:
    waiting = [s for s in SERVICES.values() if name in s.get("depends_on", {})]
    assert waiting
    for service in waiting:
        assert service["depends_on"][name]["condition"] == "service_completed_successfully"
    assert SERVICES[name]["restart"].startswith("on-failure")


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"(?m)^USER (.+)$", (ROOT / "Dockerfile").read_text())
    assert users == ["10001:10001"]
    assert SERVICES["db"]["user"] == "postgres"


def test_an_index_build_has_the_shared_memory_it_asks_for() -> None:
    options = " ".join(default_of(part) for part in SERVICES["db"]["command"])
    asked = re.search(r"maintenance_work_mem=(\S+)", options)
    assert asked
    assert megabytes(SERVICES["db"]["shm_size"]) >= megabytes(asked[1])


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_sources_are_mounted_read_only(name: str) -> None:
    (mount,) = (v for v in SERVICES[name]["volumes"] if isinstance(v, dict))
    assert mount["read_only"] is True
    assert mount["target"] == "/data"
    assert mount["bind"]["create_host_path"] is False


@pytest.mark.parametrize("name", sorted(OURS))
def test_repositories_are_on_a_volume_of_the_image_s_user(name: str) -> None:
    """Web and worker share what is fetched; a temporary file system would be too small."""
    (volume,) = (v for v in SERVICES[name]["volumes"] if isinstance(v, str))
    kept, place = volume.split(":")
    assert kept in COMPOSE["volumes"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert place == re.findall(r"STATE_DIR=(\S+)", dockerfile)[0] + "/repositories"
    assert re.search(rf"install --directory --owner=10001 .*{place}\b", dockerfile)
    assert re.search(r"apt-get install .*\bgit openssh-client\b", dockerfile)


def test_no_password_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            secret = re.search("PASSWORD|SECRET|KEY", name)
            assert not secret or (name.endswith("_FILE") and value.startswith("/run/secrets/"))
    assert all(set(entry) == {"file"} for entry in COMPOSE["secrets"].values())


def test_only_the_web_is_published_and_only_to_this_machine() -> None:
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert list(published) == ["web"]
    assert default_of(published["web"][0]) == "127.0.0.1:8000:8000"
    assert COMPOSE["networks"]["database"]["internal"] is True
    assert SERVICES["db"]["networks"] == ["database"]


def test_the_services_know_only_variables_that_are_read() -> None:
    extra = {f"{name}_FILE" for name in env.listed()}
    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= env.listed() | extra


def test_the_image_holds_only_what_the_dockerfile_copies() -> None:
    """An allow-list: what is new in the checkout (.env, secrets/, .data) stays out by itself."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line[1:] for line in rules if line.startswith("!")}
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text())
    assert let_in == {name for line in copied for name in line.split()}
    assert all((ROOT / name).exists() for name in let_in)


def test_make_secrets_makes_each_once_and_readable_in_the_container(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for _ in range(2):
        subprocess.run(["make", "secrets"], cwd=tmp_path, check=True, capture_output=True)
    made = {f"./secrets/{p.name}": p.read_text() for p in (tmp_path / "secrets").iterdir()}
    assert set(made) == {entry["file"] for entry in COMPOSE["secrets"].values()}
    assert len(set(made.values())) == 3
    assert all(len(value.strip()) >= 50 for value in made.values())
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "secrets" / "secret_key").stat().st_mode & 0o777 == 0o644


@pytest.fixture
def own_database(own_number: int, django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """The DATABASE_URL of an empty database, without a password."""
    name = f"containers_{own_number}"
    with django_db_blocker.unblock():
        connection.ensure_connection()
        params = {**connection.get_connection_params(), "dbname": "postgres"}
    params = {
        k: v for k, v in params.items() if k in {"host", "port", "user", "password", "dbname"}
    }
    with psycopg.connect(**params, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
        host = quote(str(params["host"]), safe="")
        yield f"postgres://{params['user']}@{host}:{params.get('port', 5432)}/{name}"
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_the_database_is_prepared_for_a_role_that_is_no_superuser(
    own_number: int, django_db_setup: None, django_db_blocker: Any, tmp_path: Path
) -> None:
    """The script that the database's image runs once; here with names of its own."""
    if "EMBEDDED_DATA" not in settings.DATABASES["default"]:
        pytest.skip("only the embedded server lets its superuser in")
    role = f"initdb_{own_number}"
    (tmp_path / "password").write_text('it\'s "quoted"; $HOME\n')
    script = (ROOT / "deploy" / "initdb.sh").read_text().replace("bbjrag", role)
    script = script.replace("/run/secrets/database_password", str(tmp_path / "password"))
    with django_db_blocker.unblock():
        connection.ensure_connection()
        params = connection.get_connection_params()
    programs = installation() / "bin"
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "POSTGRES_USER": "postgres"}
    environment |= {"PGHOST": str(params["host"]), "PGPORT": str(params["port"])}
    with psycopg.connect(
        host=params["host"],
        port=params["port"],
        user="postgres",
        dbname="postgres",
        autocommit=True,
    ) as server:
        server.execute(f"DROP DATABASE IF EXISTS {role}")
        server.execute(f"DROP ROLE IF EXISTS {role}")
        subprocess.run(["/bin/sh", "-c", script], env=environment, check=True)
        made = server.execute(
            "SELECT rolsuper, rolcreaterole, pg_get_userbyid(datdba) FROM pg_roles, pg_database"
            " WHERE rolname = %s AND datname = %s",
            [role, role],
        ).fetchone()
        assert made == (False, False, role)
        server.execute(f"DROP DATABASE {role}")
        server.execute(f"DROP ROLE {role}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment_of(name: str, tmp_path: Path, database: str) -> dict[str, str]:
    """The service's environment, with the files, the database and the embedder of this test."""
    given = {k: default_of(str(v)) for k, v in SERVICES[name]["environment"].items()}
    for secret in ("secret_key", "database_password"):
        (tmp_path / secret).write_text("x7" * 40)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        **{k: v.replace("/run/secrets", str(tmp_path)) for k, v in given.items()},
        "ALLOWED_HOSTS": "docs.example.com",
        "DATABASE_URL": database,
        "EMBEDDING_PROVIDER": "wordllama",
        "DATA_DIR": str(ROOT / "sample_data"),
        "STATE_DIR": str(tmp_path / "state"),
        "ENV_FILE": os.devnull,
        "REAPER_INTERVAL": "1",
    }


def command_of(parts: list[str], port: int) -> list[str]:
    """The command line, with this Python for the container's, and a free port for 8000."""
    parts = [part.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for part in parts]
    parts = [part.replace("127.0.0.1:8000", f"127.0.0.1:{port}") for part in parts]
    if parts[0] == "gunicorn":
        return [sys.executable, "-m", *parts]
    return [sys.executable, *parts[1:]]


class Services:
    """Services of the compose file, as processes."""

    def __init__(self, tmp_path: Path, database: str) -> None:
        self.tmp_path, self.database = tmp_path, database
        self.port = free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, prepare: Callable[[], None] | None = None) -> None:
        with (self.tmp_path / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                command_of(SERVICES[name]["command"], self.port),
                cwd=ROOT,
                env=environment_of(name, self.tmp_path, self.database),
                stdout=log,
                stderr=log,
                preexec_fn=prepare,
            )

    def healthy(self, name: str, seconds: float = 60) -> bool:
        command = command_of(SERVICES[name]["healthcheck"]["test"][1:], self.port)
        environment = environment_of(name, self.tmp_path, self.database)
        deadline = time.monotonic() + seconds
        while True:
            ended = subprocess.run(command, cwd=ROOT, env=environment, check=False)
            if ended.returncode == 0 or time.monotonic() > deadline:
                return ended.returncode == 0
            time.sleep(0.3)

    def stop(self, name: str) -> int:
        self.running[name].terminate()
        return self.running.pop(name).wait(60)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As `docker compose exec web python manage.py`."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment_of("web", self.tmp_path, self.database),
            capture_output=True,
            text=True,
            check=False,
        )

    def log(self, name: str) -> str:
        return (self.tmp_path / f"{name}.log").read_text()


@pytest.fixture
def services(tmp_path: Path, own_database: str) -> Iterator[Services]:
    made = Services(tmp_path, own_database)
    yield made
    for process in made.running.values():
        process.kill()
        process.wait()


def test_every_service_starts_gets_healthy_and_ends_when_told(services: Services) -> None:
    services.start("migrate")
    assert services.running.pop("migrate").wait(120) == 0, services.log("migrate")
    services.start("web")
    assert services.healthy("web"), services.log("web")
    assert not services.healthy("worker", seconds=0)
    services.start("worker")
    assert services.healthy("worker"), services.log("worker")
    assert services.stop("worker") == 0
    assert not services.healthy("worker", seconds=0)
    assert services.stop("web") == 0
    assert not services.healthy("web", seconds=0)
    for line in services.log("web").splitlines():
        assert json.loads(line)["level"] == "INFO"
    assert not (services.tmp_path / "state").exists()


CGROUPS = [Path("/sys/fs/cgroup") / kind for kind in ("memory", "pids")]


class Limited:
    """The limits of a service, as its container has them: control groups of version 1."""

    def __init__(self, name: str) -> None:
        self.memory, self.pids = (kind / f"bbjrag-{os.getpid()}-{name}" for kind in CGROUPS)
        self.most = megabytes(default_of(SERVICES[name]["mem_limit"])) * 2**20
        for group in (self.memory, self.pids):
            group.mkdir()
        (self.memory / "memory.limit_in_bytes").write_text(str(self.most))
        (self.pids / "pids.max").write_text(str(SERVICES[name]["pids_limit"]))

    def enter(self) -> None:
        for group in (self.memory, self.pids):
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self) -> int:
        return int((self.memory / "memory.max_usage_in_bytes").read_text())

    def refusals(self) -> int:
        """How often another process or thread was refused."""
        return int((self.pids / "pids.events").read_text().split()[1])

    def remove(self) -> None:
        for group in (self.memory, self.pids):
            group.rmdir()


@pytest.mark.skipif(
    not all(os.access(kind / "cgroup.procs", os.W_OK) for kind in CGROUPS),
    reason="needs control groups of version 1 that may be written",
)
def test_our_services_live_within_their_limits(services: Services) -> None:
    limits = {name: Limited(name) for name in ("migrate", "web", "worker")}
    services.start("migrate", limits["migrate"].enter)
    assert services.running.pop("migrate").wait(120) == 0, services.log("migrate")
    for name in ("web", "worker"):
        services.start(name, limits[name].enter)
        assert services.healthy(name), services.log(name)
    ended = services.manage("ingest_all", "--source", "mdx-dwc", "--source", "pdf")
    assert ended.returncode == 0, ended.stderr
    for name in ("web", "worker"):
        assert services.stop(name) == 0
    for name, limit in limits.items():
        assert limit.peak() < 0.8 * limit.most, name
        assert limit.refusals() == 0, name
        limit.remove()


STAND_IN = """#!/bin/sh
# docker compose exec -T web python manage.py ...
[ "$*" = "compose exec -T web python manage.py backup -" ] || exit 64
shift 5
{fault}
exec {python} "$@"
"""


def stand_in(folder: Path, fault: str = "") -> Path:
    """A folder with a `docker` that runs the command here."""
    folder.mkdir(exist_ok=True)
    text = STAND_IN.format(fault=fault, python=sys.executable)
    (folder / "docker").write_text(text)
    (folder / "docker").chmod(0o755)
    return folder


def back_up(services: Services, file: Path, fault: str = "") -> int:
    environment = environment_of("web", services.tmp_path, services.database)
    docker = stand_in(services.tmp_path / "bin", fault)
    environment["PATH"] = f"{docker}:{environment['PATH']}"
    command = [str(ROOT / "deploy" / "backup.sh"), file.name]
    return subprocess.run(command, cwd=file.parent, env=environment, umask=0o022).returncode


def dumped(file: Path, table: str) -> str:
    program = str(installation() / "bin" / "pg_restore")
    command = [program, "--data-only", f"--table={table}", "-f", "-", str(file)]
    return str(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_backup_of_the_containers_is_private_and_lets_nobody_in(services: Services) -> None:
    services.manage("migrate", "--verbosity", "0")
    with psycopg.connect(services.database) as made:
        made.execute(
            "INSERT INTO django_session VALUES ('live-session-key', 'data', now() + '1 day')"
        )
        made.execute("INSERT INTO django_cache VALUES ('kept', '1', now() + '1 day')")
        made.execute("UPDATE sources_source SET title = 'My title' WHERE name = 'pdf'")
    file = services.tmp_path / "bbjrag.dump"
    file.write_text("an older one, open to everybody")
    file.chmod(0o644)
    assert back_up(services, file) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"live-session-key" not in file.read_bytes()
    assert "live-session-key" not in dumped(file, "django_session")
    assert "kept" not in dumped(file, "django_cache")
    assert "My title" in dumped(file, "sources_source")
    assert "django_session" in file.read_bytes().decode(errors="replace"), "its table is there"


def test_a_backup_that_fails_leaves_the_last_one(services: Services) -> None:
    file = services.tmp_path / "bbjrag.dump"
    file.write_text("the last one")
    before = set(services.tmp_path.iterdir())
    assert back_up(services, file, fault="echo half of it; exit 1") != 0
    assert file.read_text() == "the last one"
    assert set(services.tmp_path.iterdir()) - before <= {
        services.tmp_path / name for name in ("bin", "secret_key", "database_password")
    }
