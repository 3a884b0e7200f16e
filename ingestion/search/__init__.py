"""Hybrid search over the index: `search(query)`."""

from __future__ import annotations

from ingestion.search.hybrid import search

__all__ = ["search"]
