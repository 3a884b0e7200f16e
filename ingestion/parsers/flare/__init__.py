from __future__ import annotations

from ingestion.parsers.flare.parser import FlareParser

__all__ = ["FlareParser"]
