"""The functions of PDFium that read a page: what pypdfium2 binds, and what it binds too slowly."""

from __future__ import annotations

import ctypes
import io
import itertools
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ctypes import c_double, c_float, c_int, c_size_t, c_void_p
from functools import cache
from typing import Any

import numpy as np
import pypdfium2
from numpy.typing import NDArray
from pypdf import PdfReader, PdfWriter
from pypdfium2 import PdfiumError, raw

from ingestion.exceptions import DocumentError

Box = tuple[float, float, float, float]
Matrix = tuple[float, float, float, float, float, float]
Floats = NDArray[np.float64]
Addresses = NDArray[np.uint64]

PATH, FORM = raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_FORM
DRAWN = {raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_FREETEXT}
LONGEST_NAME = 256
SPACE = ord(" ")
BLOCK = 512  # characters whose places are read together


def _quick(function: Any, result: Any, *arguments: Any) -> Any:
    """The function for addresses as plain numbers, without releasing the interpreter's lock: a page
    calls it for each thing that it draws."""
    return ctypes.PYFUNCTYPE(result, *arguments)(_address(function))


def _quickest(function: Any, result: Any) -> Any:
    """The function without checks of what it is given, because a page calls it for each character.

    It takes pointers from `_pointer`, and numbers of 32 bits.
    """
    return ctypes.PYFUNCTYPE(result)(_address(function))


def _address(pointer: Any) -> int:
    return ctypes.cast(pointer, c_void_p).value or 0


def _pointer(address: int) -> Any:
    """An address as functions take it, which is to be made once, because it takes longer than most
    of them."""
    return c_void_p.from_param(address)


text_object = _quickest(raw.FPDFText_GetTextObject, c_size_t)
character = _quickest(raw.FPDFText_GetUnicode, ctypes.c_uint)
is_unmapped = _quickest(raw.FPDFText_HasUnicodeMapError, c_int)
loose_box = _quickest(raw.FPDFText_GetLooseCharBox, c_int)
origin = _quickest(raw.FPDFText_GetCharOrigin, c_int)
text_matrix = _quickest(raw.FPDFText_GetMatrix, c_int)
font_size = _quickest(raw.FPDFText_GetFontSize, c_double)
font = _quick(raw.FPDFTextObj_GetFont, c_void_p, c_void_p)
font_name = _quick(raw.FPDFFont_GetBaseFontName, ctypes.c_ulong, c_void_p, c_void_p, ctypes.c_ulong)
font_flags = _quick(raw.FPDFFont_GetFlags, c_int, c_void_p)
glyph_width = _quick(raw.FPDFFont_GetGlyphWidth, c_int, c_void_p, ctypes.c_uint, c_float, c_void_p)
render_mode = _quick(raw.FPDFTextObj_GetTextRenderMode, c_int, c_void_p)
count_marks = _quick(raw.FPDFPageObj_CountMarks, c_int, c_void_p)
mark = _quick(raw.FPDFPageObj_GetMark, c_void_p, c_void_p, ctypes.c_ulong)
mark_name = _quick(raw.FPDFPageObjMark_GetName, c_int, c_void_p, c_void_p, ctypes.c_ulong, c_void_p)
page_object = _quick(raw.FPDFPage_GetObject, c_void_p, c_void_p, c_int)
form_object = _quick(raw.FPDFFormObj_GetObject, c_void_p, c_void_p, ctypes.c_ulong)
object_type = _quick(raw.FPDFPageObj_GetType, c_int, c_void_p)
object_matrix = _quick(raw.FPDFPageObj_GetMatrix, c_int, c_void_p, c_void_p)
draw_mode = _quick(raw.FPDFPath_GetDrawMode, c_int, c_void_p, c_void_p, c_void_p)
count_segments = _quick(raw.FPDFPath_CountSegments, c_int, c_void_p)
segment = _quick(raw.FPDFPath_GetPathSegment, c_void_p, c_void_p, c_int)
segment_type = _quick(raw.FPDFPathSegment_GetType, c_int, c_void_p)
segment_point = _quick(raw.FPDFPathSegment_GetPoint, c_int, c_void_p, c_void_p, c_void_p)


@contextmanager
def opened(reader: PdfReader, data: bytes) -> Iterator[File]:
    """The PDF as PDFium sees it. Raises DocumentError if it cannot be read in any way."""
    file = File(reader, data)
    try:
        yield file
    finally:
        file.close()


