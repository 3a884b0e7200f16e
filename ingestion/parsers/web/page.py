"""A fetched page: its links, its metadata, and its content as Markdown blocks."""

from __future__ import annotations

import codecs
import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from lxml import etree

from ingestion.exceptions import DocumentError
from ingestion.parsers.markup.html import Element, local_name
from ingestion.parsers.markup.signatures import refuse_binary
from ingestion.parsers.markup.soup import read_soup
from ingestion.parsers.web.boilerplate import (
    classes_of,
    is_boilerplate,
    remove_boilerplate,
    words_in,
)
from ingestion.parsers.web.render import WebRenderer

_HEADING = re.compile(r"(#{1,6}) (.*)")
MAX_LINKS = 20_000
MAX_TAGS = 150_000  # the longest manual pages have some 20,000
FEW_WORDS = 10
STANDS_OUT = 0.7
WORDS_OF_A_LOGIN = 120
WORDS_OF_AN_ERROR = 400
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_REFRESH = re.compile(r"\s*\d+\s*[;,]\s*url\s*=\s*[\"']?([^\"']+)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_DASHES = "\u2013\u2014\u00bb\u00ab\u00b7\u2022"
_SUFFIX = re.compile(rf"\s+(?:[-|{_DASHES}]|::?)\s+")
_SUFFIX_LEFT = re.compile(rf"\s+(?:[-|{_DASHES}]|::?)\s*$")
_LISTING = re.compile(r"(?:Index of|Directory listing for) /", re.IGNORECASE)
_NOT_FOUND = re.compile(
    r"^\W*(?:error\W*)?404\b\W*(?:error|(?:page |file )?not found|$)"
    r"|^(?:not found|nothing found)\W*$"
    r"|^(?:\w+\W+){0,2}page\b.{0,20}\b(?:not (?:be )?found|can.?t be found|does(?:n.t| not) exist)"
    r"\W*(?:$|[-|])|^seite (?:wurde )?nicht gefunden",
    re.IGNORECASE,
)
_ARCHIVE = frozenset(("blog", "search", "search-results", "category", "tag", "author", "date"))
REGION_TAGS = frozenset(("div", "section", "article", "main", "td", "form", "body"))
_SKINS = ("data-mc-runtime-file-type", "madcap:runtimefiletype")
_HELP_ROOT = ("data-mc-path-to-help-system", "madcap:pathtohelpsystem")
_TOC_PATH = ("data-mc-toc-path", "madcap:tocpath")
_CONDITIONS = ("data-mc-conditions", "madcap:conditions")

FRAMES = ("<article", "<main", "@role=main", "<body")
HELP_REGIONS = (
    "#mc-main-content", "@data-mc-content-body=True", "#contentBodyInner", ".body-container",
    "@role=main", "<main", "<article", "<body",
)  # fmt: skip
ARTICLE_REGIONS = (
    "#eckb-article-content-body", ".eckb-article-content-body", "#eckb-article-body",
    ".entry-content", ".post-content", ".wp-block-post-content",
    ".elementor-widget-theme-post-content",
    "<article", "<main", "@role=main", "<body",
)  # fmt: skip


def decode_page(data: bytes, content_type: str) -> tuple[str, str]:
    """The text of a page, and what is wrong with its declared encoding.

    Tries the byte order mark, the header's charset and the page's own, then UTF-8, then cp1252.
    """
    for mark, name in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"),
                       (codecs.BOM_UTF16_BE, "utf-16")):  # fmt: skip
        if data.startswith(mark):
            return data.decode(name, "replace"), ""
    declared = _CHARSET.search(content_type)
    inside = _META_CHARSET.search(data[:4096]) or _XML_ENCODING.search(data[:200])
    named = declared[1] if declared else inside[1].decode("ascii") if inside else ""
    problem = ""
    for name in filter(None, (named, "utf-8")):
        try:
            return data.decode(_codec(name)), problem
        except (LookupError, UnicodeDecodeError):
            problem = problem or f"It is declared as {name} but is not: its encoding was guessed."
    return data.decode("cp1252", "replace"), problem if named else ""


def _codec(name: str) -> str:
    """The codec that browsers use for a charset (encoding.spec.whatwg.org): cp1252 for Latin-1."""
    found = codecs.lookup(name).name
    return "cp1252" if found in ("iso8859-1", "ascii") else found


