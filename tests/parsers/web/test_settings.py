"""The settings of web sources, and the command that serves the samples."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from bbjrag import env

SERVE = Path(__file__).resolve().parents[3] / "sample_data/serve.py"
FETCH = """
import os, sys, urllib.request
pairs = dict(pair.split("=") for pair in os.environ["WEB_ORIGIN_MAP"].split(","))
page = urllib.request.urlopen(pairs["https://basis.cloud"] + "/robots.txt").read().decode()
print(os.environ["WEB_ALLOW_NETWORKS"], "User-agent" in page)
sys.exit(7)
"""

STOP_SLOWLY = """
import signal, sys, time
def stop(*_):
    time.sleep(1)
    print("ended well")
    sys.exit(3)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
print("ready", flush=True)
time.sleep(30)
"""


def test_networks_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_ALLOW_NETWORKS", "10.1.0.0/16, ::1")
    assert env.networks("WEB_ALLOW_NETWORKS") == (ip_network("10.1.0.0/16"), ip_network("::1/128"))


@pytest.mark.parametrize("value", ["10.1.0.1/16", "intranet", "10.0.0.0/33"])
def test_what_is_no_network_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WEB_ALLOW_NETWORKS", value)
    with pytest.raises(ImproperlyConfigured, match="WEB_ALLOW_NETWORKS"):
        env.networks("WEB_ALLOW_NETWORKS")


def test_origins_are_read_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_ORIGIN_MAP", "https://a.example=http://127.0.0.1:1,https://b=http://c/")
    assert env.origins("WEB_ORIGIN_MAP") == {
        "https://a.example": "http://127.0.0.1:1",
        "https://b": "http://c",
    }


@pytest.mark.parametrize("value", ["https://a.example", "a=b", "https://a/path=http://b"])
def test_what_is_no_pair_of_origins_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("WEB_ORIGIN_MAP", value)
    with pytest.raises(ImproperlyConfigured, match="not a pair of origins"):
        env.origins("WEB_ORIGIN_MAP")


def serving(code: str, **variables: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WEB_", "DATA_DIR"))}
    return subprocess.Popen(
        [sys.executable, str(SERVE), sys.executable, "-c", code],
        env={**kept, **variables},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def serve(code: str, **variables: str) -> tuple[str, int]:
    process = serving(code, **variables)
    said, _ = process.communicate(timeout=60)
    return said.strip(), process.returncode


def test_the_samples_are_served_while_a_command_runs_and_its_status_is_kept() -> None:
    assert serve(FETCH, DATA_DIR=str(SERVE.parent)) == ("127.0.0.0/8 True", 7)


def test_with_other_data_the_command_runs_as_it_is(tmp_path: Path) -> None:
    said, _ = serve("import os; print('WEB_ORIGIN_MAP' in os.environ)", DATA_DIR=str(tmp_path))
    assert said == "False"


@pytest.mark.parametrize("ctrl_c", [True, False])
def test_a_command_that_is_told_to_stop_ends_in_its_own_time(ctrl_c: bool) -> None:
    process = serving(STOP_SLOWLY, DATA_DIR=str(SERVE.parent))
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    if ctrl_c:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    else:
        process.terminate()
    said, _ = process.communicate(timeout=60)
    assert (said.strip(), process.returncode) == ("ended well", 3)


@pytest.mark.parametrize("target", ["ingest", "serve", "worker"])
def test_what_reads_sources_reads_the_sample_sites(target: str) -> None:
    command = ["make", "--no-print-directory", "--dry-run", "--always-make", target]
    done = subprocess.run(command, cwd=SERVE.parent.parent, capture_output=True, text=True)
    assert " sample_data/serve.py .venv/bin/python " in done.stdout.splitlines()[-1]
