from __future__ import annotations

from ingestion.parsers.mdx.parser import MdxParser

__all__ = ["MdxParser"]
