"""The table of parsers: the name in a Source row, the path of the class, and its name for people.

A parser is imported when it is used, so that the libraries of the others are not loaded.
"""

from __future__ import annotations

from importlib import import_module

from ingestion.exceptions import ConfigError
from ingestion.parsers.base import Parser

PARSERS: dict[str, str] = {
    "FlareParser": "ingestion.parsers.flare.FlareParser",
    "MdxParser": "ingestion.parsers.mdx.MdxParser",
    "BbjSourceParser": "ingestion.parsers.bbj.BbjSourceParser",
    "JavaDocParser": "ingestion.parsers.javadoc.JavaDocParser",
    "PdfParser": "ingestion.parsers.pdf.PdfParser",
    "AdvantageParser": "ingestion.parsers.wordpress.AdvantageParser",
    "KnowledgeBaseParser": "ingestion.parsers.wordpress.KnowledgeBaseParser",
    "WebCrawlParser": "ingestion.parsers.web_crawl.WebCrawlParser",
}

# How people know them: kept here, so that a list of the names loads no parser.
TITLES: dict[str, str] = {
    "FlareParser": "MadCap Flare project",
    "MdxParser": "Docusaurus pages (MDX)",
    "BbjSourceParser": "BBj programs",
    "JavaDocParser": "BBj API documentation (JavaDoc)",
    "PdfParser": "PDF manuals",
    "AdvantageParser": "Advantage magazine (WordPress)",
    "KnowledgeBaseParser": "Knowledge base (WordPress)",
    "WebCrawlParser": "Published help (web crawl)",
}


def parser_class(name: str) -> type[Parser]:
    """The class of a parser. Raises ConfigError if the name is not in the table."""
    if name not in PARSERS:
        raise ConfigError(f"There is no parser {name!r}. Choose one of: {', '.join(PARSERS)}.")
    module, _, attribute = PARSERS[name].rpartition(".")
    cls: type[Parser] = getattr(import_module(module), attribute)
    return cls


def parser_choices() -> list[tuple[str, str]]:
    return [(name, TITLES.get(name, name)) for name in PARSERS]
