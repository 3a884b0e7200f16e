"""The scripts of docs/http-api.md, run as they are written there against `make serve`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.journeys.site import ROOT, SAMPLES, Site

SCRIPTS = re.findall(
    r"^```bash\n(.*?)^```", (ROOT / "docs" / "http-api.md").read_text(), re.MULTILINE | re.DOTALL
)
MAKE = (
    "from ingestion.api.tokens import make; from sources.models import Source;"
    " print(make('build', sources=Source.objects.filter(name='flare'), rights={!r})[1])"
)
LAST = "from ingestion.models import Run; print(Run.objects.first().pk)"
needs_programs = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="curl and jq are needed"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(SAMPLES, folder / "samples")
    with Site(folder, folder / "samples").served() as site:
        yield site


def token(site: Site, *rights: str) -> str:
    return site.manage("shell", "--verbosity", "0", "--command", MAKE.format(rights)).strip()


def script(
    site: Site, number: int, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", SCRIPTS[number], "ingest.sh", *arguments],
        env={**os.environ, "BBJRAG_URL": site.url, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@needs_programs
def test_a_build_ingests_its_source_and_waits(site: Site) -> None:
    allowed = token(site, "run")
    page = next(site.data.glob("bbjdocs/Content/**/*.htm"))
    pages = [page.with_name(f"more{number}.htm") for number in range(20)]
    for number, one in enumerate(pages):
        one.write_text(page.read_text().replace("</body>", f"<p>Page {number}.</p></body>"))
    done = script(site, 0, "flare", BBJRAG_TOKEN=allowed)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert (said["source"], said["state"]) == ("flare", "succeeded")
    assert said["added"] > len(pages)

    for one in pages:
        one.unlink()
    held = script(site, 0, "flare", BBJRAG_TOKEN=allowed)
    assert held.returncode == 1, held.stdout + held.stderr
    run = json.loads(site.manage("shell", "--verbosity", "0", "--command", LAST))
    decided = script(site, 1, BBJRAG_TOKEN=allowed, RUN=str(run))
    assert decided.returncode == 0, decided.stdout + decided.stderr
    assert json.loads(decided.stdout)["sources"][0]["removed"] == len(pages)


@needs_programs
def test_a_build_that_may_not_or_asks_for_another_source_fails(site: Site) -> None:
    for source, rights in (("flare", ("search", "read")), ("pdf", ("run",))):
        done = script(site, 0, source, BBJRAG_TOKEN=token(site, *rights))
        assert done.returncode == 22, done.stdout + done.stderr
        assert "error" in done.stdout + done.stderr
