"""A token is made in the admin, used from outside, and revoked."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.admin import (
    act_on_selected,
    add_source,
    content,
    fill_in,
    open_section,
    press,
    reingest,
    wait_for_run,
)
from tests.journeys.material import write_topics
from tests.journeys.site import Site

pytestmark = pytest.mark.browser


def ask(site: Site, query: str, token: str) -> tuple[int, dict[str, Any]]:
    """The status and the answer of the API, asked with curl where there is one."""
    url = f"{site.url}/api/search"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"query": query})
    if not shutil.which("curl"):
        return ask_without_curl(Request(url, body.encode(), headers))
    command = ["curl", "--silent", "--write-out", "\n%{http_code}", "--data", body, url]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer, _, status = said.rpartition("\n")
    return int(status), json.loads(answer)


def ask_without_curl(request: Request) -> tuple[int, dict[str, Any]]:
    try:
        with urlopen(request) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_token_is_made_used_and_revoked(page: Page, site: Site, data: Path) -> None:
    write_topics(data / "harbours", 2)
    add_source(page, title="harbours", parser="MdxParser", paths="harbours")
    reingest(page, "harbours")
    wait_for_run(page, "harbours")

    open_section(page, "API tokens")
    content(page).get_by_role("link", name="Add API token").click()
    fill_in(page, name="editor plug-in")
    press(page, "Save")
    token = content(page).get_by_label("Token").input_value()
    content(page).get_by_role("link", name="I have copied it").click()
    expect(content(page)).to_contain_text("editor plug-in")
    expect(content(page)).not_to_contain_text(token)

    assert ask(site, "harbours1", "guessed")[0] == 401
    status, answer = ask(site, "harbours1", token)
    assert status == 200
    assert answer["hits"][0]["title"] == "Topic 1"

    page.reload()
    row = content(page).get_by_role("row").filter(has_text="editor plug-in")
    expect(row).to_contain_text("just now")
    row.get_by_role("checkbox").check()
    act_on_selected(page, "Revoke selected tokens")
    press(page, "Yes, revoke")
    expect(content(page)).to_contain_text("revoked")
    assert ask(site, "harbours1", token)[0] == 401
