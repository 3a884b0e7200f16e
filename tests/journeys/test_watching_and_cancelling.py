"""A long run is watched and cancelled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.admin import (
    add_source,
    content,
    open_section,
    press,
    reingest,
    row_of,
    wait_for_run,
)
from tests.support.pages import page as text_of

pytestmark = pytest.mark.browser
EMBEDDED = re.compile(r"([\d,]+) chunks embedded")


def embedded(page: Page, more_than: int = 0) -> int:
    """How many chunks the page says are embedded, once it says more than this."""
    text = content(page).get_by_text(EMBEDDED).filter(visible=True)
    for _ in range(60):
        match = EMBEDDED.search(text.first.inner_text())
        number = int(match[1].replace(",", "")) if match else 0
        if number > more_than:
            return number
        page.wait_for_timeout(500)
    raise AssertionError(f"no more than {more_than} chunks are embedded")


def test_a_run_is_watched_and_cancelled(page: Page, data: Path) -> None:
    (data / "many").mkdir()
    for number in range(3000):
        (data / f"many/page{number}.md").write_text(text_of(f"p{number}", words=60))
    add_source(page, title="many", parser="MdxParser", paths="many")
    reingest(page, "many")
    some = embedded(page)
    embedded(page, more_than=some)
    expect(content(page).get_by_role("progressbar")).to_be_visible()
    expect(content(page).get_by_role("list", name="Log of many")).to_contain_text(
        "Embedding begins"
    )

    open_section(page, "Overview")
    embedded(page, more_than=some)
    press(page, "Cancel many")
    wait_for_run(page, "many", "cancelled")
    open_section(page, "Overview")
    row = row_of(page, "many")
    expect(row).to_contain_text("cancelled")
    stored = int(row.get_by_role("link").nth(2).inner_text().replace(",", ""))
    assert 0 < stored < 3000
