"""The web client against real servers on loopback that do what servers should not."""

from __future__ import annotations

import gzip
import socket
import ssl
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ingestion.parsers.web.client import FetchError, WebClient, retry_after
from ingestion.parsers.web.network_guard import AddressRefused
from ingestion.parsers.web_settings import WebSettings
from tests.support.web_server import (
    LOOPBACK,
    Answer,
    WebServer,
    endless,
    gzip_bomb,
    html,
    redirect,
    status,
    typed,
)

SETTINGS = WebSettings(
    version="2.3.4",
    contact="ops@example.org",
    allow_networks=LOOPBACK,
    connect_seconds=2,
    read_seconds=0.5,
    request_seconds=1.5,
    retry_wait=0.0,
)
MEGABYTE = 1024 * 1024


class Naps(list[float]):
    """Sleeps that were asked for, not slept."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def client(settings: WebSettings = SETTINGS, delay: float | None = 0, **more: Any) -> WebClient:
    return WebClient(settings, delay, **more)


def fetch(server: WebServer, path: str = "/a", **more: Any) -> Any:
    with client(**more) as web:
        return web.get(server.origin + path, MEGABYTE)


def refused(server: WebServer, path: str = "/a", **more: Any) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(server, path, **more)
    return str(caught.value)


def test_it_works(server: WebServer) -> None:
    server.page("/a", "<p>text</p>")
    answer = fetch(server)
    assert answer.status == 200
    assert b"<p>text</p>" in answer.body
    assert answer.content_type == "text/html"
    assert answer.validators["etag"].startswith('"')


def test_it_says_who_it_is_and_how_to_reach_its_owner(server: WebServer) -> None:
    fetch(server)
    assert server.headers[0]["User-Agent"] == "bbjrag/2.3.4 (+ops@example.org)"


def test_validators_are_sent_and_an_unchanged_page_carries_no_body(server: WebServer) -> None:
    server.page("/a", "text")
    with client() as web:
        first = web.get(server.origin + "/a", MEGABYTE)
        again = web.get(server.origin + "/a", MEGABYTE, first.validators)
    assert (again.status, again.body) == (304, b"")
    assert server.bodies == 1


def test_a_busy_server_is_asked_again_after_the_time_it_names(server: WebServer) -> None:
    naps = Naps()
    server.page("/a", "text")
    server.next("/a", status(429, retry_after="7"), status(503))
    assert fetch(server, sleep=naps).status == 200
    assert naps[0] == 7
    assert len(server.requests) == 3


def test_a_server_that_asks_for_hours_is_left_alone_at_once(server: WebServer) -> None:
    server.always("/a", status(429, retry_after="7200"))
    assert "asks to wait 7,200 seconds" in refused(server)
    assert len(server.requests) == 1


def test_a_server_that_stays_broken_is_asked_three_times(server: WebServer) -> None:
    server.always("/a", status(500))
    assert "answered 500" in refused(server, sleep=Naps())
    assert len(server.requests) == 3


def test_the_waits_between_attempts_grow(server: WebServer) -> None:
    naps = Naps()
    server.always("/a", status(502))
    refused(server, settings=replace(SETTINGS, retry_wait=1.0, attempts=4), sleep=naps)
    assert 1 <= naps[0] <= 1.5
    assert 2 <= naps[1] <= 3
    assert 4 <= naps[2] <= 6


def test_retry_after_may_be_a_date() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < (retry_after(when) or 0) <= 90
    assert retry_after("soon") is None


def test_requests_keep_their_distance(server: WebServer) -> None:
    naps = Naps()
    with client(delay=3.0, sleep=naps) as web:
        for _ in range(3):
            web.get(server.origin + "/a", MEGABYTE)
    assert [round(nap) for nap in naps] == [3, 3]


def test_a_longer_crawl_delay_wins_over_the_option(server: WebServer) -> None:
    naps = Naps()
    with client(delay=1.0, sleep=naps) as web:
        web.crawl_delay = 10.0
        web.get(server.origin + "/a", MEGABYTE)
        web.get(server.origin + "/a", MEGABYTE)
    assert round(naps[0]) == 10


def test_without_an_option_there_is_still_a_delay(server: WebServer) -> None:
    naps = Naps()
    with client(delay=None, sleep=naps) as web:
        web.get(server.origin + "/a", MEGABYTE)
        web.get(server.origin + "/a", MEGABYTE)
    assert 0.4 < naps[0] <= 0.5


def test_a_body_without_end_is_cut_off_at_the_limit(server: WebServer) -> None:
    server.always("/a", endless(total=1024 * MEGABYTE))
    assert "larger than the limit of 1,048,576 bytes" in refused(server)
    assert server.body_bytes < 64 * MEGABYTE


def test_an_announced_length_above_the_limit_is_not_read(server: WebServer) -> None:
    server.always("/a", Answer(b"x" * (2 * MEGABYTE), headers={"Content-Type": "text/html"}))
    assert "larger than the limit" in refused(server)


def test_a_gzip_bomb_is_unpacked_no_further_than_the_limit(server: WebServer) -> None:
    server.always("/a", gzip_bomb(500 * MEGABYTE))
    tracemalloc.start()
    message = refused(server)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "larger than the limit" in message
    assert peak < 16 * MEGABYTE


def test_packed_pages_are_unpacked(server: WebServer) -> None:
    packed = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
    server.always("/a", Answer(gzip.compress(b"<p>packed</p>"), headers=packed))
    assert fetch(server).body == b"<p>packed</p>"


def test_broken_packing_and_packing_not_asked_for_are_said(server: WebServer) -> None:
    server.always("/a", Answer(b"\x1f\x8bno", headers={"Content-Encoding": "gzip"}))
    server.always("/b", Answer(b"??", headers={"Content-Encoding": "br"}))
    assert "compression is broken" in refused(server)
    assert "'br'" in refused(server, "/b")


def test_a_slow_body_ends_at_the_time_limit(server: WebServer) -> None:
    server.always("/a", endless(b"x", pause=0.05))
    settings = replace(SETTINGS, attempts=1, request_seconds=0.6)
    assert "No complete answer within the time limits" in refused(server, settings=settings)


def test_a_head_that_drips_letter_by_letter_ends_at_the_time_limit(server: WebServer) -> None:
    server.always("/a", Answer(drip=True))
    settings = replace(SETTINGS, attempts=1, request_seconds=0.6)
    assert "No complete answer within the time limits" in refused(server, settings=settings)


def test_silence_ends_at_the_time_limit(server: WebServer) -> None:
    server.always("/a", Answer(hang=2.0))
    settings = replace(SETTINGS, attempts=1, read_seconds=0.2)
    assert "0.2 seconds of silence" in refused(server, settings=settings)


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with client(sleep=Naps()) as web, pytest.raises(FetchError) as caught:
        web.get(f"http://127.0.0.1:{port}/", MEGABYTE)
    assert caught.value.unreachable


def test_redirects_are_left_to_the_caller(server: WebServer) -> None:
    server.always("/a", redirect("http://169.254.169.254/"))
    answer = fetch(server)
    assert (answer.status, answer.headers["location"]) == (302, "http://169.254.169.254/")


def test_a_certificate_that_does_not_fit_is_said(server: WebServer, tmp_path: Path) -> None:
    server.wrap(_self_signed(tmp_path))
    with client() as web, pytest.raises(FetchError, match="secure connection failed") as caught:
        web.get(server.origin.replace("http:", "https:") + "/", MEGABYTE)
    assert "self-signed" in str(caught.value)


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, formats = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key").write_bytes(key.private_bytes(pem, formats, serialization.NoEncryption()))
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context


def test_loopback_is_refused_unless_the_setting_allows_it(server: WebServer) -> None:
    settings = replace(SETTINGS, allow_networks=())
    with client(settings) as web, pytest.raises(AddressRefused, match="WEB_ALLOW_NETWORKS"):
        web.get(server.origin + "/a", MEGABYTE)
    assert server.requests == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
def test_other_spellings_of_loopback_are_refused(server: WebServer, host: str) -> None:
    settings = replace(SETTINGS, allow_networks=(), attempts=1)
    with client(settings) as web, pytest.raises((AddressRefused, FetchError)):
        web.get(f"http://{host}:{server.port}/a", MEGABYTE)
    assert server.requests == []


class Names:
    """A name server whose answers change from one question to the next."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))]


