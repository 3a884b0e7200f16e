"""What PdfParser makes of PDFs: small ones written here, the fixtures of tests/fixtures/pdf."""

from __future__ import annotations

import io
import os
import re
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import Fit, NameObject, StreamObject

from ingestion.documents import DocumentFailure, ParsedDocument, Unchanged
from ingestion.parsers import parser_class
from ingestion.parsers.base import NothingKnown, SourceConfig
from ingestion.parsers.pdf import PdfOrigin, PdfParser, read_pdf
from ingestion.parsers.pdf.repair import rebuild
from tests.scripts.fidelity_pdf import compare

FIXTURES = Path(__file__).parents[1] / "fixtures" / "pdf"


def read(name: str) -> list[ParsedDocument]:
    parsed = list(PdfParser(SourceConfig("pdf", FIXTURES, (name,))).parse())
    assert all(isinstance(item, ParsedDocument) for item in parsed), parsed
    return [item for item in parsed if isinstance(item, ParsedDocument)]


def failures(name: str, folder: Path = FIXTURES) -> list[DocumentFailure]:
    parsed = PdfParser(SourceConfig("pdf", folder, (name,))).parse()
    return [item for item in parsed if isinstance(item, DocumentFailure)]


def by_title(documents: Sequence[ParsedDocument]) -> dict[str, ParsedDocument]:
    return {document.title: document for document in documents}


def golden(documents: Sequence[ParsedDocument]) -> str:
    """A file's documents as one text to read: address, breadcrumb, pages, content."""
    parts = []
    for document in documents:
        pages = ", ".join(f"{line}: p. {number}" for line, number in document.pages)
        above = " > ".join((*document.breadcrumb, document.title))
        parts.append(f"<<< {document.url}\n<<< {above}\n<<< {pages}\n{document.content}\n")
    return "\n".join(parts)


# PDFs written by hand, for what a library would not write


def pdf(content: bytes, fonts: bytes = b"", *, extra: Sequence[bytes] = ()) -> bytes:
    """A page of 300 by 200 points with /F1 Helvetica, /F2 Courier and what `fonts` adds to them;
    `extra` are objects from number 6 on."""
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<<"
        b"/F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
        b"/F2<</Type/Font/Subtype/Type1/BaseFont/Courier/Encoding/WinAnsiEncoding>>"
        + fonts
        + b">>>>>>"
    )
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        page,
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<<>>",
        *extra,
    ]
    return assemble(objects)


def assemble(objects: Sequence[bytes]) -> bytes:
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<</Size %d/Root 1 0 R>>\n" % (len(objects) + 1)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def written(writer: PdfWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def parse_bytes(data: bytes) -> list[ParsedDocument | DocumentFailure]:
    origin = PdfOrigin("pdf://small.pdf", "small.pdf", "small")
    return [
        item
        for item in read_pdf(data, origin)
        if isinstance(item, ParsedDocument | DocumentFailure)
    ]


def text_of(content: bytes, fonts: bytes = b"", *, extra: Sequence[bytes] = ()) -> str:
    parsed = parse_bytes(pdf(content, fonts, extra=extra))
    assert all(isinstance(item, ParsedDocument) for item in parsed), parsed
    return "\n\n".join(item.content for item in parsed if isinstance(item, ParsedDocument))


def lines(*texts: bytes, font: bytes = b"/F1 10", x: int = 20, y: int = 150) -> bytes:
    shown = b" T* ".join(b"(%s) Tj" % text for text in texts)
    return b"BT %s Tf 12 TL %d %d Td %s ET\n" % (font, x, y, shown)


# Documents


@pytest.mark.parametrize("name", ["manual", "columns", "headings", "contents"])
def test_it_works(name: str) -> None:
    expected = (FIXTURES / f"{name}.md").read_text(encoding="utf-8")
    assert golden(read(f"{name}.pdf")) == expected


def test_the_table_of_parsers_names_it() -> None:
    assert parser_class("PdfParser") is PdfParser


