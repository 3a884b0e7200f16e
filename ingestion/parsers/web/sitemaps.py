"""A site's lists of pages: sitemaps, and the lists of published Flare help."""

from __future__ import annotations

import gzip
import html
import io
import re
import zlib
from dataclasses import dataclass, field

from lxml import etree

from ingestion.exceptions import DocumentError

MAX_BYTES = 52_428_800  # the limit of sitemaps.org for an uncompressed sitemap
_STRING = re.compile(r"""(['"])((?:\\.|(?!\1)[^\\\n])*)(?:\1|$)(\s*:\s*\{)?""", re.MULTILINE)
_LINKED = re.compile(r"""(?:Link|Url|Href)=\\?["']([^"'\\]+)""", re.IGNORECASE)
_CHUNKED = re.compile(r"""(?:Chunk)=\\?["']([^"'\\]+)""", re.IGNORECASE)
_PREFIX = re.compile(r"""\bprefix\s*:\s*(['"])(.*?)\1""")
_NUMBER = re.compile(r"\bnumchunks\s*:\s*(\d{1,4})")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_PAGE = re.compile(r"\.x?html?(?:[?#]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listed:
    """Pages and further lists, as the list gives them."""

    pages: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)


def read_sitemap(data: bytes) -> Listed:
    """Read a sitemap or its index: XML, gzipped or plain text. Raises DocumentError for others."""
    if data[:2] == b"\x1f\x8b":
        data = _unzipped(data)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        lines = data.decode("utf-8", "replace").split()
        return Listed(pages=[line for line in lines if line.startswith(("http://", "https://"))])
    pages: list[str] = []
    lists: list[str] = []
    root = _xml(data)
    if _name(root) not in ("urlset", "sitemapindex"):
        raise DocumentError(f"It is not a sitemap (its root is {_name(root)!r}).")
    for element in root.iter(etree.Element):
        if _name(element) == "loc" and element.text and _name(element.getparent()) in PARENTS:
            target = lists if _name(element.getparent()) == "sitemap" else pages
            target.append(element.text.strip())
    return Listed(pages, lists)


PARENTS = ("url", "sitemap")


def _unzipped(data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            found = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DocumentError(f"The sitemap's compression is broken ({error}).") from error
    if len(found) > MAX_BYTES:
        raise DocumentError(f"The sitemap unpacks to more than {MAX_BYTES:,} bytes.")
    return found


def _xml(data: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DocumentError(f"It is not XML ({error}).") from error
    if root is None:
        raise DocumentError("It is not XML.")
    return root


def _name(element: etree._Element | None) -> str:
    return "" if element is None else str(element.tag).rpartition("}")[2].lower()


def read_help_system(data: bytes) -> Listed:
    """Read HelpSystem.xml: the start topic and the tables of contents.

    Its addresses are relative to the folder above `Data`.
    """
    root = _xml(data)
    if _name(root) not in ("webhelpsystem", "catapulthelpsystem", "helpsystem"):
        raise DocumentError(f"It is not a HelpSystem.xml (its root is {_name(root)!r}).")
    names = {str(name).lower(): str(value) for name, value in root.attrib.items()}
    start = [names["defaulturl"]] if names.get("defaulturl") else []
    tocs = [names[name] for name in ("toc", "browsesequence", "glossary") if names.get(name)]
    for element in root.iter(etree.Element):
        if _name(element) == "subsystem" and element.get("Source"):
            tocs.append(str(element.get("Source")))
    return Listed(start, [toc.replace("\\", "/") for toc in tocs])


def read_toc(data: bytes, name: str) -> Listed:
    """Read a table of contents of published help, or a chunk of one, from the file `name`.

    HTML5 output writes `define({numchunks:2,prefix:'Toc_Chunk',...})`, its chunks
    `define({'/topic.htm':{i:[1],t:['Title'],b:['']}})`; WebHelp writes XML, alone or in a script.
    """
    text = data.decode("utf-8-sig", "replace")
    pages = [_unescaped(match[2]) for match in _STRING.finditer(text) if match[3]]
    pages += [html.unescape(match[1]) for match in _LINKED.finditer(text)]
    lists = [match[1] for match in _CHUNKED.finditer(text)]
    prefix, number = _PREFIX.search(text), _NUMBER.search(text)
    if prefix and number:
        suffix = name.rpartition(".")[2]
        lists += [f"{_unescaped(prefix[2])}{i}.{suffix}" for i in range(int(number[1]))]
    return Listed([page for page in dict.fromkeys(pages) if _PAGE.search(page)], lists)


def _unescaped(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else match[3]

    return _ESCAPE.sub(character, text)
