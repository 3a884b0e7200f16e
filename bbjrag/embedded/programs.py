"""Runs PostgreSQL's own programs on the database of the settings."""

from __future__ import annotations

import os
import subprocess

from django.core.management.base import CommandError
from django.db import connection
from psycopg.conninfo import make_conninfo

from bbjrag.embedded.installation import PostgresError, installation

# Django's connection parameters that they understand.
CONNECTION = {"host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey"}


def run_program(name: str, *options: str) -> None:
    """Run the installed PostgreSQL's program `name` with the connection's address; it writes to
    our output. Raises CommandError with its error output if it fails."""
    connection.ensure_connection()  # starts the embedded server
    params = connection.get_connection_params()
    address = make_conninfo("", **{key: params[key] for key in CONNECTION & params.keys()})
    # The password is not on the command line, which everybody on the machine may read.
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
