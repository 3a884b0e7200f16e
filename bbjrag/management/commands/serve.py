"""manage.py serve [ADDRESS]: admin and worker together; if one ends, so does the other."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from bbjrag.places import SHIPPED

PAUSE = 0.5  # seconds


class Command(BaseCommand):
    help = "The admin, with a worker, until Ctrl-C or SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", nargs="?", default="127.0.0.1:8000", help="HOST:PORT")

    def handle(self, *args: Any, address: str, **options: Any) -> None:
        listens, told = os.pipe()
        web, worker = commands(address)
        processes = [_start(web, told), _start(worker)]
        os.close(told)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            if _is_told(listens, processes):
                self.stdout.write(
                    f"The admin is at http://{address}/ (first login: manage.py createsuperuser)"
                )
                self.stdout.flush()
            while _are_alive(processes):
                time.sleep(PAUSE)
        except KeyboardInterrupt:
            pass
        for process in processes:
            process.terminate()
        sys.exit(max(abs(process.wait()) for process in processes))


def _is_told(listens: int, processes: list[subprocess.Popen[bytes]]) -> bool:
    """Whether the web server listens, as soon as it does; False if a process ended before."""
    while _are_alive(processes):
        if select.select([listens], [], [], PAUSE)[0]:
            return bool(os.read(listens, 1))
    return False


def _are_alive(processes: list[subprocess.Popen[bytes]]) -> bool:
    return all(process.poll() is None for process in processes)


def commands(address: str) -> list[list[str]]:
    web = ["gunicorn", "bbjrag.wsgi", "--config", str(SHIPPED / "gunicorn.conf.py")]
    return [
        [sys.executable, "-m", *web, "--bind", address],
        [sys.executable, "-m", "bbjrag", "worker"],
    ]


def _start(command: list[str], told: int | None = None) -> subprocess.Popen[bytes]:
    """Run from the folder where Python finds a checkout; relative settings mean the current one.
    The web server writes to `told` as soon as it listens (gunicorn.conf.py)."""
    places = {"STATE_DIR": str(settings.STATE_DIR), "DATA_DIR": str(settings.DATA_DIR)}
    passed = () if told is None else (told,)
    tells = {"BBJRAG_LISTENS": str(told)} if passed else {}
    environment = os.environ | places | tells
    return subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, pass_fds=passed)
