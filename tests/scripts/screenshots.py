"""Pictures of the admin for README and docs/tour.md, on the sample data.

    python -m tests.scripts.screenshots docs/screenshots [--only NAME]

Sets up a database of its own, reads a copy of the sample sources, serves the admin on a free port
and walks through its main pages at 1400 and 400 pixels, light and dark. Keeps the pictures that are
shown somewhere, and says which pages are wider than the window.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "for-pictures-only"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
WIDTHS = (1400, 400)
# The pictures that are shown somewhere, and where each is cut off.
KEPT = {
    "overview-1400-light": 900,
    "overview-1400-dark": 900,
    "overview-400-light": 1400,
    "source-1400-light": 1400,
    "preview-1400-light": 2600,
    "run-1400-light": 1900,
    "run-400-dark": 1400,
    "failures-1400-light": 1100,
    "search-1400-light": 1100,
    "chunk-1400-light": 1300,
    "quality-1400-light": 1500,
}
SOURCES = ("mdx-dwc", "mdx-beginner", "bbj-source", "pdf", "flare")
PAGES = {
    "overview": "/admin/",
    "sources": "/admin/sources/source/",
    "source": "/admin/sources/source/ -> mdx-dwc",
    "preview": "/admin/sources/source/ -> flare -> Preview",
    "runs": "/admin/ingestion/run/",
    "run": "/admin/ingestion/run/ -> .",
    "failures": "/admin/ingestion/failure/",
    "search": "/admin/search/?q=open a window",
    "chunks": "/admin/ingestion/chunk/",
    "chunk": "/admin/ingestion/chunk/?q=theme -> .",
    "quality": "/admin/quality/",
}


def manage(*arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, check=True)


def set_up(data: Path) -> None:
    """Read the sample sources, one program of which is broken; then have most topics vanish."""
    manage("migrate", "--verbosity", "0")
    os.environ["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    user = ["--username", "ada", "--email", "ada@example.org"]
    command = [sys.executable, "manage.py", "createsuperuser", "--noinput", *user]
    subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.DEVNULL)
    shutil.copytree(ROOT / "sample_data", data)
    (data / "bbj-beginner-tutorial/Compiled.bbj").write_bytes(b"<<bbj>>\0\1\2\3" * 40)
    ingest(*SOURCES)
    for topic in sorted((data / "bbjdocs").rglob("*.htm"))[:-3]:
        topic.unlink()
    ingest("flare", "bbj-source")


def ingest(*names: str) -> None:
    named = [part for name in names for part in ("--source", name)]
    subprocess.run([sys.executable, "manage.py", "ingest_all", *named], cwd=ROOT, check=False)


@contextmanager
def served() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "gunicorn", "bbjrag.wsgi", "--bind", address, "--threads", "4"]
    server = subprocess.Popen(command, cwd=ROOT)
    worker = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=ROOT)
    try:
        _wait_for(f"http://{address}/admin/login/")
        yield f"http://{address}"
    finally:
        for process in (server, worker):
            process.terminate()
            process.wait()


def _wait_for(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{url} does not answer.")


def shoot(browser: Browser, base: str, folder: Path, only: str) -> list[str]:
    """Take the pictures; the pages that are wider than their window."""
    wide = []
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            context = browser.new_context(
                base_url=base, viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            page = context.new_page()
            log_in(page)
            for name in PAGES if not only else only.split(","):
                go(page, PAGES[name])
                picture = f"{name}-{width}-{scheme}"
                if picture in KEPT:
                    shot = page.screenshot(full_page=True)
                    save(shot, folder / f"{picture}.png", KEPT[picture])
                inner = page.evaluate("document.documentElement.scrollWidth")
                if inner > width:
                    wide.append(f"{name} is {inner} pixels wide at {width}")
            context.close()
    return wide


def save(png: bytes, path: Path, tallest: int) -> None:
    """With 256 colours, which is a third of the size and looks the same."""
    with Image.open(io.BytesIO(png)) as picture:
        height = min(picture.height, tallest)
        small = picture.crop((0, 0, picture.width, height)).convert("RGB")
        small.quantize(256, kmeans=2).save(path, optimize=True)


def log_in(page: Page) -> None:
    page.goto("/admin/login/?next=/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def go(page: Page, where: str) -> None:
    """Open an address; after an arrow, follow the first link of the list that has that text; after
    another one, press the button of that name."""
    address, link, button = [*where.split(" -> "), "", ""][:3]
    page.goto(address)
    if link:
        links = page.locator("#result_list tbody th a, .hits a.hit")
        (links.first if link == "." else links.filter(has_text=link).first).click()
    if button:
        page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_load_state("networkidle")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="names of pages, with commas")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="bbjrag-pictures-"))
    os.environ |= {"STATE_DIR": str(scratch / "state"), "DATA_DIR": str(scratch / "data")}
    set_up(scratch / "data")
    try:
        with served() as base, sync_playwright() as playwright:
            executable = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            wide = shoot(browser, base, options.folder.resolve(), options.only)
            browser.close()
    finally:
        manage("postgres", "stop")
        shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(wide) or "No page is wider than its window.")
    return bool(wide)


if __name__ == "__main__":
    sys.exit(main())