def test_sections_of_one_title_have_two_addresses() -> None:
    urls = [document.url for document in read("manual.pdf") if document.title == "Examples"]
    assert urls == ["pdf://manual.pdf#errors/examples", "pdf://manual.pdf#files/examples"]
    urls = [document.url for document in read("headings.pdf") if document.title == "Rigging"]
    assert urls == ["pdf://headings.pdf#rigging", "pdf://headings.pdf#rigging-2"]


def test_addresses_do_not_hold_section_numbers() -> None:
    windows = by_title(read("manual.pdf"))["1 Windows"]
    assert windows.url == "pdf://manual.pdf#windows"


def test_text_before_the_first_bookmark_is_a_document() -> None:
    first = read("manual.pdf")[0]
    assert (first.url, first.title) == ("pdf://manual.pdf#start", "The Harbour Manual")


def test_tiny_sections_join_the_one_above() -> None:
    documents = by_title(read("manual.pdf"))
    assert "Tiny" not in documents
    assert documents["3 Files"].content.endswith("## Tiny\n\nOne line only.")


def test_pages_are_known() -> None:
    errors = by_title(read("manual.pdf"))["2 Errors"]
    assert errors.metadata == {"page_start": 2, "page_end": 2, "pages": 3}
    assert errors.display_url == "manual.pdf#page=2"


