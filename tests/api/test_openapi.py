"""The API keeps to its own description, whatever schemathesis makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, assume, given, settings
from pytest_django import Settings

from ingestion.access import RIGHTS
from ingestion.api import tokens
from ingestion.api.openapi import description
from tests.support.indexed import document, index
from tests.support.reading import write_pages

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OPERATIONS = [
    ("/api/search", "POST"),
    ("/api/documents/{id}", "GET"),
    ("/api/stats", "GET"),
    ("/api/sources", "GET"),
    ("/api/runs", "POST"),
    ("/api/runs/{id}", "GET"),
    ("/api/runs/{id}/cancel", "POST"),
    ("/api/runs/{id}/removals", "POST"),
]


@pytest.fixture
def configuration(request: pytest.FixtureRequest) -> Settings:
    """Django's settings; hypothesis has others of this name."""
    found: Settings = request.getfixturevalue("settings")
    return found


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """The application does not close the connection that holds the test's transaction."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_answers_are_as_described(
    path: str, method: str, mode: Any, configuration: Settings, tmp_path: Path
) -> None:
    configuration.DATA_DIR = tmp_path
    write_pages(tmp_path / "docs", ["files"])
    index(document("Files", "## Locks\n\nThe verb EXTRACT reads a record and locks it."))
    _, token = tokens.make("tests", requests_per_minute=100_000, rights=RIGHTS)
    shown = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_wsgi(
        "/api/openapi.json", get_wsgi_application(), headers=shown
    )
    rejection = schema.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # a query far too long
    operation = schema[path][method]

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        # Two halves of one character are two for schemathesis, and one for whoever reads the JSON.
        assume(not re.search("[\ud800-\udfff]", str(case.body)))
        case.call_and_validate(headers=shown)

    asked()


def test_every_operation_is_asked() -> None:
    described = description()["paths"].items()
    assert {(path, method.upper()) for path, methods in described for method in methods} == set(
        OPERATIONS
    )
