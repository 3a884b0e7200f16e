#!/usr/bin/env python
"""The command line of a checkout; `bbjrag` is the same once it is installed."""

from __future__ import annotations

from bbjrag.__main__ import main

if __name__ == "__main__":
    main()
