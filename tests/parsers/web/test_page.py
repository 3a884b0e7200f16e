"""Pages to Markdown: what is content, what is boilerplate, and code of any highlighter."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion.exceptions import DocumentError
from ingestion.parsers.web.page import (
    ARTICLE_REGIONS,
    HELP_REGIONS,
    WebPage,
    decode_page,
    without_suffix,
)

TEXT = "The grid shows its rows as soon as the window that it belongs to has been opened once."


def page(body: str, head: str = "", attributes: str = "") -> WebPage:
    html = f"<!DOCTYPE html><html {attributes}><head>{head}</head><body>{body}</body></html>"
    return WebPage("https://docs.example/help/topic.htm", html.encode(), "text/html; charset=utf-8")


def article(body: str) -> str:
    inner = f'<div class="entry-content"><p>{TEXT}</p>{body}</div>'
    content = page(f"<main><article><h1>T</h1>{inner}</article></main>").content(ARTICLE_REGIONS)
    assert content.blocks[0] == TEXT
    return "\n\n".join(content.blocks[1:])


def topic(body: str, head: str = "", attributes: str = "") -> str:
    inner = f'<div role="main" id="mc-main-content">{body}</div>'
    return "\n\n".join(page(inner, head, attributes).content(HELP_REGIONS).blocks)


def fenced(code: str, language: str = "") -> str:
    return f"```{language}\n{code}\n```"


HIGHLIGHTERS = sorted((Path(__file__).parents[2] / "fixtures/web/highlighters").glob("*.html"))
CODE = 'if x < 1 then\n    print "a & b"\n\nfi'


def test_it_works() -> None:
    assert article("<h2>Rows</h2><ul><li>one</li><li>two</li></ul>") == "## Rows\n\n- one\n- two"


# Code.


@pytest.mark.parametrize("file", HIGHLIGHTERS, ids=lambda file: file.stem)
def test_code_is_fenced_to_the_letter_whatever_the_highlighter(file: Path) -> None:
    rendered = article(file.read_text())
    assert rendered.replace("\n \n", "\n\n") == fenced(CODE, "bbj")


def test_a_code_element_of_several_lines_is_a_block() -> None:
    assert article("<p><code>a = 1<br>b = 2</code></p>") == fenced("a = 1\nb = 2")


def test_code_within_a_line_stays_in_its_line() -> None:
    assert (
        article("<p>Call <code>open()</code>, then <b>wa</b>it.</p>") == "Call `open()`, then wait."
    )


def test_paragraphs_classed_as_code_are_one_block() -> None:
    body = '<p class="Code">open(1)</p><p class="CodeIndent2">read(1)</p><p class="Body">Done.</p>'
    assert topic(body) == fenced("open(1)\nread(1)") + "\n\nDone."


@pytest.mark.parametrize(
    "name", ["Code2", "Code10", "CodeSegment1", "ExampleCode", "DBTCodePara", "code-Indent"]
)
def test_the_usual_names_of_code_paragraphs_are_code(name: str) -> None:
    body = f'<p class="{name}">open(1)</p><p class="{name}">read(1)</p><p>Done.</p>'
    assert topic(body) == fenced("open(1)\nread(1)") + "\n\nDone."


@pytest.mark.parametrize("name", ["BarCode", "ErrorCode", "Decode", "CodeTitle"])
def test_other_names_with_code_in_them_are_not(name: str) -> None:
    assert topic(f'<p class="{name}">open(1)</p><p>Done.</p>') == "open(1)\n\nDone."


def test_a_copyright_notice_is_boilerplate_and_a_legal_text_is_content() -> None:
    notice = '<p class="copyright">Copyright 2026 by us.</p>'
    assert topic(f"<p>{'Text. ' * 40}</p>{notice}") == ("Text. " * 40).strip()
    terms = "".join(f'<p class="copyright">Term {n} of the licence.</p>' for n in range(30))
    assert "Term 29 of the licence." in topic(f"<p>Text.</p>{terms}")


# Furniture.

FURNITURE = {
    "navigation": '<nav><a href="/">Home</a></nav>',
    "share bar": '<div class="sharedaddy sd-sharing"><h3>Share this:</h3><a>Twitter</a></div>',
    "related posts": '<div id="jp-relatedposts" class="jp-relatedposts"><h3>Related</h3></div>',
    "latest posts": '<ul class="wp-block-latest-posts wp-block-latest-posts__list"><li>x</li></ul>',
    "comments": '<div id="comments" class="comments-area"><h3>Leave a Reply</h3></div>',
    "search": '<form role="search" class="search-form"><label>Search for:</label></form>',
    "cookies": '<div class="cookie-notice-container" role="dialog">We use cookies</div>',
    "byline": '<div class="entry-meta"><span class="posted-on">May 1</span> by Ann</div>',
    "previous and next": '<div class="nav-links"><a rel="prev">Before</a></div>',
    "page contents": '<div id="ez-toc-container"><p>Table of Contents</p><ul><li>a</li></ul></div>',
    "hidden words": '<span class="screen-reader-text">opens in a new window</span>',
    "breadcrumbs": '<div class="breadcrumbs">You are here: A &gt; B</div>',
    "Flare's breadcrumbs": '<div class="MCBreadcrumbsBox_0"><span>You are here:</span></div>',
    "Flare's mini contents": '<div class="MCMiniTocBox_0"><p>Below</p></div>',
    "Flare's page footer": "<MadCap:pageFooter><p>Copyright X</p></MadCap:pageFooter>",
    "Flare's menu": '<ul data-mc-toc="True"><li>Welcome</li></ul>',
}


@pytest.mark.parametrize("part", FURNITURE.values(), ids=list(FURNITURE))
def test_furniture_inside_the_content_is_left_out(part: str) -> None:
    assert article(f"{part}<p>After.</p>") == "After."


def test_of_several_articles_on_a_page_all_are_content() -> None:
    parts = "".join(f"<article><h2>{n}</h2><p>{n} {TEXT}</p></article>" for n in "abc")
    blocks = page(f"<nav>Menu</nav><div>{parts}</div>").content(ARTICLE_REGIONS).blocks
    assert [block for block in blocks if block.startswith("## ")] == ["## a", "## b", "## c"]


def test_of_an_article_and_teasers_the_article_is_content() -> None:
    teaser = '<article class="teaser"><h3>Other</h3><p>Short.</p></article>'
    body = f"<div><article><p>{TEXT} {TEXT} {TEXT}</p></article>{teaser}{teaser}</div>"
    assert page(body).content(ARTICLE_REGIONS).blocks == [f"{TEXT} {TEXT} {TEXT}"]


def test_a_class_that_wraps_the_whole_page_takes_nothing_away() -> None:
    body = f'<div class="navigation"><div class="entry-content"><p>{TEXT}</p></div></div>'
    assert page(body).content(ARTICLE_REGIONS).blocks == [TEXT]
    inner = f'<div class="entry-content"><div class="toc menu"><p>{TEXT}</p></div></div>'
    assert page(inner).content(ARTICLE_REGIONS).blocks == [TEXT]


KEPT = {
    "a menu named in a line": '<p>Choose <span class="menu">File</span>.</p>',
    "a heading with such an id": '<h2 id="comments">Remarks</h2>',
    "a section with such an id": '<section id="toc"><p>About tables of contents.</p></section>',
    "a note set aside": '<aside class="note"><p>Mind the gap.</p></aside>',
    "code of such a class": '<pre class="toolbar">open(1)</pre>',
}


@pytest.mark.parametrize("part", KEPT.values(), ids=list(KEPT))
def test_content_that_is_named_like_furniture_stays(part: str) -> None:
    assert article(part)


@pytest.mark.parametrize(
    ("title", "is_none"),
    [
        ("404", True),
        ("404 - Not found", True),
        ("Page not found - Example Ltd", True),
        ("Oops! That page can't be found.", True),
        ("Not Found", True),
        ("404 responses of the web server", False),
        ("Error 12: file not found", False),
        ("Page not found after an upgrade", False),
    ],
)
def test_a_page_that_says_it_is_none_is_told_from_one_about_that(title: str, is_none: bool) -> None:
    assert page(f"<h1>{title}</h1><p>{TEXT}</p>", f"<title>{title}</title>").is_not_found == is_none


def test_the_text_after_furniture_stays() -> None:
    assert article('<p>one <span class="sr-only">x</span>two</p>') == "one two"


@pytest.mark.parametrize("inside", ["", "<p>Soon.</p>", '<img src="a.png" alt="">'])
def test_an_articles_own_region_is_its_content_however_little_is_in_it(inside: str) -> None:
    frame = f"<h1>T</h1><p>May 1, 2024</p><p>By Jo Doe</p><p>View Fullscreen: {TEXT}</p>"
    for region in ('id="eckb-article-content-body"', 'class="entry-content"'):
        body = f"<article><div>{frame}</div><div {region}>{inside}</div></article>"
        assert page(body).content(ARTICLE_REGIONS).blocks == (["Soon."] if "Soon" in inside else [])
    whole = f'<div class="entry-content">{frame}<div id="eckb-article-content-body">{inside}</div>'
    assert TEXT not in "".join(page(whole).content(ARTICLE_REGIONS).blocks)


def test_a_page_without_a_region_of_its_own_is_read_whole() -> None:
    link = '<a id="mc-main-content"></a>'
    teaser = '<div class="related-posts"><div class="entry-content">Read on</div></div>'
    assert topic("") == ""
    for body in (f"<main></main><p>{TEXT}</p>", f"{link}<p>{TEXT}</p>"):
        assert page(body).content(HELP_REGIONS).blocks == [TEXT]
    assert page(f"<p>{TEXT}</p>{teaser}").content(ARTICLE_REGIONS).blocks == [TEXT]


# Published Flare.


def test_drop_downs_are_headings_with_what_they_hide() -> None:
    body = (
        '<h2>Above</h2><div class="MCDropDown MCDropDown_Closed dropDown ">'
        '<span class="MCDropDownHead dropDownHead"><a class="MCDropDownHotSpot" href="#">'
        '<img class="MCDropDown_Image_Icon" src="x.gif" alt="Closed" />More</a></span>'
        '<div class="MCDropDownBody" style="display:none"><p>Hidden text.</p></div></div>'
    )
    assert topic(body) == "## Above\n\n### More\n\nHidden text."


def test_togglers_and_expanding_text_are_content_without_a_space_in_words() -> None:
    body = (
        '<p>The <b>BBj</b>Window <a class="MCExpandingHead">opens</a>'
        '<span class="MCExpandingBody" style="display:none"> at once</span>.</p>'
        '<p data-mc-target-name="t" style="display:none">Toggled.</p>'
    )
    assert topic(body) == "The BBjWindow opens at once.\n\nToggled."


def test_paragraphs_that_were_published_as_tables_are_list_items_again() -> None:
    row = (
        '<table class="AutoNumber_p_{0}"><tr><td/><td class="AutoNumber_p_{0}"><i>{1} </i></td>'
        '<td class="AutoNumber_p_{0}">{2}</td></tr></table>'
    )
    body = row.format("Bulleted", "■", "Databases") + row.format("Numbered", "3.", "Open it")
    assert topic(body) == "- Databases\n\n3. Open it"


def test_tables_keep_their_cells_and_escape_bars() -> None:
    body = (
        "<table><thead><tr><th>Flag</th><th>Meaning</th></tr></thead>"
        "<tbody><tr><td>a|b</td><td>one<br>two</td></tr></tbody></table>"
    )
    assert topic(body) == "| Flag | Meaning |\n| --- | --- |\n| a\\|b | one two |"


def test_the_breadcrumb_comes_from_flares_own_note_and_once() -> None:
    body = (
        '<div class="MCBreadcrumbsBox_0"><a class="MCBreadcrumbsLink">X</a></div>'
        f'<div id="mc-main-content"><h1>T</h1><p>{TEXT}</p></div>'
    )
    content = page(body, "<title>T</title>", 'data-mc-toc-path="Objects|Window"').content(
        HELP_REGIONS
    )
    assert content.breadcrumb == ("Objects", "Window")
    assert content.blocks == [TEXT]


def test_the_breadcrumb_may_come_from_the_trail_on_the_page() -> None:
    trail = (
        '<nav aria-label="Breadcrumbs"><a href="/">Home</a> » <a href="/kb/">Base</a> » '
        '<a href="/kb/web/">Web</a> » <span>T</span></nav>'
    )
    assert page(trail + f"<p>{TEXT}</p>").content(ARTICLE_REGIONS).breadcrumb == ("Base", "Web")


@pytest.mark.parametrize("kind", ["Default", "Default;TriPane", "CSH", "Topic;Search;Default"])
def test_the_shell_around_help_is_no_topic(kind: str) -> None:
    assert page("x", attributes=f'data-mc-runtime-file-type="{kind}"').is_shell
    assert not page("x", attributes='data-mc-runtime-file-type="Topic;Default"').is_shell


# What a page says of itself.


def test_the_heading_is_the_title_where_the_head_adds_the_sites_name() -> None:
    found = page(f"<h1>Locks</h1><p>{TEXT}</p>", "<title>Locks - Example Ltd</title>")
    assert found.content(ARTICLE_REGIONS).title == "Locks"


@pytest.mark.parametrize(
    "head",
    [
        "<title>Locks | Acme</title>",
        "<title>Acme: Locks</title>",
        "<title>Acme - Locks</title>",
        "",
    ],
)
def test_the_contents_heading_is_preferred_to_the_sites(head: str) -> None:
    body = f"<header><h1>Acme</h1></header><main><h1>Locks</h1><p>{TEXT}</p></main>"
    assert page(body, head.replace(": ", " : ")).content(ARTICLE_REGIONS).title == "Locks"


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Locks - Example Ltd", "Locks"),
        ("Locks | Example Ltd.", "Locks"),
        ("A - B - Example Ltd", "A - B"),
        ("Example Ltd", "Example Ltd"),
        ("Locks - Other", "Locks - Other"),
        ("Locks |", "Locks"),
    ],
)
def test_titles_lose_the_sites_name(title: str, wanted: str) -> None:
    assert without_suffix(title, {"example ltd"}) == wanted


def test_a_heading_equal_to_the_title_is_not_repeated_and_others_stay() -> None:
    content = page(f"<h1>T</h1><h2>T 2</h2><p>{TEXT}</p>", "<title>T</title>").content(HELP_REGIONS)
    assert content.blocks == ["## T 2", TEXT]


def test_prose_that_looks_like_markdown_stays_prose() -> None:
    assert article("<p># not a heading</p><p>1. no list</p><p>a_b *c* &lt;T&gt;</p>") == (
        "\\# not a heading\n\n1\\. no list\n\na_b *c* <T>"
    )


def test_links_are_their_text_and_images_what_they_say() -> None:
    body = '<p>See <a href="/x">the list</a> <img src="a.png" alt="A window with two buttons"></p>'
    assert article(body) == "See the list A window with two buttons"


@pytest.mark.parametrize(
    ("data", "header", "text", "told"),
    [
        ("é".encode(), "text/html; charset=utf-8", "é", False),
        ("é".encode("cp1252"), "text/html; charset=iso-8859-1", "é", False),
        ("é".encode("cp1252"), "text/html; charset=utf-8", "é", True),
        ("é".encode("cp1252"), "text/html", "é", False),
        ("é".encode("utf-16"), "text/html", "é", False),
        (
            b'<meta charset="windows-1251">\xe6',
            "text/html",
            '<meta charset="windows-1251">ж',
            False,
        ),
        ("é".encode(), "text/html; charset=nonsense", "é", True),
    ],
)
def test_the_encoding_is_found_out(data: bytes, header: str, text: str, told: bool) -> None:
    found, problem = decode_page(data, header)
    assert (found, bool(problem)) == (text, told)


def test_links_come_from_all_that_leads_on() -> None:
    body = (
        '<a href="a.htm">a</a><area href="b.htm"><iframe src="c.htm"></iframe><a href="#x">x</a>'
        '<object data="d.htm"></object>'
    )
    found = page(body, '<base href="/base/">').links
    assert found == [f"https://docs.example/base/{name}.htm" for name in "abcd"]


def test_pdfs_that_stand_for_the_text_are_found_in_viewers_too() -> None:
    body = (
        '<iframe src="/viewer/viewer.html?file=https%3A%2F%2Fdocs.example%2Ff%2Fa.pdf"></iframe>'
        '<embed src="/f/b.pdf"><a href="/f/c.pdf">c</a>'
    )
    assert page(body).embedded_pdfs() == [f"https://docs.example/f/{name}.pdf" for name in "abc"]


def test_a_page_nested_beyond_reason_is_read() -> None:
    text = (
        page(f"<div>{'<p>x' * 3_000}</div>{'<div>' * 5_000}{TEXT}<p>deep</p>")
        .content(HELP_REGIONS)
        .blocks
    )
    assert text[-1].split()[-1] == "deep"


def test_a_comment_without_an_end_hides_nothing() -> None:
    text = (
        page(f"<h1>Valves</h1><p>{TEXT}</p><!-- TODO <p>Close it.</p>").content(HELP_REGIONS).blocks
    )
    assert text[-2:] == ["TODO", "Close it."]


def test_text_after_the_end_of_the_page_is_read() -> None:
    text = (
        page(f"<p>{TEXT}</p></body></html>After it.<p>And after that.</p>")
        .content(HELP_REGIONS)
        .blocks
    )
    assert text[1:] == ["After it.", "And after that."]


def test_a_page_that_is_not_text_is_refused() -> None:
    with pytest.raises(DocumentError, match="not text but binary: PNG image"):
        WebPage("https://docs.example/a.htm", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "text/html")
