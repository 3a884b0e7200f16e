"""JavaDoc as JSON, a file a package: a class is a document, a member with a text a section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

from ingestion.documents import DocumentFailure, InputFile, Parsed, ParsedDocument
from ingestion.enrichment.generations import generations_of
from ingestion.exceptions import DocumentError, failure_at
from ingestion.parsers.base import NOTHING_KNOWN, FileOptions, Known, Parser
from ingestion.parsers.files import SourceFile, find_files, kept, read_file, tasks_of
from ingestion.parsers.javadoc.content import Content, class_content
from ingestion.parsers.javadoc.package import JavaClass, Package, classes_of, read_package
from ingestion.parsers.readers import SAME_PROCESS, Isolation, Task

MAX_BYTES = 32 * 1024 * 1024
API = "com.basis.bbj.proxies"
FOLDER_OF_API = "bbjobjects/"  # of the help, whose folders say which generation a page is for
HELP = "/WebHelp/"


class JavaDocParser(Parser):
    """The classes of packages, as BBj's genjdoc writes them."""

    version = 2
    endings = (".json",)
    Options = FileOptions

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        found = kept(find_files(self.config, self.endings), self.options)
        yield from isolation.documents(self._file, tasks_of(self.config, found, known))

    def _file(self, task: Task[SourceFile]) -> Iterator[Parsed]:
        try:
            yield from self._read(task.item)
        except DocumentError as error:
            message = f"{task.item.relative}: {error}"
            yield DocumentFailure(task.url, message, stage="read")
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            yield failure_at(task.url, error)

    def _read(self, file: SourceFile) -> Iterator[Parsed]:
        data, read = read_file(self.config, file.path, MAX_BYTES)
        package = read_package(data)
        numbers = Counter[str]()
        for each in classes_of(package.classes):
            numbers[each.name] += 1
            again = f"-{numbers[each.name]}" if numbers[each.name] > 1 else ""
            url = f"{file.url}#{each.name}{again}"
            if each.found is None:
                yield DocumentFailure(url, f"{file.relative}: {each.name}: {each.problem}.")
            else:
                yield self._class(url, package, each.name, each.found, read)

    def _class(
        self, url: str, package: Package, name: str, found: JavaClass, read: InputFile
    ) -> Parsed:
        try:
            content = class_content(name, found)
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            return failure_at(url, error, "parse")
        qualified = f"{package.name}.{name}".lstrip(".")
        link = content.described.link
        return ParsedDocument(
            url=url,
            title=name,
            content=content.markdown or f"`{qualified}` has neither a description nor members.",
            display_url=link or self._page(qualified, name),
            doc_type="api-reference",
            generations=self._generations(package.name, link, content),
            deprecated=content.described.deprecated,
            breadcrumb=(package.name,) if package.name else (),
            metadata={"package": package.name, "class": qualified, "members": content.members},
            whole_sections=True,
            inputs=(read,),
        )

    def _generations(self, package: str, link: str, content: Content) -> tuple[str, ...]:
        """The generations of the help's page; those of BBj's objects if a class of BBj has none."""
        is_api = package == API or package.startswith(f"{API}.")
        place = link.partition(HELP)[2] or (FOLDER_OF_API if is_api else "")
        return generations_of(place, (), content.markdown, self.config.generation)

    def _page(self, qualified: str, name: str) -> str:
        """The page that the JavaDoc tool writes for a class, below the source's own address."""
        base = self.config.display_base_url
        folders = qualified.removesuffix(name).replace(".", "/")
        return f"{base.rstrip('/')}/{quote(folders + name)}.html" if base else ""
