"""manage.py, with the parser of tests/support/odd_parsers.py among the others."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bbjrag.__main__ import main
from ingestion.parsers import PARSERS

if __name__ == "__main__":
    PARSERS["OddParser"] = "tests.support.odd_parsers.OddParser"
    PARSERS["HostileParser"] = "tests.support.odd_parsers.HostileParser"
    main()
