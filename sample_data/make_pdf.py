"""Write the two PDFs of the sample data; the same bytes each time.

    python sample_data/make_pdf.py

Needs reportlab (requirements-dev.txt). The files are committed, so run this only to edit them. The
guide contains what is hard for PDF readers: an outline of two levels with positions, running heads
and page numbers, a page of two columns, words broken at line ends, ligatures, code, a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pdf_text import GUIDE, QUICK_CARD, Block
from reportlab.lib import colors
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.fonts import addMapping
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    FrameBreak,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Preformatted,
    Spacer,
    Table,
)

HERE = Path(__file__).resolve().parent
MARGIN = 16 * mm
WIDTH, HEIGHT = A5

# MacRoman is the one-byte encoding of the standard fonts that has the ligatures fi and fl.
pdfmetrics.registerFont(pdfmetrics.Font("Body", "Times-Roman", "MacRomanEncoding"))
addMapping("Body", 0, 0, "Body")

BODY = ParagraphStyle(
    "body", fontName="Body", fontSize=9.5, leading=12.5, spaceAfter=5, alignment=TA_JUSTIFY,
    embeddedHyphenation=1,
)  # fmt: skip
NARROW = ParagraphStyle("narrow", parent=BODY, fontSize=8.5, leading=11)
CELL = ParagraphStyle("cell", parent=BODY, fontSize=8, leading=10, spaceAfter=0, alignment=0)
HEADS = (
    ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=20, leading=26, spaceAfter=10),
    ParagraphStyle("chapter", fontName="Helvetica-Bold", fontSize=15, leading=19, spaceAfter=7),
    ParagraphStyle("section", fontName="Helvetica-Bold", fontSize=11, leading=14, spaceAfter=4,
                   spaceBefore=6, keepWithNext=1),
)  # fmt: skip
CODE = ParagraphStyle(
    "code", fontName="Courier", fontSize=7.5, leading=9.5, leftIndent=5 * mm, spaceAfter=7
)


class Heading(Paragraph):
    """A heading that adds itself to the outline, with its position on the page."""

    def __init__(self, text: str, level: int, key: str) -> None:
        super().__init__(text, HEADS[level])
        self.title, self.level, self.key = text, level, key

    def draw(self) -> None:
        top = self.canv.absolutePosition(0, self.height)[1]
        self.canv.bookmarkPage(self.key, fit="XYZ", left=0, top=top + 2 * mm, zoom=0)
        self.canv.addOutlineEntry(self.title, self.key, level=self.level - 1)
        super().draw()


def typeset(text: str) -> str:
    return text.replace("~", "\u00ad").replace("fi", "\ufb01").replace("fl", "\ufb02")


def table(rows: list[list[str]]) -> Table:
    cells = [[Paragraph(typeset(cell), CELL) for cell in row] for row in rows]
    inner = WIDTH - 2 * MARGIN - 4 * mm
    made = Table(cells, colWidths=[inner / len(rows[0])] * len(rows[0]), spaceAfter=7)
    made.setStyle(
        [
            ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
            ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )
    return made


def flowables(blocks: list[Block]) -> Iterator[Flowable]:
    paragraph = BODY
    for number, (kind, value) in enumerate(blocks):
        match kind:
            case "title":
                yield Paragraph(value, HEADS[0])
            case "h1" | "h2":
                yield Heading(value, int(kind[1]), f"heading-{number}")
            case "p":
                yield Paragraph(typeset(value), paragraph)
            case "code":
                yield Preformatted(value, CODE)
            case "table":
                yield table(value)
            case "space":
                yield Spacer(1, float(value))
            case "column":
                yield FrameBreak()
            case "page":
                paragraph = NARROW if value == "two" else BODY
                yield NextPageTemplate(value)
                yield PageBreak()
            case _:
                raise ValueError(f"block {number}: unknown kind {kind!r}")


def frames(columns: int) -> list[Frame]:
    gap = 6 * mm
    width = (WIDTH - 2 * MARGIN - gap * (columns - 1)) / columns
    return [
        Frame(MARGIN + i * (width + gap), 18 * mm, width, HEIGHT - 36 * mm, id=f"f{i}",
              leftPadding=2 * mm, rightPadding=2 * mm)
        for i in range(columns)
    ]  # fmt: skip


def build(path: Path, title: str, blocks: list[Block]) -> None:
    def running_head(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.setFont("Helvetica", 7.5)
        canvas.drawString(MARGIN, HEIGHT - 12 * mm, title)
        canvas.line(MARGIN, HEIGHT - 13.5 * mm, WIDTH - MARGIN, HEIGHT - 13.5 * mm)
        canvas.drawCentredString(WIDTH / 2, 10 * mm, f"Page {document.page}")

    def first_page(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.showOutline()

    path.parent.mkdir(parents=True, exist_ok=True)
    document = BaseDocTemplate(
        str(path), pagesize=A5, title=title, author="The bbjrag project",
        subject="Sample data", invariant=1,
    )  # fmt: skip
    document.addPageTemplates(
        [
            PageTemplate("cover", frames(1), onPage=first_page),
            PageTemplate("one", frames(1), onPage=running_head),
            PageTemplate("two", frames(2), onPage=running_head),
        ]
    )
    document.build(list(flowables(blocks)))
    print(f"{path.relative_to(HERE)}: {document.page} pages")


if __name__ == "__main__":
    build(
        HERE / "bbj-ai-strategy/GuideToGuiProgrammingInBBj.pdf",
        "Guide to GUI Programming in BBj",
        GUIDE,
    )
    build(
        HERE / "web/basis.cloud/advantage/string-template-quick-card.pdf",
        "String Templates: a Quick Card",
        QUICK_CARD,
    )
