"""MadCap's elements to Markdown: one renderer for a topic and the snippets it includes."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ingestion.documents import InputFile
from ingestion.parsers.flare.conditions import Expression, expression_of, split_conditions
from ingestion.parsers.flare.project import (
    LINKED,
    MAX_NESTING,
    TOPIC_SUFFIXES,
    FlareProject,
    overrides,
    target_path,
)
from ingestion.parsers.markup.html import (
    BLOCKS,
    DROPPED,
    Element,
    Handler,
    HtmlRenderer,
    local_name,
)
from ingestion.parsers.markup.html_text import PAD, Flow, fold
from ingestion.parsers.markup.xhtml import MADCAP

MAX_SNIPPETS_OF_TOPIC = 5_000
MAX_KEYWORDS = 100
MAX_COLUMNS = 1_000

_DROPPED_TAGS = (
    "concept relatedTopics relatedTopic relatedTopicsControl conceptLink conceptsControl "
    "keywordLink microContent RemoveChange codeSnippetCopyButton"
)
_PAGE_NUMBER = re.compile(
    r"\s*[(\[]\s*(?:pg|pp|page|pages)\.?\s*\d*\s*[)\]]\s*$|,?\s+on page\s*\d*\s*$", re.IGNORECASE
)
_MARKUP = re.compile(r"<[^<>]*>")
_ROWS = ("tr", "thead/tr", "tbody/tr", "tfoot/tr")
_AUTONUM = f"{MADCAP}autonum"
_CONDITIONS = f"{MADCAP}conditions"
_EXPRESSION = f"{MADCAP}conditionTagExpression"
_OF_OUTPUT = "MCWebHelpFramesetLink"  # "Open topic with navigation", which Flare adds
_UNCLEAR = "The conditions {!r} of a snippet are not understood ({}): they were not applied."
_MISSING = "The snippet {} is not in the project: correct its path or add the file."
_OUTSIDE = "The snippet {} is outside Content and was refused: move it into the project."
_CIRCLE = "The snippet {} includes itself: the inner one was left out."
_MANY = "The topic includes more than {:,} snippets: the rest were left out."


class FlareRenderer(HtmlRenderer):
    """Renders the topic at `path` and collects the other data of its document."""

    def __init__(self, project: FlareProject, path: str, title_of: Callable[[str], str]) -> None:
        super().__init__()
        self.project = project
        self.topic = path
        self.title = ""
        self.title_of = title_of
        self.inputs: dict[str, InputFile] = {}
        self.keywords: dict[str, None] = {}
        self.conditions: dict[str, None] = {}
        self._files = [path]
        self._own: list[dict[str, str]] = [{}]
        self._expressions: list[Expression] = []
        self._of_snippets: Expression | None = None
        self._cells_out: set[Element] = set()
        self._removed: frozenset[str] = frozenset()
        self._expanded = 0
        self.handlers |= {
            f"{MADCAP}{name}": handler
            for name, handler in {
                **dict.fromkeys(_DROPPED_TAGS.split(), self.drop),
                "annotation": self.annotation,
                "change": self.change,
                "codeSnippet": self.block,
                "codeSnippetBody": self.preformatted,
                "codeSnippetCaption": self.block,
                "dropDown": self.drop_down,
                "equation": self.equation,
                "expandingBody": self.padded,
                "footnote": self.bracketed,
                "keyword": self.keyword,
                "popupBody": self.bracketed,
                "slide": self.slide,
                "slideshow": self.block,
                "snippetBlock": self.snippet_block,
                "snippetText": self.snippet_text,
                "variable": self.variable,
                "xref": self.cross_reference,
            }.items()
        }
        self.handlers["a"] = self.link

    @property
    def own(self) -> dict[str, str]:
        """The variables that the file being read overrides."""
        return self._own[-1]

    def render(self, root: Element) -> list[str]:
        """The blocks of a topic's tree."""
        self.enter(root)
        body = body_of(root)
        return [] if self.hidden(body) else self.blocks_of(body)

    def enter(self, root: Element) -> None:
        """Collect what the topic says about itself above its body."""
        self._own[-1] = overrides(root.get(f"{MADCAP}snippetVariables"))
        self._of_snippets = self._expression(root)
        self._removed = frozenset(
            change.get(f"{MADCAP}id") or "" for change in root.iter(f"{MADCAP}RemoveChange")
        )

    def unknown(self, tag: object) -> Handler:
        if isinstance(tag, str) and tag.startswith(MADCAP):
            return self.drop if tag.endswith("Proxy") else self.walk
        return super().unknown(tag)

    def hidden(self, element: Element) -> bool:
        conditions = element.get(_CONDITIONS)
        if not conditions:
            return False
        if self.project.rule.leaves_out(conditions, self._expressions):
            return True
        self.conditions.update(dict.fromkeys(split_conditions(conditions)))
        return False

    def block(self, element: Element, flow: Flow) -> None:
        if (element.get("class") or "").startswith(_OF_OUTPUT):
            return
        number = element.get(_AUTONUM)
        if not number:
            super().block(element, flow)
            return
        flow.end_line()
        flow.inline.append(automatic_text(number))
        self.walk(element, flow)
        flow.end_line()

    def blocks_of(self, element: Element, plain: bool = False) -> list[str]:
        number = element.get(_AUTONUM)
        if not number:
            return super().blocks_of(element, plain)
        flow = Flow(plain)
        flow.inline.append(automatic_text(number))
        self.walk(element, flow)
        return flow.finish()

    def table(self, element: Element, flow: Flow) -> None:
        """Add a table without the columns whose `col` is left out."""
        before = self._cells_out
        named = [*element.findall("col"), *element.findall("colgroup/col")]
        columns = [column for column in named for _ in range(span_of(column.get("span")))]
        if gone := {place for place, column in enumerate(columns) if self.hidden(column)}:
            rows = chain(*map(element.findall, _ROWS))
            self._cells_out = before | set(_cells_in(rows, gone))
        super().table(element, flow)
        self._cells_out = before

    def _is_cell(self, element: Element) -> bool:
        return super()._is_cell(element) and element not in self._cells_out

    def keyword(self, element: Element, flow: Flow) -> None:
        for term in (element.get("term") or "").split(";"):
            if term.strip() and len(self.keywords) < MAX_KEYWORDS:
                self.keywords[" ".join(term.split())] = None

    def annotation(self, element: Element, flow: Flow) -> None:
        """Drop a reviewer's comment, and keep the text it is attached to."""
        if element.get(f"{MADCAP}comment") is not None:
            self.walk(element, flow)

    def change(self, element: Element, flow: Flow) -> None:
        """Drop the text that a tracked change removed."""
        changes = split_conditions(element.get(f"{MADCAP}changes"))
        if not self._removed.intersection(changes):
            self.walk(element, flow)

    def bracketed(self, element: Element, flow: Flow) -> None:
        text = self.inline_of(element)
        if text:
            flow.inline += (PAD, f"({text})", PAD)

    def slide(self, element: Element, flow: Flow) -> None:
        flow.end_line()
        flow.inline.append(element.get("title") or "")
        self.block(element, flow)

    def drop_down(self, element: Element, flow: Flow) -> None:
        """Render the hotspot as a heading one level below the last, with the body under it."""
        head = element.find(f"{MADCAP}dropDownHead")
        text = "" if head is None or self.hidden(head) else self.inline_of(head)
        with self.under(text, flow):
            for part in element:
                if part is not head and not self.hidden(part):
                    self.block(part, flow)
                flow.inline.append(part.tail or "")

    def equation(self, element: Element, flow: Flow) -> None:
        inner = self.inline_of(element)
        if inner:
            flow.inline.append(inner if inner.startswith("$") else f"${inner}$")

    def variable(self, element: Element, flow: Flow) -> None:
        name = element.get("name") or ""
        value = self.project.variable(name, self.own)
        if value is None and name in LINKED:
            value = self.title
        if value is None:
            value = " ".join(" ".join(map(str, element.itertext())).split())
            if not value:
                self.project.warn_about_variable(name, self.project.url(self.topic))
        flow.inline.append(value)

    def link(self, element: Element, flow: Flow) -> None:
        self._target(element)
        self.walk(element, flow)

    def cross_reference(self, element: Element, flow: Flow) -> None:
        """The link's text without the page number for print, else the title of its target."""
        target = self._target(element)
        text = fold("".join(self._walked(element)))
        if not text and target:
            self.inputs[target] = self.project.input_of(target)
            text = self.title_of(target)
        flow.inline.append(_PAGE_NUMBER.sub("", text))

    def _walked(self, element: Element) -> list[str]:
        flow = Flow(plain=True)
        self.walk(element, flow)
        return [*flow.blocks, *flow.inline]

    def _target(self, element: Element) -> str:
        """The topic that a link leads to; warn if it is missing."""
        href = element.get("href") or ""
        if ".htm" not in href.casefold():
            return ""
        path = target_path(href, self._files[-1])
        if not path.casefold().endswith(TOPIC_SUFFIXES):
            return ""
        found = self.project.find(path)
        if not found:
            self.project.warn_about_link(path, self.project.url(self.topic))
        return found

    def snippet_block(self, element: Element, flow: Flow) -> None:
        flow.end_line()
        self._include(element, flow, inline=False)
        flow.end_line()

    def snippet_text(self, element: Element, flow: Flow) -> None:
        self._include(element, flow, inline=True)

    def _include(self, element: Element, flow: Flow, inline: bool) -> None:
        """Replace the tag with the snippet's content, read with its own folder and variables."""
        src = element.get("src") or ""
        path = self._snippet_path(src)
        snippet = self.project.snippet(path) if path else None
        if snippet is None or snippet.root is None:
            self.walk(element, flow)
            return
        self.inputs[path] = snippet.input
        root = snippet.root
        body = body_of(root)
        own = overrides(root.get(f"{MADCAP}snippetVariables"))
        given = overrides(
            element.get(f"{MADCAP}snippetVariables") or element.get("snippetVariables")
        )
        expressions = self._expressions
        self._expressions = [*expressions, *self._added_expressions(element)]
        if self.hidden(root):
            self._expressions = expressions
            return
        self._files.append(path)
        self._own.append({**own, **self.own, **given})
        if inline:
            self._add_inline(body, flow)
        else:
            self.walk(body, flow)
        self._own.pop()
        self._files.pop()
        self._expressions = expressions

    def _added_expressions(self, element: Element) -> list[Expression]:
        """The expressions that count in a snippet: the topic's for all of its snippets, and that
        of the tag that includes it."""
        topics = self._of_snippets if not self._expressions else None
        return [found for found in (topics, self._expression(element)) if found is not None]

    def _expression(self, element: Element) -> Expression | None:
        text = element.get(_EXPRESSION) or element.get("conditionTagExpression") or ""
        if not text.strip():
            return None
        try:
            return expression_of(text)
        except ValueError as error:
            url = self.project.url(self.topic)
            self.project.warnings.add(f"expression {text}", url, _UNCLEAR.format(text[:80], error))
            return None

    def _snippet_path(self, src: str) -> str:
        """The path of a snippet that may be included here; for any other, warn why not."""
        wanted = target_path(src, self._files[-1])
        path = self.project.find(wanted)
        url = self.project.url(self.topic)
        warn = self.project.warnings.add
        if not path:
            outside = wanted.startswith("..") or not wanted.casefold().startswith("content/")
            message = _OUTSIDE if outside and wanted else _MISSING
            warn(
                f"snippet {wanted.casefold()}", url, message.format(wanted or src or "without src")
            )
            if wanted and not outside:
                self.inputs[wanted] = self.project.input_of(wanted)
        elif path in self._files or len(self._files) > MAX_NESTING:
            warn(f"circle {path}", url, _CIRCLE.format(path))
        elif self._expanded >= MAX_SNIPPETS_OF_TOPIC:
            warn(f"many {self.topic}", url, _MANY.format(MAX_SNIPPETS_OF_TOPIC))
        else:
            self._expanded += 1
            return path
        return ""

    def _add_inline(self, body: Element, flow: Flow) -> None:
        """Add a snippet of one paragraph to the open line; a longer one ends the line."""
        children = [child for child in body if isinstance(child.tag, str)]
        only = children[0] if len(children) == 1 and not (body.text or "").strip() else None
        if only is not None and only.tag in ("p", "div") and not (only.tail or "").strip():
            if not self.hidden(only):
                self._add_trimmed(only, flow)
        elif any(child.tag in BLOCKS or local_name(child.tag)[:1] == "h" for child in children):
            self.block(body, flow)
        else:
            self._add_trimmed(body, flow)

    def _add_trimmed(self, element: Element, flow: Flow) -> None:
        place = len(flow.inline)
        blocks = len(flow.blocks)
        self.walk(element, flow)
        if len(flow.blocks) == blocks and len(flow.inline) > place:
            text = "".join(flow.inline[place:]).strip()
            del flow.inline[place:]
            flow.inline.append(text)


