"""Reads topics and project files: as strict XML, else whatever can be read of a broken file.

It resolves no entities, loads no DTD and uses no network; libxml2's limits (depth 256, 10 MB of
text in one node) stay on.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from ingestion.parsers.markup.signatures import kind_of_binary
from ingestion.parsers.markup.soup import Element, read_soup

MADCAP = "{http://www.madcapsoftware.com/Schemas/MadCap.xsd}"
_MADCAP_NAMES = (
    "annotation change changeData RemoveChange AddChange codeSnippet codeSnippetBody "
    "codeSnippetCaption codeSnippetCopyButton concept conceptLink conceptsControl "
    "conditionalText dropDown dropDownBody dropDownHead dropDownHotspot equation expanding "
    "expandingBody expandingHead footnote glossaryTerm keyword keywordLink microContent popup "
    "popupBody popupHead relatedTopic relatedTopics relatedTopicsControl slide slideshow "
    "snippetBlock snippetText toggler variable xref autonum changes comment conditions "
    "conditionTagExpression snippetVariables targetName"
)
_XML_NAMES = {f"madcap:{name.lower()}": f"{MADCAP}{name}" for name in _MADCAP_NAMES.split()} | {
    "xml:space": "{http://www.w3.org/XML/1998/namespace}space",
    "snippetvariables": "snippetVariables",
}
_MADCAP_NAME = re.compile(r"madcap:([A-Za-z][A-Za-z0-9_-]*)")

_CONFLICT = re.compile(r"^(?:<{7}|>{7}|\|{7})(?: .*)?$\n?|^={7}$\n?", re.MULTILINE)
_CONFLICT_START = re.compile(r"^<{7} ", re.MULTILINE)
_NO_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"&#(?:x([0-9a-f]+)|([0-9]+));?", re.IGNORECASE)
_DECLARATION = re.compile(r"\A\s*<\?xml[^<>]*>?")
_ENCODING = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^<>]*?encoding\s*=\s*[\"']([\w.:-]+)")
_SAME_AS_UTF_8 = (b"utf-8", b"utf8", b"us-ascii", b"ascii")
_NAMED_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]{1,31});")
_BARE_AMPERSAND = re.compile(r"&(?!#?[A-Za-z0-9]+;)")
_ENTITY = re.compile(r"&([\w.-]+);")
_OWN_ENTITY = re.compile(r"<!ENTITY\s+([\w.-]+)\s")
_DOCTYPE = re.compile(r"<!DOCTYPE\b", re.IGNORECASE)
_DOCTYPE_ENDS = re.compile(r"\]\s*>")


class Markup(NamedTuple):
    """A tree; `problem` says what is wrong with the file, if anything."""

    root: Element
    problem: str = ""


def read_markup(data: bytes) -> Markup:
    """The tree of an XML or HTML file, with all text that can be read even if it is broken.

    The tree of a file that is not text is empty.
    """
    if wrong := _wrong_encoding(data):
        data = _DECLARATION.sub("", data.decode("utf-8-sig")).encode()
    try:
        return Markup(_without_html_namespace(etree.fromstring(data, _xml_parser())), wrong)
    except etree.XMLSyntaxError as error:
        problem = _problem(data, error)
    if kind := kind_of_binary(data):
        return Markup(etree.Element("html"), f"It is not text but binary: {kind}.")
    text = _CONFLICT.sub("", decode(data)) if _has_conflict(data) else decode(data)
    text = "".join(_without_cdata(_DECLARATION.sub("", _NO_CHARACTER.sub("", text))))
    text = _NUMBER.sub(_character, _NAMED_ENTITY.sub(_entity, text))
    text = _BARE_AMPERSAND.sub("&amp;", text)
    try:
        root = etree.fromstring(text.encode(), _xml_parser())
    except etree.XMLSyntaxError:
        return Markup(_lenient(text), problem)
    return Markup(_without_html_namespace(root), problem)


def decode(data: bytes) -> str:
    """Decode UTF-8 (or UTF-16 with a BOM); invalid bytes are read as cp1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "bbjrag_cp1252").replace("\r\n", "\n")


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return bad.decode("cp1252", "replace"), error.end


