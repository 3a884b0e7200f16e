"""Gunicorn reads this file by itself, in `make serve` and in the container."""

import os

from bbjrag.settings import LOGGING

threads = 8
timeout = 120
graceful_timeout = 20
# Its heartbeat file is in memory: a slow disk must not look like a dead worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
control_socket_disable = True
logconfig_dict = LOGGING
