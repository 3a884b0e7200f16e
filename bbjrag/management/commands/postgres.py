"""manage.py postgres start | stop | status: the embedded server, by hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from bbjrag.embedded.backend.base import embedded_server
from bbjrag.embedded.installation import PostgresError
from bbjrag.embedded.server import EmbeddedPostgres, Status

NOT_RUNNING = 3  # the exit code of "status" in init scripts


class Command(BaseCommand):
    help = "Start or stop the embedded PostgreSQL, or show its state (exit code 3: not running)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status"])

    def handle(self, *args: Any, **options: Any) -> str | None:
        entry = settings.DATABASES["default"]
        if "EMBEDDED_DATA" not in entry:
            raise CommandError(_not_ours(entry))
        server = embedded_server(entry)
        try:
            if options["action"] == "start":
                return _start(server, entry["NAME"])
            if options["action"] == "stop":
                return _stop(server)
            return self._status(server)
        except PostgresError as error:
            raise CommandError(str(error)) from error

    def _status(self, server: EmbeddedPostgres) -> str | None:
        status = server.status()
        if status is not None:
            return _running(server, status)
        self.stdout.write(_not_running(server))
        sys.exit(NOT_RUNNING)


def _start(server: EmbeddedPostgres, database: str) -> str:
    started = server.ensure(database)
    status = server.status()
    if status is None:
        raise PostgresError("The embedded PostgreSQL was stopped again as soon as it ran.")
    return ("Started. " if started else "It runs already. ") + _running(server, status)


def _stop(server: EmbeddedPostgres) -> str:
    if not server.stop():
        return f"The embedded PostgreSQL in {server.folder} does not run. Nothing to stop."
    return "Stopped. The next process that needs the database starts it again."


def _running(server: EmbeddedPostgres, status: Status) -> str:
    pgvector = f"pgvector {status.pgvector}" if status.pgvector else "no pgvector"
    return (
        f"The embedded PostgreSQL {status.version} with {pgvector} runs as process {status.pid}.\n"
        f"Data:   {server.data} ({filesizeformat(status.size)})\n"
        f"Socket: {server.connection_params()['host']}\n"
        f"Log:    {server.data / 'log'}"
    )


def _not_running(server: EmbeddedPostgres) -> str:
    if server.busy():
        return (
            f"The embedded PostgreSQL in {server.folder} is starting, recovering or stopping. "
            "Ask again in a moment."
        )
    return (
        f"The embedded PostgreSQL in {server.folder} does not run. "
        "The next process that needs the database starts it; so does: manage.py postgres start"
    )


def _not_ours(entry: Mapping[str, Any]) -> str:
    where = entry.get("HOST") or "its socket"
    return (
        f"DATABASE_URL is set, so the database {entry['NAME']} is on the server at {where}, which "
        "is not ours to start, stop or watch. Unset DATABASE_URL for the embedded one."
    )
