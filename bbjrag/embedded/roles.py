"""Creates our role and database, and the extension that only a superuser may add."""

from __future__ import annotations

import psycopg
from psycopg import sql

from bbjrag.embedded.sockets import PORT

SUPERUSER = "postgres"
ROLE = "bbjrag"


def superuser(host: str, database: str = "postgres") -> psycopg.Connection:
    return psycopg.connect(
        host=host,
        port=PORT,
        user=SUPERUSER,
        dbname=database,
        autocommit=True,
        connect_timeout=10,
    )


def create_missing(host: str, database: str) -> None:
    """Create our role and `database`. The role is not a superuser: SQL reaches no file."""
    role, name = sql.Identifier(ROLE), sql.Identifier(database)
    with superuser(host) as connection:
        if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", ROLE):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(role))
        if _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", database):
            return
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))


def offer_vectors(host: str, database: str) -> None:
    """Install pgvector in `database`, or update it to its package: only a superuser may."""
    with superuser(host, database) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("ALTER EXTENSION vector UPDATE")


def _exists(connection: psycopg.Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode(), [name]).fetchone() is not None
