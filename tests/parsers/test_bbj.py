from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, Unchanged
from ingestion.enrichment.bbj_generations import bbj_generations
from ingestion.exceptions import ConfigError
from ingestion.parsers import parser_class
from ingestion.parsers.base import NothingKnown, SourceConfig
from ingestion.parsers.bbj import BbjSourceParser
from ingestion.parsers.bbj.description import description
from ingestion.parsers.bbj.lines import split_lines
from ingestion.parsers.bbj.parser import render
from ingestion.parsers.bbj.syntax import Unit, outline, short_heading
from ingestion.parsers.bbj.text import is_bbj
from tests.scripts.fidelity_bbj import fenced_lines, lost, wrong_line_numbers

FIXTURES = Path(__file__).parents[1] / "fixtures" / "bbj"
PROGRAMS = sorted(path for path in (FIXTURES / "programs").iterdir() if path.name != "LICENCE.txt")


def parser(folder: Path, *paths: str, **values: Any) -> BbjSourceParser:
    return BbjSourceParser(SourceConfig("code", folder, paths or ("programs",), **values))


def parse_bytes(folder: Path, data: bytes, name: str = "a.bbj", **values: Any) -> list[Parsed]:
    (folder / name).write_bytes(data)
    return list(parser(folder, ".", **values).parse())


def parse_text(folder: Path, text: str, **values: Any) -> ParsedDocument:
    (document,) = parse_bytes(folder, text.encode(), **values)
    assert isinstance(document, ParsedDocument)
    return document


def documents(parsed: Iterable[Parsed]) -> dict[str, ParsedDocument]:
    return {item.url: item for item in parsed if isinstance(item, ParsedDocument)}


def units(program: str) -> list[tuple[str, str]]:
    """Each unit's heading, and its text with `|` between the lines."""
    lines = split_lines(program)
    return [(u.heading, "|".join(lines[u.start : u.end])) for u in outline(lines).units]


def headings(program: str) -> list[str]:
    return [heading for heading, _ in units(program)]


def test_it_works() -> None:
    found = documents(parser(FIXTURES).parse())
    greeter = found["code://greeter.bbj"]
    assert greeter.title == "greeter.bbj"
    assert greeter.doc_type == "example"
    assert greeter.generations == ("bbj_gui",)
    assert greeter.metadata["description"] == "Greets whoever presses the button."
    assert greeter.metadata["functions"] == ["fnGreeting$", "fnTwice", "fnThrice"]
    assert greeter.whole_sections


def test_the_table_of_parsers_knows_it() -> None:
    assert parser_class("BbjSourceParser") is BbjSourceParser


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_golden(path: Path) -> None:
    content = documents(parser(FIXTURES).parse())[f"code://{path.name}"].content
    assert content == (FIXTURES / "golden" / f"{path.name}.md").read_text("utf-8")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_every_line_is_kept_in_order_and_knows_its_number(path: Path) -> None:
    document = documents(parser(FIXTURES).parse())[f"code://{path.name}"]
    assert fenced_lines(document) == path.read_text("utf-8").split("\n")[:-1]
    assert not lost(document, path)
    assert not wrong_line_numbers(document, path)


def test_the_line_of_a_heading_is_the_first_line_of_its_unit() -> None:
    content, locations = render(["a=1", "", "rem why", "l:", " b=2", " c=3"], _units())
    numbers = dict(locations)
    assert content.split("\n")[numbers_of("## l:", content)] == "## l:"
    assert numbers[numbers_of("## l:", content)] == 3


def _units() -> list[Unit]:
    return outline(["a=1", "", "rem why", "l:", " b=2", " c=3"]).units


def numbers_of(line: str, content: str) -> int:
    return content.split("\n").index(line)


