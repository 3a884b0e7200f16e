"""Addresses in one spelling, and the lists of pages that sites keep."""

from __future__ import annotations

import gzip

import pytest

from ingestion.exceptions import DocumentError
from ingestion.parsers.web.robots import Robots
from ingestion.parsers.web.sitemaps import read_help_system, read_sitemap, read_toc
from ingestion.parsers.web.urls import (
    Site,
    canonical,
    folder_of,
    is_trap,
    rebased,
    same_page_key,
)

BASE = "https://docs.example/help/topic.htm"


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("a.htm", "https://docs.example/help/a.htm"),
        ("../a.htm#x", "https://docs.example/a.htm"),
        ("/A B.htm", "https://docs.example/A%20B.htm"),
        ("HTTPS://Docs.Example:443/a/./b/../c", "https://docs.example/a/c"),
        ("http://docs.example:80", "http://docs.example/"),
        ("//docs.example/a", "https://docs.example/a"),
        ("sub\\a.htm", "https://docs.example/help/sub/a.htm"),
        ("%7ea%c3%A9.htm", "https://docs.example/help/~a%C3%A9.htm"),
        ("é.htm", "https://docs.example/help/%C3%A9.htm"),
        ("a.htm?tocpath=x", "https://docs.example/help/a.htm"),
        ("a/?utm_source=x&p=7", "https://docs.example/help/a/?p=7"),
        ("100%.htm", "https://docs.example/help/100%25.htm"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("http://[2606:4700::1]:8080/a", "http://[2606:4700::1]:8080/a"),
        (" \n a.htm ", "https://docs.example/help/a.htm"),
    ],
)
def test_each_address_has_one_spelling(link: str, wanted: str) -> None:
    assert canonical(link, BASE) == wanted
    assert canonical(wanted) == wanted


@pytest.mark.parametrize(
    "link",
    [
        "ftp://docs.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user:secret@docs.example/",
        "https://user@docs.example/",
        "http://[::1",
        "http://docs.example:99999/",
        "https://docs.example/" + "a" * 3000,
    ],
)
def test_other_addresses_are_none(link: str) -> None:
    assert canonical(link, BASE) == ""


def test_addresses_of_one_page_share_a_key() -> None:
    spellings = ("/A/", "/a", "/a/index.html", "/a/Default.aspx", "/a/?x=1", "/%61/")
    keys = {same_page_key(f"https://docs.example{path}") for path in spellings}
    assert keys == {same_page_key("http://www.docs.example/a/")}
    assert same_page_key("https://docs.example/b") not in keys


def test_a_folder_is_where_an_address_lies() -> None:
    assert folder_of("https://x.example/a/b.htm") == "https://x.example/a/"
    assert folder_of("https://x.example/a/b") == "https://x.example/a/b/"
    assert folder_of("https://x.example/v1.2") == "https://x.example/v1.2/"
    assert folder_of("https://x.example/") == "https://x.example/"


def test_paths_that_repeat_themselves_are_traps() -> None:
    assert is_trap("https://x.example/a/b/a/b/a/b/a/b")
    assert not is_trap("https://x.example/a/b/a/b/c")


def test_a_site_is_one_host_under_either_scheme_with_or_without_www() -> None:
    site = Site("https://docs.example/help/")
    assert site.own("http://www.docs.example/a") == "https://docs.example/a"
    assert site.own("https://docs.example:8443/a") == ""
    assert site.own("https://docs.example.evil.example/a") == ""
    assert site.own("https://evil.example/docs.example/a") == ""


def test_a_page_that_calls_itself_by_another_host_gives_the_site_that_name() -> None:
    site = Site("http://127.0.0.1:8000/")
    site.learn("http://127.0.0.1:8000/a/", "https://old.example/a/index.html")
    assert site.own("https://old.example/b/") == "http://127.0.0.1:8000/b/"


def test_a_page_that_calls_itself_something_else_gives_no_name() -> None:
    site = Site("http://127.0.0.1:8000/")
    site.learn("http://127.0.0.1:8000/a/", "https://old.example/quite/another/")
    assert site.own("https://old.example/b/") == ""


