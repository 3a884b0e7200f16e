"""Finds and removes a page's boilerplate: menus, search boxes, share bars, comments, footers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml import etree

from ingestion.parsers.markup.html import Element, local_name

_ROLES_WORDS = "navigation search banner contentinfo complementary menu menubar toolbar dialog"
ROLES = frozenset(_ROLES_WORDS.split())
TAGS = frozenset(["nav", "footer", "dialog", "menu"])
_WHOLE = """
    nav navbar navigation main-navigation site-navigation site-header site-footer masthead colophon
    menu main-menu menu-toggle breadcrumb breadcrumbs breadcrumb-trail sidebar widget-area footer
    share sharing share-buttons social social-share sharedaddy addtoany related related-posts
    comments comments-area comment-respond respond comment-list cookie-banner cookie-notice
    pagination page-links pager post-navigation nav-links nav-previous nav-next posts-navigation
    search-form searchform search-box search-bar entry-meta post-meta byline posted-on posted-by
    entry-footer post-footer author-box author-bio post-author cat-links tags-links tagcloud
    newsletter newsletter-form subscribe subscription skip-link screen-reader-text sr-only
    visually-hidden toc ez-toc-container lwptoc table-of-contents back-to-top scroll-top
    print-button post-views was-helpful feedback-form nocontent no-print noprint
    site-info copyright edit-link post-edit-link advertisement adsbygoogle
    headerlink anchorjs-link copy-button copy-code-button clipboard
    codesnippetcopybutton mcwebhelpframesetlink mchelpcontrol mcktextpopuplink buttons topictoolbar
    title-bar tab-bar sidenav-wrapper nav-search search-filter central-account-wrapper off-canvas
    skip-to-content mcrelatedtopics mcconceptlink mcdebuglogheader
"""
_BEGINNINGS = """
    jp-relatedposts sd-sharing sharedaddy addtoany a2a_ addthis share- social- heateor ssba essb
    cookie- cookie_ cli- cmplz cky- onetrust gdpr- yarpp crp_ wp-block-latest- wp-block-navigation
    wp-block-social- wp-block-tag-cloud wp-block-categories wp-block-archives wp-block-search
    wp-block-comments wp-block-post-comments wp-block-rss wp-block-calendar wp-block-page-list
    wp-block-loginout wp-block-query-pagination epkb-article-navigation eckb-article-toc
    eckb-article-content-footer eckb-article-back eckb-breadcrumb eckb-navigation epkb-doc-search
    eckb-article-content-created eckb-article-content-last-updated eckb-article-content-author
    eckb-article-content-toolbar epkb-sidebar eckb-article-widget eckb-article-left-sidebar
    eckb-article-right-sidebar eprf- mcbreadcrumbs mcminitoc mcrelationships mcklink mcalink
    mcmastertoc searchform widget_ rank-math-breadcrumb yoast-breadcrumb ast-breadcrumbs
    disqus wpdiscuz comment- mailchimp mc4wp helpful- mcwebhelpframesetlink
"""
_IDENTIFIERS_WORDS = (
    "comments respond disqus_thread jp-relatedposts site-navigation masthead colophon sidebar "
    "secondary toc ez-toc-container cookie-law-info-bar cookie-notice searchform footer "
    "header eckb-article-left-sidebar eckb-article-right-sidebar eckb-article-content-footer "
    "eckb-article-content-header-v2 eckb-article-header"
)
_IDENTIFIERS = frozenset(_IDENTIFIERS_WORDS.split())
_CLASSES = frozenset(_WHOLE.split())
_ALONE = """
    breadcrumb breadcrumbs cookie-banner cookie-notice entry-meta post-meta byline posted-on
    posted-by cat-links tags-links skip-link screen-reader-text sr-only visually-hidden
    print-button post-views site-info copyright edit-link post-edit-link headerlink
    anchorjs-link copy-button copy-code-button codesnippetcopybutton mcwebhelpframesetlink
    mchelpcontrol mcktextpopuplink mcrelatedtopics mcconceptlink mcdebuglogheader
    skip-to-content
