"""Crawls of sites on loopback: what is found, what a second crawl costs, what hostile sites get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ingestion.exceptions import ConfigError, SourceError
from ingestion.parsers.base import NOTHING_KNOWN, SourceConfig
from ingestion.parsers.web_crawl import WebCrawlParser
from tests.support.web_known import SETTINGS, Kept, Reading, read
from tests.support.web_server import (
    Answer,
    WebServer,
    endless,
    gzip_bomb,
    html,
    redirect,
    status,
    typed,
)

TEXT = "The grid shows its rows as soon as the window that it belongs to has been opened once."


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def crawl(server: WebServer, start: str = "/", kept: Kept | None = None, **options: Any) -> Reading:
    return read("WebCrawlParser", server.origin, start, kept, **options)


def site(server: WebServer, *names: str, **extra: str) -> None:
    """A start page that links `names`, each a page with a text of its own."""
    links = "".join(f'<a href="{name}">{name}</a> ' for name in (*names, *extra))
    server.page("/", f"<h1>Start</h1><p>{TEXT}</p>{links}", title="Start")
    for name in names:
        server.page(
            f"/{name}", f"<h1>About {name}</h1><p>{name}: {TEXT}</p>", title=f"About {name}"
        )


def test_it_works(server: WebServer) -> None:
    site(server, "a", "b")
    found = crawl(server)
    assert set(found.documents) == {"/", "/a", "/b"}
    page = found.documents["/a"]
    assert (page.title, page.content) == ("About a", f"# About a\n\na: {TEXT}")
    assert page.display_url == page.url == f"{server.origin}/a"
    assert page.validators["etag"]
    assert not found.failures


def test_only_what_lies_below_the_start_is_read(server: WebServer) -> None:
    links = (
        '<a href="in.htm">in</a><a href="/help/../out.htm">out</a><a href="/other/x.htm">x</a>'
        '<a href="http://127.0.0.2/help/y.htm">y</a><a href="ftp://127.0.0.1/help/z">z</a>'
        f'<a href="http://me:pw@127.0.0.1:{server.port}/help/secret.htm">s</a>'
        '<a href="javascript:void(0)">j</a><a href="mailto:a@b.c">m</a><a href="i.png">i</a>'
    )
    server.page("/help/", f"<p>{TEXT}</p>{links}")
    server.page("/help/in.htm", f"<p>{TEXT}</p>")
    crawl(server, "/help/")
    asked = {path for path in server.requests if "Data/" not in path and "itemap" not in path}
    assert asked == {"/robots.txt", "/help/", "/help/in.htm"}


def test_paths_with_spaces_and_signs_are_asked_for_as_they_are(server: WebServer) -> None:
    server.page(
        "/", f'<p>{TEXT}</p><a href="my page (1).htm">x</a><a href="b%C3%A9.htm?tocpath=x">'
    )
    server.page("/my%20page%20(1).htm", f"<p>one {TEXT}</p>")
    server.page("/b%C3%A9.htm", f"<p>two {TEXT}</p>")
    assert {"/my%20page%20(1).htm", "/b%C3%A9.htm"} < set(crawl(server).documents)


def test_a_meta_refresh_and_frames_are_followed(server: WebServer) -> None:
    server.page("/", "", '<meta http-equiv="refresh" content="0; url=start.htm">')
    server.page("/start.htm", '<frameset><frame src="topic.htm"></frameset>')
    server.page("/topic.htm", f"<p>{TEXT}</p>")
    assert "/topic.htm" in crawl(server).documents


# Finding the topics of published help.

HELP_SYSTEM = '<WebHelpSystem DefaultUrl="Content/start.htm" Toc="Data/Tocs/Main.js"/>'
TOC = (
    "define({numchunks:2,prefix:'Main_Chunk',chunkstart:['/Content/a.htm'],tree:{n:[{i:0,c:0}]}});"
)


def help_site(server: WebServer) -> None:
    server.always("/h/Data/HelpSystem.xml", typed(HELP_SYSTEM.encode(), "text/xml"))
    server.always("/h/Data/Tocs/Main.js", typed(TOC.encode(), "text/javascript"))
    chunks = (
        "define({'/Content/it\\'s a.htm':{i:[0],t:['A'],b:['']},'___':{i:[4],t:['x'],b:['']}});",
        "define({'/Content/b.htm#part':{i:[1],t:['B \\'quoted\\':{'],b:['part']}});",
    )
    for number, chunk in enumerate(chunks):
        server.always(
            f"/h/Data/Tocs/Main_Chunk{number}.js", typed(chunk.encode(), "text/javascript")
        )
    shell = (
        "<html data-mc-runtime-file-type='Default'><title></title><body><p>Loading...</p></body>"
    )
    server.always("/h/index.htm", typed(shell.encode(), "text/html"))
    for name in ("start", "it's%20a", "b", "mapped"):
        server.page(f"/h/Content/{name}.htm", f"<h1>{name}</h1><p>{TEXT}</p>")


def test_topics_come_from_the_help_systems_own_lists(server: WebServer) -> None:
    help_site(server)
    found = crawl(server, "/h/index.htm")
    assert set(found.documents) == {f"/h/Content/{n}.htm" for n in ("start", "it's%20a", "b")}


def test_topics_come_from_a_toc_without_help_system(server: WebServer) -> None:
    chunk = "define({'/b.htm':{i:[0],t:['B'],b:['']}});"
    toc = "define({numchunks:1,prefix:'Toc_Chunk',chunkstart:['/b.htm'],tree:{n:[]}});"
    server.page("/", f"<p>{TEXT}</p>")
    server.always("/Data/Toc.js", typed(toc.encode(), "text/javascript"))
    server.always("/Data/Toc_Chunk0.js", typed(chunk.encode(), "text/javascript"))
    server.page("/b.htm", f"<p>b {TEXT}</p>")
    assert "/b.htm" in crawl(server).documents


def test_topics_come_from_the_lists_of_legacy_webhelp(server: WebServer) -> None:
    system = '<?xml version="1.0"?><WebHelpSystem DefaultUrl="Content\\a.htm" Toc="Data/Toc.xml"/>'
    toc = (
        '<CatapultToc Version="1"><TocEntry Title="A" Link="/Content/a.htm">'
        '<TocEntry Title="B" Link="/Content/b.htm#x"/></TocEntry><TocEntry Chunk="Toc1.xml"/>'
        "</CatapultToc>"
    )
    more = '<CatapultToc><TocEntry Title="C" Link="/Content/c.htm"/></CatapultToc>'
    for path, text in (("HelpSystem", system), ("Toc", toc), ("Toc1", more)):
        server.always(f"/Data/{path}.xml", typed(text.encode(), "text/xml"))
    server.page("/", '<frameset><frame src="Content/a.htm"></frameset>')
    for name in "abc":
        server.page(f"/Content/{name}.htm", f"<p>{name} {TEXT}</p>")
    assert set(crawl(server).documents) == {f"/Content/{name}.htm" for name in "abc"}


def test_topics_come_from_a_sitemap_written_for_another_address(server: WebServer) -> None:
    help_site(server)
    base = "https://www.example.com/manual/v2/Content"
    locs = "".join(f"<url><loc>{base}/{n}.htm</loc></url>" for n in ("b", "mapped", "start"))
    sitemap = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{locs}</urlset>'
    server.always("/h/Sitemap.xml", typed(sitemap.encode(), "text/xml"))
    assert "/h/Content/mapped.htm" in crawl(server, "/h/index.htm").documents


def test_a_start_topic_names_the_help_system_it_belongs_to(server: WebServer) -> None:
    help_site(server)
    page = f"<html data-mc-path-to-help-system='../'><body><p>{TEXT}</p></body></html>"
    server.always("/h/Content/start.htm", typed(page.encode(), "text/html"))
    found = crawl(server, "/h/Content/start.htm")
    assert "/h/Content/b.htm" in found.documents


def test_a_topic_that_the_site_lists_and_does_not_have_is_named(server: WebServer) -> None:
    help_site(server)
    del server.answers["/h/Content/b.htm"]
    found = crawl(server, "/h/")
    assert "not there (404)" in found.warnings["/h/Content/b.htm"]


# One page, one document.


def test_a_page_under_several_addresses_is_one_document(server: WebServer) -> None:
    links = '<a href="/a/">1</a><a href="/a/index.html">2</a><a href="/A/">3</a><a href="/a">4</a>'
    server.page("/", f"<p>{TEXT}</p>{links}<a href='/a/?utm_source=x'>5</a><a href='/a/#top'>6</a>")
    for path in ("/a/", "/a/index.html", "/A/", "/a"):
        server.page(path, f"<p>the page {TEXT}</p>")
    assert set(crawl(server).documents) == {"/", "/a/"}


def test_addresses_that_differ_in_case_and_text_are_two_documents(server: WebServer) -> None:
    server.page("/", f'<p>{TEXT}</p><a href="dim.htm">dim</a><a href="DIM.htm">DIM</a>')
    server.page("/dim.htm", f"<p>small {TEXT}</p>")
    server.page("/DIM.htm", f"<p>capital {TEXT}</p>")
    assert {"/dim.htm", "/DIM.htm"} < set(crawl(server).documents)


def test_the_address_that_a_page_calls_its_own_is_its_documents(server: WebServer) -> None:
    head = '<link rel="canonical" href="/real">'
    server.page("/", f'<p>{TEXT}</p><a href="/copy?id=7">copy</a>')
    server.page("/copy", f"<p>once {TEXT}</p>", head)
    server.page("/real", f"<p>once {TEXT}</p>", head)
    assert set(crawl(server).documents) == {"/", "/real"}


def test_a_theme_that_calls_each_page_the_start_loses_none(server: WebServer) -> None:
    site(server, "a", "b")
    for name in ("", "a", "b"):
        page = server.answers[f"/{name}"]
        assert isinstance(page, Answer)
        body = page.body.replace(b"</head>", b'<link rel="canonical" href="/"></head>')
        server.always(f"/{name}", replace(page, body=body))
    assert set(crawl(server).documents) == {"/", "/a", "/b"}


def test_a_redirect_leads_to_the_document(server: WebServer) -> None:
    site(server, "new", old="")
    server.always("/old", redirect("/new", 301))
    assert set(crawl(server).documents) == {"/", "/new"}


# The second crawl.


def test_an_unchanged_site_transfers_no_body(server: WebServer) -> None:
    help_site(server)
    server.always("/robots.txt", typed(b"User-agent: *\nDisallow: /no/", "text/plain"))
    kept = Kept()
    first = crawl(server, "/h/", kept)
    server.forget()
    again = crawl(server, "/h/", kept)
    assert again.unchanged == set(first.documents)
    assert (server.bodies, again.documents, again.vanished) == (0, {}, set())


def test_only_what_changed_comes_again(server: WebServer) -> None:
    site(server, "a", "b", "c")
    kept = Kept()
    crawl(server, kept=kept)
    server.page("/b", f"<h1>About b</h1><p>changed {TEXT}</p>")
    server.forget()
    again = crawl(server, kept=kept)
    assert (set(again.documents), again.unchanged) == ({"/b"}, {"/", "/a", "/c"})
    assert server.bodies == 1


def test_a_page_that_is_gone_simply_does_not_come(server: WebServer) -> None:
    site(server, "a", "b")
    kept = Kept()
    crawl(server, kept=kept)
    server.always("/b", status(410))
    again = crawl(server, kept=kept)
    assert (again.vanished, again.errors) == ({"/b"}, {})


def test_a_page_that_nothing_links_any_more_does_not_come(server: WebServer) -> None:
    site(server, "a", "b")
    kept = Kept()
    crawl(server, kept=kept)
    server.page("/", f'<h1>Start</h1><p>{TEXT}</p><a href="a">a</a>')
    assert crawl(server, kept=kept).vanished == {"/b"}


def test_new_links_of_changed_pages_are_found_beside_old_ones_of_unchanged(
    server: WebServer,
) -> None:
    site(server, "a")
    server.page("/a", f'<p>a {TEXT}</p><a href="deep">deep</a>')
    server.page("/deep", f"<p>deep {TEXT}</p>")
    kept = Kept()
    crawl(server, kept=kept)
    server.page("/", f'<h1>Start</h1><p>{TEXT}</p><a href="a">a</a><a href="new">new</a>')
    server.page("/new", f"<p>new {TEXT}</p>")
    again = crawl(server, kept=kept)
    assert (again.unchanged, set(again.documents)) == ({"/a", "/deep"}, {"/", "/new"})


BROKEN: dict[str, Answer] = {
    "a 500": status(500),
    "a time-out": Answer(hang=1.2),
    "a refusal": status(403),
    "a request for patience": status(429, retry_after="3600"),
    "a cut body": Answer(
        b"", headers={"Content-Encoding": "gzip"}, parts=lambda: iter([b"\x1f\x8b"])
    ),
    "a login page": html(
        '<form><label>User</label><input name="u"><input type="password" name="p"></form>'
    ),
    "a page that says it is none": html("<h1>Page not found</h1>", title="404 - Not found"),
    "a way to another site": redirect("https://login.example.com/?next=b"),
    "a way to the start": redirect("/"),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=list(BROKEN))
def test_a_stored_page_that_cannot_be_judged_stays_and_is_a_failure(
    server: WebServer, answer: Answer
) -> None:
    site(server, "a", "b")
    kept = Kept()
    crawl(server, kept=kept)
    server.always("/b", answer)
    again = crawl(server, kept=kept, settings=replace(SETTINGS, attempts=1))
    assert (again.vanished, list(again.errors)) == (set(), ["/b"])
    assert again.unchanged == {"/", "/a"}


def test_a_stored_page_that_robots_txt_now_forbids_stays(server: WebServer) -> None:
    site(server, "a", "b")
    kept = Kept()
    crawl(server, kept=kept)
    server.always("/robots.txt", typed(b"User-agent: bbjrag\nDisallow: /b\n", "text/plain"))
    server.forget()
    again = crawl(server, kept=kept)
    assert "robots.txt" in again.errors["/b"]
    assert again.vanished == set()
    assert "/b" not in server.requests


def test_without_what_the_crawl_remembered_all_is_read_again(server: WebServer) -> None:
    """A run that died stored documents, but not the links that they led to."""
    site(server, "a", "b")
    kept = Kept()
    crawl(server, kept=kept)
    kept.kept = {}
    again = crawl(server, kept=kept)
    assert set(again.documents) == {"/", "/a", "/b"}


def test_what_only_a_page_led_to_that_now_fails_stays(server: WebServer) -> None:
    site(server, "hub", "b")
    server.page("/hub", f'<p>hub {TEXT}</p><a href="leaf">leaf</a>')
    server.page("/leaf", f"<p>leaf {TEXT}</p>")
    kept = Kept()
    crawl(server, kept=kept)
    server.always("/hub", status(500))
    again = crawl(server, kept=kept)
    assert (again.unchanged, again.vanished) == ({"/", "/b", "/leaf"}, set())
    server.page("/hub", f'<p>hub {TEXT}</p><a href="leaf">leaf</a>')
    assert crawl(server, kept=kept).unchanged == {"/", "/b", "/leaf", "/hub"}


def test_nothing_vanishes_when_it_is_not_known_where_a_failing_page_led(server: WebServer) -> None:
    site(server, "hub", "b")
    server.page("/hub", f'<p>hub {TEXT}</p><a href="leaf">leaf</a>')
    server.page("/leaf", f"<p>leaf {TEXT}</p>")
    kept = Kept()
    crawl(server, kept=kept)
    kept.kept = {}
    server.always("/hub", status(500))
    again = crawl(server, kept=kept)
    assert again.vanished == set()
    assert "is not known" in again.errors["/"]


def test_topics_stay_when_the_list_that_names_them_fails_or_is_empty(server: WebServer) -> None:
    help_site(server)
    kept = Kept()
    first = crawl(server, "/h/", kept)
    for answer in (status(503), html("<h1>One moment please</h1>")):
        server.always("/h/Data/Tocs/Main.js", answer)
        again = crawl(server, "/h/", kept)
        assert (again.unchanged, again.vanished) == (set(first.documents), set())
        assert "/h/Data/Tocs/Main.js" in again.errors


def test_a_crawl_that_ended_early_goes_on_where_it_was(server: WebServer) -> None:
    site(server, *(f"p{n}" for n in range(9)))
    kept = Kept()
    crawl(server, kept=kept)
    server.forget()
    crawl(server, kept=kept, max_pages=8)
    assert len(crawl(server, kept=kept).unchanged) == 10
    assert server.bodies == 0


def test_a_copy_becomes_the_document_when_what_it_copied_is_gone(server: WebServer) -> None:
    head = '<link rel="canonical" href="/real">'
    server.page("/", f'<p>{TEXT}</p><a href="/copy">copy</a>')
    for path in ("/copy", "/real"):
        server.page(path, f"<p>once {TEXT}</p>", head)
    kept = Kept()
    crawl(server, kept=kept)
    server.always("/real", status(404))
    again = crawl(server, kept=kept)
    assert (set(again.documents), again.vanished) == ({"/copy"}, {"/real"})


def test_a_site_that_moved_to_its_www_name_is_read_there(server: WebServer) -> None:
    site(server, "a")
    origins = ("http://docs.example", "http://www.docs.example")

    def answer(path: str) -> Answer:
        if server.headers[-1]["Host"] == "docs.example":
            return redirect(f"{origins[1]}{path}", 301)
        return pages[path]

    pages = {path: page for path, page in server.answers.items() if isinstance(page, Answer)}
    pages["/robots.txt"] = typed(b"User-agent: *\nDisallow: /b", "text/plain")
    for path in pages:
        server.always(path, answer)
    settings = replace(SETTINGS, origin_map=dict.fromkeys(origins, server.origin))
    kept = Kept()
    for _ in range(2):
        found = read("WebCrawlParser", origins[0], kept=kept, settings=settings)
        assert found.errors == {}
    assert {url.removeprefix(origins[1]) for url in kept.documents} == {"/", "/a"}
    assert len(found.unchanged) == 2


# Manners.


def test_robots_txt_is_obeyed_with_allow_and_crawl_delay(server: WebServer) -> None:
    rules = b"User-agent: *\nDisallow: /p/\nAllow: /p/ok\nCrawl-delay: 0.3\n"
    server.always("/robots.txt", typed(rules, "text/plain"))
    server.page("/", f'<p>{TEXT}</p><a href="/p/no">no</a><a href="/p/ok">ok</a>')
    server.page("/p/ok", f"<p>ok {TEXT}</p>")
    found = crawl(server)
    assert set(found.documents) == {"/", "/p/ok"}
    assert "/p/no" not in server.requests
    assert "robots.txt" in found.warnings["/p/no"]
    assert min(b - a for a, b in zip(server.times[1:], server.times[2:], strict=False)) > 0.2


def test_a_site_whose_robots_txt_forbids_all_is_not_read(server: WebServer) -> None:
    site(server, "a")
    server.always("/robots.txt", typed(b"User-agent: *\nDisallow: /\n", "text/plain"))
    with pytest.raises(SourceError, match=r"robots\.txt does not allow reading it"):
        crawl(server)
    assert server.requests == ["/robots.txt"]


def test_a_site_whose_robots_txt_is_broken_is_left_alone(server: WebServer) -> None:
    site(server, "a")
    server.always("/robots.txt", status(503))
    with pytest.raises(SourceError, match=r"robots\.txt: The server answered 503"):
        crawl(server)


# Hostile sites.


def test_endless_redirects_end_in_a_failure_and_the_run_goes_on(server: WebServer) -> None:
    site(server, "a", loop="", chain="")
    server.always("/loop", redirect("/loop2"))
    server.always("/loop2", redirect("/loop"))
    server.always("/chain", lambda path: redirect(f"{path}x"))
    server.fallback = lambda path: redirect(f"{path}x") if path.startswith("/chain") else None
    found = crawl(server)
    assert set(found.documents) == {"/", "/a"}
    assert "redirects without end" in found.errors["/loop"]
    assert "redirects without end" in found.errors["/chain"]
    assert len([path for path in server.requests if path.startswith("/chain")]) == 6


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:9/admin", "file:///etc/passwd"],
)
def test_redirects_into_the_network_are_not_followed(server: WebServer, target: str) -> None:
    site(server, "a", bad="")
    server.always("/bad", redirect(target))
    found = crawl(server)
    assert set(found.documents) == {"/", "/a"}
    assert "another site" in (found.errors | found.warnings)["/bad"]


def test_a_start_that_redirects_away_fails_the_source(server: WebServer) -> None:
    server.always("/", redirect("http://169.254.169.254/"))
    with pytest.raises(SourceError, match=r"redirects to http://169\.254"):
        crawl(server)


def test_a_site_inside_the_network_is_refused(server: WebServer) -> None:
    site(server, "a")
    with pytest.raises(SourceError, match="WEB_ALLOW_NETWORKS"):
        crawl(server, settings=replace(SETTINGS, allow_networks=()))


def test_a_link_farm_ends_at_max_pages_and_nothing_vanishes(server: WebServer) -> None:
    def farm(path: str) -> Answer:
        links = "".join(f'<a href="{path.rstrip("/")}-{n}">{n}</a>' for n in range(5))
        return html(f"<p>{path} {TEXT}</p>{links}")

    server.always("/", farm)
    server.fallback = lambda path: farm(path) if path.startswith("/-") else None
    kept = Kept()
    found = crawl(server, kept=kept, max_pages=30)
    assert len(found.documents) <= 30
    assert "max_pages (30) is reached" in found.errors["/"]
    server.page("/", f'<p>{TEXT}</p><a href="/-0">0</a>')
    assert crawl(server, kept=kept, max_pages=3).vanished == set()


def test_paths_that_grow_in_circles_are_not_followed(server: WebServer) -> None:
    server.page("/", f'<p>{TEXT}</p><a href="a/x">x</a>')
    server.fallback = lambda path: (
        html(f'<p>{path} {TEXT}</p><a href="a/x">x</a>') if path.endswith("/x") else None
    )
    assert len(crawl(server).documents) < 10


def test_depth_has_a_limit_that_is_said(server: WebServer) -> None:
    server.always("/", html(f'<p>{TEXT}</p><a href="/1">1</a>'))
    server.fallback = lambda path: (
        html(f'<p>{path} {TEXT}</p><a href="/{int(path[1:]) + 1}">on</a>')
        if path[1:].isdigit()
        else None
    )
    found = crawl(server, max_depth=4)
    assert len(found.documents) == 5
    assert "max_depth (4)" in found.errors["/"]


def test_time_and_bytes_of_a_run_have_limits(server: WebServer) -> None:
    site(server, *(f"p{n}" for n in range(20)))
    assert "max_bytes" in crawl(server, max_bytes=3_000).errors["/"]
    server.fallback = lambda path: None
    for n in range(20):
        page = server.answers[f"/p{n}"]
        assert isinstance(page, Answer)
        server.always(f"/p{n}", replace(page, hang=0.1))
    assert "max_seconds (0.3)" in crawl(server, max_seconds=0.3).errors["/"]


def test_bodies_too_large_and_too_slow_are_failures_and_the_run_goes_on(server: WebServer) -> None:
    site(server, "a", huge="", bomb="", slow="", drip="")
    server.always("/huge", endless())
    server.always("/bomb", gzip_bomb(1_000_000_000))
    server.always("/slow", endless(b"x", pause=0.1))
    server.always("/drip", Answer(drip=True))
    settings = replace(SETTINGS, attempts=1, request_seconds=1.0)
    found = crawl(server, settings=settings, max_page_bytes=2_000_000)
    assert set(found.documents) == {"/", "/a"}
    assert set(found.errors) == {"/huge", "/bomb", "/slow", "/drip"}


def test_two_million_nested_elements_are_a_failure_and_ten_thousand_are_read(
    server: WebServer,
) -> None:
    site(server, "a", deep="", list="")
    server.page("/deep", "<div>" * 2_000_000)
    server.page("/list", "<ul><li>" * 10_000 + TEXT)
    found = crawl(server, max_page_bytes=32_000_000)
    assert set(found.documents) == {"/", "/a", "/list"}
    assert "tags" in found.errors["/deep"]
    assert TEXT in found.documents["/list"].content


def test_a_page_in_another_charset_than_it_says_is_read_and_told(server: WebServer) -> None:
    site(server, "a", wrong="", odd="")
    body = f"<p>Größe: „ {TEXT}</p>".encode("cp1252")
    server.always("/wrong", typed(body, "text/html; charset=utf-8"))
    server.always("/odd", typed(f"<p>Größe {TEXT}</p>".encode(), "text/html; charset=utf-99"))
    found = crawl(server)
    assert "Größe: „" in found.text("/wrong")
    assert "Größe" in found.text("/odd")
    assert {"/wrong", "/odd"} == set(found.warnings)


def test_a_server_that_dies_midway_ends_the_crawl_and_nothing_vanishes(server: WebServer) -> None:
    names = [f"p{n}" for n in range(12)]
    site(server, *names)
    kept = Kept()
    crawl(server, kept=kept)
    for name in names[3:]:
        server.always(f"/{name}", Answer(hang=0.3))
    server.forget()
    again = crawl(server, kept=kept, settings=replace(SETTINGS, attempts=1, read_seconds=0.1))
    assert "did not answer" in again.errors["/"]
    assert again.vanished == set()
    assert len(server.requests) < 16


def test_a_site_that_asks_for_patience_again_and_again_is_left_alone(server: WebServer) -> None:
    site(server, *(f"p{n}" for n in range(12)))
    for n in range(12):
        server.always(f"/p{n}", status(429, retry_after="600"))
    found = crawl(server)
    assert "did not answer 5 times in a row" in found.errors["/"]
    assert len([path for path in server.requests if path.startswith("/p")]) == 5


def test_an_unreachable_site_fails_the_source() -> None:
    with WebServer() as server:
        origin = server.origin
    with pytest.raises(SourceError, match="connection failed"):
        read("WebCrawlParser", origin)


def test_a_site_with_nothing_to_read_fails_the_source(server: WebServer) -> None:
    with pytest.raises(SourceError, match="nothing is there"):
        crawl(server, "/help/")


def test_other_types_and_broken_pages_do_no_harm(server: WebServer) -> None:
    site(server, "a", data="", empty="", bytes="")
    server.always("/data", typed(b'{"a": 1}', "application/json"))
    server.always("/empty", typed(b"", "text/html"))
    server.always("/bytes", typed(bytes(range(256)) * 50, "text/html"))
    found = crawl(server)
    assert {"/", "/a"} <= set(found.documents)
    assert "/empty" in found.errors | found.warnings


# Options.


def test_excluded_paths_are_not_asked_for(server: WebServer) -> None:
    site(server, "a", "drafts")
    crawl(server, exclude=["/draft*"])
    assert "/drafts" not in server.requests


def test_an_option_that_does_not_fit_is_named() -> None:
    config = SourceConfig("x", NOTHING_PATH, start_url="https://x.example/", options={"depth": 3})
    with pytest.raises(ConfigError, match="depth"):
        WebCrawlParser(config)
    assert list(NOTHING_KNOWN.memory()) == []


NOTHING_PATH: Any = "/nowhere"
