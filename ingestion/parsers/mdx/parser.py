"""Docusaurus documentation: `.md` and `.mdx` pages, one document each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

from pydantic import Field

from ingestion.documents import DocumentFailure, InputFile, Parsed, ParsedDocument
from ingestion.exceptions import DocumentError, failure_at
from ingestion.parsers.base import NOTHING_KNOWN, FileOptions, Known, Parser
from ingestion.parsers.files import (
    SourceFile,
    find_files,
    list_folder,
    read_file,
    stat_input,
    tasks_of,
)
from ingestion.parsers.mdx import docusaurus
from ingestion.parsers.mdx.assembly import PAGE_SUFFIXES, Assembly, decode
from ingestion.parsers.mdx.docusaurus import CATEGORY_FILES, FrontMatter
from ingestion.parsers.mdx.render import Renderer
from ingestion.parsers.mdx.writer import MarkdownWriter
from ingestion.parsers.readers import SAME_PROCESS, Isolation, Task

_MARKS = re.compile(r"[`*\\]")


class MdxOptions(FileOptions):
    number_prefixes: bool = Field(
        default=True,
        title="Drop number prefixes",
        description="Whether the site drops number prefixes (01-intro) from addresses; set it to "
        "false where its numberPrefixParser is off.",
        examples=[False],
    )


@dataclass(frozen=True, slots=True)
class _Category:
    """A folder: its label, the title of its index page, and the files these come from."""

    label: str
    index_title: str
    inputs: tuple[InputFile, ...]
    problem: DocumentFailure | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    document: ParsedDocument
    warnings: list[str] = field(default_factory=list)


class MdxParser(Parser):
    """What a reader of the site sees, as Markdown.

    Files and folders with a leading underscore are not pages; their text is part of the pages
    that import them. Drafts are left out.
    """

    version = 4
    endings = PAGE_SUFFIXES
    Options = MdxOptions

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        found = find_files(self.config, self.endings)
        pages = (
            file
            for file in found
            if isinstance(file, DocumentFailure) or self._is_page(file.relative)
        )
        tasks = tasks_of(self.config, pages, known)
        yield from isolation.documents(partial(self._parse_page, {}), tasks)

    def _is_page(self, path: PurePosixPath) -> bool:
        if any(part.startswith("_") for part in path.parts):
            return False
        return not self.options.excludes(path)

    def _parse_page(
        self, categories: dict[Path, _Category], task: Task[SourceFile]
    ) -> Iterator[Parsed]:
        file = task.item
        before = set(categories)
        try:
            page = self._read_page(file, categories)
        except RecursionError:
            yield DocumentFailure(
                file.url, "The page is nested too deeply to be read: simplify it."
            )
            return
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            yield failure_at(file.url, error)
            return
        finally:
            problems = [categories[folder].problem for folder in categories.keys() - before]
        yield from filter(None, problems)
        if page is None:
            return
        for warning in page.warnings:
            yield DocumentFailure(file.url, warning, warning=True)
        if _says_more_than_its_title(page.document):
            yield page.document
        else:
            yield DocumentFailure(
                file.url, "The page shows no text, so there is no document.", warning=True
            )

    def _read_page(self, file: SourceFile, categories: dict[Path, _Category]) -> _Page | None:
        assembly = Assembly(self.config, file.root)
        front_matter, body = assembly.read(file.path)
        if front_matter.flag("draft"):
            return None
        writer = Renderer().render(assembly.events(file.path, front_matter, body))
        title = _title(file.relative, front_matter, writer)
        document = self._document(file, front_matter, writer, title)
        folders = [self._category(file, depth, categories) for depth in _depths(file.relative)]
        inputs = [*assembly.inputs.values(), *(i for folder in folders for i in folder.inputs)]
        labels = _breadcrumb(file.relative, title, folders)
        document = replace(document, breadcrumb=labels, inputs=tuple(dict.fromkeys(inputs)))
        return _Page(document, assembly.warnings)

    def _document(
        self, file: SourceFile, front_matter: FrontMatter, writer: MarkdownWriter, title: str
    ) -> ParsedDocument:
        address = docusaurus.slug(file.relative, front_matter, self.options.number_prefixes)
        return ParsedDocument(
            url=file.url,
            title=title,
            content=writer.content(),
            display_url=docusaurus.display_url(self.config.display_base_url, address),
            doc_type="tutorial",
            metadata=docusaurus.metadata(front_matter, file.relative),
            lines=tuple(writer.locations),
        )

    def _category(
        self, file: SourceFile, parts: tuple[str, ...], categories: dict[Path, _Category]
    ) -> _Category:
        folder = file.root.joinpath(*parts)
        if folder not in categories:
            categories[folder] = self._read_category(file, folder, parts)
        return categories[folder]

    def _read_category(self, file: SourceFile, folder: Path, parts: tuple[str, ...]) -> _Category:
        inputs: list[InputFile] = []
        problem = None
        label = ""
        for name in CATEGORY_FILES:
            path = folder / name
            inputs.append(stat_input(self.config, path))
            if label or not path.is_file():
                continue
            try:
                data, _ = read_file(self.config, path)
                label = docusaurus.category_label(decode(data)[0], name)
            except (DocumentError, ValueError) as error:
                url = file.url.removesuffix(str(file.relative)) + "/".join((*parts, name))
                problem = DocumentFailure(
                    url, f"The category file cannot be read: {error}", warning=True
                )
        title, index_inputs = ("", ()) if label else self._index_title(file.root, folder)
        return _Category(label, title, (*inputs, *index_inputs), problem)

    def _index_title(self, root: Path, folder: Path) -> tuple[str, tuple[InputFile, ...]]:
        """The label of a folder from its index page."""
        for entry in list_folder(self.config, folder):
            path = folder / entry.name
            relative = PurePosixPath(path.relative_to(root).as_posix())
            if path.suffix.lower() in PAGE_SUFFIXES and docusaurus.is_index(relative):
                return self._sidebar_title(root, path, relative)
        return "", ()

    def _sidebar_title(
        self, root: Path, path: Path, relative: PurePosixPath
    ) -> tuple[str, tuple[InputFile, ...]]:
        assembly = Assembly(self.config, root)
        try:
            front_matter, body = assembly.read(path)
            given = front_matter.text("sidebar_label") or front_matter.text("title")
            if not given:
                writer = Renderer().render(assembly.events(path, front_matter, body))
                given = _title(relative, front_matter, writer)
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            failure_at(str(relative), error)  # reported when the page itself is read
            return "", (stat_input(self.config, path),)
        return given, tuple(assembly.inputs.values())


def _says_more_than_its_title(document: ParsedDocument) -> bool:
    first, _, rest = document.content.strip().partition("\n")
    repeats = _MARKS.sub("", first.lstrip("# ")).casefold() == document.title.casefold()
    return bool(rest or (first and not (first.startswith("#") and repeats)))


def _title(path: PurePosixPath, front_matter: FrontMatter, writer: MarkdownWriter) -> str:
    """The front matter's title, else the first top heading, the sidebar's label, the file name."""
    heading = next((h for h in writer.headings if h.level == 1), None)
    shown = _MARKS.sub("", heading.text) if heading else ""
    title = front_matter.text("title") or shown or front_matter.text("sidebar_label")
    if title:
        return title
    named_by_folder = docusaurus.is_index(path) and path.parent.name
    return docusaurus.bare_name(path.parent.name if named_by_folder else path.stem)


def _depths(path: PurePosixPath) -> list[tuple[str, ...]]:
    folders = path.parent.parts
    return [folders[: depth + 1] for depth in range(len(folders))]


def _breadcrumb(path: PurePosixPath, title: str, folders: list[_Category]) -> tuple[str, ...]:
    """The labels of the folders, without an index page's own folder."""
    names = [docusaurus.readable(name) for name in path.parent.parts]
    labels = [f.label or f.index_title or name for f, name in zip(folders, names, strict=True)]
    if labels and docusaurus.is_index(path):
        given = folders[-1].label
        labels[-1:] = [given] if given and given.casefold() != title.casefold() else []
    return tuple(labels)
