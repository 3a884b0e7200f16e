"""Pictures of the admin for README and docs/tour.md.

    python -m tests.scripts.screenshots docs/screenshots [--only NAMES] [--material FOLDER] [--all]

Sets up a database of its own, reads a copy of the sample sources, serves the admin on a free port
and walks through its pages at 390, 1400 and 1920 pixels, light and dark. Keeps the pictures that
are shown somewhere, with --all every one, and says which pages are wider than the window.
--material names a folder of real material to read instead, as BBJRAG_CORPUS does for the tests.
"""

from __future__ import annotations

import argparse
import io
import json
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
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "for-pictures-only"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
WIDTHS = (1400, 390, 1920)
TALLEST = 4000  # pixels of a picture that is only looked at
# The pictures that are shown somewhere, and where each is cut off.
KEPT = {
    "overview-1400-light": 900,
    "overview-1400-dark": 900,
    "overview-390-light": 1400,
    "source-1400-light": 900,
    "settings-1400-light": 1400,
    "preview-1400-light": 1400,
    "run-1400-light": 1900,
    "run-390-dark": 1400,
    "compare-1400-light": 1200,
    "problems-1400-light": 1100,
    "search-1400-light": 1100,
    "document-1400-light": 1300,
    "page-1400-light": 1300,
    "document-390-dark": 1400,
    "quality-1400-light": 1500,
}
# Name, title, parser and folder of real material.
MATERIAL = (
    ("laserfiche", "Laserfiche Cloud help", "FlareParser", "flare/laserfiche-cloud"),
    ("dwc-course", "DWC course", "MdxParser", "mdx/dwc-course/docs"),
    ("beginner-course", "BBj for beginners", "MdxParser", "mdx/bbj-beginner-course/docs"),
    ("programs", "BBj programs", "BbjSourceParser", "bbj-source"),
    ("manuals", "PDF manuals", "PdfParser", "pdf"),
)
SOURCES = ("mdx-dwc", "mdx-beginner", "bbj-source", "pdf", "flare")
PAGES = {
    "overview": "/admin/",
    "sources": "/admin/sources/source/",
    "source": "/admin/sources/source/ -> mdx-dwc",
    "settings": "/admin/sources/source/ -> mdx-dwc -> Settings",
    "add": "/admin/sources/source/add/",
    "import": "/admin/sources/source/import/",
    "preview": "/admin/sources/source/ -> flare -> Preview",
    "runs": "/admin/ingestion/run/",
    "run": "/admin/ingestion/run/ -> .",
    "compare": "/admin/ingestion/run/ -> . -> Compare with…",
    "problems": "/admin/ingestion/failure/",
    "search": "/admin/search/?q=open a window",
    "chunks": "/admin/ingestion/chunk/",
    "documents": "/admin/ingestion/document/",
    "document": "/admin/ingestion/chunk/?q=theme -> .",
    "page": "/admin/ingestion/chunk/?q=journey -> .",
    "left-out": "/admin/ingestion/document/left-out/",
    "quality": "/admin/quality/",
    "models": "/admin/ingestion/embeddingprofile/",
    "people": "/admin/auth/user/",
    "tokens": "/admin/ingestion/apitoken/",
}


def manage(*arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, check=True)


def set_up() -> None:
    manage("migrate", "--verbosity", "0")
    os.environ["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    user = ["--username", "ada", "--email", "ada@example.org"]
    command = [sys.executable, "manage.py", "createsuperuser", "--noinput", *user]
    subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.DEVNULL)


def read_material(folder: Path) -> None:
    """Make a source of each folder of real material, and read them all."""
    rows = [
        {"name": name, "title": title, "parser": parser, "paths": [path]}
        for name, title, parser, path in MATERIAL
        if (folder / path).exists()
    ]
    file = Path(os.environ["STATE_DIR"]) / "sources.json"
    file.write_text(json.dumps({"format": "bbjrag sources", "version": 1, "sources": rows}))
    manage("import_sources", str(file))
    ingest(*(str(row["name"]) for row in rows))


def read_samples(data: Path) -> None:
    """Read the sample sources, one program of which is broken; then have most topics vanish."""
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


def shoot(browser: Browser, base: str, folder: Path, only: str, everything: bool) -> list[str]:
    """Take the pictures; return the pages that are wider than their window."""
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
                if picture in KEPT or everything:
                    page.evaluate("scrollTo(0, 0)")
                    shot = page.screenshot(full_page=True)
                    save(shot, folder / f"{picture}.png", KEPT.get(picture, TALLEST))
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
    another one, press the button or link of that name. A preview is waited for."""
    address, link, button = [*where.split(" -> "), "", ""][:3]
    page.goto(address)
    if link:
        links = page.locator("#result_list tbody th a, .hits a.hit")
        (links.first if link == "." else links.filter(has_text=link).first).click()
    if button:
        named: dict[str, Any] = {"name": button, "exact": True}
        main = page.get_by_role("main")
        main.get_by_role("button", **named).or_(main.get_by_role("link", **named)).first.click()
    page.wait_for_load_state("networkidle")
    if button == "Preview":
        page.locator("[data-ended]").first.wait_for(state="attached", timeout=60_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="names of pages, with commas")
    parser.add_argument("--material", type=Path, help="a folder of real material to read")
    parser.add_argument("--all", action="store_true", help="keep every picture")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="bbjrag-pictures-"))
    data = options.material or scratch / "data"
    os.environ |= {"STATE_DIR": str(scratch / "state"), "DATA_DIR": str(data)}
    set_up()
    read_material(data) if options.material else read_samples(data)
    try:
        with served() as base, sync_playwright() as playwright:
            executable = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            wide = shoot(browser, base, options.folder.resolve(), options.only, options.all)
            browser.close()
    finally:
        manage("postgres", "stop")
        shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(wide) or "No page is wider than its window.")
    return bool(wide)


if __name__ == "__main__":
    sys.exit(main())
