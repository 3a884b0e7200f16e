"""What a Flare project's topics share: files, variables, tables of contents, snippets."""

from __future__ import annotations

import posixpath
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from ingestion.documents import DocumentFailure, InputFile
from ingestion.exceptions import DocumentError, SourceError
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.files import (
    SourceFile,
    address_of,
    files_below,
    find_files,
    list_folder,
    read_file,
    resolve_inside,
    stat_input,
)
from ingestion.parsers.flare.conditions import Rule, Target, target_of
from ingestion.parsers.markup.html import Element
from ingestion.parsers.markup.xhtml import MADCAP, decode, read_markup

TOPIC_SUFFIXES = (".htm", ".html")
SNIPPET_SUFFIX = ".flsnp"
TOC_ORDER = ("basishelp", "emhelp", "bdthelp", "pro5toc")
MAX_WARNINGS = 200
MAX_SNIPPETS = 256
MAX_SNIPPET_BYTES = 4 * 1024 * 1024
MAX_NESTING = 20
MAX_EXPANSION = 1_000_000  # characters that variables may add to one text

REFERENCE = re.compile(r"\[%=\s*([^%\]]+?)\s*%\]")
LINKED = ("System.LinkedTitle", "System.LinkedHeader", "System.Title")
_OVERRIDE = re.compile(r"(?:^|,)\s*([^:,]+\.[^:,]+):")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


_Tocs = dict[str, tuple[str, Element | None]]


class TocStep(NamedTuple):
    """An entry of the table of contents `toc`; `link` is a path in the project, or empty."""

    title: str
    link: str
    parent: TocStep | None
    toc: str


@dataclass(frozen=True, slots=True)
class Snippet:
    """A snippet's tree, None if it is missing or unreadable, and the file as an input."""

    path: str
    root: Element | None
    input: InputFile


class Warnings:
    """Problems of the project, each reported once, up to a maximum number."""

    def __init__(self) -> None:
        self._reported: set[str] = set()
        self._waiting: list[DocumentFailure] = []

    def add(self, key: str, url: str, message: str) -> None:
        if key in self._reported or len(self._reported) > MAX_WARNINGS:
            return
        self._reported.add(key)
        if len(self._reported) > MAX_WARNINGS:
            message = f"More than {MAX_WARNINGS} warnings: fix these first. The rest are left out."
        self._waiting.append(DocumentFailure(url, message, warning=True))

    def drain(self) -> list[DocumentFailure]:
        waiting, self._waiting = self._waiting, []
        return waiting


def overrides(value: str | None) -> dict[str, str]:
    """The variables of a `snippetVariables` attribute: `Set.Name:value,Set.Other:value`."""
    text = (value or "").strip().rstrip(",")
    names = list(_OVERRIDE.finditer(text))
    ends = [*(name.start() for name in names[1:]), len(text)]
    return {
        variable_key(name[1]): text[name.end() : end].strip()
        for name, end in zip(names, ends, strict=False)
    }


def variable_key(name: str) -> str:
    return " ".join(name.split()).casefold()


