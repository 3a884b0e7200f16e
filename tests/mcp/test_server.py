"""What assistants get over MCP, asked with the official client."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from django.db import connections
from mcp import Client, StdioServerParameters, stdio_client

from ingestion import access
from ingestion.api import tokens
from ingestion.mcp.over_http import http_app
from ingestion.mcp.server import server as made_server
from tests.support.indexed import document, index

pytestmark = pytest.mark.django_db(transaction=True)
TOOLS = ["search_bbj_knowledge", "get_document", "list_sources"]


@pytest.fixture
def stored() -> None:
    index(
        document(
            "Files",
            "## Locks\n\nThe verb EXTRACT reads a record and locks it.",
            display_url="https://example.com/files",
            generations=("all",),
        ),
        document("Windows", "A window holds controls.", generations=("dwc",)),
    )


def talk(target: Any, *calls: tuple[str, dict[str, Any]]) -> tuple[list[str], list[Any]]:
    """The names of the tools, and the answers to the calls."""

    async def talking() -> tuple[list[str], list[Any]]:
        async with Client(target) as client:
            tools = await client.list_tools()
            answers = [await client.call_tool(name, given) for name, given in calls]
            return [tool.name for tool in tools.tools], answers

    return anyio.run(talking)


def titles(answer: Any) -> list[str]:
    return re.findall(r"^\[\d+\] (.*)$", answer.content[0].text, re.M)


@pytest.fixture
def server() -> Iterator[Any]:
    """A server that a program on this machine started itself."""
    with access.everything():
        yield made_server()
    connections.close_all()


def test_passages_come_with_their_citations(stored: None, server: Any) -> None:
    names, (answer,) = talk(server, ("search_bbj_knowledge", {"query": "lock a record"}))
    assert names == TOOLS
    assert not answer.is_error
    assert answer.structured_content is None
    (said,) = answer.content
    assert said.text.startswith("[1] Files\n")
    assert "\nSource: https://example.com/files\nAddress: docs://Files (document " in said.text
    assert "EXTRACT reads a record" in said.text


def test_a_generation_and_a_limit_narrow_the_search(stored: None, server: Any) -> None:
    asked = {"query": "record window", "generation": "dwc", "limit": 1}
    _, (answer,) = talk(server, ("search_bbj_knowledge", asked))
    assert titles(answer) == ["Windows"]


@pytest.mark.parametrize(
    "url", ["docs://Files", "https://example.com/files", "https://example.com/files#locks"]
)
def test_a_document_is_read_by_its_address_or_its_link(stored: None, server: Any, url: str) -> None:
    _, (answer,) = talk(server, ("get_document", {"url": url}))
    assert answer.content[0].text.startswith("# Files\nSource: https://example.com/files")


@pytest.mark.parametrize(
    ("tool", "given", "said"),
    [
        ("get_document", {"url": "docs://none\0"}, "There is no document"),
        ("search_bbj_knowledge", {"query": "x", "limit": 0}, "limit"),
        ("search_bbj_knowledge", {"query": "x" * 9000}, "query"),
        ("search_bbj_knowledge", {}, "query"),
    ],
)
def test_what_cannot_be_answered_says_why(
    stored: None, server: Any, tool: str, given: dict[str, Any], said: str
) -> None:
    _, (answer,) = talk(server, (tool, given))
    assert answer.is_error
    assert said in answer.content[0].text
    assert "Traceback" not in answer.content[0].text


def test_nothing_found_says_so(server: Any) -> None:
    _, (answer,) = talk(server, ("search_bbj_knowledge", {"query": "window\0 ' & |"}))
    assert answer.content[0].text == "Nothing was found."


def test_it_answers_on_standard_input_and_output(stored: None) -> None:
    settings = connections["default"].settings_dict
    code = (
        "from django.conf import settings; import django;"
        f" settings.DATABASES['default']['NAME'] = {settings['NAME']!r}; django.setup();"
        " from django.core.management import call_command; call_command('mcp')"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "bbjrag.settings"}
    parameters = StdioServerParameters(
        command=sys.executable, args=["-c", code], env=environment, cwd=os.getcwd()
    )
    names, (answer,) = talk(
        stdio_client(parameters), ("search_bbj_knowledge", {"query": "lock a record"})
    )
    assert names == TOOLS
    assert answer.content[0].text.startswith("[1] Files\n")


@contextmanager
def serving(app: Any) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started and thread.is_alive():
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        running.should_exit = True
        thread.join()
        connections.close_all()


def test_it_answers_over_http(stored: None) -> None:
    with serving(http_app("127.0.0.1")) as url:
        names, (answer,) = talk(url, ("search_bbj_knowledge", {"query": "lock a record"}))
    assert names == TOOLS
    assert answer.content[0].text.startswith("[1] Files\n")


def test_a_page_of_another_site_cannot_ask(stored: None) -> None:
    _, token = tokens.make("assistant")
    shown = {"Host": "evil.example", "Authorization": f"Bearer {token}"}
    with serving(http_app("127.0.0.1")) as url:
        without = httpx.post(url, json={}, headers={"Host": "evil.example"})
        with_token = httpx.post(url, json={}, headers=shown)
    assert (without.status_code, with_token.status_code) == (401, 421)


def test_beyond_this_machine_a_token_is_asked_for(stored: None) -> None:
    _, token = tokens.make("assistant", requests_per_minute=1)
    with serving(http_app("0.0.0.0")) as url:
        shown = {"Authorization": f"Bearer {token}"}
        statuses = [
            httpx.post(url, json={}, headers=headers).status_code
            for headers in ({}, {"Authorization": "Bearer wrong"}, shown, shown)
        ]
    assert statuses[:2] == [401, 401]
    assert statuses[2] not in (401, 429)
    assert statuses[3] == 429


@contextmanager
def command(*options: str) -> Iterator[int]:
    """The port of `manage.py mcp --http`, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    name = connections["default"].settings_dict["NAME"]
    code = (
        "from django.conf import settings; import django;"
        f" settings.DATABASES['default']['NAME'] = {name!r}; django.setup();"
        " from django.core.management import call_command;"
        f" call_command('mcp', '--http', '--port', '{port}', *{options!r})"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "bbjrag.settings"}
    environment["ALLOWED_HOSTS"] = "localhost,docs.example.com"
    environment |= {"PRODUCTION": "false", "HTTPS": "false"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        while process.poll() is None and not _listens(port):
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def status(port: int, version: str = "1.1", body: str = "{}", **headers: str) -> int:
    """What a request with these headers gets; the body is not one that the server understands."""
    given = {"Host": f"127.0.0.1:{port}", **headers}
    lines = [f"POST /mcp HTTP/{version}", f"Content-Length: {len(body)}"]
    lines.append("Content-Type: application/json")
    lines.append("Accept: application/json, text/event-stream")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as asked:
        asked.sendall(("\r\n".join([*lines, "Connection: close", "", body])).encode())
        return int(asked.recv(100).split()[1])


THROUGH_A_PROXY = {
    "nginx as documented": {
        "Host": "docs.example.com",
        "X_Forwarded_For": "203.0.113.9",
        "X_Forwarded_Proto": "https",
    },
    "the visitor's host, nothing else": {"Host": "docs.example.com"},
    "Apache, which keeps the backend's host": {
        "X_Forwarded_For": "203.0.113.9",
        "X_Forwarded_Host": "docs.example.com",
        "X_Forwarded_Server": "proxy",
    },
    "a visitor who claims to be local": {"X_Forwarded_For": "127.0.0.1"},
    "RFC 7239": {"Forwarded": "for=203.0.113.9;host=docs.example.com"},
    "Via": {"Via": "1.1 varnish"},
    "X-Real-IP": {"Host": "localhost", "X_Real_IP": "203.0.113.9"},
}


def test_through_a_proxy_on_this_machine_a_token_is_asked_for(stored: None) -> None:
    _, token = tokens.make("assistant", requests_per_minute=100)
    with command() as port:
        direct = [status(port, Host=name) for name in ("localhost", "127.0.0.1:8001", "[::1]:1")]
        found = {name: status(port, **headers) for name, headers in THROUGH_A_PROXY.items()}
        bare = status(port, version="1.0")
        shown = status(
            port, Authorization=f"Bearer {token}", **THROUGH_A_PROXY["nginx as documented"]
        )
    assert found == dict.fromkeys(THROUGH_A_PROXY, 401)
    assert bare == 401
    assert {*direct, shown} == {400}, "they are let in, with nothing that the server understands"


def test_told_of_a_proxy_it_asks_everybody_for_a_token(stored: None) -> None:
    with command("--behind-proxy") as port:
        assert status(port) == 401


@pytest.mark.parametrize("levels", [900, 3000, 100_000])
def test_json_nested_far_too_deep_is_a_bad_request(stored: None, levels: int) -> None:
    deep = "[" * levels + "1" + "]" * levels
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_document"}}
    bodies = [deep, json.dumps(call).replace('"get_document"', deep)]
    with command() as port:
        assert [status(port, body=body) for body in bodies] == [400, 400]
        assert status(port) == 400, "and it goes on"
