"""`python -m bbjrag.healthcheck URL`: exit code 0 if it answers 200, without curl."""

from __future__ import annotations

import sys
import urllib.request

TIMEOUT = 5.0


def problem(url: str) -> str:
    """Why the address is not healthy; empty if it is."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return "" if answer.status == 200 else f"{url} answers {answer.status}."
    except OSError as error:
        return f"{url}: {error}"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1]) or 0)