def target_path(reference: str, base: str) -> str:
    """The project path of an `href` or `src` in the file `base`; empty for other addresses.

    Paths are relative to the project's folder (`Content/...`); one that leaves it begins with `..`.
    """
    reference = reference.strip()
    if not reference or reference.startswith("#") or _SCHEME.match(reference):
        return ""
    path = unquote(reference.partition("#")[0].partition("?")[0]).replace("\\", "/")
    if path.startswith("/"):
        return posixpath.normpath(path).lstrip("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), path))


class FlareProject:
    """One project folder. `prefix` is before `Content/...` in the address of a topic.

    `target` names the target whose conditions count; if empty, that is the only one that makes web
    output. Raises SourceError if there is no such target.
    """

    def __init__(self, config: SourceConfig, configured: str, target: str = "") -> None:
        self.config = config
        self.warnings = Warnings()
        self.root = project_folder(config, configured)
        self.prefix = address_of(config, configured)
        self.failures: list[DocumentFailure] = []
        self.files = dict.fromkeys(self._list_content())  # only paths: there may be many
        self._snippets: OrderedDict[str, tuple[Snippet, int]] = OrderedDict()
        self.inputs: list[InputFile] = []
        self._add_folder_inputs()
        master_toc = self._read_project_files()
        self.rule = Rule(self._choose_target(target))
        self.variables = dict(self._read_variables())
        self.toc: dict[str, TocStep] = {}
        self._read_tocs(master_toc)

    def topics(self) -> Iterator[tuple[str, SourceFile]]:
        for path in self.files:
            if path.casefold().endswith(TOPIC_SUFFIXES):
                yield path, self.file(path)

    def file(self, path: str) -> SourceFile:
        return SourceFile(self.root / path, self.url(path), PurePosixPath(path), self.root)

    def find(self, path: str) -> str:
        """The path as spelled on disk (a project from Windows ignores case), or empty."""
        return path if path in self.files else self._spelling.get(path.casefold(), "")

    @cached_property
    def _spelling(self) -> dict[str, str]:
        return {path.casefold(): path for path in self.files}

    def url(self, path: str) -> str:
        return self.prefix + path

    def steps(self, path: str) -> list[TocStep] | None:
        """The entries above a topic in the first table of contents that lists it, root first."""
        step = self.toc.get(path)
        if step is None:
            return None
        above = []
        while step.parent is not None:
            step = step.parent
            above.append(step)
        return above[::-1]

    def in_toc(self, path: str) -> TocStep | None:
        return self.toc.get(path)

    def variable(self, name: str, own: dict[str, str]) -> str | None:
        """The value of a variable, a snippet's own before the project's; None if unknown."""
        value = own.get(variable_key(name), self.variables.get(variable_key(name)))
        return value if value is None else self.expand(value, own)

    def expand(self, text: str, own: dict[str, str]) -> str:
        """Replace each `[%=Set.Name%]` in the text; drop those of System and unknown ones."""
        return self._expanded(text, own, 0, [MAX_EXPANSION]) if "[%=" in text else text

    def _expanded(self, text: str, own: dict[str, str], depth: int, left: list[int]) -> str:
        """`left` is how many characters the variables may still add, in its only element."""
        if "[%=" not in text or depth > MAX_NESTING:
            return REFERENCE.sub("", text)

        def value(match: re.Match[str]) -> str:
            name = variable_key(match[1])
            found = own.get(name, self.variables.get(name))
            if found is None:
                self.warn_about_variable(match[1], self.prefix)
                return ""
            left[0] -= len(found)
            if left[0] < 0:
                self.warn_about_expansion(match[1])
                return ""
            return self._expanded(found, own, depth + 1, left)

        return REFERENCE.sub(value, text)

    def warn_about_expansion(self, name: str) -> None:
        self.warnings.add(
            f"expansion {name}",
            self.prefix,
            f"Variables within variables make more than {MAX_EXPANSION:,} characters of one text "
            f"(at {name!r}): the rest was left out. Correct their definitions.",
        )

    def warn_about_variable(self, name: str, url: str) -> None:
        if not name.startswith("System."):
            self.warnings.add(
                f"variable {name}",
                url,
                f"The variable {name!r} is in no variable set of the project: it was left out.",
            )

    def snippet(self, path: str) -> Snippet:
        """The snippet at a path of `files`; those used last are cached."""
        kept = self._snippets.get(path)
        if kept is not None:
            self._snippets.move_to_end(path)
            return kept[0]
        snippet, size = self._read_snippet(path)
        self._snippets[path] = (snippet, size)
        while (
            len(self._snippets) > MAX_SNIPPETS
            or sum(size for _, size in self._snippets.values()) > MAX_SNIPPET_BYTES
        ) and len(self._snippets) > 1:
            self._snippets.popitem(last=False)
        return snippet

    def _read_snippet(self, path: str) -> tuple[Snippet, int]:
        try:
            data, source = read_file(self.config, self.root / path)
        except DocumentError as error:
            self.warnings.add(f"snippet {path}", self.url(path), str(error))
            return Snippet(path, None, self.input_of(path)), 0
        markup = read_markup(data)
        if markup.problem:
            self.warnings.add(f"snippet {path}", self.url(path), markup.problem)
        return Snippet(path, markup.root, source), len(data)

    def input_of(self, path: str) -> InputFile:
        """A file of the project as an input, even if it does not exist."""
        return stat_input(self.config, self.root / path)

    def _list_content(self) -> Iterator[str]:
        content = self._folder("Content")
        if content is None:
            raise SourceError(
                f"{self.root.name!r} has no Content folder: give the path of a Flare project, "
                "the folder with Content and Project in it."
            )
        below = self._config_for(content)
        outer = f"{self.config.name}://"
        for found in find_files(below, (*TOPIC_SUFFIXES, SNIPPET_SUFFIX)):
            path = f"{content.name}/{found.url.removeprefix(outer)}"
            if isinstance(found, DocumentFailure):
                self.failures.append(replace(found, url=self.url(path)))
            else:
                yield path

    def _config_for(self, folder: Path) -> SourceConfig:
        path = folder.relative_to(self.config.data_dir.resolve()).as_posix()
        return replace(self.config, paths=(path,))

    def _folder(self, *names: str) -> Path | None:
        return folder_in(self.config, self.root, *names)

    def _add_folder_inputs(self) -> None:
        """Add the folders, because a new table of contents or variable set is a change too."""
        for name in ("TOCs", "VariableSets", "Targets"):
            path = self._folder("Project", name) or self.root / "Project" / name
            self.inputs.append(stat_input(self.config, path))

    def _read_project_files(self) -> str:
        """Read the project files; return the path of the master table of contents."""
        master = ""
        for entry in list_folder(self.config, self.root):
            path = self.root / entry.name
            if path.suffix != ".flprj":
                continue
            root = self._read_shared(path)
            if root is not None:
                master = master or target_path(root.get("MasterToc") or "", path.name)
        return master

    def _read_shared(self, path: Path) -> Element | None:
        """Read a project file that every topic depends on."""
        try:
            resolved = resolve_inside(
                self.config.data_dir, path.relative_to(self.config.data_dir.resolve()).as_posix()
            )
            data, source = read_file(self.config, resolved)
        except (DocumentError, SourceError) as error:
            self.warnings.add(str(path), self._shared_url(path), str(error))
            return None
        self.inputs.append(source)
        markup = read_markup(data)
        if markup.problem:
            self.warnings.add(str(path), self._shared_url(path), markup.problem)
        return markup.root

    def _shared_url(self, path: Path) -> str:
        return self.prefix + path.relative_to(self.root).as_posix()

    def _shared_files(self, folder: str, suffix: str) -> list[Path]:
        within = self._folder("Project", folder)
        return files_below(self.config, within, suffix) if within else []

    def _choose_target(self, wanted: str) -> Target | None:
        """The target of this name, else the only one for the web."""
        files = target_files(self.config, self.root)
        if wanted:
            found = next((n for n in files if n.casefold() == wanted.casefold()), None)
            if found is None:
                raise SourceError(no_target(self.root.name, wanted, files))
            return self._read_target(found, files[found])
        targets = [self._read_target(name, path) for name, path in files.items()]
        web = [target for target in targets if target is None or target.is_web]
        return web[0] if len(web) == 1 else None

    def _read_target(self, name: str, path: Path) -> Target | None:
        root = self._read_shared(path)
        try:
            return None if root is None else target_of(name, root)
        except ValueError as error:
            self.warnings.add(
                f"target {path}",
                self._shared_url(path),
                f"The conditions of the target {name!r} are not understood ({error}): nothing is "
                "left out because of them. Correct them in Flare.",
            )
            return None

    def _read_variables(self) -> Iterator[tuple[str, str]]:
        """`EvaluatedDefinition`, else the text, else `Definition`; date formats are skipped.

        In older projects `Definition` is only the default of Flare's template.
        """
        for path in self._shared_files("VariableSets", ".flvar"):
            root = self._read_shared(path)
            for variable in () if root is None else root.iter("Variable", "variable"):
                text = "".join(map(str, variable.itertext())).strip()
                evaluated = _value(variable, "EvaluatedDefinition")
                value = evaluated or text or _value(variable, "Definition")
                is_date = _value(variable, "Type").casefold() == "datetime"
                name = f"{path.stem}.{_value(variable, 'Name')}"
                yield variable_key(name), "" if is_date else value.strip()

    def _read_tocs(self, master: str) -> None:
        """Read the master first, then the known ones, then the rest by name: the first with a topic
        wins."""
        paths = {self._project_path(p).casefold(): p for p in self._shared_files("TOCs", ".fltoc")}

        def rank(path: str) -> tuple[bool, int, str]:
            stem = PurePosixPath(path).stem
            known = TOC_ORDER.index(stem) if stem in TOC_ORDER else len(TOC_ORDER)
            return path != master.casefold(), known, path

        trees = {
            path: (self._project_path(paths[path]), self._read_shared(paths[path]))
            for path in sorted(paths, key=rank)
        }
        for path in tuple(trees):
            self._read_toc(path, trees, None)

    def _read_toc(self, key: str, trees: _Tocs, above: TocStep | None) -> None:
        """Read a table once: on its own, or where another table first links to it."""
        path, root = trees.pop(key, ("", None))
        if root is not None:
            top = next(root.iter("CatapultToc", "catapulttoc"), root)
            self._read_entries(top, path, trees, above)

    def _read_entries(
        self, element: Element, toc: str, trees: _Tocs, above: TocStep | None
    ) -> None:
        for entry in element:
            is_entry = entry.tag in ("TocEntry", "tocentry")
            if not is_entry or self.rule.leaves_out(_conditions(entry)):
                continue
            link = target_path(_value(entry, "Link"), toc)
            step = TocStep(_value(entry, "Title"), link, above, toc)
            if link.casefold().endswith(".fltoc"):
                self._read_toc(link.casefold(), trees, step)
            elif link:
                self._add_toc_topic(link, step, toc)
            self._read_entries(entry, toc, trees, step)

    def _add_toc_topic(self, link: str, step: TocStep, toc: str) -> None:
        path = self.find(link)
        if path:
            self.toc.setdefault(path, step._replace(link=path))
        elif link.casefold().endswith(TOPIC_SUFFIXES):
            self.warn_about_link(link, self.prefix + toc)

    def warn_about_link(self, path: str, url: str) -> None:
        self.warnings.add(
            f"link {path.casefold()}",
            url,
            f"It links to {path}, which is not in the project: correct or remove the link.",
        )

    def _project_path(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def linked_from_topics(self, wanted: set[str]) -> set[str]:
        """The paths of these that a topic links to. Reads the topics' bytes until all are found."""
        found: set[str] = set()
        for path, file in self.topics():
            if found == wanted:
                break
            try:
                data, _ = read_file(self.config, file.path)
            except DocumentError:
                continue
            if any(PurePosixPath(name).name.encode() in data for name in wanted - found):
                targets = (target_path(href, path) for href in _hrefs(decode(data)))
                found |= {self.find(target) for target in targets} & (wanted - {path})
        return found


def _value(element: Element, name: str) -> str:
    """An attribute; its name is lower case if only an HTML parser could read the file."""
    return element.get(name) or element.get(name.lower()) or ""


def _conditions(entry: Element) -> str | None:
    return entry.get("conditions") or entry.get(f"{MADCAP}conditions")


def _hrefs(text: str) -> Iterator[str]:
    return (match[1] for match in re.finditer(r"""\bhref\s*=\s*["']([^"'<>]+)""", text))


def targets_of(config: SourceConfig, configured: str) -> list[str]:
    """The names of a project's targets."""
    return list(target_files(config, project_folder(config, configured)))


def target_files(config: SourceConfig, project: Path) -> dict[str, Path]:
    """The files of a project's targets by name: the path below Targets, without the ending."""
    folder = folder_in(config, project, "Project", "Targets")
    files = files_below(config, folder, ".fltar") if folder else []
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in files if folder}


def no_target(project: str, wanted: str, there: Iterable[str]) -> str:
    names = ", ".join(map(repr, there))
    known = f"it has {names}. Name one of them" if names else "it has none. Leave it out"
    return f"{project!r} has no target {wanted!r}: {known} in the option target."


def folder_in(config: SourceConfig, folder: Path, *names: str) -> Path | None:
    """A folder below another, ignoring case."""
    for name in names:
        inside = (entry.name for entry in list_folder(config, folder))
        inner = next((n for n in inside if n.casefold() == name.casefold()), None)
        if inner is None or not (folder / inner).is_dir():
            return None
        folder /= inner
    return folder


def project_folder(config: SourceConfig, configured: str) -> Path:
    """The folder of the project: the configured folder, that of a configured project file, or the
    parent of a configured Content folder."""
    path = resolve_inside(config.data_dir, configured)
    if path.is_file():
        return path.parent
    return path.parent if path.name.casefold() == "content" else path
