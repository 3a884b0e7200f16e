"""Gunicorn reads this file by itself, in `make serve` and in the container."""

import os

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
