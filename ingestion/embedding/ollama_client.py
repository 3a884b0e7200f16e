"""The client class of the package `ollama`, without the clients that the package makes for itself.

`import ollama` makes a client of OLLAMA_HOST, which it takes for one address, and of the proxies
and certificates in the environment; if it rejects one of them, the import fails, even
if no request would ever go there. So its modules are imported, and the package's own lines are not
run. Nothing in the environment is touched, which other threads read and child processes inherit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec

__all__ = ["Client", "ResponseError"]


@contextmanager
def _lines_not_run(package: str) -> Iterator[None]:
    """Let modules of a package be imported as if its `__init__.py` was empty."""
    spec = find_spec(package)
    if spec is None or package in sys.modules:
        yield
        return
    sys.modules[package] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[package]


with _lines_not_run("ollama"):
    from ollama._client import Client
    from ollama._types import ResponseError