def test_the_connection_goes_to_the_address_that_was_checked(server: WebServer) -> None:
    server.page("/a", "text")
    names = Names("127.0.0.1", "10.0.0.1")
    with client(resolve=names) as web:
        assert web.get(f"http://docs.invalid:{server.port}/a", MEGABYTE).status == 200
    assert names.asked == ["docs.invalid"]
    assert server.headers[0]["Host"] == f"docs.invalid:{server.port}"


def test_a_name_that_later_leads_inside_is_refused_then(server: WebServer) -> None:
    server.always("/a", endless(b"<p>short</p>", total=10))  # ends its connection
    names = Names("127.0.0.1", "169.254.169.254")
    with client(resolve=names) as web:
        assert web.get(f"http://docs.invalid:{server.port}/a", MEGABYTE).status == 200
        with pytest.raises(AddressRefused, match=r"169\.254\.169\.254"):
            web.get(f"http://docs.invalid:{server.port}/a", MEGABYTE)


def test_a_name_with_one_address_inside_is_refused_whole() -> None:
    def both(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(2, 1, 6, "", (ip, port)) for ip in ("93.184.216.34", "192.168.0.1")]

    with client(resolve=both) as web, pytest.raises(AddressRefused):
        web.get("http://docs.invalid/a", MEGABYTE)


def test_a_name_that_nobody_knows_is_unreachable() -> None:
    def unknown(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        raise socket.gaierror(-2, "Name or service not known")

    with client(resolve=unknown, sleep=Naps()) as web, pytest.raises(FetchError) as caught:
        web.get("http://docs.invalid/a", MEGABYTE)
    assert caught.value.unreachable
    assert "docs.invalid" in str(caught.value)


def test_a_mapped_origin_is_read_elsewhere_under_its_own_name(server: WebServer) -> None:
    server.page("/x/a", "text")
    settings = replace(SETTINGS, origin_map={"https://docs.example": server.origin})
    with client(settings) as web:
        answer = web.get("https://docs.example/x/a", MEGABYTE)
        assert web.unmapped(f"{server.origin}/x/b") == "https://docs.example/x/b"
    assert (answer.url, answer.status) == ("https://docs.example/x/a", 200)
    assert server.headers[0]["Host"] == "docs.example"


def test_proxies_of_the_environment_are_not_asked(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.always("/a", html("text"))
    assert fetch(server).status == 200


def test_other_types_are_passed_on_as_they_are(server: WebServer) -> None:
    server.always("/a", typed(b"%PDF-1.4", "application/pdf"))
    assert fetch(server).content_type == "application/pdf"