def test_display_base_url_leads_to_the_page(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    shutil.copy(FIXTURES / "manual.pdf", tmp_path / "a b" / "manual.pdf")
    config = SourceConfig("pdf", tmp_path, ("a b",), display_base_url="https://example.org/docs/")
    shown = [d.display_url for d in PdfParser(config).parse() if isinstance(d, ParsedDocument)]
    assert shown[-1] == "https://example.org/docs/manual.pdf#page=3"


def test_without_outline_and_headings_pages_are_sections() -> None:
    assert [(d.url, d.title, d.breadcrumb) for d in read("pages.pdf")] == [
        ("pdf://pages.pdf#page-1", "Page 1", ("pages",)),
        ("pdf://pages.pdf#page-2", "Page 2", ("pages",)),
    ]


def test_a_wrong_outline_loses_and_doubles_nothing() -> None:
    documents = read("wrong-outline.pdf")
    assert [document.title for document in documents] == ["Part A", "Part B", "Part C"]
    for document, part in zip(documents, "ABC", strict=True):
        shown = f"# Part {part}\n\nThe examples of part {part} are short"
        assert document.content.startswith(shown)
        assert document.content.endswith("in which it was changed.")
    assert sum(document.content.count("The examples of") for document in documents) == 3


def test_an_entry_that_leads_before_its_parent_moves_no_text() -> None:
    """As where two sections of one name share a destination, which leads both to the first."""
    words = [
        b"Line %d of those that make a section long enough to stand by itself." % n
        for n in range(7)
    ]
    writer = PdfWriter()
    for head, name in ((b"The base package", b"format"), (b"The utils package", b"round")):
        texts = lines(head, *words, name, *words, y=190)
        writer.append(PdfReader(io.BytesIO(pdf(texts))))
    for page, title in enumerate(("The base package", "The utils package")):
        package = writer.add_outline_item(title=title, page_number=page)
        below_the_title = Fit.xyz(left=20, top=88)
        writer.add_outline_item(title="format", page_number=0, parent=package, fit=below_the_title)
    documents = [d for d in parse_bytes(written(writer)) if isinstance(d, ParsedDocument)]
    assert [document.title for document in documents] == [
        "The base package", "format", "The utils package",
    ]  # fmt: skip
    assert [document.content.count("by itself") for document in documents] == [7, 7, 14]


def test_unchanged_files_are_not_read() -> None:
    class Known(NothingKnown):
        def current(self, url: str) -> bool:
            return url == "pdf://manual.pdf"

    parser = PdfParser(SourceConfig("pdf", FIXTURES, ("manual.pdf",)))
    assert list(parser.parse(Known())) == [Unchanged("pdf://manual.pdf")]


def test_documents_know_their_file() -> None:
    document = read("manual.pdf")[0]
    size = (FIXTURES / "manual.pdf").stat().st_size
    assert [(i.path, i.size) for i in document.inputs] == [("manual.pdf", size)]


def test_two_reads_give_the_same() -> None:
    assert [d.fingerprint() for d in read("manual.pdf")] == [
        d.fingerprint() for d in read("manual.pdf")
    ]


# Words


def test_kerning_breaks_no_word_and_gaps_part_words() -> None:
    content = b"BT /F1 10 Tf 20 150 Td [(pro) -60 (cess) -300 (of) -250 (law)] TJ ET"
    assert text_of(content) == "process of law"


def test_a_space_that_is_taken_back_parts_no_word() -> None:
    assert text_of(b"BT /F1 10 Tf 20 150 Td [(pro ) 278 (cess)] TJ ET") == "process"


def test_ligatures_are_letters() -> None:
    assert text_of(lines(b"\256le and \257ow")) == "file and flow"


def test_accents_drawn_apart_join_their_letter() -> None:
    assert text_of(b"BT /F1 10 Tf 20 150 Td [(na) (\310) 444 (ive)] TJ ET") == "naïve"


def test_actual_text_replaces_what_is_drawn() -> None:
    content = b"BT /F1 10 Tf 20 150 Td (of) Tj /Span <</ActualText (fice)>> BDC (###) Tj EMC ET"
    assert text_of(content) == "office"


def test_text_drawn_twice_for_bold_is_there_once() -> None:
    assert text_of(lines(b"Bold words") + b"BT /F1 10 Tf 20.3 150 Td (Bold words) Tj ET") == (
        "Bold words"
    )


def test_letters_set_apart_by_character_spacing_are_one_word() -> None:
    assert text_of(b"BT /F1 10 Tf 2 Tc 20 150 Td (Harbour) Tj ET") == "Harbour"


@pytest.mark.parametrize(
    "shown",
    [
        b"(belo) Tj 19 0 Td 3 Tc (wt) Tj 13 0 Td 0 Tc (he line) Tj",
        b"(belo) Tj 19 0 Td 3 Tc [(wt) 300 (h) 300 (el) 300 (i) 300 (n) 300 (e)] TJ",
    ],
)
def test_character_spacing_in_place_of_spaces_parts_words(shown: bytes) -> None:
    """As Ghostscript writes a word space between a few letters: for "below the line"."""
    assert text_of(b"BT /F1 10 Tf 20 150 Td " + shown + b" ET") == "below the line"


def test_glyphs_named_by_number_are_read() -> None:
    names = b"".join(b"/g%d" % (ord(c) - 29) for c in "quiet water")
    font = (
        b"/F3<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding<</Differences[1%s]>>>>" % names
    )
    shown = bytes(range(1, 12))
    assert (
        text_of(b"BT /F3 10 Tf 20 150 Td <%s> Tj ET" % shown.hex().encode(), font) == "quiet water"
    )


def test_widths_of_a_font_with_a_cmap_of_its_own_are_known() -> None:
    """A code is not the number of its glyph there, by which the widths are given."""
    font = b"/F3<</Type/Font/Subtype/Type0/BaseFont/Own/Encoding 6 0 R/DescendantFonts[7 0 R]>>"
    cmap = (
        b"1 begincodespacerange <00> <ff> endcodespacerange "
        b"1 begincidrange <61> <7a> 1 endcidrange 1 begincidchar <20> 30 endcidchar"
    )
    descendant = b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Own/DW 1000/W[1[%s]]>>" % (
        b"250 " * 26
    )
    extra = [b"<</Type/CMap/Length %d>>stream\n%s\nendstream" % (len(cmap), cmap), descendant]
    content = b"BT /F3 10 Tf 20 150 Td (quiet) Tj 15.5 0 Td (water) Tj ET"
    assert text_of(content, font, extra=extra) == "quiet water"


def test_a_footnote_number_stays_off_the_word_but_a_power_does_not() -> None:
    raised = b"BT /F1 10 Tf 20 150 Td (%s) Tj /F1 6 Tf 4 Ts (2) Tj ET"
    assert text_of(raised % b"reference") == "reference[2]"
    assert text_of(raised % b"km") == "km2"


