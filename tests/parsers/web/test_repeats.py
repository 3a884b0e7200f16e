"""What the pages of a site share is removed from each, whatever element it is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ingestion.parsers.web.repeats import MAX_COUNTED, Repeats, Tally
from tests.support.web_known import Kept, Reading, read
from tests.support.web_server import WebServer

MANY = 60  # more than the pages that are held to learn from
MARK = "| Example Ltd | Terms |\n| --- | --- |\n| Imprint | Privacy |"
FOOTER = (
    "<table><tr><th>Example Ltd</th><th>Terms</th></tr>"
    "<tr><td>Imprint</td><td>Privacy</td></tr></table>"
)


def learned(pages: Sequence[Sequence[str]]) -> Repeats:
    tally = Tally()
    for blocks in pages:
        tally.add(blocks)
    return tally.repeats()


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def crawl(server: WebServer, kept: Kept) -> Reading:
    return read("WebCrawlParser", server.origin, "/", kept)


def serve(server: WebServer, texts: dict[str, str]) -> None:
    links = "".join(f'<a href="/{name}">{name}</a> ' for name in texts)
    server.page("/", f"<h1>Start</h1><p>This is where it begins.</p><p>{links}</p>", title="Start")
    for name, text in texts.items():
        server.page(f"/{name}", f"<h1>{name}</h1>{text}", title=name)


# The rule.


@pytest.mark.parametrize(
    "footer",
    [
        ["Read the terms."],
        ["- Terms\n- Imprint"],
        [MARK],
        ["#### More", "- Terms\n- Imprint"],
        ["## Contact", "Write to us.", MARK],
        ["x" * 2000],
    ],
    ids=["paragraph", "list", "table", "heading", "several", "long"],
)
def test_what_ends_nearly_every_page_goes_whatever_it_is(footer: list[str]) -> None:
    pages = [[f"About {n}", *footer] for n in range(18)]
    known = learned([*pages, ["Without a footer"], ["Nor has this"]])
    assert known.own_blocks(pages[3]) == ["About 3"]
    assert known.own_blocks([*footer, "About 3"]) == ["About 3"]
    assert known.own_blocks(["About 3", *footer, "More"]) == ["About 3", *footer, "More"]
    assert known.own_blocks(footer) == []
    assert known.own_blocks(["# A heading", *footer]) == []
    assert known.own_blocks(["# A heading"]) == ["# A heading"]


def test_blocks_that_end_most_pages_go_though_no_class_tells() -> None:
    pages = [[f"Since BBj {n}", f"more {n}", f"Copyright {2000 + n} X"] for n in range(8)]
    assert learned(pages).own_blocks(pages[3]) == ["Since BBj 3", "more 3"]


def test_headings_that_recur_above_other_text_stay() -> None:
    pages = [["## Syntax", f"call{n}()", "## Parameters", f"| {n} | x |"] for n in range(30)]
    assert all(learned(pages).own_blocks(page) == page for page in pages)


def test_a_section_with_the_same_short_text_on_most_pages_stays() -> None:
    last = ["None.", "None.", "A number."]
    pages = [["## Syntax", f"call{n}()", "## Returns", last[n % 3]] for n in range(30)]
    assert all(learned(pages).own_blocks(page) == page for page in pages)


def test_the_head_of_a_table_that_recurs_stays() -> None:
    head = "| Parameter | Description |\n| --- | --- |\n"
    pages = [[f"{head}| p{n} | what it is |", f"Text {n}."] for n in range(30)]
    assert all(learned(pages).own_blocks(page) == page for page in pages)


def test_a_note_between_a_pages_own_blocks_stays() -> None:
    pages = [[f"Text {n}.", "Only with a licence.", f"More {n}."] for n in range(30)]
    assert all(learned(pages).own_blocks(page) == page for page in pages)


def test_code_that_recurs_stays() -> None:
    pages = [["```bbj\nuse ::x.bbj::X\n```", f"Text {n}.", "```bbj\nend\n```"] for n in range(30)]
    assert all(learned(pages).own_blocks(page) == page for page in pages)


def test_the_page_about_a_note_keeps_it_without_its_footer() -> None:
    pages = [[f"Text {n}.", "Only with a licence."] for n in range(30)]
    note = ["Only with a licence.", "Only with a licence."]
    assert learned([*pages, note]).own_blocks(note) == ["Only with a licence."]


def test_a_link_at_the_top_and_at_the_end_goes_twice() -> None:
    pages = [["Open with navigation", f"Text {n}.", "Open with navigation"] for n in range(30)]
    assert learned(pages).own_blocks(pages[1]) == ["Text 1."]


def test_a_small_site_keeps_its_tables_and_no_page_of_it_is_emptied() -> None:
    pages = [[f"Room {n}.", MARK] for n in range(8)]
    assert learned(pages).own_blocks(pages[1]) == pages[1]
    stubs = [[f"Text {n}."] for n in range(3)] + [["Soon."]] * 5
    assert learned(stubs).own_blocks(["Soon."]) == ["Soon."]


def test_a_site_of_many_different_pages_is_counted_in_bounded_memory() -> None:
    tally = Tally()
    for n in range(8_000):
        tally.add([*(f"{n} {i}" for i in range(15)), "Imprint"])
    assert len(tally.counts) <= MAX_COUNTED
    assert tally.repeats().own_blocks(["Text", "Imprint"]) == ["Text"]


def test_a_few_pages_tell_nothing() -> None:
    assert learned([["a", "same"], ["b", "same"], ["c", "same"]]) == Repeats()


# Crawls.


def test_pages_with_nothing_but_a_footer_are_no_documents_and_the_run_says_so(
    server: WebServer,
) -> None:
    texts = {f"t{n}": f"<p>Text {n}.</p>{FOOTER}" for n in range(30)}
    serve(server, texts | {"e1": FOOTER, "e2": FOOTER})
    kept = Kept()
    found = crawl(server, kept)
    assert {"/e1", "/e2"}.isdisjoint(found.documents)
    assert (found.text("/t3"), found.errors) == ("# t3\n\nText 3.", {})
    assert "2 pages have no text" in found.warnings["/"]
    assert f"{server.origin}/e1, {server.origin}/e2" in found.warnings["/"]
    server.forget()
    again = crawl(server, kept)
    assert (server.bodies, again.warnings) == (0, found.warnings)


def test_what_few_changed_pages_share_is_no_footer(server: WebServer) -> None:
    texts = {f"t{n}": f"<p>Text {n}.</p>{FOOTER}" for n in range(MANY)}
    serve(server, texts)
    kept = Kept()
    crawl(server, kept)
    for n in range(12):
        texts[f"t{n}"] = f"<p>New {n}.</p><p>Applies to version 9 only.</p>{FOOTER}"
    serve(server, texts)
    again = crawl(server, kept)
    assert len(again.documents) == 12
    assert again.text("/t3") == "# t3\n\nNew 3.\n\nApplies to version 9 only."


def test_whatever_the_order_the_second_crawl_knows_all_pages(server: WebServer) -> None:
    """The first pages have a line that the others do not have: it is restored."""
    texts = {
        f"t{n}": f"<p>Text {n}.</p>{'<p>Only in BUI.</p>' if n < 45 else ''}{FOOTER}"
        for n in range(MANY * 2)
    }
    serve(server, texts)
    kept = Kept()
    assert crawl(server, kept).text("/t3") == "# t3\n\nText 3."
    again = crawl(server, kept)
    assert again.text("/t3") == "# t3\n\nText 3.\n\nOnly in BUI."
    assert again.text("/t99") == "# t99\n\nText 99."
    server.forget()
    assert (len(crawl(server, kept).unchanged), server.bodies) == (len(texts) + 1, 0)


def test_a_small_site_that_grows_is_cleaned_whole(server: WebServer) -> None:
    texts = {f"t{n}": f"<p>Text {n}.</p>{FOOTER}" for n in range(2)}
    serve(server, texts)
    kept = Kept()
    assert MARK in crawl(server, kept).text("/t1")
    serve(server, texts | {f"t{n}": f"<p>Text {n}.</p>{FOOTER}" for n in range(2, 20)})
    crawl(server, kept)
    assert crawl(server, kept).text("/t1") == "# t1\n\nText 1."


def test_a_crawl_that_was_ended_early_goes_on_with_what_it_learned(server: WebServer) -> None:
    texts = {f"t{n}": f"<p>Text {n}.</p>{FOOTER}" for n in range(MANY * 2)}
    serve(server, texts)
    kept = Kept()
    first = read("WebCrawlParser", server.origin, "/", kept, max_pages=MANY + 10)
    rest = crawl(server, kept)
    assert rest.unchanged
    texts_of = {**first.documents, **rest.documents}
    assert {texts_of[f"/t{n}"].content for n in range(MANY * 2)} == {
        f"# t{n}\n\nText {n}." for n in range(MANY * 2)
    }
