"""MadCap Flare projects in source form: each topic a Document.

`paths` are project folders: those that contain `Content` and `Project`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from pydantic import Field

from ingestion.documents import DocumentFailure, InputFile, Parsed, ParsedDocument, Unchanged
from ingestion.enrichment.doc_types import doc_type_of
from ingestion.enrichment.generations import generations_of, is_deprecated
from ingestion.exceptions import failure_at
from ingestion.parsers.base import NOTHING_KNOWN, FileOptions, Known, Parser
from ingestion.parsers.files import SourceFile, read_file, size_of
from ingestion.parsers.flare.conditions import only_for_print, split_conditions
from ingestion.parsers.flare.markup import FlareRenderer, body_of, has_text_outside
from ingestion.parsers.flare.project import (
    REFERENCE,
    TOPIC_SUFFIXES,
    FlareProject,
    TocStep,
    targets_of,
)
from ingestion.parsers.markup.html import Element
from ingestion.parsers.markup.signatures import refuse_binary
from ingestion.parsers.markup.xhtml import MADCAP, read_markup
from ingestion.parsers.readers import SAME_PROCESS, Isolation, Task

MAX_TOPIC_BYTES = 32 * 1024 * 1024
MAX_TITLES = 5_000
WORDS_OF_A_PLAIN_TOPIC = 50

_HEADING = re.compile(r"#{1,6} (.*)")
_LINKED = re.compile(r"\[%=\s*System\.(?:Linked(?:Title|Header)|Title)\s*%\]")
_OUTSIDE = "It has text outside its body, which was read too: move it into the one body."


class FlareOptions(FileOptions):
    target: str = Field(
        "",
        max_length=200,
        title="Target",
        description="The target of the project whose conditions decide what is left out; empty for "
        "the only one that makes web output. If there is none or several, only what is for print "
        "is left out.",
        examples=["HTML5"],
    )


class FlareParser(Parser):
    version = 4
    endings = TOPIC_SUFFIXES
    Options = FlareOptions

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        for configured in self.config.paths:
            project = FlareProject(self.config, configured, self.options.target)
            yield from project.failures
            yield from project.warnings.drain()
            topics = _Topics(project, self.options)
            yield from isolation.documents(topics.read, topics.tasks(known))

    def choices(self) -> Mapping[str, Sequence[str]]:
        """The targets that all projects of the source have."""
        found = [targets_of(self.config, configured) for configured in self.config.paths]
        others = [{name.casefold() for name in names} for names in found[1:]]
        shared = [n for n in found[0] if all(n.casefold() in names for names in others)]
        return {"target": shared}


class _Topic(NamedTuple):
    """A topic to read: its path in the project. `doubtful` ones lie in Resources and no table of
    contents names them: they count if a topic links to them, or if they are plainly topics."""

    path: str
    file: SourceFile
    doubtful: bool = False


class _Topics:
    """Reads one project, topic by topic."""

    def __init__(self, project: FlareProject, options: FlareOptions) -> None:
        self.project = project
        self.options = options
        self.config = project.config
        self._titles: dict[str, str] = {}

    def tasks(self, known: Known) -> Iterator[Task[_Topic] | Parsed]:
        doubtful: dict[str, SourceFile] = {}
        for path, file in self.project.topics():
            if self.options.excludes(file.relative):
                continue
            if known.current(file.url):
                yield Unchanged(file.url)
            elif self._is_doubtful(path):
                doubtful[path] = file
            else:
                yield Task(file.url, size_of(self.config, file.path), _Topic(path, file))
        linked = self.project.linked_from_topics(set(doubtful)) if doubtful else set()
        for path, file in doubtful.items():
            topic = _Topic(path, file, doubtful=path not in linked)
            yield Task(file.url, size_of(self.config, file.path), topic)

    def _is_doubtful(self, path: str) -> bool:
        in_resources = path.split("/")[1].casefold() == "resources"
        return in_resources and not self.project.in_toc(path)

    def read(self, task: Task[_Topic]) -> Iterator[Parsed]:
        """The topic's document, or why there is none; nothing for what is not a topic at all."""
        try:
            parsed = self._read_topic(*task.item)
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            parsed = failure_at(task.url, error)
        if parsed is not None:
            yield parsed
        yield from self.project.warnings.drain()

    def _read_topic(
        self, path: str, file: SourceFile, doubtful: bool
    ) -> ParsedDocument | DocumentFailure | None:
        data, source = read_file(self.config, file.path, MAX_TOPIC_BYTES)
        refuse_binary(data)
        root, problem = read_markup(data)
        conditions = split_conditions(root.get(f"{MADCAP}conditions"))
        if self.project.rule.leaves_out(root.get(f"{MADCAP}conditions")):
            return _left_out(file, self._why_left_out(conditions))
        renderer = FlareRenderer(self.project, path, self.title_of)
        renderer.title = self._title(renderer, path, root)
        blocks = renderer.render(root)
        if doubtful and not _is_plainly_a_topic(blocks):
            return None
        problem = problem or (_OUTSIDE if has_text_outside(root) else "")
        if problem:
            self.project.warnings.add(f"markup {path}", file.url, problem)
        content = "\n\n".join(blocks).strip("\n")
        content = self.project.expand(content, {})
        if not _says_more_than(renderer.title, blocks):
            return _left_out(file, "The topic has no text except its title: nothing to index.")
        return self._document(path, file, source, conditions, renderer, content)

    def _why_left_out(self, conditions: list[str]) -> str:
        tags = ", ".join(conditions)
        target = self.project.rule.target
        if target is None or only_for_print(tags):
            return f"The topic is only for print ({tags})."
        return f"The topic is not in the output of the target {target.name} ({tags})."

    def _document(
        self,
        path: str,
        file: SourceFile,
        source: InputFile,
        conditions: list[str],
        renderer: FlareRenderer,
        content: str,
    ) -> ParsedDocument:
        place = path.partition("/")[2]
        step = self.project.in_toc(path)
        breadcrumb = self._breadcrumb(path, renderer.inputs)
        metadata = {
            "conditions": conditions,
            "conditions_within": [tag for tag in renderer.conditions if tag not in conditions],
            "keywords": list(renderer.keywords),
            "toc": step.toc if step else "",
        }
        base = self.config.display_base_url
        return ParsedDocument(
            url=file.url,
            title=renderer.title,
            content=content,
            display_url=f"{base.rstrip('/')}/{quote(place)}" if base else "",
            doc_type=doc_type_of(renderer.title, place, content),
            generations=generations_of(place, conditions, content, self.config.generation),
            deprecated=is_deprecated(conditions),
            breadcrumb=breadcrumb,
            metadata={name: value for name, value in metadata.items() if value},
            inputs=(source, *self.project.inputs, *renderer.inputs.values()),
        )

    def title_of(self, path: str) -> str:
        """The title of another topic of the project."""
        if path not in self._titles:
            if len(self._titles) >= MAX_TITLES:
                self._titles.clear()
            self._titles[path] = _file_title(path)
            self._titles[path] = self._read_title(path)
        return self._titles[path]

    def _read_title(self, path: str) -> str:
        file = self.project.file(path)
        try:
            data, _ = read_file(self.config, file.path, MAX_TOPIC_BYTES)
            renderer = FlareRenderer(self.project, path, self.title_of)
            return self._title(renderer, path, read_markup(data).root)
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            failure_at(file.url, error)  # reported when the topic itself is read
            return _file_title(path)

    def _title(self, renderer: FlareRenderer, path: str, root: Element) -> str:
        """The title property, else the first h1, else the table of contents, else the file name."""
        renderer.enter(root)
        head = root.find("head/title")
        title = "" if head is None else renderer.inline_of(head)
        if not title:
            body = body_of(root)
            heading = next(filter(self._is_shown, body.iter("h1")), None)
            title = "" if heading is None else renderer.inline_of(heading)
        title = self.project.expand(title, {})
        return (
            " ".join(title.replace("`", "").split()) or self._toc_title(path) or _file_title(path)
        )

    def _is_shown(self, element: Element) -> bool:
        return not self.project.rule.leaves_out(element.get(f"{MADCAP}conditions"))

    def _toc_title(self, path: str) -> str:
        step = self.project.in_toc(path)
        return self.project.expand(_LINKED.sub("", step.title), {}).strip() if step else ""

    def _breadcrumb(self, path: str, inputs: dict[str, InputFile]) -> tuple[str, ...]:
        steps = self.project.steps(path)
        if steps is None:
            return tuple(path.split("/")[1:-1])
        return tuple(filter(None, (self._step_title(step, inputs) for step in steps)))

    def _step_title(self, step: TocStep, inputs: dict[str, InputFile]) -> str:
        title = step.title
        if (_LINKED.search(title) or not title) and self.project.find(step.link):
            inputs.setdefault(step.link, self.project.input_of(step.link))
            linked = self.title_of(self.project.find(step.link))
            title = _LINKED.sub(lambda _: linked, title) or linked
        return " ".join(self.project.expand(REFERENCE.sub(_trimmed, title), {}).split())


def _trimmed(match: re.Match[str]) -> str:
    return f"[%={match[1].strip()}%]"


def _is_plainly_a_topic(blocks: list[str]) -> bool:
    has_heading = any(block.startswith("#") for block in blocks)
    return has_heading or sum(len(b.split()) for b in blocks) >= WORDS_OF_A_PLAIN_TOPIC


def _says_more_than(title: str, blocks: list[str]) -> bool:
    """Whether the blocks are more than one heading that repeats the title."""
    texts = [block for block in blocks if block.strip()]
    heading = _HEADING.fullmatch(texts[0]) if len(texts) == 1 else None
    repeats = heading and " ".join(heading[1].replace("`", "").split()) == title
    return bool(texts) and not repeats


def _left_out(file: SourceFile, reason: str) -> DocumentFailure:
    return DocumentFailure(file.url, reason, warning=True)


def _file_title(path: str) -> str:
    return re.sub(r"[_\s]+", " ", path.rpartition("/")[2].rpartition(".")[0]).strip() or path
