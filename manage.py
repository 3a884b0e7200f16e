#!/usr/bin/env python
"""Django's command line for bbjrag."""

from __future__ import annotations

import gc
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

MISCONFIGURED = 2
# Nearly all that a start makes stays: to look it through for cycles at every 700 new objects, as
# Python does, took 7 % of a run. A reading chooses its own number (`ingestion.process`).
OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> None:
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(MISCONFIGURED)
    finally:
        gc.freeze()  # the last collection, of what ends with the process anyway, took 0.3 s


if __name__ == "__main__":
    main()
