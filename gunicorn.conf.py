"""Gunicorn reads this file by itself, in `make serve` and in the container."""

import os
import shutil
import tempfile
import threading
from typing import Any

from bbjrag.settings import LOGGING, SERVER_PROCESSES, SERVER_THREADS

worker_class = "bbjrag.web_server.WebWorker"
workers = SERVER_PROCESSES
threads = SERVER_THREADS
preload_app = True  # its processes share the memory of what is imported
worker_connections = 500  # of each process
timeout = 120
graceful_timeout = 20
# Its heartbeat file is in memory: a slow disk must not look like a dead worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
control_socket_disable = True
logconfig_dict = LOGGING
# The processes count searches in files there, so that /metrics shows the sum.
_counts = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="bbjrag-metrics-")


def when_ready(server: Any) -> None:
    """Tell `manage.py serve`."""
    if listens := os.environ.pop("BBJRAG_LISTENS", ""):
        with open(int(listens), "wb") as told:
            told.write(b"1")


def post_worker_init(worker: Any) -> None:
    from ingestion.notifications import watching  # noqa: PLC0415 - needs the application
    from ingestion.search import late_interaction  # noqa: PLC0415

    watching.start_thread()
    # Not before the fork: a process that inherits the open model hangs when it ends.
    # No daemon: one that is still opening it when the process ends would abort it.
    threading.Thread(target=late_interaction.get_ready).start()


def on_exit(server: Any) -> None:
    shutil.rmtree(_counts, ignore_errors=True)