"""
_UNMISTAKABLE = frozenset(_ALONE.split())
_FRAME_TAGS = "div section aside header footer nav form ul ol dl table figure main article center"
FRAMES = frozenset(_FRAME_TAGS.split())
_BEGINS = tuple(_BEGINNINGS.split())
COPYRIGHT_NOTICE = 80  # words; what is longer is not the notice at the foot of a page
SHARE_OF_CONTENT = 0.6  # an element with more of a page's words than this is content
_GONE = frozenset(("style", "script", "template", "noscript"))


def classes_of(element: Element) -> list[str]:
    return (element.get("class") or "").lower().split()


def is_boilerplate(element: Element) -> bool:
    """Whether an element's tag, role, class or id marks it as boilerplate.

    Words such as `menu` or `comments` count only on block elements such as `div`: within a line
    they mark what the text is about, and a heading with that name is a heading.
    """
    tag = local_name(element.tag)
    if tag in TAGS or (element.get("role") or "").lower() in ROLES:
        return True
    if tag in ("madcap:pagefooter", "madcap:pageheader") or element.get("data-mc-toc") == "True":
        return True
    is_frame = tag in FRAMES
    if is_frame and tag != "section" and (element.get("id") or "").lower() in _IDENTIFIERS:
        return True
    marked = _CLASSES if is_frame else _UNMISTAKABLE
    return any(name in marked or name.startswith(_BEGINS) for name in classes_of(element))


def words_in(element: Element) -> int:
    """The number of words in an element, without scripts and styles."""
    return sum(len(text.split()) for text in _texts(element))


def _texts(element: Element) -> Iterable[str]:
    for node in element.iter():
        if node.text and node.tag not in _GONE and isinstance(node.tag, str):
            yield node.text
        if node.tail and node is not element:
            yield node.tail


def remove_boilerplate(region: Element) -> None:
    """Remove boilerplate from a page's content region, except elements with most of its text, and
    except a long text that is about copyright."""
    total = words_in(region)
    is_legal = _words_on_copyright(region) > COPYRIGHT_NOTICE
    for element in list(region.iter(etree.Element)):
        if element is region or not is_boilerplate(element) or not _attached(element, region):
            continue
        if is_legal and "copyright" in classes_of(element):
            continue
        if local_name(element.tag) in ("pre", "code"):
            continue
        if words_in(element) <= SHARE_OF_CONTENT * total or local_name(element.tag) == "nav":
            drop(element)


def _words_on_copyright(region: Element) -> int:
    marked = (e for e in region.iter(etree.Element) if "copyright" in classes_of(e))
    return sum(words_in(element) for element in marked)


def _attached(element: Element, region: Element) -> bool:
    """Whether an element is still in the region: no element around it was removed."""
    parent = element.getparent()
    return parent is not None and (
        parent is region or any(a is region for a in element.iterancestors())
    )


def drop(element: Element) -> None:
    """Remove an element from its tree; the text after it stays."""
    parent = element.getparent()
    if parent is None:
        return
    if element.tail:
        before = element.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + element.tail
        else:
            parent.text = (parent.text or "") + element.tail
        element.tail = None
    parent.remove(element)


_DIGITS = re.compile(r"\d+")
_MONTHS = re.compile(
    r"\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\b", re.IGNORECASE
)
_DATED = re.compile(
    r"\u00a9|\bcopyright\b|\ball rights reserved\b|\b(?:last |page )?(?:updated|modified|published"
    r"|revised|generated|printed)\b|\bbuild\b",
    re.IGNORECASE,
)


def block_key(block: str) -> str:
    """A block of text as compared between pages: without case, and if it dates the page, without
    numbers and months."""
    if _DATED.search(block):
        block = _MONTHS.sub("#", _DIGITS.sub("#", block))
    return " ".join(block.casefold().split())
