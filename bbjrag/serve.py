"""Admin and worker beside each other for `make serve`; both end together, on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys
import time


def commands(address: str) -> list[list[str]]:
    web = [sys.executable, "-m", "gunicorn", "bbjrag.wsgi", "--bind", address]
    return [[*web, "--threads", "8"], [sys.executable, "manage.py", "worker"]]


def main() -> int:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
    processes = [subprocess.Popen(command) for command in commands(address)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdout.write(
        f"The admin is at http://{address}/ (first login: manage.py createsuperuser)\n"
    )
    sys.stdout.flush()
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
    except KeyboardInterrupt:
        pass
    for process in processes:
        process.terminate()
    codes = [process.wait() for process in processes]
    return max(abs(code) for code in codes if code is not None)


if __name__ == "__main__":
    sys.exit(main())
