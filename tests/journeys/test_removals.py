"""Many documents vanish at once: their removal is refused the first time, and then approved."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.admin import (
    add_source,
    is_said,
    open_section,
    press,
    reingest,
    row_of,
    search_for,
    wait_for_run,
)
from tests.journeys.material import write_topics

pytestmark = pytest.mark.browser


def test_a_removal_is_refused_and_then_approved(page: Page, data: Path) -> None:
    topics = write_topics(data / "topics", 12)
    add_source(page, title="topics", parser="MdxParser", paths="topics")
    reingest(page, "topics")
    wait_for_run(page, "topics")
    for topic in topics[1:]:
        topic.unlink()
    reingest(page, "topics")
    wait_for_run(page, "topics", "needs approval")
    is_said(page, "11 documents vanished")
    press(page, "Keep them")
    wait_for_run(page, "topics")
    expect(search_for(page, "topics7")).to_contain_text("Topic 7")

    reingest(page, "topics")
    wait_for_run(page, "topics", "needs approval")
    open_section(page, "Overview")
    is_said(page, "Needs you")
    page.get_by_role("link", name="Look: topics").click()
    press(page, "Remove these documents and their chunks")
    is_said(page, "11 documents of topics were removed")
    open_section(page, "Overview")
    expect(row_of(page, "topics").get_by_role("cell").nth(3)).to_have_text("1")
    expect(search_for(page, "topics7")).not_to_contain_text("Topic 7")
