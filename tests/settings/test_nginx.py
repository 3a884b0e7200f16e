"""The example of a reverse proxy, in a real nginx in front of a real web server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.project.test_containers import free_port
from tests.settings.place import Place, end
from tests.settings.test_web_server import SECRET, serve
from tests.support import slow_clients
from tests.support.installation import ROOT
from tests.support.reading import until

NAME = "docs.example.com"
NGINX = shutil.which("nginx") or ""
pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed")
AROUND = """
daemon off; pid {folder}/pid; error_log {folder}/log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
  fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  include {folder}/bbjrag.conf;
}}
"""


@dataclass
class Proxy:
    plain: int
    secure: int

    def ask(self, path: str, **options: str) -> httpx.Response:
        address = f"https://127.0.0.1:{self.secure}{path}"
        given = {"Host": NAME, **options}
        return httpx.get(address, headers=given, verify=False, trust_env=False)


def certify(folder: Path) -> None:
    """A certificate that this name signs for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    made = made.public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    encoding = serialization.Encoding.PEM
    (folder / "pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(encoding))
    form, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(encoding, form, no_password))


def configure(folder: Path, upstream: int, proxy: Proxy) -> Path:
    """The example with the ports and files of this test."""
    example = (ROOT / "deploy/nginx.conf").read_text()
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{upstream}",
        "listen 80;": f"listen 127.0.0.1:{proxy.plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{proxy.secure} ssl;",
        "/etc/ssl/certs/docs.example.com.pem": str(folder / "pem"),
        "/etc/ssl/private/docs.example.com.key": str(folder / "key"),
    }
    for old, new in changes.items():
        assert old in example
        example = example.replace(old, new)
    (folder / "bbjrag.conf").write_text(example)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    return folder / "nginx.conf"


@pytest.fixture(scope="module")
def proxy(installation: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    site = serve(installation, NAME, ALLOWED_HOSTS=NAME, SECRET_KEY=SECRET)
    proxy = Proxy(free_port(), free_port())
    certify(folder)
    command = [NGINX, "-p", str(folder), "-c", str(configure(folder, site.port, proxy))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as nginx:
        until(lambda: slow_clients.is_open(proxy.secure), 20)
        yield proxy
        nginx.terminate()
    end(site.process)


def test_it_works(proxy: Proxy) -> None:
    page = proxy.ask("/admin/login/")
    assert page.status_code == 200
    assert page.headers["Strict-Transport-Security"]
    assert "secure" in page.headers["Set-Cookie"].lower()


def test_plain_http_is_sent_to_https(proxy: Proxy) -> None:
    address = f"http://127.0.0.1:{proxy.plain}/admin/"
    page = httpx.get(address, headers={"Host": NAME}, trust_env=False)
    assert (page.status_code, page.headers["Location"]) == (301, f"https://{NAME}/admin/")


def test_clients_that_send_slowly_hold_up_nobody(proxy: Proxy) -> None:
    with slow_clients.dripping(proxy.plain, slow_clients.HEAD, 60):
        assert proxy.ask("/health").status_code == 200


def test_a_body_that_is_too_large_does_not_get_through(proxy: Proxy) -> None:
    address = f"https://127.0.0.1:{proxy.secure}/admin/login/"
    body = b"x" * 300_000
    page = httpx.post(address, content=body, headers={"Host": NAME}, verify=False, trust_env=False)
    assert page.status_code == 413
    assert "nginx" in page.text


def test_one_address_asks_so_often_and_no_more(proxy: Proxy) -> None:
    address = f"https://127.0.0.1:{proxy.secure}/health"
    with httpx.Client(headers={"Host": NAME}, verify=False, trust_env=False) as client:
        codes = [client.get(address).status_code for _ in range(200)]
    assert codes[:50] == [200] * 50
    assert 429 in codes
