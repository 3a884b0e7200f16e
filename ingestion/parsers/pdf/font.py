"""PDF fonts: the characters and widths of text, and whether it is bold or code."""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pypdf.errors import PyPdfError
from pypdf.generic import StreamObject

# pypdf's font reader is in a private module, the only way to get the widths; the version is
# pinned, and only this module uses it.
from pypdf.generic._font import Font

BOLD = re.compile(
    r"bold|black|heavy|semib|demi|-medi|-bd\b|cmbx|cmssbx|sfbx|sfsx|ecbx|ecsx|lmb", re.IGNORECASE
)
MONO = re.compile(
    r"courier|mono(?!type)|consol|typewriter|cmtt|cmsltt|ectt|sftt|txtt|lmtt|lmmono|menlo|"
    r"inconsolata|nimbusmon|lucida.?sans.?typ|terminal|fixed|letter.?gothic|andale|source.?code|"
    r"fira.?code",
    re.IGNORECASE,
)
LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
# Symbol fonts put their characters into the private use area at 0xF000 + the byte; these are the
# bullets and ticks of Word and similar programs (Wingdings, Symbol).
SYMBOLS = {
    0xF0B7: "•", 0xF0A7: "▪", 0xF0D8: "➢", 0xF076: "❖", 0xF0FC: "✓", 0xF0A8: "◦", 0xF06F: "□",
    0xF0E0: "→", 0xF0DF: "←", 0xF0B0: "°", 0xF0B1: "±", 0xF0B4: "\u00d7", 0xF0D7: "·", 0xF02D: "-",
    0xF06E: "▪", 0xF071: "□", 0xF0A3: "≤", 0xF0B3: "≥", 0xF0B9: "≠", 0xF0AE: "→", 0xF0AC: "←",
}  # fmt: skip
# ISO 32000-1, D.1: unused codes of WinAnsiEncoding show a bullet.
FREE_CODES = dict.fromkeys((0x7F, 0x81, 0x8D, 0x8F, 0x90, 0x9D), "•")
TEXT_MAP = (
    FREE_CODES
    | LIGATURES
    | SYMBOLS
    | {0xA0: " ", 0x2007: " ", 0x202F: " ", 0x200B: None, 0xFEFF: None}
)
FIXED_PITCH, FORCE_BOLD = 1, 1 << 18
# A glyph without a known character. It is kept until the line shows whether it is a bullet.
UNKNOWN = "\ufffd"
SIGNS = re.compile(r"symbol|dingbat|wingding|webding|bullet", re.IGNORECASE)
CID_BLOCK = re.compile(rb"begincid(?:char|range)(.*?)endcid(?:char|range)", re.DOTALL)
CID_ENTRY = re.compile(rb"<([0-9a-fA-F]{1,8})>\s*(?:<([0-9a-fA-F]{1,8})>\s*)?(\d{1,5})\b")
MAX_CODES = 65_536
NUMBERED = re.compile(r"/(?:g|gid|glyph|cid|index|a|c)[_.]?(\d{1,5})$", re.IGNORECASE)


@dataclass(eq=False)
class Face:
    """A font as the layout sees it. `readable` is False if its glyphs have no known characters.

    `scale` turns a glyph width into units of the font size; `height` is the font's own size
    factor (1 except for Type 3 fonts, whose glyphs have a coordinate system of their own).
    """

    name: str = "Unknown"
    bold: bool = False
    mono: bool = False
    readable: bool = True
    has_widths: bool = False
    scale: float = 0.001
    height: float = 1.0
    _font: Font | None = None
    _glyphs: dict[str | int, tuple[str, float]] = field(default_factory=dict)
    _named: dict[str, str] = field(default_factory=dict)
    _cids: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, resource: Any) -> Face:
        """Read a font. Raises pypdf's errors, and type errors in its code, for a broken font."""
        font = Font.from_font_resource(resource)
        scale, height = _type3_scale(resource) if font.sub_type == "Type3" else (0.001, 1.0)
        face = cls(name=font.name.split("+")[-1], scale=scale, height=height, _font=font)
        face.has_widths = len(font.character_widths) > 1
        face.bold = bool(BOLD.search(face.name)) or _says_bold(font)
        face.mono = bool(MONO.search(face.name)) or _is_fixed_pitch(font, face)
        face.readable = font.interpretable and not _is_unmapped(font)
        face._named = _numbered_glyphs(font)
        face._cids = _cids(resource)
        return face

    def decode(self, data: bytes) -> list[tuple[str, float]]:
        """The characters and widths (in units of the font size) of a shown string."""
        codes: str | bytes = data
        if self._font is not None and isinstance(self._font.encoding, str):
            codes = _decode(data, self._font.encoding)
        glyphs = self._glyphs
        return [glyphs.get(code) or self._glyph(code) for code in codes]

    def _glyph(self, code: str | int) -> tuple[str, float]:
        found = self._glyphs[code] = (self._character(code), self._width(code))
        return found

    def _character(self, code: str | int) -> str:
        if self._font is None:
            return chr(code) if isinstance(code, int) else code
        raw = code
        if isinstance(code, int):
            encoding = self._font.encoding
            raw = encoding.get(code, chr(code)) if isinstance(encoding, dict) else chr(code)
        text = self._font.character_map.get(raw, raw)
        if not isinstance(text, str):
            return UNKNOWN
        if len(text) > 1 and text.startswith("/"):
            return self._named.get(text, UNKNOWN)
        return "".join(
            c for c in text.translate(TEXT_MAP) if c >= " " and not "\ud800" <= c <= "\udfff"
        )

    def _width(self, code: str | int) -> float:
        if self._font is None:
            return 0.5
        key = chr(code) if isinstance(code, int) else code
        if self._cids:
            key = chr(self._cids.get(ord(key[:1] or "\0"), 0))
        widths = self._font.character_widths
        return float(widths.get(key, widths.get("default", 500))) * self.scale

    @property
    def shows_signs(self) -> bool:
        """Whether its letters are drawn as symbols (as in Wingdings)."""
        return bool(SIGNS.search(self.name))

    @cached_property
    def pitch(self) -> float:
        """The advance of a character of a fixed-pitch font, in units of the font size."""
        widths = [w for w in self._sample_widths("imnoxe0") if w > 0]
        return widths[0] if widths else 0.6

    def _sample_widths(self, characters: str) -> list[float]:
        if self._font is None:
            return []
        reverse = {v: k for k, v in self._font.character_map.items() if isinstance(v, str)}
        widths = self._font.character_widths
        keys = (reverse.get(c, c) for c in characters)
        return [float(widths[k]) * self.scale for k in keys if k in widths]


