"""The page of a document beside its chunks, in a real browser."""

from __future__ import annotations

import random
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, ViewportSize, expect

from ingestion.index import texts
from ingestion.models import Chunk, Document, DocumentText, Original, Run
from sample_data.serve import HERE
from sources.models import Source
from tests.admin.test_highlighting import web as web
from tests.support import indexed
from tests.support.highlights import marked_text, problem, problem_of_lines
from tests.support.reading import make_source, read

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LOOKED_AT = 8  # chunks of each parser
SOURCES = ("flare", "mdx-dwc", "pdf", "bbj-source", "advantage", "kb", "web-crawl")
PROGRAM = "".join(
    f'rem part {n}\nmethod public void part{n}()\n  print "{n}"\nmethodend\n\n' for n in range(90)
)


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs"


@pytest.fixture
def guide(folder: Path) -> Document:
    """A long Markdown document of many chunks."""
    sections = (f"## Part {n}\n\nThis is part {n}. {f'word{n} ' * 150}\n" for n in range(40))
    (folder / "guide.md").write_text("# Guide\n\n" + "\n".join(sections))
    read(make_source("docs"))
    return Document.objects.get()


def sample(name: str) -> Source:
    """One of the sources that an installation has from the beginning."""
    seeds = import_module("sources.migrations.0002_seed_sources").SOURCES
    fields = next(one for one in seeds if one["name"] == name)
    return Source.objects.update_or_create(name=name, defaults=fields)[0]


def show(page: Page, document: Document, **query: object) -> None:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    page.goto(f"/admin/ingestion/document/{document.pk}/change/?{asked}")


def is_in_sight(page: Page, selector: str) -> bool:
    """Whether the element is within what its pane shows."""
    return bool(
        page.evaluate(
            """selector => {
                const one = document.querySelector(selector);
                const pane = one.closest(".pane").getBoundingClientRect();
                const top = one.getBoundingClientRect().top;
                return top >= pane.top - 1 && top < pane.bottom;
            }""",
            selector,
        )
    )


@pytest.mark.parametrize("name", SOURCES)
def test_the_place_of_a_chunk_is_marked_in_the_original(
    name: str, web: Any, settings: Any, page: Page
) -> None:
    settings.DATA_DIR, settings.WEB = HERE, web
    read(sample(name))
    chunks = list(Chunk.objects.select_related("document__stored_text").order_by("pk"))
    assert chunks
    wrong = []
    for chunk in random.Random(11).sample(chunks, min(LOOKED_AT, len(chunks))):
        stored = chunk.document.stored_text
        is_program = stored.media_type == texts.PLAIN
        show(page, chunk.document, chunk=chunk.ordinal, show="file" if is_program else "rendered")
        found = marked_text(page.locator(".original .pane").inner_html())
        text, place = texts.unpacked(stored.text), texts.parts(stored.chunks)[chunk.ordinal]
        check = problem_of_lines if is_program else problem
        if said := check(found, text, *place, chunk.content):
            wrong.append(f"{chunk.document.url}, chunk {chunk.ordinal}: {said}")
        if not is_in_sight(page, ".original .pane #chosen, .original .line.hit"):
            wrong.append(f"{chunk.document.url}, chunk {chunk.ordinal}: not in sight")
    assert wrong == []


def test_the_arrow_keys_choose_chunks(page: Page, guide: Document) -> None:
    show(page, guide)
    expect(page.locator(".original .marked, .original mark")).to_have_count(0)
    for _ in range(9):
        page.keyboard.press("ArrowRight")  # faster than they are fetched
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#this-chunk strong")).to_have_text("7")
    expect(page).to_have_url(re.compile(r"chunk=7\b"))
    content = Chunk.objects.get(document=guide, ordinal=7).content
    expect(page.locator("#chosen").first).to_contain_text(content.split("\n")[0].strip("# ")[:12])
    assert is_in_sight(page, "#chosen")
    assert is_in_sight(page, "#this-chunk")
    page.go_back()
    expect(page.locator("#this-chunk strong")).not_to_have_text("7")


def test_a_hit_of_a_search_leads_to_its_place(page: Page, guide: Document) -> None:
    page.goto("/admin/search/?q=word31")
    page.locator("a.hit").first.click()
    expect(page.locator(".original #chosen").first).to_be_visible()
    expect(page.locator(".original .pane")).to_contain_text("This is part 31.")
    assert is_in_sight(page, "#chosen")
    assert "word31" in page.locator(".original .pane").inner_html().partition('id="chosen"')[2]


