#!/usr/bin/env python
"""Django's command line for bbjrag."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

MISCONFIGURED = 2


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(MISCONFIGURED)


if __name__ == "__main__":
    main()