def test_turned_text_comes_after_the_page() -> None:
    content = b"BT /F1 10 Tf 0 1 -1 0 290 20 Tm (Draft) Tj ET\n" + lines(b"The text.")
    assert text_of(content) == "The text.\n\nDraft"


def test_a_turned_page_is_read_upright() -> None:
    rows = b"".join(
        b"BT /F1 10 Tf 0 1 -1 0 %d 20 Tm (%s) Tj ET\n" % (100 + 12 * i, text)
        for i, text in enumerate((b"First line of a turned", b"page, and the second."))
    )
    assert text_of(rows) == "First line of a turned page, and the second."


# Lines


def test_words_broken_at_line_ends_are_whole() -> None:
    assert text_of(lines(b"The pro-", b"cess ends.")) == "The process ends."


def test_compounds_keep_their_hyphen() -> None:
    content = lines(b"A user-defined name is a user-", b"defined one, in UTF-", b"8 or not.")
    assert text_of(content) == "A user-defined name is a user-defined one, in UTF-8 or not."


def test_a_left_out_half_keeps_its_hyphen() -> None:
    assert text_of(lines(b"Read pre-", b"and postfix.")) == "Read pre- and postfix."


def test_a_hash_that_begins_code_is_no_heading() -> None:
    content = lines(b"Run it:") + lines(b"# build", b"  make all", font=b"/F2 9", y=120)
    assert text_of(content) == "Run it:\n\n```\n# build\n  make all\n```"


def test_prose_is_not_read_as_markdown() -> None:
    assert text_of(lines(b"# is a sign.")) == "\\# is a sign."
    assert text_of(lines(b"<T> is a type.")) == "\\<T> is a type."


def test_code_in_a_line_has_backticks() -> None:
    content = b"(Call ) Tj /F2 10 Tf (open\\(\\)) Tj /F1 10 Tf (, then wait.) Tj"
    content = b"BT 20 150 Td /F1 10 Tf %s ET" % content
    assert text_of(content) == "Call `open()`, then wait."


def test_a_listing_is_code_though_nothing_else_is_there() -> None:
    content = lines(b"for i in all:", b"    print(i)", b"done = 1", font=b"/F2 9")
    assert text_of(content) == "```\nfor i in all:\n    print(i)\ndone = 1\n```"


def test_a_typed_letter_is_prose() -> None:
    content = lines(b"This letter was typed on a", b"machine of the old kind.", font=b"/F2 9")
    assert text_of(content) == "This letter was typed on a machine of the old kind."


def test_code_that_holds_a_fence_gets_a_longer_one() -> None:
    content = lines(b"```", b"a", b"```", font=b"/F2 9")
    assert text_of(content) == "````\n```\na\n```\n````"


def test_what_repeats_below_a_pages_own_line_is_no_running_head() -> None:
    contents = [document.content for document in read("wrong-outline.pdf")]
    assert all("None of them needs more than the parts" in content for content in contents)


def test_running_heads_and_page_numbers_are_dropped() -> None:
    text = "\n".join(document.content for document in read("manual.pdf"))
    assert "Harbour Manual" not in text
    assert " of 3" not in text


def test_lines_that_repeat_stay_where_there_is_nothing_else() -> None:
    writer = PdfWriter()
    for number in range(1, 6):
        writer.append(PdfReader(io.BytesIO(pdf(lines(b"Slide %d" % number, y=190)))))
    read = "\n".join(
        d.content for d in parse_bytes(written(writer)) if isinstance(d, ParsedDocument)
    )
    assert [f"Slide {number}" in read for number in range(1, 6)] == [True] * 5


# What cannot be read


def test_a_scan_is_a_failure_that_says_ocr() -> None:
    (failure,) = failures("scanned.pdf")
    assert failure.url == "pdf://scanned.pdf"
    assert not failure.warning
    assert "text layer" in failure.message
    assert "ocrmypdf" in failure.message


