"""manage.py serve [ADDRESS]: admin and worker together; if one ends, so does the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from bbjrag.places import SHIPPED


class Command(BaseCommand):
    help = "The admin, with a worker, until Ctrl-C or SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", nargs="?", default="127.0.0.1:8000", help="HOST:PORT")

    def handle(self, *args: Any, address: str, **options: Any) -> None:
        processes = [_start(command) for command in commands(address)]
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.stdout.write(
            f"The admin is at http://{address}/ (first login: manage.py createsuperuser)"
        )
        self.stdout.flush()
        try:
            while all(process.poll() is None for process in processes):
                time.sleep(0.5)
        except KeyboardInterrupt:
            pass
        for process in processes:
            process.terminate()
        sys.exit(max(abs(process.wait()) for process in processes))


def commands(address: str) -> list[list[str]]:
    web = ["gunicorn", "bbjrag.wsgi", "--config", str(SHIPPED / "gunicorn.conf.py")]
    return [
        [sys.executable, "-m", *web, "--bind", address],
        [sys.executable, "-m", "bbjrag", "worker"],
    ]


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    """Run from the folder where Python finds a checkout; relative settings mean the current one."""
    places = {"STATE_DIR": str(settings.STATE_DIR), "DATA_DIR": str(settings.DATA_DIR)}
    return subprocess.Popen(command, cwd=settings.BASE_DIR, env=os.environ | places)