class TestUnits:
    def test_a_comment_directly_above_belongs_to_its_method(self) -> None:
        program = (
            "class public A\nfield private BBjNumber n\nrem one\nrem two\nmethod public void m()\n"
            "methodend\nclassend"
        )
        assert units(program) == [
            ("class public A", "class public A|field private BBjNumber n"),
            (
                "method public void m()",
                "rem one|rem two|method public void m()|methodend|classend",
            ),
        ]

    def test_a_remark_above_a_blank_line_stays_above(self) -> None:
        program = "x=1\ny=2\nrem about y\n\nl:\na=1\nb=2"
        assert units(program)[0] == ("", "x=1|y=2|rem about y|")

    def test_a_doc_comment_belongs_to_its_method_over_a_blank_line(self) -> None:
        program = "x=1\nrem /**\nrem  * Doc.\nrem  */\n\nl:\na=1\nb=2"
        assert units(program)[1] == ("l:", "rem /**|rem  * Doc.|rem  */||l:|a=1|b=2")

    def test_only_the_nearest_doc_comment_and_banners_above_it_are_taken(self) -> None:
        program = "x=1\nrem /** other */\nrem ------\nrem /** mine */\nl:\na=1\nb=2"
        assert units(program)[1][1] == "rem ------|rem /** mine */|l:|a=1|b=2"

    def test_an_unmarked_block_comment_is_a_comment(self) -> None:
        program = "x=1\n/**\n class public Not\n*/\nl:\na=1\nb=2"
        assert units(program)[1] == ("l:", "/**| class public Not|*/|l:|a=1|b=2")

    def test_a_comment_that_is_never_closed_hides_nothing(self) -> None:
        assert headings("x=1\n/* oh\nl:\na=1\nb=2") == ["", "l:"]

    def test_keywords_are_found_in_any_case(self) -> None:
        program = "CLASS PUBLIC A\nMethod Public Void m()\nx=1\nMETHODEND\nCLASSEND"
        assert headings(program) == ["CLASS PUBLIC A", "Method Public Void m()"]

    @pytest.mark.parametrize(
        "line",
        [
            'a$="x:"; b$="; method public void not()"',
            "class$=str(c!)",
            'Class.forName("com.example.Thing")',
            "rem class public Not",
            "! class public Not",
            "def!.setType(1)",
            "method!=obj!.getMethod()",
            "use ::file.bbj::Name",
            "print n:(#,##0)",
            "https://example.org",
            ': more: "of the line above"',
        ],
    )
    def test_what_opens_no_unit(self, line: str) -> None:
        assert headings(f"x=1\n{line}\ny=2") == [""]

    def test_a_signature_over_several_lines_is_one_heading(self) -> None:
        program = "class public A\nmethod public void m(BBjString a!,\n:  BBjString b!)\nmethodend"
        assert headings(program)[1] == "method public void m(BBjString a!, BBjString b!)"

    def test_a_long_signature_is_cut_at_a_parameter(self) -> None:
        signature = f"method public void m({', '.join(f'BBjString p{i}!' for i in range(20))})"
        assert short_heading(signature).endswith("p7!, …)")
        assert len(short_heading("x" * 500)) == 150

    @pytest.mark.parametrize(
        "signature",
        [
            "method public A()",
            "method public  static BBjNumber modulo10 (BBjNumber in)",
            "method protected HashMap<BBjString, BBjNumber> m(BBjString x!)",
            "method private BBjVector[] m()",
            "method public ::a/b.bbj::C make$(BBjString x!)",
            "METHOD PUBLIC VOID M",
        ],
    )
    def test_signatures(self, signature: str) -> None:
        program = (
            f"class public A\nfield private BBjNumber n\n{signature}\nx=1\nmethodend\nclassend"
        )
        assert headings(program)[1] == " ".join(signature.split())

    def test_a_method_that_ends_on_its_own_line(self) -> None:
        program = (
            "class public A\nmethod public int m(); methodret 1; methodend\nclassend\nx=1\ny=2"
        )
        assert headings(program)[1:] == ["method public int m()", "Program"]

    def test_a_method_without_its_end_ends_at_the_next(self) -> None:
        program = (
            "class public A\nmethod public void m()\nx=1\nmethod public void n()\ny=1\nmethodend"
        )
        assert headings(program)[1:] == ["method public void m()", "method public void n()"]

    def test_labels_and_functions_in_a_method_stay_in_it(self) -> None:
        program = (
            "class public A\nmethod public void m()\nagain:\nx=1\ndef fnx(y)=y\nmethodend\nclassend"
        )
        assert headings(program) == ["class public A", "method public void m()"]

    def test_code_after_a_class_is_the_program_again(self) -> None:
        program = "class public A\nclassend\n\nrem try\na! = new A()\nx=1"
        assert units(program)[1] == ("Program", "rem try|a! = new A()|x=1")

    def test_fields_below_a_method_are_named_after_their_class(self) -> None:
        program = (
            "class public A\nmethod public void m()\nmethodend\nfield private int f\nmethod public "
            "void n()\nmethodend\nclassend"
        )
        assert headings(program)[2] == "fields of A"

    def test_bare_methods_of_an_interface_stand_with_it(self) -> None:
        program = (
            "interface public I\n method public void a()\n\n method public void b()\ninterfaceend"
        )
        assert headings(program) == ["interface public I"]

    def test_documented_methods_of_an_interface_stand_alone(self) -> None:
        program = (
            "interface public I\nrem does a\nmethod public void a()\nrem does b\n"
            "method public void b()\ninterfaceend\nx=1\ny=1"
        )
        assert headings(program) == [
            "interface public I",
            "method public void a()",
            "method public void b()",
            "Program",
        ]

    def test_functions_over_several_lines_and_of_one(self) -> None:
        program = "x=1\ny=1\ndef fna$(b$)\n return b$\nfnend\nDEF FNC(A$)=INT(A)\nz=1\nq=1"
        assert units(program)[1:] == [
            ("def fna$(b$)", "def fna$(b$)| return b$|fnend"),
            ("DEF FNC(A$)", "DEF FNC(A$)=INT(A)"),
            ("Program", "z=1|q=1"),
        ]

    def test_a_function_without_its_end_swallows_nothing(self) -> None:
        assert "l:" in headings("def fna(x)\ny=1\nl:\na=1\nb=1")

    def test_a_label_of_one_line_stands_with_the_one_before(self) -> None:
        program = "x=1\nl:\n a=1\nreturn\n\nbyebye: bye\nm:\n c=1\n d=1"
        assert headings(program) == ["", "l:, byebye:", "m:"]

    def test_labels_in_a_row_stand_together(self) -> None:
        assert headings("x=1\ny=1\nk:\nl:\n a=1\n b=1") == ["", "k:, l:"]

    def test_subroutines_of_a_numbered_program_are_units(self) -> None:
        program = (
            "0010 REM start\n0020 GOSUB 0100; ON X GOSUB 200,300\n0030 END\n0090 REM about 100\n"
            "0100 A=1\n0110 RETURN\n0200 REM two hundred\n0210 B=1\n0220 RETURN\n0300 C=1\n0310 END"
        )
        assert units(program)[1:] == [
            ("line 0100", "0090 REM about 100|0100 A=1|0110 RETURN"),
            ("line 0200", "0200 REM two hundred|0210 B=1|0220 RETURN"),
            ("line 0300", "0300 C=1|0310 END"),
        ]

    def test_labels_of_a_numbered_program(self) -> None:
        assert headings("10 GOTO L\n20 L: REM here\n30 PRINT 1\n40 END") == ["", "L:"]

    def test_a_start_without_a_statement_goes_with_the_first_unit(self) -> None:
        program = "rem Licence\n\nuse java.util.HashMap\n\nclass public A\nclassend"
        assert headings(program) == ["class public A"]

    def test_units_cover_every_line_of_a_program_of_nothing_but_starts(self) -> None:
        lines = ["l:", "class public A", "method public x", "def fna(x)", "1", ":", ""] * 50
        covered = [i for unit in outline(lines).units for i in range(unit.start, unit.end)]
        assert covered == list(range(len(lines)))


