"""A source of each parser is added: typical mistakes first, then Test, Preview and Save."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ingestion.parsers import PARSERS, TITLES
from tests.journeys.admin import (
    add_source,
    content,
    delete_source,
    fill_in,
    is_refused,
    is_said,
    new_source,
    open_source,
    press,
)

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Case:
    """Where a parser finds something in the sample data, one document that it finds there, and an
    option of its own. A source that is there already holds the address of a web site."""

    parser: str
    where: str
    title: str
    options: str
    seeded: str = ""

    @property
    def name(self) -> str:
        return f"my-{self.parser.lower()}"


FILES = [
    Case("FlareParser", "bbjdocs", "BBjWindow::addButton", "{}"),
    Case(
        "MdxParser",
        "bbj-dwc-tutorial/docs",
        "Themes and Dark Mode",
        '{"exclude": ["03-components/*"]}',
    ),
    Case("BbjSourceParser", "bbj-beginner-tutorial/programs", "FirstWindow.bbj", "{}"),
    Case("JavaDocParser", "javadoc", "StockRoom", "{}"),
    Case("PdfParser", "bbj-ai-strategy", "1.2 Top Level Windows", "{}"),
]
KB = "https://basis.cloud/knowledge-base/"
SITES = [
    Case(
        "AdvantageParser",
        "https://basis.cloud/advantage-index/",
        "SQL Where It Hurts: Faster Reports on Old Files",
        '{"delay": 0.1}',
        "advantage",
    ),
    Case("KnowledgeBaseParser", KB, "A Record Stays Locked", '{"delay": 0.1}', "kb"),
    Case(
        "WebCrawlParser",
        "https://documentation.basis.cloud/BASISHelp/WebHelp/",
        "BBjWindow::addButton",
        '{"delay": 0.1}',
        "web-crawl",
    ),
]


def ids(case: Case) -> str:
    return case.parser


def test_each_parser_is_tried() -> None:
    assert {case.parser for case in [*FILES, *SITES]} == set(PARSERS)


@pytest.mark.parametrize("case", FILES, ids=ids)
def test_a_source_that_reads_files(page: Page, data: Path, case: Case) -> None:
    new_source(page, title=case.name, parser=case.parser, paths="nowhere")
    expect(content(page).get_by_label("Start URL")).to_be_hidden()
    shows_help_of(page, case.parser)
    press(page, "Preview")
    is_refused(page, "Paths", re.compile("nowhere.* does not exist"))
    fill_in(page, paths="../elsewhere")
    press(page, "Test")
    is_refused(page, "Paths", "leaves DATA_DIR")
    fill_in(page, paths=str(data / case.where))
    press(page, "Test")
    is_refused(page, "Paths", f"is an absolute path: write '{case.where}'")
    fill_in(page, paths=case.where)
    wrong_options(page)
    fill_in(page, options=case.options)
    tried_and_saved(page, case)


@pytest.mark.parametrize("case", SITES, ids=ids)
def test_a_source_that_reads_a_site(page: Page, case: Case) -> None:
    new_source(page, title=case.name, parser=case.parser)
    expect(content(page).locator(".field-paths")).to_be_hidden()
    shows_help_of(page, case.parser)
    press(page, "Test")
    is_refused(page, "Start URL", "give its start URL")
    fill_in(page, start_URL=f"{case.where}below/")
    press(page, "Preview")
    is_refused(page, "Start URL", f"The source '{case.seeded}' begins at this address")
    delete_source(page, case.seeded)
    new_source(page, title=case.name, parser=case.parser, start_URL=case.where)
    wrong_options(page)
    fill_in(page, options=case.options)
    tried_and_saved(page, case)


def shows_help_of(page: Page, parser: str) -> None:
    """The options of this parser are explained, and those of no other."""
    for name in PARSERS:
        help_of = content(page).get_by_role("heading", name=f"Options: {TITLES[name]}")
        expect(help_of).to_have_count(1 if name == parser else 0)  # what is hidden has no role


def wrong_options(page: Page) -> None:
    fill_in(page, options='{"exclude": }')
    press(page, "Preview")
    is_refused(page, "Options", "Enter a valid JSON.")
    fill_in(page, options='{"no_such_option": 1}')
    press(page, "Test")
    is_refused(page, "Options", "no_such_option: there is no such option.")


def tried_and_saved(page: Page, case: Case) -> None:
    press(page, "Test")
    is_said(page, "It can be read")
    press(page, "Preview")
    is_said(page, re.compile(r"^Added \([1-9]\d*\)$"))
    content(page).get_by_role("link", name=case.title, exact=True).click()
    is_said(page, re.compile(r"^\d+ chunks?$"))
    page.go_back()
    is_said(page, "It can be read")
    press(page, "Save")
    expect(page.get_by_text("was added successfully")).to_be_visible()
    open_source(page, case.name)
    is_said(page, "It has never run.")


def test_a_name_that_is_taken(page: Page) -> None:
    add_source(page, title="taken", parser="MdxParser", paths="bbj-dwc-tutorial/docs")
    new_source(page, title="Other", name="taken", parser="MdxParser", paths="bbj-dwc-tutorial")
    press(page, "Save")
    is_refused(page, "Name", "There is a source 'taken' already")
    fill_in(page, name="not-taken")
    press(page, "Save")
    expect(page.get_by_text("was added successfully")).to_be_visible()
