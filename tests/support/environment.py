"""Loaded by pytest before Django's settings are read: nothing of the developer's own set-up counts.

Every test runs against a real PostgreSQL with pgvector: the embedded one, in a folder of the tests'
own, unless DATABASE_URL names another server.
"""

from __future__ import annotations

import os
import signal
import sys

from bbjrag import env

KEPT = {"BBJRAG_CORPUS", "OLLAMA_HOST", "DATABASE_URL"}

for name in env.listed() - KEPT:
    os.environ.pop(name, None)
os.environ |= {
    "ENV_FILE": os.devnull,
    "STATE_DIR": str(env.EXAMPLE.parent / ".data" / "tests"),
    "EMBEDDED_POSTGRES_SETTINGS": "fsync=off,synchronous_commit=off,full_page_writes=off",
    "LATE_INTERACTION": "false",  # a second of work for each dozen of chunks, in each installation
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # Playwright's own loop runs beside the tests
}

# Hundreds of processes are started: each would compile the project again, for half a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them all programs
# that they start: one that a test interrupts would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
