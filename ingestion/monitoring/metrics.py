"""What Prometheus reads: the state of the tables at each scrape, and the web server's searches."""

from __future__ import annotations

import os
from collections.abc import Iterator

from django.db.models import Count
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ingestion import access
from ingestion.models import Failure, SourceRun
from ingestion.monitoring import statistics
from ingestion.runs import reembedding

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
registry = CollectorRegistry()
search_seconds = Histogram(
    "bbjrag_search_seconds",
    "Seconds a search took, its embedder included.",
    ["mode"],
    registry=registry,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
api_responses = Counter(
    "bbjrag_api_responses", "Responses of the HTTP API.", ["view", "status"], registry=registry
)


class Tables(Collector):
    """Counts rows when Prometheus asks; each with one query over an index."""

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        documents = GaugeMetricFamily("bbjrag_documents", "Documents stored.", labels=["source"])
        chunks = GaugeMetricFamily("bbjrag_chunks", "Chunks stored.", labels=["source"])
        last = GaugeMetricFamily(
            "bbjrag_last_success_timestamp_seconds",
            "When a reading of the source last ended well.",
            labels=["source"],
        )
        with access.everything():
            counts = statistics.by_source()
        for count in counts:
            documents.add_metric([count.name], count.documents)
            chunks.add_metric([count.name], count.chunks)
            if count.last_success:
                last.add_metric([count.name], count.last_success.timestamp())
        yield from (documents, chunks, last, _to_reembed(), _source_runs(), _failures())


def _to_reembed() -> Metric:
    far = reembedding.progress()
    return GaugeMetricFamily(
        "bbjrag_chunks_to_reembed",
        "Chunks that wait for the vectors they end up with (EMBEDDING_PROVIDER=auto).",
        value=far.left if far else 0,
    )


def _source_runs() -> Metric:
    family = GaugeMetricFamily("bbjrag_source_runs", "Source runs by state.", labels=["state"])
    rows = SourceRun.objects.order_by().values_list("state").annotate(number=Count("pk"))
    for state, number in rows:
        family.add_metric([state], number)
    return family


def _failures() -> Metric:
    family = GaugeMetricFamily(
        "bbjrag_open_failures", "Failures that no later run has resolved.", labels=["source"]
    )
    failures = Failure.objects.open().errors()
    rows = failures.order_by().values_list("source__name").annotate(number=Count("pk"))
    for name, number in rows:
        family.add_metric([name or ""], number)
    return family


registry.register(Tables())


def exposed() -> bytes:
    """The text for Prometheus, with the searches of all processes that share a folder for them."""
    if FOLDER not in os.environ:
        return generate_latest(registry)
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    shared.register(Tables())
    return generate_latest(shared)
