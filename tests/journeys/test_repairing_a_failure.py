"""A document that cannot be read is found, repaired on disk and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.admin import (
    add_source,
    content,
    is_said,
    open_section,
    press,
    reingest,
    row_of,
    search_for,
    title_is,
    wait_for_run,
)

pytestmark = pytest.mark.browser


def test_a_failure_is_found_repaired_and_retried(page: Page, data: Path) -> None:
    (data / "programs").mkdir()
    (data / "programs/fine.bbj").write_text('rem fine\nprint "hello"\n')
    broken = data / "programs/broken.bbj"
    broken.write_bytes(b"<<bbj>>\x00\x01\x02\x03" * 40)
    add_source(page, title="programs", parser="BbjSourceParser", paths="programs")
    reingest(page, "programs")
    wait_for_run(page, "programs", "finished with failures")

    open_section(page, "Overview")
    page.get_by_role("link", name="Look: programs").click()
    title_is(page, "Problems")
    row = content(page).get_by_role("row").filter(has_text="programs://broken.bbj")
    row.get_by_role("link").first.click()
    is_said(page, "programs://broken.bbj")
    is_said(page, "still open")
    content(page).get_by_role("link", name="Run").click()

    broken.write_text('rem repaired\nprint "the xylophone is repaired"\n')
    press(page, "Retry this document")
    expect(page.get_by_text("Queued programs")).to_be_visible()
    wait_for_run(page, "programs")
    open_section(page, "Overview")
    expect(row_of(page, "programs")).to_contain_text("succeeded")
    expect(search_for(page, "xylophone")).to_contain_text("broken.bbj")
