"""BBj programs: a file is a document; a class head, method, function or label block a section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from pydantic import Field, field_validator

from ingestion.documents import (
    DocumentFailure,
    InputFile,
    Location,
    Parsed,
    ParsedDocument,
)
from ingestion.enrichment.bbj_generations import bbj_generations
from ingestion.exceptions import DocumentError, failure_at
from ingestion.parsers import markdown
from ingestion.parsers.base import NOTHING_KNOWN, FileOptions, Known, Parser
from ingestion.parsers.bbj.description import description
from ingestion.parsers.bbj.lines import split_lines
from ingestion.parsers.bbj.syntax import Outline, Unit, outline
from ingestion.parsers.bbj.text import BinaryContent, SourceText, decode, is_bbj
from ingestion.parsers.files import SourceFile, find_files, kept, read_file, tasks_of
from ingestion.parsers.readers import SAME_PROCESS, Isolation, Task

ENDINGS = (".bbj", ".src", ".bbx", ".bbjt", ".aon", ".prc", ".txt")

_LEVELS = {"method": 3, "fields": 3}


class BbjOptions(FileOptions):
    extensions: tuple[str, ...] = Field(
        default=ENDINGS,
        min_length=1,
        title="Endings of program files",
        description="Endings of program files. A .txt counts only when its content is BBj. "
        "Form resources (.arc) are left out unless named here.",
        examples=[[".bbj", ".src", ".arc"]],
    )

    @field_validator("extensions")
    @classmethod
    def _with_a_dot(cls, extensions: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f".{extension.lower().lstrip('.')}" for extension in extensions)


class BbjSourceParser(Parser):
    """Programs as they are: the content has each source line once, in order, unchanged.

    Documents have no `display_url` (people see file name and line), unless `display_base_url` says
    where the files are shown.
    """

    version = 2
    endings = ENDINGS
    Options = BbjOptions

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        found = kept(find_files(self.config, self.options.extensions), self.options)
        yield from isolation.documents(self._file, tasks_of(self.config, found, known))

    def _file(self, task: Task[SourceFile]) -> Iterator[Parsed]:
        try:
            yield from self._read(task.item)
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            yield failure_at(task.url, error)

    def _read(self, file: SourceFile) -> Iterator[Parsed]:
        try:
            data, read = read_file(self.config, file.path)
            source = decode(data)
        except DocumentError as error:
            skipped = isinstance(error, BinaryContent) and _may_be_prose(file)
            yield DocumentFailure(
                file.url, f"{file.relative}: {error}", stage="read", warning=skipped
            )
            return
        lines = split_lines(source.text)
        if reason := _no_program(file, lines):
            yield DocumentFailure(
                file.url, f"{file.relative}: {reason}", stage="read", warning=True
            )
            return
        if source.replaced:
            yield DocumentFailure(file.url, _replaced(file, source), stage="read", warning=True)
        yield self._document(file, source, lines, read)

    def _document(
        self, file: SourceFile, source: SourceText, lines: list[str], read: InputFile
    ) -> ParsedDocument:
        program = outline(lines)
        content, locations = render(lines, program.units)
        path = PurePosixPath(file.url.partition("://")[2])
        auto = self.config.generation == "auto"
        return ParsedDocument(
            url=file.url,
            title=file.path.name,
            content=content,
            display_url=self._display_url(path),
            doc_type="example",
            generations=bbj_generations(program.code) if auto else (),
            breadcrumb=path.parent.parts,
            metadata=_metadata(lines, program, file, source),
            lines=locations,
            whole_sections=True,
            inputs=(read,),
        )

    def _display_url(self, path: PurePosixPath) -> str:
        base = self.config.display_base_url
        return f"{base.rstrip('/')}/{quote(path.as_posix())}" if base else ""


def _may_be_prose(file: SourceFile) -> bool:
    return file.path.suffix.lower() == ".txt"


def _no_program(file: SourceFile, lines: list[str]) -> str:
    if not any(line.strip() for line in lines):
        return "The file is empty: nothing to store."
    if _may_be_prose(file) and not is_bbj(lines):
        return "The text is not a BBj program and was skipped: rename it to .bbj if it is one."
    return ""


def _replaced(file: SourceFile, source: SourceText) -> str:
    return (
        f"{file.relative}: {source.replaced} bytes have no character in {source.encoding} and "
        "were replaced with U+FFFD: save the file as UTF-8."
    )


def _metadata(
    lines: list[str], program: Outline, file: SourceFile, source: SourceText
) -> dict[str, Any]:
    def names(*kinds: str) -> list[str]:
        return list(dict.fromkeys(u.name for u in program.declared if u.kind in kinds))

    return {
        "language": "bbj",
        "encoding": source.encoding,
        "description": description(lines, file.path.name),
        "classes": names("class", "interface"),
        "methods": sum(unit.kind == "method" for unit in program.declared),
        "functions": names("function"),
        "labels": names("label"),
        "uses": list(program.uses),
    }


def render(lines: list[str], units: list[Unit]) -> tuple[str, tuple[Location, ...]]:
    """The program as Markdown (a heading and a fence for each unit), and its lines' locations."""
    content: list[str] = []
    locations: list[Location] = []
    for unit in units:
        code = lines[unit.start : unit.end]
        locations.append(Location(len(content), unit.start + 1))
        if unit.heading:
            content += [markdown.heading(_level(unit), unit.heading), ""]
        here = len(content) + 1
        locations += [Location(here + i, unit.start + 1 + i) for i in range(len(code))]
        content += [*markdown.fenced(code, "bbj"), ""]
    return "\n".join(content), tuple(locations)


def _level(unit: Unit) -> int:
    return _LEVELS.get(unit.kind, 2) if unit.owner else 2
