from __future__ import annotations

from ingestion.parsers.bbj.parser import BbjSourceParser

__all__ = ["BbjSourceParser"]