def read_tree(text: str) -> Element:
    """The tree of an HTML page. Raises DocumentError if there is none or it has too many tags."""
    if text.count("<") > MAX_TAGS:
        raise DocumentError(f"It has more than {MAX_TAGS:,} tags: it was not read. Split the page.")
    text = _CONTROL.sub(" ", _DECLARATION.sub("", text))
    if text.rfind("<!--") > text.rfind("-->"):  # a browser shows nothing of what follows
        return read_soup(text)
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=False
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"It cannot be read as HTML ({error}).") from error
    if root is None:
        raise DocumentError("The page is empty.")
    if any("depth" in str(entry.message).lower() for entry in parser.error_log):
        return read_soup(text)
    _take_in(root, list(root.itersiblings()))
    return root


def _take_in(root: Element, after: list[Element]) -> None:
    """Move what follows the end of the page into its body."""
    body = root.find("body")
    for element in after:
        element.tag = "div"
        (root if body is None else body).append(element)


@dataclass(frozen=True, slots=True)
class Content:
    """The part of a page that is stored, still with the boilerplate that only repetition shows."""

    blocks: list[str]
    title: str
    breadcrumb: tuple[str, ...]
    is_headed: bool = False
    """Whether the page shows its title as a heading, which is not among the blocks."""


class WebPage:
    """A page as received. Raises DocumentError if it cannot be read at all."""

    def __init__(self, url: str, data: bytes, content_type: str) -> None:
        self.url = url
        refuse_binary(data)
        text, self.problem = decode_page(data, content_type)
        self.root = read_tree(text)
        base = next(self.root.iter("base"), None)
        self.base = urljoin(url, (base.get("href") or "") if base is not None else "")

    def attribute(self, names: Sequence[str]) -> str:
        """An attribute of the html element, under one of its names."""
        return next((value for name in names if (value := self.root.get(name))), "")

    @cached_property
    def links(self) -> list[str]:
        """The absolute addresses that the page links to, in reading order."""
        found: dict[str, None] = {}
        for element in self.root.iter("a", "area", "iframe", "frame", "embed", "object", "meta"):
            if len(found) >= MAX_LINKS:
                break
            for link in _targets(element):
                if link and not link.startswith(("#", "javascript:", "mailto:", "tel:", "data:")):
                    found[_joined(self.base, link)] = None
        return [link for link in found if link]

    @property
    def canonical(self) -> str:
        """The canonical address that the page declares; empty for none."""
        for element in self.root.iter("link"):
            if (element.get("rel") or "").lower() == "canonical" and element.get("href"):
                return _joined(self.base, element.get("href") or "")
        return ""

    @property
    def head_title(self) -> str:
        element = self.root.find("head/title")
        element = next(self.root.iter("title"), None) if element is None else element
        return "" if element is None else " ".join("".join(map(str, element.itertext())).split())

    @property
    def site_name(self) -> str:
        for element in self.root.iter("meta"):
            if element.get("property") == "og:site_name":
                return " ".join((element.get("content") or "").split())
        return ""

    @cached_property
    def body_classes(self) -> frozenset[str]:
        body = next(self.root.iter("body"), None)
        return frozenset(() if body is None else classes_of(body))

    @property
    def help_root(self) -> str:
        """The folder of the help system that the page belongs to; empty if it names none."""
        for name in _HELP_ROOT:
            if self.root.get(name) is not None:
                return _joined(self.url, self.root.get(name) or ".")
        return ""

    @property
    def conditions(self) -> list[str]:
        return [tag.strip() for tag in self.attribute(_CONDITIONS).split(",") if tag.strip()]

    @property
    def is_shell(self) -> bool:
        """Whether this is a frame, search or index page of published help, not a topic."""
        kinds = self.attribute(_SKINS).split(";")
        if kinds != [""]:
            return "Topic" not in kinds or "Search" in kinds
        return next(self.root.iter("frameset"), None) is not None

    @property
    def is_listing(self) -> bool:
        return _LISTING.match(self.head_title) is not None

    @property
    def is_archive(self) -> bool:
        """Whether this is a WordPress list of other pages: a category, a tag, a month, a search."""
        classes = self.body_classes
        if any(name.startswith("single") for name in classes):
            return False
        is_wordpress = any(name.startswith(("wp-", "post-type-", "page-id-")) for name in classes)
        return "archive" in classes or (is_wordpress and bool(classes & _ARCHIVE))

    @property
    def is_not_found(self) -> bool:
        """Whether the page says that it does not exist, although the server answered 200."""
        if "error404" in self.body_classes:
            return True
        heading = next(self.root.iter("h1"), None)
        heads = [self.head_title, "" if heading is None else _text(heading)]
        return any(_NOT_FOUND.search(head) for head in heads if len(head) < 80) and (
            words_in(self.root) < WORDS_OF_AN_ERROR
        )

    @property
    def is_login(self) -> bool:
        """Whether the page asks for a password and has little other text."""
        for field in self.root.iter("input"):
            if (field.get("type") or "").lower() == "password":
                region = _region(self.root, ARTICLE_REGIONS)
                region = copy_of(self.root if region is None else region)
                remove_boilerplate(region)
                return words_in(region) < WORDS_OF_A_LOGIN
        return False

    def has_region(self, selectors: Sequence[str]) -> bool:
        return any(next(_select(self.root, s), None) is not None for s in selectors)

    def embedded_pdfs(self, within: Element | None = None) -> list[str]:
        """PDFs that the page, or a part of it, embeds or links to in place of text."""
        found: dict[str, None] = {}
        part = self.root if within is None else within
        for element in part.iter("iframe", "embed", "object", "a", "div"):
            for name in ("src", "data", "href", "data-src", "data-pdf-url", "data-url"):
                value = element.get(name) or ""
                if ".pdf" in value.lower():
                    found[_joined(self.base, _pdf_inside(value))] = None
        return [url for url in found if urlsplit(url).path.lower().endswith(".pdf")]

    def content(self, selectors: Sequence[str]) -> Content:
        """The page's content region as Markdown, without boilerplate."""
        region = _region(self.root, selectors)
        title = self._title(region)
        breadcrumb = self._breadcrumb()
        if region is None:
            return Content([], title, breadcrumb)
        region = copy_of(region)
        remove_boilerplate(region)
        if self._only_points(region):
            return Content([], title, breadcrumb)
        blocks = WebRenderer().blocks_of(region)
        others = _without_title(blocks, title, self.head_title)
        return Content(others, title, breadcrumb, is_headed=len(others) < len(blocks))

    def _only_points(self, region: Element) -> bool:
        """Whether a region's only text are links to a PDF that it shows or names."""
        inside = list(region.iter("a", "button"))
        linked = sum(words_in(element) for element in inside)
        return 0 < linked == words_in(region) < FEW_WORDS and bool(self.embedded_pdfs(region))

    def _title(self, region: Element | None) -> str:
        """The content's h1, else the page's if the head's title contains it, else that title."""
        title = self.head_title
        named = {_folded(part) for part in (title, *_SUFFIX.split(title))}
        inside = [] if region is None else list(region.iter("h1"))
        for element in (*inside, *self.root.iter("h1")):
            text = WebRenderer().inline_of(element).replace("`", "")
            if text and (not title or _folded(text) in named):
                return text
        return title

    def _breadcrumb(self) -> tuple[str, ...]:
        """The path from the site's root: Flare's own, else the trail shown on the page."""
        noted = self.attribute(_TOC_PATH)
        if noted:
            return tuple(" ".join(step.split()) for step in noted.split("|") if step.strip())
        for element in self.root.iter(etree.Element):
            if _is_trail(element):
                return _trail(element)
        return ()


