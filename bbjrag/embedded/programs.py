"""PostgreSQL's own programs, on the database that the settings name."""

from __future__ import annotations

import os
import subprocess

from django.core.management.base import CommandError
from django.db import connection
from psycopg.conninfo import make_conninfo

from bbjrag.embedded.installation import PostgresError, installation

# What they understand of the parameters that Django connects with.
CONNECTION = {"host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey"}


def run_program(name: str, *options: str) -> None:
    """Run `name` of the PostgreSQL that comes along, with the connection's address; its output is
    ours. Raises CommandError with its output if it fails."""
    connection.ensure_connection()  # starts the embedded server
    params = connection.get_connection_params()
    address = make_conninfo("", **{key: params[key] for key in CONNECTION & params.keys()})
    # The password stays out of the command line, which everybody on the machine may read.
    environment = {**os.environ, "PGPASSWORD": str(params.get("password", ""))}
    try:
        program = str(installation() / "bin" / name)
    except PostgresError as error:
        raise CommandError(str(error)) from error
    ended = subprocess.run(
        [program, "--no-password", f"--dbname={address}", *options],
        env=environment,
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if ended.returncode:
        raise CommandError(f"{name} failed: {ended.stderr.strip()}")
