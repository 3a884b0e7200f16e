"""Texts that make a careless scanner go back over and over, of any size, for every way in.

A target is a way that a stranger's text takes: a parser's file, the chunker, the type rules, a
query. A seed is what the text repeats, as `before`, `repeated` until the size is reached, `after`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ingestion.chunking.chunker import Chunker
from ingestion.chunking.stage import prepare
from ingestion.documents import ParsedDocument
from ingestion.enrichment.doc_types import doc_type_of
from ingestion.enrichment.generations import generations_of
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.web.page import HELP_REGIONS, WebPage
from ingestion.parsers.web.page_facts import PageFacts
from ingestion.parsers.web.sitemaps import read_help_system, read_sitemap, read_toc
from ingestion.exceptions import DocumentError


class Seed(NamedTuple):
    repeated: str
    before: str = ""
    after: str = ""

    def text(self, size: int) -> str:
        number = max(1, size // max(1, len(self.repeated)))
        return f"{self.before}{self.repeated * number}{self.after}"


ANYWHERE = (
    *("a", " ", "\n", "\t", "a ", "a\n", "\u00e9", "0", "A1 ", "\\", "\\'", "'", '"', "`", "` ", "``` "),
    *("[", "]", "![", "[a](", "](", "[[", "(", ")", "{", "}", "{{", "{/*", "|", "| ", "|a", "\n|"),
    *("*", "**a", "* ", "_", "_a", "~", "~~a", "#", "# ", "# #", "\n# ", "\n#\n", "=", "-", "- "),
    *("\n- ", "\n  - ", "\n1. ", "\n> ", ">", "> ", "\n---", "\n===", "\n```", "\n~~~", "\n:::", ":::"),
    *("<", "<a", "<a ", "</", "<!--", "-->", "<?", "<!", "<![CDATA[", "<script", "<style", "<p>"),
    *("<div>", "<b>", "<a href='", "<a b=", "<br/>", "</p>", "<pre>", "<table>", "<tr><td>", "<ul><li>"),
    *("&", "&a", "&amp;", "&#", "&#x", "&;", "[%=", "[%=a%]", "%", "$", "$$", "\\(", "https://", "a@"),
    *("import a from 'a'\n", "export const a = ", "a:", "\na: ", "a.", "a,", "::", "//", "/*", "rem "),
    *("class a\n", "method public a!()\n", "gosub a\n", "if a then ", ";", "{" "a:[", "('", "['"),
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A way in, and what surrounds a hostile text there."""

    name: str
    read: Callable[[str], object]
    before: str = ""
    after: str = ""

    def run(self, seed: Seed, size: int) -> None:
        self.read(f"{self.before}{seed.text(size)}{self.after}")


def _parsed(parser: str, place: str) -> Callable[[str], object]:
    def read(text: str) -> object:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "p" / place
            file.parent.mkdir(parents=True)
            file.write_text(text)
            return list(parser_class(parser)(SourceConfig("hostile", Path(folder), ("p",))).parse())

    return read


def _page(text: str) -> object:
    try:
        page = WebPage("https://docs.example/a.htm", text.encode(), "text/html")
        return PageFacts.of(page), page.content(HELP_REGIONS)
    except DocumentError:
        return None


def _listed(read: Callable[[bytes], object]) -> Callable[[str], object]:
    def listed(text: str) -> object:
        try:
            return read(text.encode())
        except DocumentError:
            return None

    return listed


CHUNKER = Chunker(size=400, overlap=50)
TOPIC = '<html xmlns:MadCap="http://www.madcapsoftware.com/Schemas/MadCap.xsd"><body>'
TARGETS = (
    Target("a Flare topic", _parsed("FlareParser", "Content/a.htm"), TOPIC, "</body></html>"),
    Target("the text of a Flare topic", _parsed("FlareParser", "Content/a.htm"), f"{TOPIC}<p><![CDATA[", "]]></p></body></html>"),
    Target("an MDX page", _parsed("MdxParser", "a.mdx")),
    Target("the front matter of a page", _parsed("MdxParser", "a.mdx"), "---\ntitle: ", "\n---\n\nText.\n"),
    Target("a BBj program", _parsed("BbjSourceParser", "a.bbj"), "print 1\n"),
    Target("a PDF", _parsed("PdfParser", "a.pdf"), "%PDF-1.4\n"),
    Target("a published page", _page, "<html><body><h1>Title</h1><p>Words before.</p>", "</body></html>"),
    Target("a sitemap", _listed(read_sitemap), "<urlset>", "</urlset>"),
    Target("HelpSystem.xml", _listed(read_help_system), "<CatapultHelpSystem>"),
    Target("Toc.js", _listed(lambda data: read_toc(data, "Toc.js")), "define({'"),
    Target("the chunker", lambda text: prepare(CHUNKER, ParsedDocument("a", "A", text)), "# Title\n\n"),
    Target("the type rules", lambda text: doc_type_of("Title", "a", text)),
    Target("the type rules' title", lambda text: doc_type_of(text, "a", "Text.")),
    Target("the type rules' path", lambda text: doc_type_of("Title", text, "Text.")),
    Target("the generation rules", lambda text: generations_of("a", (), text, "auto")),
)  # fmt: skip
