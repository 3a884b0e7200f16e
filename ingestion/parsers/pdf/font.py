"""The fonts of a PDF as the layout sees them: bold, code, signs."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field

from ingestion.parsers.pdf import pdfium
from ingestion.parsers.pdf.survey import bare_name

BOLD = re.compile(
    r"bold|black|heavy|semib|demi|-medi|-bd\b|cmbx|cmssbx|sfbx|sfsx|ecbx|ecsx|lmb", re.IGNORECASE
)
MONO = re.compile(
    r"courier|mono(?!type)|consol|typewriter|cmtt|cmsltt|ectt|sftt|txtt|lmtt|lmmono|menlo|"
    r"inconsolata|nimbusmon|lucida.?sans.?typ|terminal|fixed|letter.?gothic|andale|source.?code|"
    r"fira.?code",
    re.IGNORECASE,
)
SIGNS = re.compile(r"symbol|dingbat|wingding|webding|bullet", re.IGNORECASE)
FIXED_PITCH, FORCE_BOLD = 1, 1 << 18
THIN, WIDE = frozenset("ilt.,"), frozenset("mwMWo")
SAMPLES = frozenset(string.ascii_letters) | THIN | {"0"}
MANY = 8  # letters, of which some are wider than others in a font for text
USUAL_PITCH = 0.6  # of the font size: Courier's
LEAST_ADVANCE = 0.3  # of what is seen of a letter: hardly more overhangs in any italics


@dataclass(eq=False)
class Face:
    """A font. `advances`: how far characters that were shown move the text, in font sizes.
    `names`: what its own names say of codes that PDFium knows no character for.

    `drawn`: the file itself draws the glyphs (Type 3), in a size of their own.
    """

    name: str = "Unknown"
    bold: bool = False
    mono: bool = False
    drawn: bool = False
    fixed: bool = False
    advances: dict[str, float] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    _judged: int = -1

    @property
    def shows_signs(self) -> bool:
        """Whether its letters are drawn as symbols (as in Wingdings)."""
        return bool(SIGNS.search(self.name))

    @property
    def pitch(self) -> float:
        """The advance of a character of a fixed-pitch font, in font sizes."""
        return next((self.advances[c] for c in "imnoxe0" if c in self.advances), USUAL_PITCH)

    def judge(self) -> None:
        """Decide whether it is a code font, by what was shown of it so far."""
        if len(self.advances) != self._judged:
            self._judged = len(self.advances)
            self.mono = bool(MONO.search(self.name)) or self._is_fixed_pitch()

    def _is_fixed_pitch(self) -> bool:
        """Whether all letters are equally wide; the flag is often wrong, so the widths decide."""
        known = {c: self.advances[c] for c in SAMPLES if c in self.advances}
        enough = len(known) >= MANY or (known.keys() & THIN and known.keys() & WIDE)
        equal = not known or max(known.values()) - min(known.values()) < 0.01
        return equal and (bool(enough) or self.fixed)


UNKNOWN_FACE = Face()


class Faces:
    """The fonts of one file, each the same on all pages, so that they learn from each other."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], Face] = {}
        self._on_page: dict[int, Face] = {}

    def next_page(self) -> None:
        """Forget addresses, which are those of other fonts on the next page."""
        self._on_page.clear()

    def get(self, address: int) -> Face:
        """The font at an address; on each page it is at another one."""
        if address not in self._on_page:
            self._on_page[address] = self._read(address)
        return self._on_page[address]

    def judge(self) -> None:
        """Decide which of the page's fonts are code fonts, by what was shown of them so far."""
        for face in self._on_page.values():
            face.judge()

    def _read(self, address: int) -> Face:
        name = pdfium.name_of(address)
        flags = max(pdfium.font_flags(address), 0)
        fixed = bool(flags & FIXED_PITCH)
        if not name:
            return Face(drawn=True, fixed=fixed)
        key = name, flags, pdfium.bytes_of(address)
        if key not in self._known:
            bold = bool(BOLD.search(name)) or bool(flags & FORCE_BOLD)
            self._known[key] = Face(bare_name(name), bold, fixed=fixed)
        return self._known[key]


def advance(address: int, letter: str, shown: float | None) -> float:
    """The advance of a letter of the font at an address, given how wide one is with all of its ink.

    What the font says is wrong if it has several glyphs for the letter.
    """
    said = pdfium.advance_of(address, letter)
    wrong = shown is not None and not LEAST_ADVANCE * shown <= said <= shown + 0.02
    return shown if wrong and shown is not None else said
