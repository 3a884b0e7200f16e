"""Django's PostgreSQL backend on the embedded server, which the first connection starts.

An entry of DATABASES:

    {"ENGINE": "bbjrag.embedded.backend", "NAME": "bbjrag", "EMBEDDED_DATA": "/path/.data/postgres",
     "OPTIONS": {"server_settings": {"fsync": "off"}}}

`server_settings`, which may be left out, take effect at the server's next start. HOST, PORT and
USER are the server's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psycopg
from django.db.backends.postgresql import base, client

from bbjrag.embedded.installation import PostgresError, installation
from bbjrag.embedded.server import EmbeddedPostgres


def embedded_server(entry: Mapping[str, Any]) -> EmbeddedPostgres:
    """The server that an entry of DATABASES names."""
    options = entry.get("OPTIONS") or {}
    folder = Path(entry["EMBEDDED_DATA"]).absolute()
    return EmbeddedPostgres(folder, options.get("server_settings") or {})


class DatabaseClient(client.DatabaseClient):
    """`manage.py dbshell`, with the server's own psql."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        server = embedded_server(settings_dict)
        server.ensure(settings_dict["NAME"])
        params = {name.upper(): value for name, value in server.connection_params().items()}
        args, env = super().settings_to_cmd_args_env({**settings_dict, **params}, parameters)
        return [str(installation() / "bin" / "psql"), *args[1:]], env


class DatabaseWrapper(base.DatabaseWrapper):
    """Connects first and checks only if that fails, so that a running server costs no check."""

    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        params.pop("server_settings", None)
        return {**params, **embedded_server(self.settings_dict).connection_params()}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return super().get_new_connection(conn_params)
        except psycopg.OperationalError:
            self._ensure_server(conn_params["dbname"])
        return super().get_new_connection(self.get_connection_params())

    def _ensure_server(self, database: str) -> None:
        """Start the server. Raises psycopg's OperationalError, as for a server that is down."""
        try:
            embedded_server(self.settings_dict).ensure(database)
        except PostgresError as error:
            raise psycopg.OperationalError(str(error)) from error
