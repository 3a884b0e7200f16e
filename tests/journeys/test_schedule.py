"""A schedule is set and fires."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.admin import (
    add_source,
    content,
    fill_in,
    is_refused,
    open_section,
    open_settings,
    press,
    row_of,
)
from tests.journeys.material import write_topics

pytestmark = pytest.mark.browser
MINUTES = 180_000  # milliseconds; the schedule fires within one minute


def test_a_schedule_fires(page: Page, data: Path) -> None:
    write_topics(data / "clock", 2)
    add_source(page, title="clock", parser="MdxParser", paths="clock")
    open_section(page, "Overview")
    expect(row_of(page, "clock")).to_contain_text("by hand")

    open_settings(page, "clock")
    fill_in(page, schedule="custom", cron_line="every minute")
    press(page, "Save")
    is_refused(page, "Cron line", "'every minute' is no")
    fill_in(page, cron_line="* * * * *")
    press(page, "Save")
    open_section(page, "Overview")
    row = row_of(page, "clock")
    expect(row).not_to_contain_text("by hand")
    expect(row).to_contain_text("succeeded", timeout=MINUTES)  # the page follows by itself
    row.get_by_role("link", name=re.compile("now|ago")).click()
    expect(content(page)).to_contain_text("schedule")

    open_settings(page, "clock")
    fill_in(page, schedule="off")
    press(page, "Save")