class File:
    """A PDF as PDFium sees it; what it refuses or reads otherwise is written again by pypdf."""

    def __init__(self, reader: PdfReader, data: bytes) -> None:
        self.reader = reader
        self.is_rewritten = False
        self.document = _open(data)
        if self.document is None or len(self.document) != len(reader.pages):
            self._rewrite()

    def close(self) -> None:
        if self.document is not None:
            self.document.close()

    @contextmanager
    def page(self, number: int) -> Iterator[Page]:
        """A page (from 1 on), with its filled-in form fields and text notes as part of it."""
        page = self._load(number)
        if _draws_annotations(page):
            raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY)
            raw.FPDF_ClosePage(page)
            page = self._load(number)
        text = raw.FPDFText_LoadPage(page)
        try:
            yield Page(page, text)
        finally:
            raw.FPDFText_ClosePage(text)
            raw.FPDF_ClosePage(page)

    def _load(self, number: int) -> Any:
        page = raw.FPDF_LoadPage(self.document.raw, number - 1)
        if not page and not self.is_rewritten:
            self._rewrite()
            page = raw.FPDF_LoadPage(self.document.raw, number - 1)
        if not page:
            raise PdfiumError("PDFium cannot read it")
        return page

    def _rewrite(self) -> None:
        self.close()
        self.is_rewritten = True
        out = io.BytesIO()
        PdfWriter(clone_from=self.reader).write(out)
        self.document = _open(out.getvalue())
        if self.document is None:
            raise DocumentError(
                "The file is damaged: get it again or repair it (qpdf in.pdf out.pdf)."
            )


def _open(data: bytes) -> Any:
    try:
        return pypdfium2.PdfDocument(data)
    except PdfiumError:
        return None


def _draws_annotations(page: Any) -> bool:
    """Whether the page has form fields or text notes. The other annotations are taken off it."""
    found = False
    for index in reversed(range(raw.FPDFPage_GetAnnotCount(page))):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        drawn = bool(annotation) and raw.FPDFAnnot_GetSubtype(annotation) in DRAWN
        raw.FPDFPage_CloseAnnot(annotation)
        found = found or drawn
        if not drawn:
            raw.FPDFPage_RemoveAnnot(page, index)
    return found


# The characters from a first one to before an end, and the address of the object that draws them; 0
# if PDFium adds them.
Run = tuple[int, int, int]


class _Places:
    """Memory for the places of BLOCK characters, with the address of each x and y."""

    def __init__(self) -> None:
        self.found = np.zeros((BLOCK, 2))
        start = self.found.ctypes.data
        self.xs = [_pointer(start + 16 * index) for index in range(BLOCK)]
        self.ys = [_pointer(start + 16 * index + 8) for index in range(BLOCK)]


@cache
def _places() -> _Places:
    return _Places()


class Page:
    def __init__(self, page: Any, text: Any) -> None:
        self.address = _address(page)
        self._text = _pointer(_address(text))
        self._numbers = array("f", bytes(24))
        self._out = _pointer(self._numbers.buffer_info()[0])
        self._handle = text
        self.count = max(raw.FPDFText_CountChars(text), 0)

    def characters(self) -> str:
        """As many as are counted, however many bytes each has in UTF-16."""
        buffer = (ctypes.c_ushort * (self.count + 1))()
        if raw.FPDFText_GetText(self._handle, 0, self.count, buffer) == self.count + 1:
            found = bytes(buffer)[:-2].decode("utf-16-le", "replace")
            if len(found) == self.count:
                return found
        each = map(character, itertools.repeat(self._text), range(self.count))
        return "".join(map(chr, each))

    def runs(self, characters: str) -> Iterable[Run]:
        """What draws the characters, in their order."""
        drawn = self._drawn(characters)
        ends = [*(np.flatnonzero(drawn[1:] != drawn[:-1]) + 1).tolist(), self.count]
        firsts = [0, *ends[:-1]]
        return zip(firsts, ends, drawn[firsts].tolist(), strict=True) if self.count else ()

    def _drawn(self, characters: str) -> Addresses:
        """The object that draws each character. Inside a word only those are asked for whose word
        begins and ends with different ones."""
        codes = np.frombuffer(characters.encode("utf-32-le", "replace"), np.uint32)
        outer = np.ones(self.count + 2, np.bool_)
        outer[1:-1] = codes <= SPACE
        asked = outer[1:-1] | outer[:-2] | outer[2:]
        known = self._objects_at(np.flatnonzero(asked))
        before = np.cumsum(asked) - 1
        drawn: Addresses = known[before]
        places = np.flatnonzero(drawn != known[before + ~asked])
        drawn[places] = self._objects_at(places)
        return drawn

    def _objects_at(self, places: NDArray[np.intp]) -> Addresses:
        each = map(text_object, itertools.repeat(self._text), places.tolist())
        return np.fromiter(each, np.uint64, len(places))

    def is_unmapped(self, index: int) -> bool:
        """Whether a character is only a code, because its font does not say what it means."""
        return bool(is_unmapped(self._text, index))

    def origins(self) -> Floats:
        """The x and y of each character."""
        parts = [np.zeros((0, 2))]
        places = _places()
        for first in range(0, self.count, BLOCK):
            part = range(first, min(first + BLOCK, self.count))
            _exhaust(map(origin, itertools.repeat(self._text), part, places.xs, places.ys))
            parts.append(places.found[: len(part)].copy())
        return np.concatenate(parts)

    def box(self, index: int) -> Box:
        """Left, top, right and bottom of a character: its advance by its font's height, and all of
        it that is outside of that."""
        loose_box(self._text, index, self._out)
        left, top, right, bottom, _, _ = self._numbers
        return left, top, right, bottom

    def matrix(self, index: int) -> Matrix:
        """What turns the units of a character's text into the page's."""
        text_matrix(self._text, index, self._out)
        a, b, c, d, e, f = self._numbers
        return a, b, c, d, e, f

    def size(self, index: int) -> float:
        return float(font_size(self._text, index))

    def objects(self) -> list[int]:
        count = raw.FPDFPage_CountObjects(ctypes.cast(self.address, raw.FPDF_PAGE))
        return [page_object(self.address, index) for index in range(count)]


