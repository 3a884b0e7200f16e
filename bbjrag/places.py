"""Folders: that of manage.py in a checkout, else the package's and the current folder."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
IN_CHECKOUT = (PACKAGE.parent / "manage.py").is_file()

BASE_DIR = PACKAGE.parent if IN_CHECKOUT else Path.cwd()
"""The folder of `.env` and `.data`, in which other processes of bbjrag start."""

SHIPPED = PACKAGE.parent if IN_CHECKOUT else PACKAGE
"""The folder of .env.example, gunicorn.conf.py, templates and sample_data."""