def test_a_truncated_file_is_a_failure_with_what_could_be_read() -> None:
    parsed = list(PdfParser(SourceConfig("pdf", FIXTURES, ("truncated.pdf",))).parse())
    failure, *documents = parsed
    assert isinstance(failure, DocumentFailure)
    assert not failure.warning
    assert "its end is missing" in failure.message
    assert any("opens a window" in d.content for d in documents if isinstance(d, ParsedDocument))


def test_a_truncated_file_with_packed_objects_is_read() -> None:
    packed = b"7 0 8 12 <</Deep 1>> <</Deep 2>>"
    data = pdf(lines(b"Still here."))
    stream = zlib.compress(packed)
    extra = (
        b"9 0 obj\n<</Type/ObjStm/N 2/First 9/Filter/FlateDecode/Length %d>>stream\n%s\nendstream\n"
    )
    body = data[: data.index(b"xref")] + extra % (len(stream), stream) + b"endobj\n10 0 obj\n<</Cut"
    failure, document = parse_bytes(body)
    assert isinstance(failure, DocumentFailure)
    assert isinstance(document, ParsedDocument)
    assert document.content == "Still here."
    rebuilt = rebuild(body)
    assert rebuilt is not None
    assert b"8 0 obj\n<</Deep 2>>" in rebuilt


def test_a_file_without_pages_is_a_failure() -> None:
    (failure,) = parse_bytes(b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n")
    assert isinstance(failure, DocumentFailure)
    assert "damaged" in failure.message


def encrypted(user: str, algorithm: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(lines(b"Not to be copied.")))))
    writer.encrypt(user_password=user, owner_password="owner", algorithm=algorithm)
    return written(writer)


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_an_owner_password_does_not_keep_from_reading(algorithm: str) -> None:
    (document,) = parse_bytes(encrypted("", algorithm))
    assert isinstance(document, ParsedDocument)
    assert document.content == "Not to be copied."


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_a_user_password_is_a_failure(algorithm: str) -> None:
    (failure,) = parse_bytes(encrypted("secret", algorithm))
    assert isinstance(failure, DocumentFailure)
    assert "password" in failure.message
    assert "qpdf" in failure.message


def test_what_is_no_pdf_is_a_failure() -> None:
    (failure,) = parse_bytes(b"<html>Not found</html>")
    assert isinstance(failure, DocumentFailure)
    assert "not a PDF" in failure.message


def two_pages() -> PdfWriter:
    writer = PdfWriter()
    for text in (b"First page.", b"Second page."):
        writer.add_page(PdfReader(io.BytesIO(pdf(lines(text)))).pages[0])
    return writer


def test_broken_instructions_leave_what_is_before_them() -> None:
    data = written(two_pages()).replace(b"(Second page.) Tj ET", b"(Second page.) Tj << <")
    assert [d.content for d in parse_bytes(data) if isinstance(d, ParsedDocument)] == [
        "## Page 1\n\nFirst page.\n\n## Page 2\n\nSecond page."
    ]


def test_a_page_in_an_unknown_packing_is_a_warning() -> None:
    writer = two_pages()
    stream = writer.pages[1]["/Contents"].get_object()
    assert isinstance(stream, StreamObject)
    stream[NameObject("/Filter")] = NameObject("/Unheard")
    failure, document = parse_bytes(written(writer))
    assert isinstance(failure, DocumentFailure)
    assert failure.warning
    assert "Page 2" in failure.message
    assert isinstance(document, ParsedDocument)
    assert "First page." in document.content


def test_a_font_without_characters_is_a_warning_not_gibberish() -> None:
    font = (
        b"/F3<</Type/Font/Subtype/Type0/BaseFont/Secret/Encoding/Identity-H/DescendantFonts["
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Secret/DW 500>>]>>"
    )
    content = lines(b"Readable.") + b"BT /F3 10 Tf 20 100 Td <00240025> Tj ET"
    failure, document = parse_bytes(pdf(content, font))
    assert isinstance(failure, DocumentFailure)
    assert failure.warning
    assert "Secret" in failure.message
    assert isinstance(document, ParsedDocument)
    assert document.content == "Readable."