class TestContent:
    def test_methods_stand_below_their_class(self, tmp_path: Path) -> None:
        text = "class public A\nx=1\nmethod public void m()\nmethodend\nclassend\nl:\na=1\nb=1\n"
        content = parse_text(tmp_path, text).content
        found = [line for line in content.split("\n") if line.startswith("#")]
        assert found == ["## class public A", "### method public void m()", "## l:"]

    def test_white_space_is_kept(self, tmp_path: Path) -> None:
        document = parse_text(tmp_path, "\tx = 1  \n\n    y=2\t\n\f\nrem end")
        assert fenced_lines(document) == ["\tx = 1  ", "", "    y=2\t", "\f", "rem end"]

    def test_code_that_holds_fences(self, tmp_path: Path) -> None:
        document = parse_text(tmp_path, 'a$="x"\n````\n```bbj\nb=1\n')
        assert fenced_lines(document) == ['a$="x"', "````", "```bbj", "b=1"]

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_line_ends(self, tmp_path: Path, end: str) -> None:
        document = parse_text(tmp_path, end.join(["a=1", "l:", " b=1", "", "return", ""]))
        assert fenced_lines(document) == ["a=1", "l:", " b=1", "", "return"]
        assert document.lines[-1].number == 5

    def test_a_program_without_any_keyword(self, tmp_path: Path) -> None:
        assert parse_text(tmp_path, "a=1\nb=a*2\n").content == "```bbj\na=1\nb=a*2\n```\n"

    def test_a_very_long_line(self, tmp_path: Path) -> None:
        line = "x$=" + '"; method public x"+' * 20_000
        assert fenced_lines(parse_text(tmp_path, f"{line}\ny=1\n")) == [line, "y=1"]


