"""One page and the files it includes, as a single sequence of events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it.token import Token

from ingestion.documents import InputFile
from ingestion.exceptions import DocumentError
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.files import read_file, stat_input
from ingestion.parsers.mdx.docusaurus import FrontMatter, split_front_matter
from ingestion.parsers.mdx.page import MdxPage, parse_page
from ingestion.parsers.mdx.syntax import attribute_text
from ingestion.parsers.mdx.tags import Event, Scope, pair_tags

PAGE_SUFFIXES = (".md", ".mdx")
MAX_PAGE_BYTES = 4 * 1024 * 1024
MAX_INCLUDES = 500

_NEWLINES = re.compile(r"\r\n?")
_RAW_LOADER = re.compile(r"^(?:!!?)?raw-loader!")


def decode(data: bytes) -> tuple[str, str]:
    """The text of a page, and a warning if it is not UTF-8. Raises DocumentError for binary."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _normal(data.decode("utf-16", "replace")), ""
    if b"\0" in data:
        raise DocumentError("The file is binary, not text: leave it out.")
    try:
        return _normal(data.decode("utf-8-sig")), ""
    except UnicodeDecodeError:
        text = _normal(data.decode("cp1252", "replace"))
        return text, "The file is not UTF-8 and was read as Windows-1252: save it as UTF-8."


def _normal(text: str) -> str:
    return _NEWLINES.sub("\n", text)


@dataclass(slots=True)
class Assembly:
    """Reads a page with what it imports, and records the files and problems."""

    config: SourceConfig
    root: Path
    inputs: dict[str, InputFile] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    components: set[str] = field(default_factory=set)
    _open: list[Path] = field(default_factory=list)
    _included: int = 0

    def read(self, path: Path) -> tuple[FrontMatter, str]:
        """The front matter and body of a page. Raises DocumentError if it cannot be read."""
        text = self._text(path)
        front_matter, body = split_front_matter(text)
        if front_matter.problem:
            self._warn(front_matter.problem)
        return front_matter, body

    def events(self, path: Path, front_matter: FrontMatter, body: str) -> list[Event]:
        """Everything on the page in reading order, its tags paired."""
        events = list(self._page_events(path, front_matter, body, {}))
        pair_tags(events, self.components)
        return events

    def _text(self, path: Path) -> str:
        data, stat = read_file(self.config, path, MAX_PAGE_BYTES)
        self.inputs[stat.path] = stat
        text, problem = decode(data)
        if problem:
            self._warn(problem)
        return text

    def _warn(self, problem: str) -> None:
        if problem not in self.warnings:
            self.warnings.append(problem)

    def _page_events(
        self, path: Path, front_matter: FrontMatter, body: str, props: Mapping[str, str]
    ) -> Iterator[Event]:
        page = parse_page(body, mdx=path.suffix.lower() == ".mdx")
        if page.cut_short:
            self._warn("Lists or quotes are nested 100 deep, and what is deeper was left out.")
        self.components |= {*page.imports, *page.exports}
        scope = Scope(self._names(path, front_matter, page, props), page.plain)
        self._open.append(path)
        for event in _flatten(page.tokens, front_matter.first_line, scope):
            yield event
            yield from self._included_events(path, page, event)
        self._open.pop()

    def _names(
        self, path: Path, front_matter: FrontMatter, page: MdxPage, props: Mapping[str, str]
    ) -> dict[str, str]:
        names = {f"frontMatter.{name}": front_matter.text(name) for name in front_matter.fields}
        names |= page.strings | {f"props.{name}": text for name, text in props.items()}
        for name, module in page.imports.items():
            if _RAW_LOADER.match(module):
                names[name] = self._raw_text(path, _RAW_LOADER.sub("", module))
        return names

    def _raw_text(self, importer: Path, module: str) -> str:
        target = self._resolve(importer, module)
        return self._included_text(target, module) if target else ""

    def _included_events(self, importer: Path, page: MdxPage, event: Event) -> Iterator[Event]:
        tag = event.tag
        module = page.imports.get(tag.name, "") if tag and not tag.closing else ""
        if tag is None or not module.lower().endswith(PAGE_SUFFIXES):
            return
        target = self._resolve(importer, module)
        if target is None or target in self._open or self._included >= MAX_INCLUDES:
            return
        self._included += 1
        front_matter, body = split_front_matter(self._included_text(target, module))
        props = {a.name: attribute_text(tag, a.name, event.scope.names) for a in tag.attributes}
        for included in self._page_events(target, front_matter, body, props):
            included.line = event.line
            yield included

    def _included_text(self, target: Path, module: str) -> str:
        if not target.is_file():
            stat = stat_input(self.config, target)
            self.inputs[stat.path] = stat
            self._warn(
                f"The page imports {module}, which does not exist: its text is missing here."
            )
            return ""
        try:
            return self._text(target)
        except DocumentError as error:
            self._warn(f"The page imports {module}. {error}")
            return ""

    def _resolve(self, importer: Path, module: str) -> Path | None:
        """The file of a module path; None for a package, or a file outside DATA_DIR."""
        if module.startswith("."):
            candidates = [importer.parent / module]
        elif module.startswith("@site/"):
            below = self.root, *self.root.parents
            candidates = [folder / module.removeprefix("@site/") for folder in below[1:]]
        else:
            return None
        base = self.config.data_dir.resolve()
        inside = [c.resolve() for c in candidates if c.resolve().is_relative_to(base)]
        if not inside:
            self._warn(f"The page imports {module}, which leads out of DATA_DIR and was not read.")
            return None
        return next((path for path in inside if path.is_file()), inside[0])


def _flatten(tokens: Sequence[Token], first_line: int, scope: Scope) -> Iterator[Event]:
    """Block tokens with the tokens of their text in place, and their lines in the file."""
    line = first_line
    for token in tokens:
        line = first_line + token.map[0] if token.map else line
        if token.type != "inline":
            yield Event(token, line, True, scope)
            continue
        for child in token.children or []:
            yield Event(child, line, False, scope)