def _joined(base: str, link: str) -> str:
    try:
        return urljoin(base, link.strip())
    except ValueError:
        return ""


def _targets(element: Element) -> Iterator[str]:
    if element.tag == "meta":
        if (element.get("http-equiv") or "").lower() == "refresh":
            match = _REFRESH.match(element.get("content") or "")
            yield match[1] if match else ""
        return
    for name in ("href", "src", "data"):
        if value := element.get(name):
            yield value.strip()


def _pdf_inside(address: str) -> str:
    """The PDF in the query of a viewer's address, such as `viewer.html?file=...`."""
    for _, value in parse_qsl(urlsplit(address).query):
        if value.lower().partition("?")[0].endswith(".pdf"):
            return unquote(value)
    return address


def copy_of(element: Element) -> Element:
    """A copy to remove boilerplate from, without the text after the element."""
    found: Element = copy.deepcopy(element)
    found.tail = None
    return found


def _text(element: Element) -> str:
    return " ".join("".join(map(str, element.itertext())).split())


def _folded(text: str) -> str:
    return "".join(re.findall(r"\w+", text)).casefold()


def _select(root: Element, selector: str) -> Iterator[Element]:
    """The elements that `#id`, `.class`, `<tag` or `@attribute=value` selects."""
    kind, name = selector[0], selector[1:]
    if kind == "<":
        yield from root.iter(name)
        return
    attribute, _, value = name.partition("=")
    for element in root.iter(etree.Element):
        if (
            (kind == "#" and element.get("id") == name)
            or (kind == "." and name in (element.get("class") or "").split())
            or (kind == "@" and (element.get(attribute) or "").lower() == value.lower())
        ):
            yield element


