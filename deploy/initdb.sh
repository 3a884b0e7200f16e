#!/bin/sh
# Run once by the database's image when its volume is empty: the application gets a role of its own,
# which is not a superuser, and pgvector, which only a superuser may install.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set password="$(cat /run/secrets/database_password)" <<'SQL'
CREATE ROLE bbjrag LOGIN PASSWORD :'password';
CREATE DATABASE bbjrag OWNER bbjrag;
\connect bbjrag
CREATE EXTENSION IF NOT EXISTS vector;
SQL
