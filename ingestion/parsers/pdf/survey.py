"""What pypdf says of a page before PDFium reads it: whether it unpacks to too much, which fonts are
missing, and what fonts call the glyphs that PDFium knows no character for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pypdf import PageObject
from pypdf.errors import LimitReachedError, PyPdfError
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    StreamObject,
)

MOST_WORK = 200_000_000  # bytes of instructions on a page, with those of its forms
NAME = rb"/([^\s/<>\[\](){}%]+)\s+"
DRAWS, SETS_FONT = re.compile(NAME + rb"Do\b"), re.compile(NAME + rb"[-+.\d]+\s+Tf\b")
NUMBERED = re.compile(r"/(?:g|gid|glyph|cid|index|a|c)[_.]?(\d{1,5})$", re.IGNORECASE)
# Codes of TeX's fonts for mathematics (OML, OMS) whose names are in no list of glyphs.
TEX = {
    "CMMI": {
        0x0F: "ϵ", 0x24: "ϖ", 0x25: "\u03f1", 0x28: "↼", 0x29: "↽", 0x2A: "⇀", 0x2B: "⇁", 0x2E: "▹",
        0x2F: "◃", 0x3F: "⋆", 0x5E: "⌣", 0x5F: "⌢", 0x7C: "ȷ",
    },
    "CMSY": {
        0x05: "⋄", 0x07: "∓", 0x0B: "⊘", 0x0D: "©", 0x10: "≍", 0x1C: "≪", 0x1D: "≫", 0x25: "↗",
        0x26: "↘", 0x27: "≃", 0x2D: "↖", 0x2E: "↙", 0x30: "\u2032", 0x3E: "\u22a4", 0x5D: "⊎",
        0x60: "⊢", 0x61: "⊣", 0x62: "⌊", 0x63: "⌋", 0x64: "⌈", 0x65: "⌉", 0x68: "⟨", 0x69: "⟩",
        0x6A: "|", 0x6B: "∥", 0x6F: "≀", 0x71: "∐", 0x72: "∇", 0x74: "⊔", 0x75: "⊓",
        0x76: "⊑", 0x77: "⊒",
    },
}  # fmt: skip


class Survey:
    """Looks at the pages of one file, at each form once however many pages draw it."""

    def __init__(self) -> None:
        self._work_of: dict[int, int] = {}
        self._are_fonts: dict[IndirectObject, bool] = {}
        self.missing_fonts: set[str] = set()

    def check(self, page: PageObject) -> bool:
        """Whether all of the page's instructions can be unpacked.

        Raises LimitReachedError if they are more than any page of text needs.
        """
        streams = list(_streams(page.get("/Contents")))
        data = b"\n".join(stream for stream in streams if stream is not None)
        if self._work(data, page.get_inherited("/Resources")) > MOST_WORK:
            raise LimitReachedError("its forms draw each other without end")
        return None not in streams

    def _work(self, data: bytes, resources: Any) -> int:
        fonts, objects = _table(resources, "/Font"), _table(resources, "/XObject")
        if not fonts or not all(map(self._is_font, fonts.values())):
            used = set(map(_name, set(SETS_FONT.findall(data)))) - self.missing_fonts
            self.missing_fonts |= {
                name for name in used if not self._is_font(fonts.get("/" + name))
            }
        total = len(data)
        for name, times in Counter(DRAWS.findall(data) if objects else ()).items():
            form = _entry(objects, _name(name))
            if isinstance(form, StreamObject) and form.get("/Subtype") == "/Form":
                total += times * self._form_work(form, resources)
        return total

    def _is_font(self, value: Any) -> bool:
        if not isinstance(value, IndirectObject):
            return isinstance(value, DictionaryObject)
        if value not in self._are_fonts:
            self._are_fonts[value] = isinstance(_resolved(value), DictionaryObject)
        return self._are_fonts[value]

    def _form_work(self, form: StreamObject, outer: Any) -> int:
        if id(form) not in self._work_of:
            self._work_of[id(form)] = 0  # inside itself, it is not drawn
            data = next(_streams(form)) or b""
            self._work_of[id(form)] = self._work(data, form.get("/Resources", outer))
        return self._work_of[id(form)]


def _streams(contents: Any) -> Iterator[bytes | None]:
    """The unpacked instructions of one stream or of several; None for a broken one."""
    contents = _resolved(contents)
    for stream in contents if isinstance(contents, ArrayObject) else [contents]:
        found = _resolved(stream)
        try:
            yield found.get_data() if isinstance(found, StreamObject) else b""
        except LimitReachedError:
            raise
        except (PyPdfError, NotImplementedError, ValueError, TypeError):
            yield None


def _resolved(value: Any) -> Any:
    return value.get_object() if value is not None else None


def _table(resources: Any, key: str) -> Any:
    resources = _resolved(resources)
    found = _resolved(resources.get(key)) if isinstance(resources, DictionaryObject) else None
    return found if isinstance(found, DictionaryObject) else {}


def _entry(table: Any, name: str) -> Any:
    return _resolved(table.get("/" + name))


def _name(name: bytes) -> str:
    return re.sub(rb"#([0-9A-Fa-f]{2})", lambda m: bytes.fromhex(m[1].decode()), name).decode(
        "utf-8", "replace"
    )


# Names of glyphs


class GlyphNames:
    """The characters of codes that PDFium does not know, by the names that the fonts of a page have
    for them."""

    def __init__(self, page: PageObject) -> None:
        self._fonts = dict(_fonts(page.get_inherited("/Resources"), set()))
        self._numbered: dict[str, dict[int, str]] = {}

    def names_none(self, font: str) -> bool:
        """Whether its codes are numbers of glyphs, not text: two bytes without a map."""
        found = self._fonts.get(font, {})
        mapped = "/ToUnicode" in found or self._has_own_codes(font)
        return bool(found.get("/Subtype") == "/Type0") and not mapped

    def _has_own_codes(self, font: str) -> bool:
        """Whether the file itself says which code is which glyph; the codes are characters then."""
        return isinstance(_resolved(self._fonts.get(font, {}).get("/Encoding")), StreamObject)

    def character(self, font: str, code: int) -> str:
        """The character; empty if it is not known."""
        if self._has_own_codes(font):
            return chr(code)
        if font[:4] in TEX:
            return TEX[font[:4]].get(code, "")
        if font not in self._numbered:
            self._numbered[font] = _numbered(_differences(self._fonts.get(font)))
        return self._numbered[font].get(code, "")


def _fonts(resources: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The fonts of the resources and of the forms in them, by the names that PDFium uses."""
    if id(_resolved(resources)) in seen:
        return
    seen.add(id(_resolved(resources)))
    for reference in _table(resources, "/XObject").values():
        form = _resolved(reference)
        if isinstance(form, StreamObject) and "/Resources" in form:
            yield from _fonts(form["/Resources"], seen)
    for reference in _table(resources, "/Font").values():
        font = _resolved(reference)
        if isinstance(font, DictionaryObject):
            yield from (
                (bare_name(str(below.get("/BaseFont", "/"))[1:]), font) for below in _parts(font)
            )