UNKNOWN_FACE = Face()


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "surrogatepass")
    except (UnicodeDecodeError, LookupError):
        return data.decode("utf-16-be", "replace")


def _type3_scale(resource: Any) -> tuple[float, float]:
    try:
        matrix = [abs(float(v)) for v in resource["/FontMatrix"]]
        box = [float(v) for v in resource.get("/FontBBox", (0, 0, 0, 0))]
    except (KeyError, TypeError, ValueError):
        return 0.001, 1.0
    height = abs(box[3] - box[1]) * matrix[3]
    return matrix[0] or 0.001, height if height > 0 else 1.0


def _says_bold(font: Font) -> bool:
    descriptor = font.font_descriptor
    weight = descriptor.weight
    heavy = isinstance(weight, (int, float)) and weight >= 600
    return heavy or bool(_flags(font) & FORCE_BOLD)


def _is_fixed_pitch(font: Font, face: Face) -> bool:
    """Whether all letters are equally wide; the flag is often wrong, so the widths decide."""
    thin, wide = face._sample_widths("ilt.,"), face._sample_widths("mwMWo")
    if thin and wide:
        return max(thin + wide) - min(thin + wide) < 0.01 and min(thin) > 0
    return bool(_flags(font) & FIXED_PITCH) and len(set(font.character_widths.values())) <= 2


def _flags(font: Font) -> int:
    flags = font.font_descriptor.flags
    return flags if isinstance(flags, int) else 0


def _cids(resource: Any) -> dict[int, int]:
    """The glyph number of each code, for a font with its own CMap (ISO 32000-1, 9.7.5.4), because
    widths are by glyph number; empty if the codes are glyph numbers themselves."""
    encoding = resource.get("/Encoding")
    encoding = encoding.get_object() if encoding is not None else None
    if not isinstance(encoding, StreamObject):
        return {}
    found: dict[int, int] = {}
    left = MAX_CODES
    for block in CID_BLOCK.findall(encoding.get_data()):
        for first, last, cid in CID_ENTRY.findall(block):
            start, end = int(first, 16), int(last or first, 16)
            codes = range(start, min(end + 1, start + left))
            found.update(zip(codes, itertools.count(int(cid)), strict=False))
            left -= len(codes)
    return found


def _numbered_glyphs(font: Font) -> dict[str, str]:
    """Characters for glyphs named by only a number: a character code, or the glyph's position in a
    TrueType font (its code minus 29). Text is mostly lower case, which shows which it is.
    """
    if not isinstance(font.encoding, dict):
        return {}
    found = {name: match for name in font.encoding.values() if (match := NUMBERED.match(name))}
    numbers = {name: int(match[1]) for name, match in found.items()}
    shift = max((0, 29), key=lambda s: sum(97 <= n + s <= 122 for n in numbers.values()))
    if not any(97 <= n + shift <= 122 for n in numbers.values()):
        return {}
    return {name: chr(n + shift) for name, n in numbers.items() if 32 <= n + shift < 127}


def _is_unmapped(font: Font) -> bool:
    """Whether the codes are glyph numbers, not text: two bytes without a ToUnicode map."""
    return font.sub_type == "Type0" and font.encoding == "utf-16-be" and not font.character_map


class Faces:
    """The fonts of one file, each read once however many pages use it."""

    def __init__(self) -> None:
        self._faces: dict[object, Face] = {}
        self.broken: set[str] = set()

    def get(self, resources: Any, name: str) -> Face:
        fonts = _dictionary(resources, "/Font")
        if name not in fonts:
            return UNKNOWN_FACE
        reference = fonts.raw_get(name)
        key = getattr(reference, "idnum", None) or id(fonts[name])
        if key not in self._faces:
            self._faces[key] = self._read(name, fonts)
        return self._faces[key]

    def _read(self, name: str, fonts: Any) -> Face:
        try:
            return Face.read(fonts[name].get_object())
        except (PyPdfError, AttributeError, KeyError, IndexError, TypeError, ValueError):
            self.broken.add(name.lstrip("/"))
            return Face(name=name)


def _dictionary(container: Any, key: str) -> Any:
    value = container.get(key) if hasattr(container, "get") else None
    value = value.get_object() if value is not None else None
    return value if hasattr(value, "raw_get") else {}