def test_a_program_has_the_lines_of_its_file(page: Page, folder: Path) -> None:
    (folder / "parts.bbj").write_text(f"class public Parts\n{PROGRAM}classend\n")
    read(make_source("docs", parser="BbjSourceParser"))
    chunk = Chunk.objects.get(content__contains="part50()")
    show(page, chunk.document, chunk=chunk.ordinal)
    expect(page.locator(".tabs [aria-current]")).to_have_text("File")
    line = page.locator(".line.hit", has_text="part50()")
    expect(line.locator(".n")).to_have_text(str(2 + 50 * 5 + 1))
    assert is_in_sight(page, ".line.hit")


def test_a_page_of_a_pdf_is_a_picture(page: Page, settings: Any) -> None:
    settings.DATA_DIR = HERE
    read(sample("pdf"))
    chunk = Chunk.objects.filter(start_page__gt=1).order_by("pk")[0]
    show(page, chunk.document, chunk=chunk.ordinal)
    picture = page.locator("img.page")
    expect(picture).to_be_visible()
    page.wait_for_function("document.querySelector('img.page').naturalWidth === 1100")
    expect(page.locator(".turn")).to_contain_text(f"Page {chunk.start_page} of")


def test_a_document_from_before_shows_its_chunks(page: Page, transactional_db: None) -> None:
    content = "\n\n".join(f"## Part {n}\n\n{f'word{n} ' * 200}" for n in range(9))
    indexed.index(indexed.document("old", content))
    show(page, Document.objects.get(), chunk=2)
    expect(page.locator(".original")).to_contain_text("stored by an earlier version")
    expect(page.locator("#chosen").first).to_be_visible()


def test_a_file_that_is_too_large_says_so(page: Page, folder: Path, settings: Any) -> None:
    settings.ORIGINAL_LIMIT = 1024
    (folder / "large.md").write_text("# Large\n\n" + "Words of it. " * 500)
    read(make_source("docs"))
    show(page, Document.objects.get(), chunk=0)
    expect(page.locator(".original")).to_contain_text("larger than ORIGINAL_LIMIT_KB (1)")
    expect(page.locator(".tabs")).not_to_contain_text("File")
    expect(page.locator("#chosen").first).to_be_visible()


def test_what_the_last_change_replaced_is_shown(page: Page, guide: Document, folder: Path) -> None:
    file = folder / "guide.md"
    file.write_text(file.read_text().replace("This is part 3.", "This is the third part."))
    read(Source.objects.get(name="docs"))
    show(page, guide)
    page.get_by_role("link", name="Last change").click()
    expect(page.locator(".line.taken")).to_contain_text("This is part 3.")
    expect(page.locator(".line.added")).to_contain_text("This is the third part.")


def test_one_document_is_ingested(page: Page, guide: Document) -> None:
    show(page, guide)
    page.get_by_role("button", name="Ingest this document").click()
    expect(page).to_have_url(
        f"{page.url.partition('/admin/')[0]}/admin/ingestion/run/{_last()}/change/"
    )
    assert Run.objects.get(pk=_last()).options["addresses"] == [guide.url]


def _last() -> int:
    return int(Run.objects.latest("pk").pk)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_everybody_can_use_it(
    page: Page, guide: Document, width: int, scheme: Literal["light", "dark"]
) -> None:
    looked = page.context.new_page()  # axe itself sets styles, which the policy refuses
    looked.set_viewport_size(ViewportSize(width=width, height=800))
    looked.emulate_media(color_scheme=scheme)
    found = []
    for query in ("chunk=3", "chunk=3&show=markdown", "chunk=3&show=file"):
        looked.goto(f"/admin/ingestion/document/{guide.pk}/change/?{query}")
        looked.wait_for_load_state("networkidle")
        assert looked.evaluate("document.documentElement.scrollWidth") == width
        for violation in Axe().run(looked).response["violations"]:
            nodes = [node["html"][:150] for node in violation["nodes"][:5]]
            found.append(f"{query}: {violation['id']}: {nodes}")
    assert not found, "\n".join(found)


def test_it_works_without_a_script(
    browser: Browser, page: Page, live_server: Any, guide: Document
) -> None:
    context = browser.new_context(
        base_url=live_server.url,
        java_script_enabled=False,
        storage_state=page.context.storage_state(),
    )
    plain = context.new_page()
    plain.goto(f"/admin/ingestion/document/{guide.pk}/change/")
    plain.get_by_role("link", name="Next").click()
    expect(plain.locator("#this-chunk strong")).to_have_text("0")
    expect(plain.locator("#chosen").first).to_be_visible()
    context.close()


def test_files_are_gone_with_the_index(page: Page, guide: Document) -> None:
    """What was stored of a document, and its file was lost: the parsed text is shown."""
    DocumentText.objects.update(original=None)
    Original.objects.all().delete()
    show(page, guide, chunk=1)
    expect(page.locator(".original")).to_contain_text("its parsed text is shown")
