"""Who holds up the web server holds up nobody else: /health answers within a second meanwhile."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.settings.place import Place, below, end
from tests.settings.test_web_server import PASSWORD, Site, make_manager, serve
from tests.support import slow_clients
from tests.support.reading import until

SOON = 1.0
ORIGIN = "http://localhost"
LOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def site(installation: Place) -> Iterator[Site]:
    installation.fresh()
    site = serve(installation, "localhost", REQUEST_TIMEOUT="3")
    yield site
    end(site.process)


@pytest.mark.parametrize("number", [20, 400])
@pytest.mark.parametrize("begin", [slow_clients.HEAD, slow_clients.BODY], ids=["head", "body"])
def test_clients_that_send_slowly_hold_up_nobody(site: Site, begin: bytes, number: int) -> None:
    with slow_clients.dripping(site.port, begin, number):
        assert slow_clients.longest_wait(site.port, 5) < SOON


def test_more_connections_than_there_may_be_hold_up_nobody(site: Site) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(slow_clients.connect(site.port)) for _ in range(1200)]
        assert slow_clients.longest_wait(site.port, 1) < SOON
        assert sum(map(slow_clients.closed, clients)) >= 200


def test_clients_that_do_not_take_their_answers_hold_up_nobody(site: Site) -> None:
    page = b"GET /static/admin/js/vendor/jquery/jquery.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as opened:
        for _ in range(40):
            opened.enter_context(slow_clients.connect(site.port, page * 40))
        assert slow_clients.longest_wait(site.port, 5) < SOON


@pytest.mark.setting("REQUEST_TIMEOUT")
@pytest.mark.parametrize("begin", [b"", slow_clients.HEAD, slow_clients.BODY])
def test_a_request_that_is_not_there_in_time_is_ended(site: Site, begin: bytes) -> None:
    with slow_clients.dripping(site.port, begin, 1) as (client,):
        began = time.monotonic()
        until(lambda: slow_clients.closed(client), 10)
        assert 2.5 < time.monotonic() - began < 6


@pytest.mark.parametrize(
    ("begin", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 5000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n", b"413"),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 8,
            b"413",
        ),
    ],
    ids=["head", "body", "chunked"],
)
def test_a_request_that_is_too_large_is_refused(site: Site, begin: bytes, code: bytes) -> None:
    with slow_clients.connect(site.port, begin) as client:
        assert client.recv(12)[9:] == code


@pytest.mark.setting("SERVER_PROCESSES")
@pytest.mark.setting("SERVER_THREADS")
def test_so_many_processes_have_so_many_threads_each(installation: Place) -> None:
    site = serve(installation, "localhost", SERVER_PROCESSES="1", SERVER_THREADS="4")
    assert len(below(site.process)) == 1
    threads = [threading.Thread(target=site.ask, args=["/metrics"]) for _ in range(9)]
    with installation.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE sources_source")
        for thread in threads:
            thread.start()
        until(lambda: installation.ask(LOCKED) == 4, 20)
        time.sleep(1)
        assert installation.ask(LOCKED) == 4
    for thread in threads:
        thread.join()
    end(site.process)


def test_a_process_that_dies_is_replaced(site: Site) -> None:
    before = below(site.process)
    assert len(before) == 2
    before[0].kill()
    assert slow_clients.longest_wait(site.port, 3) < SOON
    assert len(below(site.process)) == 2


def test_who_has_asked_is_answered_though_the_server_ends(installation: Place) -> None:
    site = serve(installation, "localhost")
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(site.ask("/metrics")))
    with installation.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE sources_source")
        asking.start()
        until(lambda: installation.ask(LOCKED) == 1, 20)
        site.process.terminate()
        time.sleep(1)
    asking.join()
    end(site.process)
    assert [answer.status_code for answer in answers] == [200]


@pytest.fixture(scope="module")
def hanging(installation: Place) -> Iterator[Site]:
    """Its embedder takes every request, and answers none."""
    make_manager(installation)
    with slow_clients.hanging_server() as address:
        site = serve(installation, "localhost", OLLAMA_HOST=address)
        yield site
        end(site.process)


def test_probes_of_an_embedder_that_hangs_hold_up_nobody(hanging: Site) -> None:
    with slow_clients.asking(hanging.port, "/ready", 10, patience=1):
        assert slow_clients.longest_wait(hanging.port, 5) < SOON
    assert slow_clients.seconds_for(hanging.port, "/ready", 9) < SOON
    assert "embedder" in hanging.ask("/ready").json()["problems"]


def test_the_page_of_the_health_does_not_wait_for_an_embedder_that_hangs(hanging: Site) -> None:
    assert hanging.log_in(PASSWORD, Origin=ORIGIN).status_code == 302
    begin = time.monotonic()
    models = hanging.ask("/admin/ingestion/embeddingprofile/")
    hanging.ask("/admin/")
    assert time.monotonic() - begin < 20  # each page waits two seconds at most
    assert "no answer" in models.text
    until(lambda: "No answer for" in hanging.ask("/admin/").text, 60)


@pytest.fixture
def previewing(installation: Place) -> Iterator[Site]:
    """Whoever previews a source waits for a site that does not answer."""
    make_manager(installation, "other")
    given = {"WEB_ALLOW_NETWORKS": "127.0.0.0/8", "WEB_TIMEOUT": "60", "WEB_ATTEMPTS": "1"}
    site = serve(installation, "localhost", PREVIEWS="1", **given)
    yield site
    end(site.process)


def preview(site: Site, address: str) -> str:
    """Begin a preview; the address of its page."""
    form = {"name": "slow", "title": "Slow", "parser": "KnowledgeBaseParser", "start_url": address}
    form |= {
        "paths": "",
        "options": "{}",
        "generation": "auto",
        "display_base_url": "",
        "schedule": "",
    }
    form["csrfmiddlewaretoken"] = site.token("/admin/sources/source/add/")
    page = site.ask("/admin/sources/source/add/", form | {"_preview": "1"}, Origin=ORIGIN)
    assert page.status_code == 302, re.findall(r"(?s)<ul class=.errorlist.*?</ul>", page.text)
    return str(page.headers["Location"])


def outcome(site: Site, preview: str) -> str:
    """What the page of a preview shows at its end; empty before that."""
    text = site.ask(f"{preview}live/").text
    return text if "data-ended" in text else ""


@pytest.mark.setting("PREVIEWS")
def test_many_previews_at_once_hold_up_nobody(previewing: Site) -> None:
    manager, other = previewing, previewing.stranger()
    for site, name in [(manager, "manager"), (other, "other")]:
        assert site.log_in(PASSWORD, name, Origin=ORIGIN).status_code == 302
    with slow_clients.hanging_server() as address:
        pages = [preview(manager, address) for _ in range(9)]
        until(lambda: sum(bool(outcome(manager, page)) for page in pages) == 8, 60)
        assert slow_clients.longest_wait(manager.port, 2) < SOON
        page = preview(other, address)
        until(lambda: outcome(other, page), 60)
        assert "no more than 1 may at once (PREVIEWS)" in outcome(other, page)
    until(lambda: all(outcome(manager, page) for page in pages), 60)
    texts = [outcome(manager, page) for page in pages]
    refused = sum("Your last preview is still under way" in text for text in texts)
    assert refused + sum(map(was_read, texts)) == 9, texts
    assert refused >= 4, "8, unless the machine is so busy that some came after the first had ended"
    page = preview(other, address)
    until(lambda: outcome(other, page), 60)
    assert was_read(outcome(other, page))


def was_read(text: str) -> bool:
    """Whether the site was asked, which did not answer."""
    return "It cannot be read" in text or "Nothing readable came" in text
