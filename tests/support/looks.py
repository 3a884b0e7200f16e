"""What a page looks like in a browser, in figures: whether it fits, and what keeps people out."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page


def width_beyond(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    )


def serious(page: Page) -> list[str]:
    """The serious findings of axe. It sets styles itself, which the policy of a page whose console
    is watched refuses, so it looks at the page in a window of its own."""
    looked = page.context.new_page()
    looked.set_viewport_size(page.viewport_size or {"width": 1400, "height": 900})
    looked.goto(page.url)
    looked.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = [
        f"{violation['id']}: {[node['html'][:150] for node in violation['nodes'][:5]]}"
        for violation in Axe().run(looked).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    looked.close()
    return found
