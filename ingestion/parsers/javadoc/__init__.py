"""JavaDoc as JSON: the API of BBj and of Java classes."""

from ingestion.parsers.javadoc.parser import JavaDocParser

__all__ = ["JavaDocParser"]