def _region(root: Element, selectors: Sequence[str]) -> Element | None:
    """The first region, in order of `selectors`, that has text.

    A page's own region for its text is its content, even if little or nothing is in it: what is
    around it is never taken instead.
    """
    own: Element | None = None
    frame: Element | None = None
    for selector in selectors:
        if own is not None and selector in FRAMES:
            break
        found = _fullest(list(_select(root, selector)))
        if found is None or (own is not None and _is_within(own, found)):
            continue
        if words_in(found) >= FEW_WORDS:
            return found
        if selector in FRAMES:
            frame = found if frame is None else frame
        elif own is None and _is_own(found):
            own = found
    return frame if own is None else own


def _is_own(found: Element) -> bool:
    """Whether an element may be a page's region for its text: neither a link to it or within a
    line, nor in a list of other pages."""
    return found.tag in REGION_TAGS and not any(map(is_boilerplate, found.iterancestors()))


def _fullest(found: list[Element]) -> Element | None:
    """The region with the most text; if none has clearly more, the element around all."""
    sizes = {element: words_in(element) for element in found}
    best = max(found, key=sizes.__getitem__, default=None)
    if best is None or len(found) == 1:
        return best
    within = sum(size for element, size in sizes.items() if _is_within(element, best))
    if sizes[best] >= STANDS_OUT * (sum(sizes.values()) - within):
        return best
    common = next((a for a in best.iterancestors() if all(_is_within(e, a) for e in found)), best)
    return common


def _is_within(element: Element, outer: Element) -> bool:
    return element is not outer and any(a is outer for a in element.iterancestors())


def _without_title(blocks: list[str], *titles: str) -> list[str]:
    """The blocks without a first heading that repeats the title."""
    for place, block in enumerate(blocks[:3]):
        heading = _HEADING.fullmatch(block)
        if heading:
            same = any(_folded(heading[2]) == _folded(title) for title in titles if title)
            return blocks[:place] + blocks[place + 1 :] if same else blocks
    return blocks


def _is_trail(element: Element) -> bool:
    names = classes_of(element)
    label = (element.get("aria-label") or "").lower()
    if local_name(element.tag) in ("nav", "ol", "ul", "div", "p", "span") and label.startswith(
        "breadcrumb"
    ):
        return True
    return any(
        name in ("breadcrumb", "breadcrumbs", "eckb-breadcrumb-nav", "trail-items")
        or name.startswith("mcbreadcrumbsbox")
        for name in names
    )


def _trail(element: Element) -> tuple[str, ...]:
    """The steps of a shown trail: its links, without the site's root and the page itself."""
    steps = [(_text(link), link.get("href") or "") for link in element.iter("a")]
    kept = [text for text, href in steps if text and text.casefold() not in ("home", "start")]
    return tuple(kept)


def without_suffix(title: str, suffixes: frozenset[str] | set[str]) -> str:
    """The title without the site's name at its end."""
    parts = _SUFFIX.split(title)
    while len(parts) > 1 and parts[-1].casefold().strip(" .") in suffixes:
        cut = title.rfind(parts[-1])
        title = _SUFFIX_LEFT.sub("", title[:cut])
        parts = parts[:-1]
    return _SUFFIX_LEFT.sub("", title).strip()


def suffix_of_title(title: str) -> str:
    parts = _SUFFIX.split(title)
    return parts[-1].casefold().strip(" .") if len(parts) > 1 else ""
