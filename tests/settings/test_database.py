"""The settings of the database: the embedded one, or another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.settings.place import Place

LOCKED = "local other locked scram-sha-256\n"


@pytest.fixture
def other(place: Place) -> Iterator[str]:
    """The DATABASE_URL of an empty database whose role has a password, which is not in it."""
    rules = place.server.data / "pg_hba.conf"
    before = rules.read_bytes()
    rules.write_bytes(LOCKED.encode() + before)
    place.do("CREATE ROLE locked LOGIN PASSWORD 'p@ss/word'")
    place.do("CREATE DATABASE other OWNER locked")
    place.do("SELECT pg_reload_conf()")
    host = quote(str(place.server.connection_params()["host"]), safe="")
    yield f"postgres://locked@{host}:5432/other"
    rules.write_bytes(before)
    place.do("SELECT pg_reload_conf()")
    place.do("DROP DATABASE other WITH (FORCE)")
    place.do("DROP ROLE locked")


@pytest.mark.setting("DATABASE_URL")
@pytest.mark.setting("DATABASE_PASSWORD")
def test_the_database_that_is_named_is_used(place: Place, other: str) -> None:
    file = place.folder / "password"
    file.write_text("p@ss/word\n")
    passwords: list[dict[str, Any]] = [{"DATABASE_PASSWORD": "p@ss/word"}]
    for given in [*passwords, {"DATABASE_PASSWORD_FILE": str(file)}]:
        said, _ = place.says("showmigrations", "sources", DATABASE_URL=other, **given)
        assert "[ ] 0001_initial" in said
        assert "[X]" not in said


@pytest.mark.setting("EMBEDDED_POSTGRES_SETTINGS")
def test_the_embedded_server_has_its_settings(place: Place) -> None:
    names = ("fsync", "max_connections", "superuser_reserved_connections")
    assert [place.ask(f"SHOW {name}") for name in names] == ["off", "80", "3"]


@pytest.mark.setting("STATE_DIR")
def test_the_embedded_database_lies_in_the_folder_that_is_named(place: Place) -> None:
    assert place.ask("SHOW data_directory") == str(place.folder / "state" / "postgres" / "data")