codecs.register_error("bbjrag_cp1252", _as_cp1252)


def _xml_parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=False,
    )


def _problem(data: bytes, error: etree.XMLSyntaxError) -> str:
    if _has_conflict(data):
        return "It contains git conflict markers: both sides were kept. Resolve the conflict."
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return f"It is not UTF-8 (byte {wrong.start}): it was read leniently. Save it as UTF-8."
    reason = str(error).removesuffix(" (<string>, line 0)")
    return f"It is not well-formed XML ({reason}): it was read leniently. Fix the markup."


def _wrong_encoding(data: bytes) -> str:
    """What is wrong if a file declares another encoding than UTF-8, and is UTF-8 nevertheless."""
    declared = _ENCODING.match(data)
    if declared is None or declared[1].lower() in _SAME_AS_UTF_8 or data.isascii():
        return ""
    try:
        data.decode()
    except UnicodeDecodeError:
        return ""
    name = declared[1].decode()
    return f"It is declared as {name} but is UTF-8, and was read so. Correct its first line."


def _has_conflict(data: bytes) -> bool:
    return b"<<<<<<< " in data and _CONFLICT_START.search(decode(data)) is not None


def _without_cdata(text: str) -> Iterator[str]:
    first, *sections = text.split("<![CDATA[")
    yield first
    for section in sections:
        literal, end, after = section.partition("]]>")
        yield html.escape(literal, quote=False) + after if end else section


def _entity(match: re.Match[str]) -> str:
    text = html.unescape(match[0])
    return match[0] if text == match[0] else html.escape(text, quote=False)


def _character(match: re.Match[str]) -> str:
    """The numeric reference, or nothing if XML does not allow its character."""
    number = int(match[1], 16) if match[1] else int(match[2][:9])
    is_character = 0 < number <= 0x10FFFF and not _NO_CHARACTER.match(chr(number))
    return f"&#{number};" if is_character else ""


def _lenient(text: str) -> Element:
    """The tree of a broken file, without the entities that it defines itself."""
    own = set(_OWN_ENTITY.findall(text))
    text = _without_doctype(text)
    if own:
        text = _ENTITY.sub(lambda match: "" if match[1] in own else match[0], text)
    return _with_xml_names(read_soup(text))


def _without_doctype(text: str) -> str:
    """The text without the document type and what is declared in it."""
    opening = _DOCTYPE.search(text)
    if opening is None:
        return text
    end, subset = text.find(">", opening.end()), text.find("[", opening.end())
    if 0 <= subset < end:
        closing = _DOCTYPE_ENDS.search(text, subset)
        end = closing.end() - 1 if closing else -1
    return text[: opening.start()] + text[end + 1 :] if end >= 0 else text


def _without_html_namespace(root: Element) -> Element:
    """Remove XHTML's namespace from the names, if it is declared."""
    if root.nsmap.get(None) or "xhtml" in str(root.tag):
        for element in root.iter("{http://www.w3.org/1999/xhtml}*"):
            element.tag = str(element.tag).rpartition("}")[2]
    return root


def _with_xml_names(root: Element) -> Element:
    """Restore XML's names: an HTML parser turns `MadCap:dropDown` into `madcap:dropdown`."""
    for element in root.iter(etree.Element):
        element.tag = _xml_name(str(element.tag)) or element.tag
        for key, value in list(element.attrib.items()):
            name = _xml_name(str(key))
            if name:
                element.set(name, value)
    return root


def _xml_name(name: str) -> str:
    """The name with its namespace and case; empty if it is the same in HTML."""
    found = _MADCAP_NAME.fullmatch(name)
    return _XML_NAMES.get(name) or (MADCAP + found[1] if found else "")
