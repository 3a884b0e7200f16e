"""Content streams to words: the text of a page with its place, size and font.

ISO 32000-1, chapters 8.4 (graphics state), 9.4 (text objects) and 14.6 (marked content).
Coordinates are those of the reader: `x` runs along the line, `y` upwards, in points, after the
page has been turned so that the words of an `angle` run from left to right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pypdf import PageObject
from pypdf.errors import LimitReachedError, PyPdfError
from pypdf.generic import ArrayObject, ContentStream, DictionaryObject, NameObject

from ingestion.parsers.pdf.drawing import Matrix, Path, Rule
from ingestion.parsers.pdf.font import UNKNOWN_FACE, Face, Faces
from ingestion.parsers.pdf.words import Word, WordBuilder, turn

IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)

MAX_FORM_DEPTH = 12
MAX_FORMS_PER_PAGE = 2_000
MAX_WORDS_PER_PAGE = 60_000
LETTER_SPACING = 0.4  # of the font size: wider character spacing separates words
WORD_SPACING = 0.2  # of the font size: the least character spacing that replaces spaces


@dataclass(slots=True)
class PageContent:
    words: list[Word] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    images: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    cut_short: bool = False


def multiply(m: Matrix, n: Matrix) -> Matrix:
    return (
        m[0] * n[0] + m[1] * n[2],
        m[0] * n[1] + m[1] * n[3],
        m[2] * n[0] + m[3] * n[2],
        m[2] * n[1] + m[3] * n[3],
        m[4] * n[0] + m[5] * n[2] + n[4],
        m[4] * n[1] + m[5] * n[3] + n[5],
    )


@dataclass(slots=True)
class _State:
    """The part of the graphics state that positions text; saved by q, restored by Q."""

    ctm: Matrix = IDENTITY
    face: Face = UNKNOWN_FACE
    size: float = 1.0
    char_space: float = 0.0
    word_space: float = 0.0
    stretch: float = 1.0
    leading: float = 0.0
    rise: float = 0.0
    stroked: bool = False

    def copy(self) -> _State:
        return _State(
            self.ctm, self.face, self.size, self.char_space, self.word_space,
            self.stretch, self.leading, self.rise, self.stroked,
        )  # fmt: skip


class _Marks:
    """Marked content: replacement text (/ActualText) and pagination artifacts, both nested."""

    def __init__(self) -> None:
        self.stack: list[tuple[str | None, bool]] = []

    def push(self, tag: Any, properties: Any) -> None:
        get = properties.get if isinstance(properties, DictionaryObject) else (lambda _key: None)
        actual = get("/ActualText")
        actual = _text_string(actual) if isinstance(actual, (str, bytes)) else None
        pagination = tag == "/Artifact" and get("/Type") == "/Pagination"
        self.stack.append((actual, pagination or (bool(self.stack) and self.stack[-1][1])))

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()

    @property
    def pagination(self) -> bool:
        return bool(self.stack) and self.stack[-1][1]


def _text_string(value: str | bytes) -> str:
    """Decode UTF-16 with a BOM, else PDFDocEncoding as Latin-1 (ISO 32000-1, 7.9.2.2)."""
    if isinstance(value, str):
        return str(value)
    if value.startswith(b"\xfe\xff"):
        return value[2:].decode("utf-16-be", "replace")
    return value.decode("latin-1")


class _Forms:
    """The nested forms that are being drawn; refuses a form inside itself."""

    def __init__(self) -> None:
        self.drawn = 0
        self.open: list[object] = []

    def enter(self, form: object) -> bool:
        """Whether the form may be drawn; if so, count it."""
        full = len(self.open) >= MAX_FORM_DEPTH or self.drawn >= MAX_FORMS_PER_PAGE
        if full or any(form is other for other in self.open):
            return False
        self.drawn += 1
        self.open.append(form)
        return True


class _Interpreter:
    def __init__(self, page: PageObject, faces: Faces) -> None:
        self.pdf = page.pdf
        self.faces = faces
        self.content = PageContent()
        self.builder = WordBuilder(self.content.words)
        self.state = _State()
        self.saved: list[_State] = []
        self.spacing_is_new = False
        self.matrix = self.line = IDENTITY
        self.marks = _Marks()
        self.actual: str | None = None
        self.path = Path()
        self.forms = _Forms()
        self.resources: Any = {}
        self.handlers: dict[bytes, Callable[[list[Any]], None]] = {
            b"q": self.save, b"Q": self.restore, b"cm": self.concatenate,
            b"BT": self.begin_text, b"Tf": self.set_font, b"Tm": self.set_matrix,
            b"Td": self.move, b"TD": self.move_and_lead, b"T*": self.next_line,
            b"Tj": self.show, b"TJ": self.show_all, b"'": self.next_line_show,
            b'"': self.spaced_show, b"Tc": self.char_space, b"Tw": self.word_space,
            b"Tz": self.stretch, b"TL": self.leading, b"Ts": self.rise, b"Tr": self.render_mode,
            b"Do": self.draw, b"BDC": self.mark, b"BMC": self.mark, b"EMC": self.unmark,
            b"m": self.path_move, b"l": self.path_line, b"re": self.rectangle,
            b"S": self.stroke, b"s": self.stroke, b"B": self.stroke, b"b": self.stroke,
            b"B*": self.stroke, b"b*": self.stroke, b"f": self.fill, b"F": self.fill,
            b"f*": self.fill, b"n": self.drop_path, b"INLINE IMAGE": self.inline_image,
        }  # fmt: skip

    def run(self, stream: Any, resources: Any) -> None:
        """Interpret a content stream (a stream, or an array of them) in these resources."""
        outer, self.resources = self.resources, resources
        depth = len(self.saved)
        for operands, operator in ContentStream(stream, self.pdf, "bytes").operations:
            handler = self.handlers.get(operator)
            if handler is None:
                continue
            try:
                handler(operands)
            except (IndexError, TypeError, ValueError, KeyError, AttributeError):
                # An operator with wrong operands is skipped, as viewers do.
                self.content.cut_short = True
            if len(self.content.words) > MAX_WORDS_PER_PAGE:
                self.content.cut_short = True
                break
        self.builder.end()
        del self.saved[depth:]
        self.resources = outer

    # Graphics state

    def save(self, _operands: list[Any]) -> None:
        if len(self.saved) < 1_000:
            self.saved.append(self.state.copy())

    def restore(self, _operands: list[Any]) -> None:
        if self.saved:
            self.state = self.saved.pop()

    def concatenate(self, operands: list[Any]) -> None:
        self.state.ctm = multiply(_matrix(operands), self.state.ctm)

    # Text state and position

    def begin_text(self, _operands: list[Any]) -> None:
        self.matrix = self.line = IDENTITY

    def set_font(self, operands: list[Any]) -> None:
        self.state.face = self.faces.get(self.resources, operands[0])
        self.state.size = float(operands[1])

    def set_matrix(self, operands: list[Any]) -> None:
        self.matrix = self.line = _matrix(operands)

    def move(self, operands: list[Any]) -> None:
        shift = (1.0, 0.0, 0.0, 1.0, float(operands[0]), float(operands[1]))
        self.matrix = self.line = multiply(shift, self.line)

    def move_and_lead(self, operands: list[Any]) -> None:
        self.state.leading = -float(operands[1])
        self.move(operands)

    def next_line(self, _operands: list[Any]) -> None:
        self.move([0.0, -self.state.leading])

    def char_space(self, operands: list[Any]) -> None:
        self.state.char_space = float(operands[0])
        self.spacing_is_new = True

    def word_space(self, operands: list[Any]) -> None:
        self.state.word_space = float(operands[0])

    def stretch(self, operands: list[Any]) -> None:
        self.state.stretch = float(operands[0]) / 100 or 1.0

    def leading(self, operands: list[Any]) -> None:
        self.state.leading = float(operands[0])

    def rise(self, operands: list[Any]) -> None:
        self.state.rise = float(operands[0])

    def render_mode(self, operands: list[Any]) -> None:
        self.state.stroked = int(operands[0]) == 2

    # Showing text

    def show(self, operands: list[Any]) -> None:
        if isinstance(operands[0], bytes):
            self._show(operands[0], parted=self._spacing_parts_words(operands))

    def next_line_show(self, operands: list[Any]) -> None:
        self.next_line([])
        self.show(operands)

    def spaced_show(self, operands: list[Any]) -> None:
        self.word_space(operands)
        self.char_space(operands[1:])
        self.next_line_show(operands[2:])

    def show_all(self, operands: list[Any]) -> None:
        state = self.state
        parted = self._spacing_parts_words(operands[0])
        for item in operands[0]:
            if isinstance(item, bytes):
                self._show(item, parted=parted)
            elif isinstance(item, (int, float)):
                self._advance(-float(item) * 0.001 * state.size * state.stretch)

    def _spacing_parts_words(self, items: Sequence[Any]) -> bool:
        """Whether character spacing replaces spaces, as in Ghostscript's output: it is set for a
        few letters, or undone by a number between letters without a space."""
        new, self.spacing_is_new = self.spacing_is_new, False
        size, spacing = abs(self.state.size), self.state.char_space
        if not new or spacing < WORD_SPACING * size:
            return False
        back = [float(i) * 0.001 * size for i in items if isinstance(i, (int, float))]
        if any(abs(shift - spacing) < 0.1 * spacing for shift in back):
            return True
        shown = [self.state.face.decode(item) for item in items if isinstance(item, bytes)]
        text = "".join(text for glyphs in shown for text, _ in glyphs)
        return len(text) <= 3 and not text.isupper()

    def _advance(self, tx: float) -> None:
        a, b, c, d, e, f = self.matrix
        self.matrix = (a, b, c, d, e + tx * a, f + tx * b)

    def _show(self, data: bytes, *, parted: bool) -> None:
        state, face = self.state, self.state.face
        glyphs = face.decode(data)
        if not face.readable:
            name = face.name
            self.content.unreadable[name] = self.content.unreadable.get(name, 0) + len(glyphs)
        a, b, c, d, e, f = multiply(self.matrix, state.ctm)
        along = math.hypot(a, b)
        angle = round(math.degrees(math.atan2(b, a))) % 360 if b or a < 0 else 0
        x, y = turn(e + state.rise * c, f + state.rise * d, angle)
        size = max(abs(state.size) * math.hypot(c, d) * face.height, 0.01)
        self.builder.pagination = self.marks.pagination
        self.builder.begin(x, y, size, face, angle, face.bold or state.stroked)
        inside = 0.0 if parted else min(state.char_space, LETTER_SPACING * abs(state.size))
        moved = self._place(glyphs, x, along, inside)
        self._advance(moved)

    def _place(
        self, glyphs: list[tuple[str, float]], x: float, along: float, inside: float
    ) -> float:
        """Pass the glyphs to the builder from `x` on; return how far they move the text matrix.

        `inside` is the part of the character spacing that belongs to a glyph.
        """
        state, add = self.state, self.builder.add
        readable = state.face.readable
        one_byte = not isinstance(getattr(state.face._font, "encoding", None), str)
        tx = 0.0
        for text, width in glyphs:
            step = (width * state.size + state.char_space) * state.stretch
            shown = (width * state.size + inside) * state.stretch
            if self.actual is not None:
                text, self.actual = self.actual, ""
            if readable and text:
                start = x + tx * along
                add(text, start, start + shown * along)
            tx += step
            if text == " " and one_byte:
                tx += state.word_space * state.stretch
        return tx

    # Marked content

    def mark(self, operands: list[Any]) -> None:
        properties = operands[1] if len(operands) > 1 else None
        if isinstance(properties, NameObject):
            table = self.resources.get("/Properties")
            properties = table.get_object().get(properties) if table is not None else None
            properties = properties.get_object() if properties is not None else None
        self.marks.push(operands[0] if operands else None, properties)
        actual = self.marks.stack[-1][0]
        if actual is not None:
            self.actual = actual

    def unmark(self, _operands: list[Any]) -> None:
        if self.marks.stack and self.marks.stack[-1][0] is not None:
            self.actual = None
        self.marks.pop()

    # Forms and images

    def draw(self, operands: list[Any]) -> None:
        table = self.resources.get("/XObject")
        form = table.get_object()[operands[0]].get_object()
        if form.get("/Subtype") == "/Image":
            self.content.images += 1
        elif form.get("/Subtype") == "/Form":
            self.draw_form(form)

    def draw_form(self, form: Any, placed: Matrix = IDENTITY) -> None:
        """Draw a form XObject; `placed` is its position on the page (for annotations)."""
        if not self.forms.enter(form):
            self.content.cut_short = True
            return
        state, matrices, marks = self.state, (self.matrix, self.line), self.marks
        self.state, self.marks = state.copy(), _Marks()
        self.marks.stack.append((None, marks.pagination))
        own = _matrix(form.get("/Matrix", IDENTITY))
        self.state.ctm = multiply(own, multiply(placed, state.ctm))
        try:
            resources = form.get("/Resources")
            self.run(form, resources.get_object() if resources is not None else self.resources)
        except (PyPdfError, OSError, RecursionError) as error:
            if isinstance(error, LimitReachedError):
                raise
            self.content.cut_short = True
        finally:
            self.forms.open.pop()
            self.state, self.marks = state, marks
            self.matrix, self.line = matrices

    def inline_image(self, _operands: Any) -> None:
        self.content.images += 1

    # Drawn lines

    def path_move(self, operands: list[Any]) -> None:
        self.path.move(operands, self.state.ctm)

    def path_line(self, operands: list[Any]) -> None:
        self.path.line(operands, self.state.ctm)

    def rectangle(self, operands: list[Any]) -> None:
        self.path.rectangle(operands, self.state.ctm)

    def stroke(self, _operands: list[Any]) -> None:
        self.content.rules.extend(self.path.stroked())

    def fill(self, _operands: list[Any]) -> None:
        self.content.rules.extend(self.path.filled())

    def drop_path(self, _operands: list[Any]) -> None:
        self.path.drop()


def _matrix(values: Any) -> Matrix:
    a, b, c, d, e, f = (float(v) for v in list(values)[:6])
    return a, b, c, d, e, f


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values.get_object()]


def read_content(page: PageObject, faces: Faces) -> PageContent:
    """The words and lines that a page shows, with its filled-in form fields and text notes.

    Raises pypdf's errors for content that cannot be decoded or that passes pypdf's limits.
    """
    interpreter = _Interpreter(page, faces)
    contents = page.get("/Contents")
    resources = page.get_inherited("/Resources", DictionaryObject())
    resources = resources.get_object() if resources is not None else DictionaryObject()
    if contents is not None and contents.get_object() is not None:
        interpreter.run(contents, resources)
    for annotation in _shown_annotations(page):
        _draw_annotation(interpreter, annotation)
    return interpreter.content


def _shown_annotations(page: PageObject) -> list[Any]:
    annotations = page.get("/Annots")
    annotations = annotations.get_object() if annotations is not None else None
    if not isinstance(annotations, ArrayObject):
        return []
    found = [reference.get_object() for reference in annotations]
    return [
        a for a in found
        if isinstance(a, DictionaryObject) and a.get("/Subtype") in ("/Widget", "/FreeText")
    ]  # fmt: skip


def _draw_annotation(interpreter: _Interpreter, annotation: DictionaryObject) -> None:
    appearance = annotation.get("/AP")
    normal = appearance.get_object().get("/N") if appearance is not None else None
    form = normal.get_object() if normal is not None else None
    if not isinstance(form, DictionaryObject) or "/BBox" not in form:
        return
    box, place = _numbers(form["/BBox"]), _numbers(annotation["/Rect"])
    interpreter.state = _State()
    shift = (1.0, 0.0, 0.0, 1.0, place[0] - box[0], place[1] - box[1])
    interpreter.draw_form(form, shift)