def _exhaust(calls: Iterable[object]) -> None:
    deque(calls, maxlen=0)


def objects_of(form: int) -> list[int]:
    count = raw.FPDFFormObj_CountObjects(ctypes.cast(form, raw.FPDF_PAGEOBJECT))
    return [form_object(form, index) for index in range(max(count, 0))]


def matrix_of(drawn: int) -> Matrix:
    found = array("f", bytes(24))
    object_matrix(drawn, found.buffer_info()[0])
    a, b, c, d, e, f = found
    return a, b, c, d, e, f


def corners_of(path: int, count: int) -> list[tuple[int, float, float]]:
    """The type, x and y of each of a path's segments."""
    places = array("f", bytes(8 * count))
    start, _ = places.buffer_info()
    parts = [segment(path, index) for index in range(count)]
    xs = range(start, start + 8 * count, 8)
    ys = range(start + 4, start + 4 + 8 * count, 8)
    _exhaust(map(segment_point, parts, xs, ys))
    return list(zip(map(segment_type, parts), places[::2], places[1::2], strict=True))


def name_of(face: int) -> str:
    """The font's name; empty for one that is drawn by the file itself (Type 3)."""
    buffer = ctypes.create_string_buffer(LONGEST_NAME)
    font_name(face, ctypes.addressof(buffer), LONGEST_NAME)
    return buffer.value.decode("utf-8", "replace")


def bytes_of(face: int) -> int:
    """How many bytes the file has for a font; it differs for each part of a font that is in it."""
    length = ctypes.c_size_t()
    raw.FPDFFont_GetFontData(ctypes.cast(face, raw.FPDF_FONT), None, 0, length)
    return length.value


def is_pagination(marked: int) -> bool:
    """Whether a mark says that what it is on is a running head, foot or page number."""
    return _mark_name(marked) == "Artifact" and _mark_type(marked) == "Pagination"


def _mark_name(marked: int) -> str:
    buffer, length = (ctypes.c_ushort * LONGEST_NAME)(), ctypes.c_ulong()
    mark_name(marked, buffer, 2 * LONGEST_NAME, ctypes.byref(length))
    return _text(buffer, length.value)


def _mark_type(marked: int) -> str:
    handle = ctypes.cast(marked, raw.FPDF_PAGEOBJECTMARK)
    buffer, length = (ctypes.c_ushort * LONGEST_NAME)(), ctypes.c_ulong()
    raw.FPDFPageObjMark_GetParamStringValue(handle, b"Type", buffer, 2 * LONGEST_NAME, length)
    return _text(buffer, length.value)


def _text(buffer: Any, length: int) -> str:
    return bytes(buffer)[: max(length - 2, 0)].decode("utf-16-le", "replace")


def advance_of(face: int, letter: str) -> float:
    """How far a letter moves the text, in font sizes; 0 if the font does not know it."""
    width = c_float()
    glyph_width(face, ord(letter), 1.0, ctypes.addressof(width))
    return width.value
