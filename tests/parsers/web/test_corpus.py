"""Real published sites, served on loopback: everything is found, and nothing but content."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from tests.scripts.compare_web import compare
from tests.support.web_known import Kept, read
from tests.support.web_server import WebServer

pytestmark = pytest.mark.corpus


class Site(NamedTuple):
    """`content` and `without` are XPaths of what was published, `only` its paths."""

    parser: str
    folder: str
    start: str
    documents: int
    content: str
    without: str = ""
    only: str = ""


AGILITY = Site(
    "WebCrawlParser",
    "webhelp/csc-agility-webhelp",
    "/",
    100,
    "//body",
    ".//*[starts-with(@class, 'MCBreadcrumbs') or starts-with(@class, 'MCMiniToc')"
    " or @class = 'copyright']",
    "^/Content/",
)
STATSDIRECT = Site(
    "WebCrawlParser",
    "webhelp/statsdirect",
    "/",
    401,
    "//*[@id = 'mc-main-content']",
    only="^(?!/search.htm)",
)
KNOWLEDGE_BASE = Site(
    "KnowledgeBaseParser",
    "wordpress/dava-loc-eckb",
    "/knowledge-base/",
    32,
    "//*[@id = 'eckb-article-content-body']",
    only="^/knowledge-base/(?!category|tag)",
)
ADCERT = Site(
    "AdvantageParser",
    "wordpress/staatic-adcert",
    "/",
    3,
    "//*[contains(concat(' ', @class, ' '), ' entry-content ')]",
    ".//*[contains(@class, 'wp-block-latest-posts')]",
    "google_ads_search_certification/.+/index|sample-page",
)
SITES = {site.folder: site for site in (AGILITY, STATSDIRECT, KNOWLEDGE_BASE, ADCERT)}


@pytest.mark.parametrize("site", SITES.values(), ids=list(SITES))
def test_a_published_site_is_found_whole_clean_and_costs_nothing_the_second_time(
    corpus: Path, site: Site
) -> None:
    root = corpus / site.folder
    kept = Kept()
    with WebServer() as server:
        server.folder(root)
        found = read(site.parser, server.origin, site.start, kept)
        server.forget()
        again = read(site.parser, server.origin, site.start, kept)
        assert (server.bodies, len(again.unchanged)) == (0, site.documents)
    documents = {unquote(path): document for path, document in found.documents.items()}
    compared = compare(root, documents, site.content, site.without, site.only)
    assert len(documents) == site.documents
    assert (compared.missing, compared.surplus) == ([], [])
    assert compared.recall >= 0.995
    assert compared.precision >= 0.99
    assert not compared.code_wanted or compared.code >= 0.99
    assert found.errors == {}
