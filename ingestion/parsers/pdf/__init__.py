from __future__ import annotations

from ingestion.parsers.pdf.parser import PdfOrigin, PdfParser, read_pdf

__all__ = ["PdfOrigin", "PdfParser", "read_pdf"]
