"""The alerts and the dashboard ask for metrics, labels and states that /metrics has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from ingestion.api import tokens
from ingestion.models import Failure, Run, SourceRun, State
from tests.support.indexed import document, index, source

ROOT = Path(settings.BASE_DIR)
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/bbjrag.json"
OF_PROMETHEUS = {"up": {"job"}}
SELECTOR = re.compile(r"\b(bbjrag_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")
SHOWN = re.compile(r"\$labels\.(\w+)|^\{\{(\w+)\}\}$")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def targets() -> list[dict[str, Any]]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target for panel in panels for target in panel["targets"]]


def asked() -> Iterator[tuple[str, set[str], str]]:
    """Each metric that is asked for, with the labels that are used of it, and where."""
    texts = [(rule["expr"], json.dumps(rule["annotations"])) for rule in rules()]
    texts += [(target["expr"], target["legendFormat"]) for target in targets()]
    for expression, shown in texts:
        labels = {found[0] or found[1] for found in SHOWN.findall(shown)}
        for grouped in GROUPED.findall(expression):
            labels |= {name.strip() for name in grouped.split(",")}
        for name, matchers in SELECTOR.findall(expression):
            yield name, labels | {label for label, _ in MATCHER.findall(matchers)}, expression


@pytest.fixture
def exposed(client: Client) -> dict[str, set[str]]:
    """The names of the samples that an installation with everything has, with their labels."""
    docs = source("docs")
    index(document("a.md", "About windows."))
    run = Run.objects.create(origin=Run.Origin.COMMAND)
    ended = {"run": run, "source": docs, "source_name": "docs", "finished_at": timezone.now()}
    row = SourceRun.objects.create(state=State.PARTIAL, **ended)
    Failure.objects.create(source_run=row, source=docs, stage="parse", message="Broken.")
    _, token = tokens.make("test")
    headers = {"Authorization": f"Bearer {token}"}
    client.post("/api/search", {"query": "a"}, content_type="application/json", headers=headers)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.django_db
def test_each_metric_and_label_that_is_asked_for_is_there(exposed: dict[str, set[str]]) -> None:
    known = exposed | OF_PROMETHEUS
    for name, labels, expression in asked():
        assert name in known, expression
        assert labels <= known[name], expression
    assert {name for name, _, _ in asked()} >= {"up", "bbjrag_search_seconds_bucket"}


def test_each_state_that_is_asked_for_is_one() -> None:
    texts = [*(rule["expr"] for rule in rules()), *(target["expr"] for target in targets())]
    named = [value for text in texts for label, value in MATCHER.findall(text) if label == "state"]
    assert named
    assert set(named) <= set(State.values)


def test_each_alert_says_what_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 8
    for rule in rules():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in _rows(at)}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def _rows(at: dict[str, int]) -> range:
    return range(at["y"], at["y"] + at["h"])