def _parts(font: DictionaryObject) -> list[DictionaryObject]:
    descendants = _resolved(font.get("/DescendantFonts")) or []
    return [
        font,
        *(below for below in map(_resolved, descendants) if isinstance(below, DictionaryObject)),
    ]


def bare_name(name: str) -> str:
    """The name of a font without the mark of a subset."""
    return name.split("+")[-1]


def _differences(font: Any) -> dict[int, str]:
    """The glyph names that a font gives to its codes."""
    encoding = _resolved(font.get("/Encoding")) if font is not None else None
    listed = encoding.get("/Differences") if isinstance(encoding, DictionaryObject) else None
    names: dict[int, str] = {}
    code = 0
    for item in _resolved(listed) or []:
        if isinstance(item, NameObject):
            names[code] = str(item)
            code += 1
        else:
            code = int(item)
    return names


def _numbered(names: dict[int, str]) -> dict[int, str]:
    """Characters for glyphs named by only a number: a character code, or the glyph's position in a
    TrueType font (its code minus 29). Text is mostly lower case, which shows which it is."""
    found = {code: NUMBERED.match(name) for code, name in names.items()}
    numbers = {code: int(match[1]) for code, match in found.items() if match}
    shift = max((0, 29), key=lambda s: _lower_case(numbers.values(), s))
    if not _lower_case(numbers.values(), shift):
        return {}
    return {code: chr(n + shift) for code, n in numbers.items() if 32 <= n + shift < 127}


def _lower_case(numbers: Iterable[int], shift: int) -> int:
    return sum(97 <= number + shift <= 122 for number in numbers)
