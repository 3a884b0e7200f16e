"""The text of a class: a section for each member with a description, the others listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from ingestion.parsers import markdown
from ingestion.parsers.javadoc.description import Description, read_description
from ingestion.parsers.javadoc.package import CONSTRUCTOR, INITIALIZER, JavaClass, Member

LIST_CHARACTERS = 600  # of one list of members: a chunk in which each name still counts
LONGEST_ITEM = 60  # characters in which a list's first code is taken for its key


@dataclass(frozen=True, slots=True)
class Content:
    """The Markdown of a class, and what its description says."""

    markdown: str
    described: Description
    members: int


@dataclass(frozen=True, slots=True)
class Named:
    """A member under the name that people use: of the class, if it is a constructor."""

    name: str
    member: Member
    call: bool

    @property
    def heading(self) -> str:
        return f"{self.name}({self.member.types()})" if self.call else self.name

    @property
    def signature(self) -> str:
        called = f"{self.name}({self.member.parameters()})" if self.call else self.name
        return f"{self.member.type} {called}".strip()


def class_content(name: str, found: JavaClass) -> Content:
    """The content of a class; `name` is the one shown, with the classes that it is nested in."""
    described = read_description(found.docu, name)
    members = list(dict.fromkeys(_named(name.rpartition(".")[2], found)))
    sections, listed = list[str](), list[Named]()
    for each in members:
        section = _section(name, each)
        sections += section
        if not section:
            listed.append(each)
    lists = list(_lists(sorted(listed, key=lambda each: each.name), bool(sections)))
    blocks = _introduced(described.blocks, sections, lists)
    return Content("\n\n".join(blocks), described, len(members))


def _introduced(
    intro: Sequence[str], sections: Sequence[str], lists: Sequence[tuple[str, str]]
) -> list[str]:
    """The introduction, the sections and the lists; one short list belongs to the introduction."""
    if intro and len(lists) == 1:
        (_, items) = lists[0]
        if len(items) + sum(map(len, intro)) <= LIST_CHARACTERS:
            return [*intro, items, *sections]
    return [*intro, *sections, *chain.from_iterable(lists)]


def _named(simple: str, found: JavaClass) -> Iterator[Named]:
    yield from (Named(member.name, member, False) for member in found.fields)
    for member in chain(found.constructors, found.methods):
        if member.name == INITIALIZER:
            continue
        yield Named(simple if member.name == CONSTRUCTOR else member.name, member, True)


def _section(class_name: str, each: Named) -> list[str]:
    """Heading, signature, description and link of a member; nothing without a description."""
    described = read_description(each.member.docu, f"{class_name}::{each.name}")
    if not described.blocks and not described.link:
        return []
    link = [f"Docs: {described.link}"] if described.link else []
    signature = markdown.code_span(each.signature)
    heading = markdown.heading(2, markdown.code_span(each.heading))
    return [heading, signature, *described.blocks, *link]


def _lists(listed: Sequence[Named], further: bool) -> Iterator[tuple[str, str]]:
    """Heading and items of each list of members, none much above LIST_CHARACTERS."""
    groups = list(_grouped(listed))
    heading = "Further members" if further else "Members"
    for group in groups:
        first, last = group[0].name, group[-1].name
        names = f": {first}" + (f" to {last}" if last != first else "")
        yield (
            markdown.heading(2, heading + (names if len(groups) > 1 else "")),
            "\n".join(map(_item, group)),
        )


def _grouped(listed: Iterable[Named]) -> Iterator[list[Named]]:
    group, size = list[Named](), 0
    for each in listed:
        if group and size + len(each.signature) > LIST_CHARACTERS:
            yield group
            group, size = [], 0
        group.append(each)
        size += len(each.signature)
    if group:
        yield group


def _item(each: Named) -> str:
    """A member in a list, beginning with code that is short enough for a key of search."""
    if len(each.signature) <= LONGEST_ITEM:
        return f"- {markdown.code_span(each.signature)}"
    return f"- {markdown.code_span(each.name)}: {markdown.code_span(each.signature)}"
