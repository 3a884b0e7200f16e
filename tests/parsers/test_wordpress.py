"""The magazine and the knowledge base: which pages are articles, and what of them is content."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestion.exceptions import ConfigError
from ingestion.parsers import PARSERS, parser_class
from ingestion.parsers.base import SourceConfig
from tests.support.web_known import Kept, Reading, read
from tests.support.web_server import Answer, WebServer, html, redirect, status, typed

TEXT = "The report took eleven minutes because each of its lines asked three other files again."
MENU = '<nav><a href="/">Home</a></nav><form role="search" class="search-form">Search for:</form>'
PDF = (Path(__file__).parents[1] / "fixtures/pdf/headings.pdf").read_bytes()
FOOT = '<footer id="colophon">Copyright 2024 Example Ltd</footer>'


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def magazine(server: WebServer, **options: Any) -> Reading:
    return read("AdvantageParser", server.origin, "/advantage-index/", **options)


def base(server: WebServer, start: str = "/knowledge-base/", **options: Any) -> Reading:
    return read("KnowledgeBaseParser", server.origin, start, **options)


def post(title: str, body: str, classes: str = "single single-post") -> Answer:
    inner = f'<h1 class="entry-title">{title}</h1><div class="entry-content">{body}</div>'
    page = f"{MENU}<main><article>{inner}</article></main>{FOOT}"
    answer = html(page, title=f"{title} - Example Ltd")
    return typed(answer.body.replace(b"<body", f'<body class="{classes}"'.encode()), "text/html")


def eckb(title: str, body: str) -> Answer:
    """The markup that an Echo Knowledge Base puts around an article."""
    page = f"""{MENU}<main id="main"><div class="eckb-kb-template"><div id="eckb-article-body">
      <div id="eckb-article-left-sidebar"><a href="/knowledge-base/kb2/">Other</a></div>
      <article id="eckb-article-content"><div id="eckb-article-content-header-v2">
        <div class="eckb-breadcrumb"><nav><ul class="eckb-breadcrumb-nav">
          <li><a href="/knowledge-base/">Base</a></li>
          <li><a href="/knowledge-base/category/x/">X</a></li><li>{title}</li></ul></nav></div>
        <h1 class="eckb-article-title">{title}</h1>
        <div class="eckb-article-content-last-updated-date-container">Updated On May 1</div></div>
        <div id="eckb-article-content-body">{body}</div>
        <div id="eckb-article-content-footer">Previous - Next</div></article></div></div></main>
      {FOOT}"""
    answer = html(page, title=f"{title} | Example Ltd")
    classes = b'<body class="single single-epkb_post_type_1"'
    return typed(answer.body.replace(b"<body", classes), "text/html; charset=utf-8")


def links(*paths: str) -> str:
    return "".join(f'<a href="{path}">{path}</a> ' for path in paths)


def sitemap(*locations: str, kind: str = "url") -> bytes:
    inner = "".join(f"<{kind}><loc>{location}</loc></{kind}>" for location in locations)
    root = "sitemapindex" if kind == "sitemap" else "urlset"
    return f'<{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inner}</{root}>'.encode()


def test_it_works(server: WebServer) -> None:
    server.always("/advantage-index/", post("Index", links("/advantage/a/", "/shop/")))
    server.always("/advantage/a/", post("A Report", f"<p>{TEXT}</p><h2>More</h2><p>b</p>"))
    found = magazine(server)
    assert set(found.documents) == {"/advantage/a/"}
    article = found.documents["/advantage/a/"]
    assert (article.title, article.doc_type) == ("A Report", "article")
    assert article.content == f"{TEXT}\n\n## More\n\nb"
    assert "/shop/" not in server.requests


def test_the_index_may_name_nothing_and_the_sitemaps_all(server: WebServer) -> None:
    server.always("/advantage-index/", post("Index", "<div id='app'></div>"))
    server.always("/post-sitemap.xml", status(404))
    server.always("/sitemap_index.xml", typed(sitemap("/s/one.xml", kind="sitemap"), "text/xml"))
    packed = gzip.compress(sitemap("two.xml.gz", kind="sitemap"))
    server.always("/s/one.xml", typed(packed, "application/gzip"))
    pages = sitemap("/advantage/a/", "../advantage/b/", "https://other.example/advantage/c/")
    server.always("/s/two.xml.gz", typed(gzip.compress(pages), "application/gzip"))
    for name in "ab":
        server.always(f"/advantage/{name}/", post(name, f"<p>{name} {TEXT}</p>"))
    assert set(magazine(server).documents) == {"/advantage/a/", "/advantage/b/"}


def test_a_sitemap_may_redirect_to_its_index(server: WebServer) -> None:
    server.always("/advantage-index/", post("Index", ""))
    server.always("/post-sitemap.xml", redirect("/maps/all.xml", 301))
    server.always("/maps/all.xml", typed(sitemap("/advantage/a/"), "text/xml"))
    server.always("/advantage/a/", post("A", f"<p>{TEXT}</p>"))
    found = magazine(server)
    assert (set(found.documents), found.errors) == ({"/advantage/a/"}, {})


def test_pdfs_are_known_by_their_type_after_a_redirect_too(
    server: WebServer, tmp_path: Path
) -> None:
    pdf = typed(PDF, "application/pdf")
    server.always("/advantage-index/", post("Index", links("/advantage/a/", "/files/b.pdf")))
    server.always("/advantage/a/", redirect("/wp-content/uploads/get?id=7"))
    server.always("/wp-content/uploads/get", pdf)
    server.always("/files/b.pdf", pdf)
    kept = Kept()
    found = magazine(server, kept=kept)
    places = {path.partition("#")[0] for path in found.documents}
    assert places == {"/wp-content/uploads/get?id=7", "/files/b.pdf"}
    assert {document.doc_type for document in found.documents.values()} == {"article"}
    server.forget()
    again = magazine(server, kept=kept)
    assert (server.bodies, again.vanished) == (0, set())


def test_a_page_that_a_redirect_leads_to_outside_is_no_article(server: WebServer) -> None:
    server.always("/advantage-index/", post("Index", links("/advantage/a/")))
    server.always("/advantage/a/", redirect("/products/"))
    server.always("/products/", post("Products", f"<p>{TEXT}</p>", "page"))
    found = magazine(server)
    assert found.documents == {}
    assert "outside of the source's path" in found.warnings["/advantage/a/"]


def test_an_article_whose_only_text_is_the_link_to_its_pdf_is_that_pdf(server: WebServer) -> None:
    viewer = "/wp-content/plugins/viewer.php?file=%2Ffiles%2Fa.pdf"
    shown = f'<a href="{viewer}">View Fullscreen</a><iframe src="{viewer}"></iframe>'
    server.always("/knowledge-base/", post("Base", links("/knowledge-base/kb1/")))
    server.always("/knowledge-base/kb1/", eckb("One", shown))
    server.always("/files/a.pdf", typed(PDF, "application/pdf"))
    found = base(server)
    assert {path.partition("#")[0] for path in found.documents} == {"/files/a.pdf"}
    assert not found.failures


def test_an_article_without_text_is_no_document_and_its_frame_is_not_taken(
    server: WebServer,
) -> None:
    names = [f"/knowledge-base/kb{n}/" for n in range(3)]
    server.always("/knowledge-base/", post("Base", links(*names)))
    server.always(names[0], eckb("Zero", f"<p>{TEXT}</p>"))
    server.always(names[1], eckb("One", '<video src="b.mp4"></video>'))
    server.always(names[2], eckb("Two", "<p>See chapter 4.</p>"))
    kept = Kept()
    found = base(server, kept=kept)
    assert {d.content for d in found.documents.values()} == {TEXT, "See chapter 4."}
    assert (found.errors, list(found.warnings)) == ({}, [names[1]])
    server.always(names[0], eckb("Zero", ""))
    again = base(server, kept=kept)
    assert names[0] in again.errors, "a document that is empty for once stays"
    assert again.vanished == set()


def test_an_article_that_only_shows_a_pdf_is_that_pdf(server: WebServer) -> None:
    frame = '<iframe src="/viewer/?file=%2Ffiles%2Fa.pdf"></iframe>'
    server.always("/advantage-index/", post("Index", links("/advantage/a/", "/advantage/b/")))
    server.always("/advantage/a/", post("A", frame))
    server.always("/files/a.pdf", typed(PDF, "application/pdf"))
    server.always("/advantage/b/", post("B", '<video src="b.mp4"></video>'))
    found = magazine(server)
    assert {path.partition("#")[0] for path in found.documents} == {"/files/a.pdf"}
    assert "no text" in found.warnings["/advantage/b/"]


def test_an_index_of_several_pages_is_followed(server: WebServer) -> None:
    server.always("/advantage-index/", post("Index", links("/advantage-index/page/2/")))
    server.always("/advantage-index/page/2/", post("Index", links("/advantage/a/"), "paged page"))
    server.always("/advantage/a/", post("A", f"<p>{TEXT}</p>"))
    assert set(magazine(server).documents) == {"/advantage/a/"}


def test_a_knowledge_base_has_its_articles_and_nothing_around_them(server: WebServer) -> None:
    server.always("/knowledge-base/", post("Base", links("kb1/", "category/x/", "about/"), "page"))
    server.always("/knowledge-base/category/x/", post("X", links("../../kb2/"), "archive tax-x"))
    server.always("/knowledge-base/about/", post("About", f"<p>{TEXT}</p>", "page"))
    for number in (1, 2):
        server.always(
            f"/knowledge-base/kb{number}/", eckb(f"KB {number}", f"<p>{number} {TEXT}</p>")
        )
    found = base(server)
    assert set(found.documents) == {"/knowledge-base/kb1/", "/knowledge-base/kb2/"}
    article = found.documents["/knowledge-base/kb1/"]
    assert (article.title, article.content) == ("KB 1", f"1 {TEXT}")
    assert article.breadcrumb == ("Base", "X")


def test_a_knowledge_base_of_plain_pages_is_read_too(server: WebServer) -> None:
    server.always("/knowledge-base/", post("Base", links("a/", "tag/t/", "feed/"), "page"))
    server.always("/knowledge-base/a/", post("A", f"<p>{TEXT}</p>", "page page-id-7"))
    server.always("/knowledge-base/tag/t/", post("T", f"<p>{TEXT}</p>", "archive tag"))
    assert set(base(server).documents) == {"/knowledge-base/a/"}
    assert "/knowledge-base/feed/" not in server.requests


def test_an_option_says_which_addresses_are_articles(server: WebServer) -> None:
    server.always("/knowledge-base/", post("Base", links("kb00101/", "kb-news/"), "page"))
    for name in ("kb00101", "kb-news"):
        server.always(f"/knowledge-base/{name}/", eckb(name, f"<p>{name} {TEXT}</p>"))
    found = base(server, articles=r"/knowledge-base/kb\d+")
    assert set(found.documents) == {"/knowledge-base/kb00101/"}


def test_an_option_that_is_no_expression_is_refused() -> None:
    config = SourceConfig(
        "kb", Path("/"), start_url="https://x.example/kb/", options={"articles": "("}
    )
    with pytest.raises(ConfigError, match="not a regular expression"):
        parser_class("KnowledgeBaseParser")(config)


def test_dated_addresses_are_articles_and_months_are_archives(server: WebServer) -> None:
    server.always("/blog/", post("Blog", links("2021/06/locks/", "2021/06/"), "blog"))
    server.always("/blog/2021/06/locks/", post("Locks", f"<p>{TEXT}</p>"))
    server.always("/blog/2021/06/", post("June", f"<p>{TEXT} {TEXT}</p>", "page"))
    found = read("AdvantageParser", server.origin, "/blog/")
    assert set(found.documents) == {"/blog/2021/06/locks/"}


def test_an_exported_site_whose_links_name_its_old_host_is_read_here(server: WebServer) -> None:
    canonical = '<link rel="canonical" href="https://old.example/kb/">'
    start = html(f'<p>{TEXT}</p><a href="https://old.example/kb/a/">a</a>', canonical)
    server.always("/kb/", start)
    server.always("/kb/a/", eckb("A", f"<p>a {TEXT}</p>"))
    assert set(base(server, "/kb/").documents) == {"/kb/a/"}


def test_folders_listed_by_the_server_are_followed_and_no_documents(server: WebServer) -> None:
    listing = html(links("a/"), title="Index of /knowledge-base")
    server.always("/knowledge-base/", post("Base", links("x/"), "page"))
    server.always("/knowledge-base/x/", listing)
    server.always("/knowledge-base/x/a/", eckb("A", f"<p>{TEXT}</p>"))
    assert set(base(server).documents) == {"/knowledge-base/x/a/"}


def test_where_the_start_is_gone_the_home_page_leads_on(server: WebServer) -> None:
    server.always("/", post("Home", links("/knowledge-base/a/", "/contact/"), "home page"))
    server.always("/knowledge-base/a/", eckb("A", f"<p>{TEXT}</p>"))
    assert set(base(server).documents) == {"/knowledge-base/a/"}
    assert "/contact/" not in server.requests


SAMPLES = Path(__file__).resolve().parents[2] / "sample_data/web"
SAMPLED = {
    ("AdvantageParser", "basis.cloud", "/advantage-index/"): 5,
    ("KnowledgeBaseParser", "basis.cloud", "/knowledge-base/"): 5,
    ("WebCrawlParser", "documentation.basis.cloud", "/BASISHelp/WebHelp/"): 6,
}


@pytest.mark.parametrize(("parser", "host", "start"), list(SAMPLED))
def test_the_sample_sites_are_read_whole_and_clean(
    server: WebServer, parser: str, host: str, start: str
) -> None:
    server.folder(SAMPLES / host)
    found = read(parser, server.origin, start)
    assert len(found.documents) == SAMPLED[parser, host, start]
    text = "\n".join(document.content for document in found.documents.values())
    for words in ("Search", "cookies", "Share this", "newsletter", "All rights", "You are here"):
        assert words not in text
    assert "```" in text
    assert parser in PARSERS
