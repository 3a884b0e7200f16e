"""Where things are: beside manage.py in a checkout; else in the package and the current folder."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
IN_CHECKOUT = (PACKAGE.parent / "manage.py").is_file()

BASE_DIR = PACKAGE.parent if IN_CHECKOUT else Path.cwd()
"""The folder of `.env` and `.data`, and the one that other processes of bbjrag start in."""

SHIPPED = PACKAGE.parent if IN_CHECKOUT else PACKAGE
"""The folder of what comes along: .env.example, gunicorn.conf.py, templates, sample_data."""
