# ruff: noqa: RUF001 - letters of other scripts look like Latin ones
"""Which characters PdfParser reads: fonts that name their glyphs, and scripts that run leftward."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from ingestion.documents import DocumentFailure, ParsedDocument
from tests.parsers.test_pdf import lines, parse_bytes, pdf, text_of

# Fonts that name their glyphs


def index(items: Sequence[bytes]) -> bytes:
    """An INDEX of a CFF font (Adobe Technical Note 5176, chapter 5)."""
    if not items:
        return b"\0\0"
    offsets = [1 + sum(map(len, items[:count])) for count in range(len(items) + 1)]
    return (
        struct.pack(">HB", len(items), 2)
        + struct.pack(f">{len(offsets)}H", *offsets)
        + (b"".join(items))
    )


# 0 0 moveto 500 hlineto 700 vlineto -500 hlineto endchar, as every glyph is drawn.
BOX = b"\x8b\x8b\x15\x1c\x01\xf4\x06\x1c\x02\xbc\x07\x1c\xfe\x0c\x06\x0e"
TOP = 25  # bytes: three places, and that there is no private dictionary


def compact_font(glyphs: dict[int, str]) -> bytes:
    """A Type 1C font with an encoding of its own: the names of its glyphs, by their codes."""
    names = [name.encode() for name in glyphs.values()]
    start = b"\x01\x00\x04\x02" + index([b"Own"])
    after = index(names) + index([])
    charset = b"\0" + struct.pack(f">{len(names)}H", *range(391, 391 + len(names)))
    encoding = bytes([0, len(glyphs), *glyphs])
    shapes = index([BOX] * (len(names) + 1))
    first = len(start) + len(index([bytes(TOP)])) + len(after)
    places = first, first + len(charset), first + len(charset) + len(encoding)
    top = b"".join(
        b"\x1d" + struct.pack(">i", place) + bytes([operator])
        for place, operator in zip(places, (15, 16, 17), strict=True)
    )
    private = b"\x8b\x1d" + struct.pack(">i", 0) + b"\x12"
    return start + index([top + private]) + after + charset + encoding + shapes


def with_compact_font(content: bytes, glyphs: dict[int, str], name: bytes = b"Own") -> str:
    font = (
        b"<</Type/Font/Subtype/Type1/BaseFont/ABCDEF+%s/FirstChar 0/LastChar 255/Widths[%s]"
        b"/FontDescriptor 7 0 R>>" % (name, b"600 " * 256)
    )
    descriptor = (
        b"<</Type/FontDescriptor/FontName/ABCDEF+%s/Flags 4/FontBBox[0 0 1 1]/ItalicAngle 0"
        b"/Ascent 1/Descent 0/CapHeight 1/StemV 1/FontFile3 8 0 R>>" % name
    )
    data = compact_font(glyphs)
    file = b"<</Subtype/Type1C/Length %d>>stream\n%b\nendstream" % (len(data), data)
    return text_of(content, b"/F3 6 0 R", extra=[font, descriptor, file])


def test_glyphs_are_what_a_font_of_its_own_encoding_names_them() -> None:
    """Otherwise "for all" and "there is" of an embedded font are the digits 8 and 9."""
    shown = b"(\\() Tj /F3 10 Tf (8) Tj /F1 10 Tf (, ) Tj /F3 10 Tf (9a) Tj /F1 10 Tf (\\)) Tj"
    content = b"BT /F1 10 Tf 20 150 Td %b ET" % shown
    named = {0x38: "universal", 0x39: "existential", 0x61: "alpha"}
    assert with_compact_font(content, named) == "(∀, ∃α)"


def test_signs_of_tex_that_no_list_of_glyphs_names_are_read() -> None:
    content = b"BT /F3 10 Tf 20 150 Td (a\\017b) Tj ET"
    named = {0x61: "a", 0x0F: "epsilon1", 0x62: "b"}
    assert with_compact_font(content, named, b"CMMI10") == "a\u03f5b"


# Scripts that run leftward


def left(text: str) -> str:
    """Leftward text as it is seen, from left to right."""
    return text[::-1]


HEBREW = {
    "only Hebrew": (left("שלום עולם, מה שלומך?"), "שלום עולם, מה שלומך?"),
    "Latin words and a version": (
        "." + left("היום") + " BBj 25.00 " + left("התקינו את"),
        "התקינו את BBj 25.00 היום.",
    ),
    "brackets, a date, a time": (
        ".10:30 "
        + left("בשעה")
        + " 12/05/2024 "
        + left("בתאריך (כולל עדכונים)").translate(str.maketrans("()", ")(")),
        "בתאריך (כולל עדכונים) 12/05/2024 בשעה 10:30.",
    ),
    "a range, a price, a share": (
        "50% " + left("או") + " $5 ," + "10-20 " + left("בטווח"),
        "בטווח 10-20, $5 או 50%",
    ),
    "a call": (
        left("מחזירה ערך") + " foo(bar) " + left("הפונקציה"),
        "הפונקציה foo(bar) מחזירה ערך",
    ),
}
ARABIC = {
    "only Arabic": (left("السلام عليكم، كيف الحال؟"), "السلام عليكم، كيف الحال؟"),
    "Latin words and a version": (
        left("للمبتدئين") + " BBj 25.00 " + left("دليل تثبيت"),
        "دليل تثبيت BBj 25.00 للمبتدئين",
    ),
    "both kinds of digits": (
        left("دولارات") + " ٥٠ " + left("أو") + " 20 - 10 " + left("من"),
        "من 10 - 20 أو ٥٠ دولارات",
    ),
}
MIXED = {
    "Hebrew in English": (
        "The word " + left("שלום עולם") + " is printed twice here.",
        "The word שלום עולם is printed twice here.",
    ),
    "a number in the Hebrew": (
        "It says " + left("הייתה") + " 2024 " + left("שנת") + " in Hebrew letters.",
        "It says שנת 2024 הייתה in Hebrew letters.",
    ),
}
CASES = {**HEBREW, **{f"{name} (Arabic)": case for name, case in ARABIC.items()}, **MIXED}


def drawn(seen: str, *, from_right: bool, size: int = 10) -> tuple[bytes, bytes, list[bytes]]:
    """Instructions that draw a line at one go, or each glyph from right to left; the font for
    them, whose codes are characters by a map only; and its objects."""
    letters = sorted(set(seen))
    code = {letter: 0x21 + place for place, letter in enumerate(letters)}
    rows = b"".join(b"<%02x> <%04x>\n" % (code[c], ord(c)) for c in letters)
    cmap = b"1 begincodespacerange <00> <ff> endcodespacerange %d beginbfchar\n%bendbfchar" % (
        len(letters), rows,
    )  # fmt: skip
    widths = [580 + 40 * (number % 2) for number in range(256)]
    font = (
        b"/F3<</Type/Font/Subtype/Type1/BaseFont/Own/ToUnicode 6 0 R/FirstChar 0/LastChar 255"
        b"/Widths[%b]>>" % b" ".join(b"%d" % width for width in widths)
    )
    stream = b"<</Length %d>>stream\n%b\nendstream" % (len(cmap), cmap)
    steps = [widths[code[c]] * size / 1000 for c in seen]
    places = [(20 + sum(steps[:place]), c) for place, c in enumerate(seen)]
    if from_right:
        shown = b"".join(
            b"1 0 0 1 %.2f 150 Tm <%02x> Tj " % (x, code[c]) for x, c in reversed(places)
        )
    else:
        shown = b"1 0 0 1 20 150 Tm <%b> Tj" % b"".join(b"%02x" % code[c] for c in seen)
    return b"BT /F3 %d Tf %b ET" % (size, shown), font, [stream]


@pytest.mark.parametrize("from_right", [False, True], ids=["at one go", "from right to left"])
@pytest.mark.parametrize("name", CASES)
def test_lines_that_run_leftward_are_in_the_order_of_reading(name: str, from_right: bool) -> None:
    seen, read = CASES[name]
    content, font, extra = drawn(seen, from_right=from_right)
    assert text_of(content, font, extra=extra) == read


def test_titles_that_run_leftward_are_in_the_order_of_reading() -> None:
    content, font, extra = drawn("BBj 25 " + left("מדריך"), from_right=False, size=20)
    small = b"".join(lines(b"Some words of the text below it.", y=100 - 12 * n) for n in range(5))
    parsed = parse_bytes(pdf(content + small, font, extra=extra))
    titles = [item.title for item in parsed if isinstance(item, ParsedDocument)]
    assert not [item for item in parsed if isinstance(item, DocumentFailure)]
    assert "מדריך BBj 25" in " ".join([*titles, *(getattr(i, "content", "") for i in parsed)])
