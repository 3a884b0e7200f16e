"""Web addresses: one spelling for each page, and which belong to a source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import (
    parse_qsl,
    quote,
    unquote,
    unquote_to_bytes,
    urlencode,
    urljoin,
    urlsplit,
    urlunsplit,
)

MAX_LENGTH = 2000
MAX_REPEATS = 3
PORTS = {"http": 80, "https": 443}
_NO_PAGES_WORDS = (
    "7z avi bmp bz2 css csv dll dmg doc docx eot epub exe gif gz ico ics iso jar jpeg jpg js "
    "json m4a m4v map mov mp3 mp4 mpeg mpg msi odt ogg otf png ppt pptx psd rar rss svg swf "
    "tar tgz tif tiff ttf wav webm webp wmv woff woff2 xls xlsx xml zip"
)
NO_PAGES = frozenset(_NO_PAGES_WORDS.split())
TRACKING = re.compile(
    r"utm_\w+|fbclid|gclid|msclkid|mc_[ce]id|replytocom|share|nb|print|amp|highlight|_ga|ref_src|"
    r"phpsessid|jsessionid|sid|sessionid",
    re.IGNORECASE,
)
_STATIC = re.compile(r"\.(?:html?|xhtml|pdf)$", re.IGNORECASE)
_FILE = re.compile(r"\.(?:x?html?|php\d?|aspx?|jsp|cfm|xml|js|pdf|txt)$", re.IGNORECASE)
_INDEX = re.compile(r"/(?:index|default|home)\.(?:html?|php\d?|aspx?|jsp|cfm)$", re.IGNORECASE)
_SAFE = "/:@!$&'()*+,;=~-._"


def canonical(url: str, base: str = "") -> str:
    """The one spelling of an http address; empty for any other, or one with credentials.

    Scheme and host in lower case, no default port, no fragment, dot segments resolved, each
    character percent-encoded alike (RFC 3986 6.2.2), no query parameter that only tracks.
    """
    try:
        parts = urlsplit(urljoin(base, _trimmed(url)))
        port = parts.port
    except ValueError:
        return ""
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in PORTS or not host or parts.username or parts.password:
        return ""
    try:
        host = host if ":" in host else host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        return ""
    host = f"[{host}]" if ":" in host else host
    netloc = host if port in (None, PORTS[parts.scheme]) else f"{host}:{port}"
    path = quote(unquote_to_bytes(parts.path), safe=_SAFE) or "/"
    query = "" if _STATIC.search(path) else _query(parts.query)
    found = urlunsplit((parts.scheme, netloc, _without_dots(path), query, ""))
    return found if len(found) <= MAX_LENGTH else ""


def _trimmed(url: str) -> str:
    return re.sub(r"[\t\r\n]", "", url.strip()).replace("\\", "/")


def _without_dots(path: str) -> str:
    if "/." not in path:
        return path
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if len(kept) > 1:
                kept.pop()
        elif part != ".":
            kept.append(part)
    if path.endswith(("/.", "/..")):
        kept.append("")
    return "/".join(kept) or "/"


def _query(query: str) -> str:
    if not query:
        return ""
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([pair for pair in pairs if not TRACKING.fullmatch(pair[0])])


def same_page_key(url: str) -> str:
    """A key that is equal for addresses that may well show the same page: they differ in case,
    trailing slash, index page, scheme, `www.` or query."""
    parts = urlsplit(url)
    path = _INDEX.sub("/", parts.path).rstrip("/")
    return f"{parts.netloc.removeprefix('www.')}{unquote(path).casefold()}"


def path_of(url: str) -> str:
    return urlsplit(url).path


def folder_of(url: str) -> str:
    """The folder of an address, with its trailing slash; an address without a file is a folder."""
    parts = urlsplit(url)
    head, _, last = parts.path.rpartition("/")
    path = f"{head}/{last}/" if last and not _FILE.search(last) else f"{head}/"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def suffix_of(url: str) -> str:
    name = path_of(url).rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def is_pdf(url: str) -> bool:
    return suffix_of(url) == "pdf"


def is_trap(url: str) -> bool:
    """Whether a path repeats itself, as on servers that generate pages without end."""
    parts = [part for part in path_of(url).split("/") if part]
    return any(parts.count(part) > MAX_REPEATS for part in set(parts))


class Site:
    """The site of a source: its origin, and its other names."""

    def __init__(self, start: str) -> None:
        self.start = start
        parts = urlsplit(start)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.host = parts.netloc.removeprefix("www.")
        self.aliases: dict[str, str] = {}

    def move(self, origin: str) -> None:
        """Move the site, with its start, to another origin."""
        self.start = origin + self.start.removeprefix(self.origin)
        self.origin = origin
        self.host = urlsplit(origin).netloc.removeprefix("www.")

    def own(self, url: str, base: str = "") -> str:
        """The address under this site's origin; empty for one of another site.

        `www.` or not, http or https: it is the same site.
        """
        found = canonical(url, base)
        if not found:
            return ""
        for foreign, mine in self.aliases.items():
            if found.startswith(foreign):
                found = mine + found[len(foreign) :]
        parts = urlsplit(found)
        if parts.netloc.removeprefix("www.") != self.host:
            return ""
        return self.origin + found[len(f"{parts.scheme}://{parts.netloc}") :]

    def add_alias(self, foreign: str, mine: str) -> None:
        """Treat addresses that begin with `foreign` as this site's, below `mine`."""
        if not foreign.startswith(self.origin + "/") and len(self.aliases) < 10:
            self.aliases.setdefault(foreign, mine)

    def learn(self, url: str, named: str) -> None:
        """Learn another name of the site from a page that declares the address `named`, on another
        host but with the same path: an export or mirror, whose links use that other name."""
        theirs = canonical(named, url)
        if not theirs or self.own(theirs):
            return
        if same_page_key(theirs).partition("/")[2] == same_page_key(url).partition("/")[2]:
            parts = urlsplit(theirs)
            self.add_alias(f"{parts.scheme}://{parts.netloc}/", f"{self.origin}/")


def rebased(site: Site, locations: Iterable[str], base: str, known: Iterable[str]) -> None:
    """Learn the name under which the list of pages at `base` was published elsewhere.

    One listed address that ends like a known page shows where the published site begins.
    """
    listed = [found for found in (canonical(loc, base) for loc in locations) if found]
    if not listed or any(site.own(loc) for loc in listed):
        return
    root = folder_of(base)
    tails = {url[len(root) :] for url in known if url.startswith(root) and url != root}
    for loc in listed:
        for place in (i + 1 for i, letter in enumerate(loc) if letter == "/" and i > 8):
            if loc[place:] in tails:
                site.add_alias(loc[:place], root)
                return
    parts = urlsplit(listed[0])
    site.add_alias(f"{parts.scheme}://{parts.netloc}/", f"{site.origin}/")
