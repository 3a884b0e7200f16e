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
from ingestion.exceptions import DocumentError
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.web.page import HELP_REGIONS, WebPage
from ingestion.parsers.web.page_facts import PageFacts
from ingestion.parsers.web.sitemaps import read_help_system, read_sitemap, read_toc


class Seed(NamedTuple):
    """A text of any size: `repeated`, over and over, and what makes the repetition fail."""

    repeated: str
    after: str = ""

    def text(self, size: int) -> str:
        return self.repeated * (size // len(self.repeated)) + self.after


PARTS = [
    *("a", " ", "\n", "\t", "a ", "a\n", "\u00e9", "0", "A1 ", "\\", "\\'", "'", '"', "`", "` "),
    *("[", "]", "![", "[a](", "](", "[[", "(", ")", "{", "}", "{{", "{/*", "|", "| ", "|a", "\n|"),
    *("*", "**a", "* ", "_", "_a", "~", "~~a", "#", "# ", "# #", "\n# ", "\n#\n", "=", "-", "- "),
    *("\n- ", "\n  - ", "\n1. ", "\n> ", ">", "> ", "\n---", "\n===", "\n```", "\n~~~", "\n:::"),
    *("<", "<a", "<a ", "</", "<!--", "-->", "<?", "<!", "<![CDATA[", "<script", "<style", "<p>"),
    *(
        "<div>",
        "<b>",
        "<a href='",
        "<a b=",
        "<br/>",
        "</p>",
        "<pre>",
        "<table>",
        "<tr><td>",
        "<ul>",
    ),
    *("&", "&a", "&amp;", "&#", "&#x", "&;", "[%=", "[%=a%]", "%", "$", "$$", "\\(", "https://"),
    *(
        "import a from 'a'\n",
        "export const a = ",
        "a:",
        "\na: ",
        "a.",
        "a,",
        "::",
        "//",
        "/*",
        "a@",
    ),
    *("class a\n", "method public a!()\n", "rem ", "if a then ", ";", "{a:[", "('", "['", "``` "),
    *("<!DOCTYPE", "<!DOCTYPE[", "<!ENTITY a ", "</script ", "a-", "A b ", "what new ", "page 1 "),
]
SEEDS = [Seed(part, after) for part in PARTS for after in ("", "!x", "\n\n!x\n")]


@dataclass(frozen=True)
class Target:
    """A way in, and what surrounds a hostile text there."""

    name: str
    read: Callable[[str], object]
    before: str = ""
    after: str = ""

    def feed(self, seed: Seed, size: int) -> None:
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


CHUNKER = Chunker(size=64, overlap=8)  # small, so that the smallest texts are split as well
TOPIC = '<html xmlns:MadCap="http://www.madcapsoftware.com/Schemas/MadCap.xsd"><body>'
_flare_topic = _parsed("FlareParser", "Content/a.htm")
_mdx_page = _parsed("MdxParser", "a.mdx")


def _chunked(text: str) -> object:
    return prepare(CHUNKER, ParsedDocument("a", "A", text))


TARGETS = (
    Target("a Flare topic", _flare_topic, TOPIC, "</body></html>"),
    Target(
        "the text of a Flare topic",
        _flare_topic,
        f"{TOPIC}<p><![CDATA[",
        "]]></p></body></html>",
    ),
    Target("an MDX page", _mdx_page),
    Target("the front matter of a page", _mdx_page, "---\ntitle: ", "\n---\n\nText.\n"),
    Target("a BBj program", _parsed("BbjSourceParser", "a.bbj"), "print 1\n"),
    Target("a PDF", _parsed("PdfParser", "a.pdf"), "%PDF-1.4\n"),
    Target("a published page", _page, "<html><body><h1>Title</h1><p>Words.</p>", "</body></html>"),
    Target("a sitemap", _listed(read_sitemap), "<urlset>", "</urlset>"),
    Target("HelpSystem.xml", _listed(read_help_system), "<CatapultHelpSystem>"),
    Target("Toc.js", _listed(lambda data: read_toc(data, "Toc.js")), "define({'"),
    Target("the chunker", _chunked, "# Title\n\n"),
    Target("the type rules", lambda text: doc_type_of("Title", "a", text)),
    Target("the type rules for a title", lambda text: doc_type_of(text, "a", "Text.")),
    Target("the type rules for a path", lambda text: doc_type_of("Title", text, "Text.")),
    Target("the generation rules", lambda text: generations_of("a", (), text, "auto")),
)