def body_of(root: Element) -> Element:
    """The body of a topic or snippet; the root if there is none, or if there is text outside it."""
    body = None if has_text_outside(root) else next(root.iter("body", "BODY"), None)
    return root if body is None else body


def has_text_outside(root: Element) -> bool:
    """Whether a reader sees text of the file that is not in its first body."""
    bodies = [child for child in root if local_name(child.tag).lower() == "body"]
    return bool(bodies) and _shows_text(root, bodies[0])


def _shows_text(element: Element, body: Element) -> bool:
    """Whether an element has text that is seen, other than in `body`."""
    if element is body or local_name(element.tag).lower() in DROPPED:
        return False
    texts = (element.text, *(child.tail for child in element))
    return any(text and text.strip() for text in texts) or any(
        _shows_text(child, body) for child in element
    )


def automatic_text(number: str) -> str:
    """Text that a style sheet puts before a paragraph (`Note: `), without markup or bullets."""
    text = fold(html.unescape(_MARKUP.sub("", html.unescape(number))))
    if not any(map(str.isalnum, text)):
        return ""
    return f"{text} "


def _cells_in(rows: Iterable[Element], columns: set[int]) -> Iterator[Element]:
    """The cells that begin in these columns."""
    held: dict[int, int] = {}  # columns that cells of earlier rows reach into, and for how long
    for row in rows:
        place = 0
        for cell in row.iterchildren("td", "th", "TD", "TH"):
            while held.get(place):
                held[place] -= 1
                place += 1
            if place in columns:
                yield cell
            if place > MAX_COLUMNS:
                break
            rows_below = span_of(cell.get("rowspan")) - 1
            for _ in range(min(span_of(cell.get("colspan")), MAX_COLUMNS)):
                held[place] = rows_below
                place += 1
        for beyond in [column for column, left in held.items() if column >= place and left]:
            held[beyond] -= 1


def span_of(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 5 else 1