class TestEncoding:
    def test_utf8_with_a_mark(self, tmp_path: Path) -> None:
        (document,) = parse_bytes(tmp_path, b"\xef\xbb\xbfrem gr\xc3\xbcn\n")
        assert isinstance(document, ParsedDocument)
        assert fenced_lines(document) == ["rem grün"]
        assert document.metadata["encoding"] == "utf-8"

    def test_windows_1252(self, tmp_path: Path) -> None:
        (document,) = parse_bytes(tmp_path, b"rem gr\xfcn \x80\n")
        assert isinstance(document, ParsedDocument)
        assert fenced_lines(document) == ["rem grün €"]
        assert document.metadata["encoding"] == "cp1252"

    def test_utf16_with_a_mark(self, tmp_path: Path) -> None:
        (document,) = parse_bytes(tmp_path, "rem grün\r\n".encode("utf-16"))
        assert isinstance(document, ParsedDocument)
        assert fenced_lines(document) == ["rem grün"]

    def test_a_byte_without_a_character_is_replaced_and_reported(self, tmp_path: Path) -> None:
        warning, document = parse_bytes(tmp_path, b"rem \x81 \xfc\nx=1\n")
        assert isinstance(warning, DocumentFailure)
        assert warning.warning
        assert "1 bytes" in warning.message
        assert isinstance(document, ParsedDocument)
        assert fenced_lines(document) == ["rem \ufffd ü", "x=1"]

    def test_what_old_systems_pad_the_end_with_is_cut(self, tmp_path: Path) -> None:
        (document,) = parse_bytes(tmp_path, b"x=1\r\n\x1a\0\0")
        assert isinstance(document, ParsedDocument)
        assert fenced_lines(document) == ["x=1"]


class TestUnreadable:
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"<<bbj>>\x84\0\0\0\1\x08\xbc\xf9", "Tokenised BBj program (<<bbj>> header)"),
            (b"<<bbx>>\x04\0\0", "Tokenised BBj program (<<bbx>> header)"),
            (b"x=1\n\0\0\0y=2\n", "NUL bytes"),
            (bytes(range(1, 256)) * 4, "control bytes"),
        ],
    )
    def test_binary_files(self, tmp_path: Path, data: bytes, says: str) -> None:
        (failure,) = parse_bytes(tmp_path, data)
        assert isinstance(failure, DocumentFailure)
        assert not failure.warning
        assert failure.url == "code://a.bbj"
        assert failure.message.startswith("a.bbj: ")
        assert says in failure.message
        assert "bbjlst" in failure.message

    @pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\r\n \r\n"])
    def test_empty_files(self, tmp_path: Path, data: bytes) -> None:
        (failure,) = parse_bytes(tmp_path, data)
        assert isinstance(failure, DocumentFailure)
        assert failure.warning
        assert "empty" in failure.message

    def test_the_rest_of_the_source_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "b.bbj").write_text("x=1\n")
        failure, document = parse_bytes(tmp_path, b"<<bbj>>\0")
        assert isinstance(failure, DocumentFailure)
        assert isinstance(document, ParsedDocument)


