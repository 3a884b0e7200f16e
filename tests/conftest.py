from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from hypothesis import settings as hypothesis_settings

# The same examples each time: what CI says depends on the code alone. Others are tried with
# --hypothesis-profile=default.
hypothesis_settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis_settings.load_profile("steady")

# What takes more than a moment, as it starts processes, browsers or servers, or reads much:
# `make test-fast` leaves it out.
SLOW = (
    "admin",
    "api/test_build_script.py",
    "api/test_openapi.py",
    "api/test_runs.py",
    "bbjrag/test_embedded.py",
    "bbjrag/test_production.py",
    "bbjrag/test_second_factor.py",
    "bbjrag/test_single_sign_on.py",
    "chunking/test_stage.py",
    "faults",
    "index/test_export.py",
    "index/test_moves.py",
    "index/test_term_statistics.py",
    "journeys",
    "management",
    "mcp",
    "parsers/test_mdx.py",
    "parsers/web/test_crawl.py",
    "parsers/web/test_runs.py",
    "project",
    "runs/test_dry_run.py",
    "runs/test_worse_chunks.py",
    "search/test_search_meanwhile.py",
    "settings",
    "test_access.py",
    "test_pipeline.py",
)


# Those of the processes that tests start are as slow as they have to be.
PASSWORD_HASHERS = ("MD5PasswordHasher", "PBKDF2PasswordHasher")


def pytest_configure() -> None:
    hashers = [f"django.contrib.auth.hashers.{name}" for name in PASSWORD_HASHERS]
    settings.PASSWORD_HASHERS = hashers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(Path(__file__).parent).as_posix()
        if place.startswith(SLOW):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real material that BBJRAG_CORPUS names."""
    folder = os.environ.get("BBJRAG_CORPUS", "")
    if not folder:
        pytest.skip("BBJRAG_CORPUS names no folder of real material")
    return Path(folder)


@pytest.fixture(scope="session")
def own_number() -> Iterator[int]:
    """A number that no other test session has at the same time, so that several can run at once."""
    folder = Path(settings.STATE_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        with (folder / f"session-{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    own_number: int, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Each test session has a database of its own."""
    for connection in connections.all():
        connection.settings_dict["TEST"]["NAME"] = f"test_bbjrag_{own_number}"