def test_a_sitemap_of_another_host_is_laid_over_this_one() -> None:
    site = Site("http://127.0.0.1/h/")
    known = ["http://127.0.0.1/h/c/a.htm"]
    listed = ["https://www.example.com/help/v1/c/b.htm", "https://www.example.com/help/v1/c/a.htm"]
    rebased(site, listed, "http://127.0.0.1/h/Sitemap.xml", known)
    assert site.own(listed[0]) == "http://127.0.0.1/h/c/b.htm"


def test_sitemaps_come_plain_packed_indexed_and_as_text() -> None:
    text = b'\xef\xbb\xbf<?xml version="1.0"?><urlset><url><loc> /a </loc></url></urlset>'
    assert read_sitemap(text).pages == ["/a"]
    assert read_sitemap(gzip.compress(text)).pages == ["/a"]
    index = b"<sitemapindex><sitemap><loc>b.xml</loc></sitemap></sitemapindex>"
    assert read_sitemap(index).lists == ["b.xml"]
    assert read_sitemap(b"https://x.example/a\nhttps://x.example/b\n").pages[1][-1] == "b"


def test_a_sitemap_that_lists_images_too_lists_pages_only() -> None:
    text = (
        b'<urlset xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url><loc>/a</loc>'
        b"<image:image><image:loc>/a.png</image:loc></image:image></url></urlset>"
    )
    assert read_sitemap(text).pages == ["/a"]


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body>Not found</body></html>",
        b"<a",
        b"\x1f\x8bnot packed",
        gzip.compress(b" " * 60_000_000),
    ],
)
def test_what_is_no_sitemap_is_said(data: bytes) -> None:
    with pytest.raises(DocumentError):
        read_sitemap(data)


def test_entities_of_a_sitemap_are_not_expanded() -> None:
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM '
        b'"file:///etc/passwd">]><urlset><url><loc>&b;&f;</loc></url></urlset>'
    )
    assert "root:" not in "".join(read_sitemap(bomb).pages)


def test_a_help_system_names_its_start_and_contents() -> None:
    found = read_help_system(
        b'<WebHelpSystem DefaultUrl="a b.htm" Toc="Data\\Tocs\\X.js"><Skin/></WebHelpSystem>'
    )
    assert (found.pages, found.lists) == (["a b.htm"], ["Data/Tocs/X.js"])


def test_chunks_of_contents_are_read_with_their_escapes() -> None:
    chunk = rb"""define({'/it\'s "a".htm':{i:[1],t:['It\'s {odd}: \'/no.htm\''],b:['']},
        "/b\u00e9.htm":{i:[2],t:['B'],b:['']},'___':{i:[3],t:['no page'],b:['']}});"""
    assert read_toc(chunk, "Toc_Chunk0.js").pages == ['/it\'s "a".htm', "/bé.htm"]


def test_contents_of_legacy_webhelp_are_read_from_scripts_and_xml() -> None:
    script = rb"""Map.Add('Toc','<CatapultToc><TocEntry Link=\"/a b.htm\" /></CatapultToc>');"""
    assert read_toc(script, "Toc.js").pages == ["/a b.htm"]
    assert read_toc(b'<TocEntry Link="/R&amp;D.htm#x"/>', "Toc.xml").pages == ["/R&D.htm#x"]


def test_robots_rules_prefer_our_own_group_and_the_longest_match() -> None:
    ours = "User-agent: bbjrag\nDisallow: /a/\nAllow: /a/b\nCrawl-delay: 4"
    robots = Robots(f"User-agent: *\nDisallow: /\n\n{ours}")
    assert robots.allows("https://x.example/c")
    assert robots.allows("https://x.example/a/b")
    assert not robots.allows("https://x.example/a/c")
    assert robots.crawl_delay == 4


def test_an_absurd_crawl_delay_is_cut_and_rubbish_allows_all() -> None:
    assert Robots("User-agent: *\nCrawl-delay: 86400").crawl_delay == 120
    assert Robots("<html>\x00rubbish").allows("https://x.example/")
