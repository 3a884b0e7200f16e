"""The command line: `bbjrag` once installed, `python -m bbjrag`, and manage.py in a checkout."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from django import db
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from bbjrag import __version__

MISCONFIGURED = 2
# Nearly all objects of a start are kept: checking them for cycles at every 700 new objects, as
# Python does, took 7 % of a run. A run sets its own number (`ingestion.worker.supervisor`).
OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> None:
    if sys.argv[1:] == ["--version"]:  # Django would answer with its own
        sys.stdout.write(f"bbjrag {__version__}\n")
        return
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
    try:
        execute_from_command_line([_program(), *sys.argv[1:]])
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(MISCONFIGURED)
    except db.Error:
        if "--traceback" in sys.argv or not (problem := _database_problem()):
            raise
        sys.stderr.write(f"{problem}\n")
        sys.exit(MISCONFIGURED)
    finally:
        gc.freeze()  # a last collection, just before the process ends, took 0.3 s


def _database_problem() -> str:
    """Why no command can use the database; empty if the error is not about that."""
    # Only now: it needs the models, which execute_from_command_line() loads.
    from ingestion.runs import preflight  # noqa: PLC0415

    return preflight.database_problem()


def _program() -> str:
    """The name of the command in usage messages."""
    return "bbjrag" if Path(sys.argv[0]).name == "__main__.py" else sys.argv[0]


if __name__ == "__main__":
    main()