class TestTextFiles:
    def test_a_licence_is_passed_over_with_a_warning(self) -> None:
        (failure,) = [
            item for item in parser(FIXTURES).parse() if isinstance(item, DocumentFailure)
        ]
        assert failure.url == "code://LICENCE.txt"
        assert failure.warning
        assert "not a BBj program" in failure.message

    def test_a_binary_txt_is_passed_over_with_a_warning(self, tmp_path: Path) -> None:
        (failure,) = parse_bytes(tmp_path, b"\x89PNG\0\0", "image.txt")
        assert isinstance(failure, DocumentFailure)
        assert failure.warning

    @pytest.mark.parametrize(
        "text",
        [
            'REM hello\nPRINT "Hello"',
            "10 A=1\n20 PRINT A*2\n30 END",
            "rem only\nrem remarks",
            "class public A\nfield private BBjNumber n\nclassend",
            'sysgui! = BBjAPI().openSysGui("X0")\nprocess_events',
            'for i=1 to 3\n  call "other", i\nnext i',
            "l:\n  gosub m\n  return\nm:\n  a$ = b$(1,2)\n  return",
        ],
    )
    def test_programs(self, text: str) -> None:
        assert is_bbj(text.split("\n"))

    @pytest.mark.parametrize(
        "text",
        [
            "Usage:\n\nFor more, see the manual.\nIf unsure, print this page.",
            "User-agent: *\nDisallow: /private",
            "django==5.2\nnumpy>=1",
            "host=localhost\nport=5432",
            "cmake_minimum_required(VERSION 3.0)\nproject(x)",
            "1. Open the file\n2. Read the end\n3. Close it",
            "a;b;c\n1;2;3",
            "Features:\n- rem sleep\n- class action",
            "END USER LICENCE\nYou may use this.\nEND",
        ],
    )
    def test_no_programs(self, text: str) -> None:
        assert not is_bbj(text.split("\n"))


class TestDescription:
    def test_licence_and_tags_are_left_out(self) -> None:
        lines = (FIXTURES / "programs" / "stock_panel.bbj").read_text().split("\n")
        found = description(lines, "stock_panel.bbj")
        assert found == "Shows the stock of one warehouse as a panel of tiles."

    def test_line_numbers_quotes_and_copyright_are_left_out(self) -> None:
        lines = (FIXTURES / "programs" / "order_entry.src").read_text().split("\n")
        assert description(lines, "order_entry.src") == (
            "ORDENT - Order entry, character terminals Takes an order line by line and prints the "
            "total."
        )

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ('0010 REM "Prints the customers"', "Prints the customers"),
            ('rem Sets "quick" to "on"', 'Sets "quick" to "on"'),
        ],
    )
    def test_quotes_around_a_remark_are_left_out(self, line: str, said: str) -> None:
        assert description([line], "a.bbj") == said

    @pytest.mark.parametrize(
        "header",
        [
            "rem MENU.BBJ",
            "rem ==========",
            "rem use ::old.bbj::Old",
            "rem /** @author me */",
            "x=1\nrem late",
        ],
    )
    def test_what_says_nothing(self, header: str) -> None:
        assert description(header.split("\n"), "menu.bbj") == ""

    def test_it_is_shortened_at_a_sentence(self) -> None:
        lines = ["rem One sentence of a long story goes like this."] * 30
        found = description(lines, "a.bbj")
        assert found.endswith("like this.")
        assert len(found) <= 600