def test_a_bomb_is_given_up() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(b" " * 70_000_000))))
    writer.pages[0].compress_content_streams()
    data = written(writer)
    assert len(data) < 1_000_000
    warning, failure = parse_bytes(data)
    assert isinstance(warning, DocumentFailure)
    assert "unpacks to too much" in warning.message
    assert isinstance(failure, DocumentFailure)
    assert not failure.warning


def test_forms_that_draw_themselves_end() -> None:
    form = (
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>/Length 4>>"
        b"stream\n/X Do\nendstream"
    )
    data = pdf(lines(b"Text.") + b"/X Do", extra=[form])
    data = data.replace(b"/Resources<</Font", b"/Resources<</XObject<</X 6 0 R>>/Font", 1)
    parsed = parse_bytes(data)
    assert [item.content for item in parsed if isinstance(item, ParsedDocument)] == ["Text."]


def test_forms_that_draw_each_other_without_end_are_given_up() -> None:
    """Ten levels of forms, each of which draws the next one fifty times."""
    form = (
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X %d 0 R>>>>/Length %d>>"
    )
    draws = b"/X Do " * 50
    forms = [
        (form % (number + 1, len(draws))) + b"stream\n" + draws + b"\nendstream"
        for number in range(6, 16)
    ]
    last = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 1>>stream\n \nendstream"
    data = pdf(lines(b"Text.") + b"/X Do", extra=[*forms, last])
    data = data.replace(b"/Resources<</Font", b"/Resources<</XObject<</X 6 0 R>>/Font", 1)
    warning, failure = parse_bytes(data)
    assert isinstance(warning, DocumentFailure)
    assert "unpacks to too much" in warning.message
    assert isinstance(failure, DocumentFailure)


def test_a_page_that_is_missing_leaves_the_others() -> None:
    data = pdf(lines(b"Still here.")).replace(b"/Kids[3 0 R]", b"/Kids[9 0 R 3 0 R]")
    (document,) = parse_bytes(data)
    assert isinstance(document, ParsedDocument)
    assert document.content == "Still here."


def test_form_fields_and_text_notes_are_read_but_no_other_annotations() -> None:
    drawn = (
        b"<</Type/XObject/Subtype/Form/BBox[0 0 100 20]/Resources<</Font<</F1 9 0 R>>>>/Length %d>>"
    )
    extra = [b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    annotations = []
    kinds = ((b"Widget", b"Answer"), (b"FreeText", b"Remark"), (b"Stamp", b"Draft"))
    objects = []
    for place, (kind, text) in enumerate(kinds):
        stream = b"BT /F1 10 Tf 2 5 Td (%s) Tj ET" % text
        objects.append((drawn % len(stream)) + b"stream\n" + stream + b"\nendstream")
        annotations.append(
            b"<</Type/Annot/Subtype/%s/F 4/Rect[20 %d 120 %d]/AP<</N %d 0 R>>>>"
            % (kind, 90 - 30 * place, 110 - 30 * place, 6 + place)
        )
    data = pdf(lines(b"Question:"), extra=[*objects, *extra])
    data = data.replace(b"/Contents", b"/Annots[%s]/Contents" % b"".join(annotations), 1)
    read = [d.content for d in parse_bytes(data) if isinstance(d, ParsedDocument)]
    found = re.findall("Question|Answer|Remark|Draft", "\n".join(read))
    assert sorted(found) == ["Answer", "Question", "Remark"]


# Real material


@pytest.mark.corpus
@pytest.mark.skipif(not os.environ.get("BBJRAG_CORPUS"), reason="BBJRAG_CORPUS is not set")
@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext (poppler-utils) is missing")
@pytest.mark.parametrize(
    "path",
    sorted(Path(os.environ.get("BBJRAG_CORPUS", ""), "pdf").glob("*.pdf")),
    ids=lambda p: p.name,
)
def test_the_words_of_real_pdfs_are_kept(path: Path) -> None:
    result = compare(path)
    if any(not failure.warning for failure in result.failures):
        return
    assert result.recall >= 0.98
    assert result.precision >= 0.98
    assert result.code[1] >= 0.99 * result.code[2] or result.code[2] < 10