class TestGenerations:
    @pytest.mark.parametrize(
        ("code", "generations"),
        [
            ("x! = BBjAPI().getConfig()", ("bbj_gui",)),
            ("PROCESS_EVENTS", ("bbj_gui",)),
            ("w!.addButton(1)", ("bbj_gui",)),
            ('open(1)"X0"; sysgui!=x!', ("bbj_gui",)),
            ("web! = x!.getWebManager()", ("dwc",)),
            ("declare BBjHtmlView h!", ("dwc",)),
            ('b!.setAttribute("dwc-size","l")', ("dwc",)),
            ('w!.addButton(1); b!.addStyle("x")', ("bbj_gui", "dwc")),
            ('print "hello"', ("all",)),
        ],
    )
    def test_marks(self, code: str, generations: tuple[str, ...]) -> None:
        assert bbj_generations(code) == generations

    def test_what_is_commented_out_says_nothing(self, tmp_path: Path) -> None:
        document = parse_text(tmp_path, "rem x!=BBjAPI()\nx=1; rem process_events\n")
        assert document.generations == ("all",)

    def test_a_tag_of_the_source_is_left_to_the_pipeline(self, tmp_path: Path) -> None:
        document = parse_text(tmp_path, "process_events\n", generation="dwc")
        assert document.generations == ()


class TestAddresses:
    def test_two_folders_with_the_same_file(self, tmp_path: Path) -> None:
        for folder in ("one/samples", "two"):
            (tmp_path / folder / "demo").mkdir(parents=True)
            (tmp_path / folder / "demo" / "Demo.bbj").write_text("x=1\n")
        found = documents(parser(tmp_path, "one/samples", "two").parse())
        assert {url: document.breadcrumb for url, document in found.items()} == {
            "code://one/samples/demo/Demo.bbj": ("one", "samples", "demo"),
            "code://two/demo/Demo.bbj": ("two", "demo"),
        }

    def test_people_see_no_address_unless_there_is_one(self, tmp_path: Path) -> None:
        assert parse_text(tmp_path, "x=1\n", name="a b.bbj").display_url == ""
        base = "https://example.org/src/"
        document = parse_text(tmp_path, "x=1\n", name="a b.bbj", display_base_url=base)
        assert document.display_url == "https://example.org/src/a%20b.bbj"

    def test_an_unchanged_file_is_not_read(self, tmp_path: Path) -> None:
        class Known(NothingKnown):
            def current(self, url: str) -> bool:
                return url == "code://a.bbj"

        (tmp_path / "a.bbj").write_bytes(b"<<bbj>>")
        assert list(parser(tmp_path, ".").parse(Known())) == [Unchanged("code://a.bbj")]

    def test_the_file_is_the_input(self, tmp_path: Path) -> None:
        document = parse_text(tmp_path, "x=1\n")
        assert [(file.path, file.size) for file in document.inputs] == [("a.bbj", 4)]


class TestOptions:
    @pytest.mark.parametrize("name", ["a.SRC", "a.bbx", "a.bbjt", "a.aon", "a.prc"])
    def test_extensions(self, tmp_path: Path, name: str) -> None:
        assert parse_text(tmp_path, "x=1\n", name=name).title == name

    def test_resources_are_read_when_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "form.arc").write_text('VERSION "4.0"\n')
        assert not list(parser(tmp_path, ".").parse())
        options = {"extensions": ["arc"]}
        assert documents(parser(tmp_path, ".", options=options).parse())

    def test_an_unknown_option_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="extensions"):
            BbjSourceParser.check_options({"extension": [".bbj"]})


@pytest.mark.corpus
def test_every_line_of_every_program_of_the_corpus_is_kept() -> None:
    corpus = os.environ.get("BBJRAG_CORPUS")
    if not corpus:
        pytest.skip("BBJRAG_CORPUS is not set")
    folder = Path(corpus) / "bbj-source"
    parsed = list(parser(Path(corpus), "bbj-source").parse())
    found = documents(parsed)
    assert len(found) > 200
    for url, document in found.items():
        path = folder / url.partition("://")[2]
        assert not lost(document, path), url
        assert not wrong_line_numbers(document, path), url
    errors = [item for item in parsed if isinstance(item, DocumentFailure) and not item.warning]
    assert [Path(error.url).name for error in errors] == ["EnableDebugger.bbj"]
