"""What is measured. Each measure makes its own material and gives findings, ratios first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from bench import bare, embedder, ingest, material, peers, workspace
from bench import cpu as bench_cpu
from bench.ingest import Ingested
from ingestion.embedding.base import EmbedderSettings
from ingestion.models import Chunk, EmbeddingProfile
from ingestion.monitoring import consistency
from ingestion.processes import processors
from sources.models import Source

REAL_MODEL = "all-minilm"
CHANGED = 0.01
MANY_TIMES = 20
CLUSTERS = 4
PEERS = {"chunks_per_second": 536.0, "unchanged_seconds": 10.0, "peak_mb": 300.0}
PEERS_PAGES = 7_000


SLOW_TOPICS = 550
SLOW: dict[str, tuple[embedder.Speed, dict[str, str]]] = {
    "takes 4 s for a request, one at a time": (embedder.Speed(1, batch=4.0), {}),
    "takes 1 s for each of up to eight requests of eight texts": (
        embedder.Speed(8, batch=1.0),
        {"EMBEDDING_BATCH_SIZE": "8"},
    ),
    "takes 0.1 s for a request and 8 ms for a text, one at a time": (
        embedder.Speed(1, batch=0.1, text=0.008),
        {},
    ),
}


@dataclass(frozen=True)
class Size:
    """Topics of the main measures, of the one with a real Ollama, and of those that show growth;
    chunks to search in; the measures that are taken; another checkout to compare with."""

    topics: int
    ollama_topics: int
    growth: tuple[int, ...]
    searched: int
    measures: tuple[str, ...]
    against: Path | None = None


MOST = (
    *("cpu", "cores", "loads", "pages", "workers", "clusters", "large", "busy", "ollama"),
    "search",
)
SIZES = {
    "quick": Size(400, 12, (100, 400), 3_000, ("cpu", "loads", "search")),
    "standard": Size(7_000, 40, (500, 1_500, 4_500), 50_000, (*MOST, "growth")),
    "full": Size(7_000, 100, (1_000, 10_000, 100_000), 1_000_000, (*MOST, "growth", "memory")),
}


@dataclass
class Finding:
    """`ratio` is what counts; `most` what it should not exceed (with `least`, not fall below).
    What is `exact` does not depend on the machine: no slack is given."""

    name: str
    ratio: float
    unit: str = "x"
    most: float | None = None
    least: float | None = None
    exact: bool = False
    note: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return self.within(1.0)

    def within(self, slack: float) -> bool:
        """Whether it holds, were its bound `slack` times as wide."""
        slack = 1.0 if self.exact else slack
        if self.most is not None:
            return self.ratio <= self.most * slack
        return self.least is None or self.ratio >= self.least / slack


@contextmanager
def _served(dimensions: int) -> Iterator[tuple[dict[str, str], EmbedderSettings]]:
    """The environment and the settings of an embedder: wordllama (256), or the loopback server."""
    if dimensions == 256:
        yield {}, EmbedderSettings()
        return
    with embedder.serving(dimensions) as host:
        yield _ollama(host, embedder.MODEL)


def _ollama(host: str, model: str) -> tuple[dict[str, str], EmbedderSettings]:
    environment = {
        "EMBEDDING_PROVIDER": "ollama",
        "EMBEDDING_MODEL": model,
        "OLLAMA_HOST": host,
    }
    return environment, EmbedderSettings(provider="ollama", model=model, hosts=(host,))


def loads(size: Size) -> Iterator[Finding]:
    """Cold, unchanged and 1 % changed, with both fast embedders."""
    for dimensions in (256, 1024):
        folder = material.project("flare", size.topics)
        ingest.empty()
        source = ingest.add_source("flare")
        with _served(dimensions) as (environment, settings):
            yield from _load(folder, source, dimensions, environment, settings)


def _load(
    folder: Path,
    source: Source,
    dimensions: int,
    environment: Mapping[str, str],
    settings: EmbedderSettings,
) -> Iterator[Finding]:
    cold = ingest.ingest([source], environment)
    parts = _parts(source, settings)
    written = ingest.written()
    same = ingest.ingest([source], environment)
    touched = sum(ingest.written().values()) - sum(written.values()) + same.counters["embedded"]
    before = _hashes()
    topics = material.change(folder, CHANGED)
    changed = ingest.ingest([source], environment)
    new = len(_hashes() - before)
    rate = cold.counters["chunks"] / cold.seconds
    yield Finding(
        f"cold, {dimensions} dimensions: run / bare parts",
        cold.seconds / sum(parts.values()),
        most=1.3,
        note=f"{cold.counters['chunks']:,} chunks in {cold.seconds:.1f} s, {rate:,.0f}/s",
        figures={"run": asdict(cold), "parts": parts, "chunks_per_second": rate},
    )
    yield Finding(
        f"unchanged, {dimensions} dimensions: run / cold run",
        same.seconds / cold.seconds,
        most=0.05,
        note=f"{same.seconds:.2f} s for {same.counters['unchanged']:,} documents",
        figures={"run": asdict(same)},
    )
    yield Finding(
        f"unchanged, {dimensions} dimensions: chunks written or embedded",
        touched,
        unit="",
        most=0,
        exact=True,
    )
    yield Finding(
        f"1 % changed, {dimensions} dimensions: embedded / changed chunks",
        changed.counters["embedded"] / max(new, 1),
        most=1.0,
        exact=True,
        note=f"{topics} documents, {new} new chunks, {changed.seconds:.2f} s "
        f"({changed.seconds / cold.seconds:.3f} of the cold run)",
        figures={"run": asdict(changed), "new_chunks": new},
    )
    peak = max(run.peak_mb for run in (cold, same, changed))
    yield Finding(
        f"memory, {dimensions} dimensions: peak of the reading", peak, unit="MB", most=400
    )


def _parts(source: Source, settings: EmbedderSettings) -> dict[str, float]:
    profile = EmbeddingProfile.objects.get()
    copied, indexed = bare.copy_and_index(profile)
    return {
        "read": bare.read(source.config(), source.parser),
        "embed": bare.embed(settings, bare.stored_texts()),
        "copy": copied,
        "index": indexed,
    }


def _hashes() -> set[str]:
    return set(Chunk.objects.order_by().values_list("content_hash", flat=True))


def cpu_time(size: Size) -> Iterator[Finding]:
    """The CPU time of a first load with wordllama, and the share of it that only the process that
    coordinates can do. Against another checkout, each is measured twice, in turn."""
    material.project("flare", size.topics)
    ours = [_cpu_load(bench_cpu.Checkout(ingest.ROOT))]
    if size.against:
        theirs = [_cpu_load(bench_cpu.Checkout(size.against)) for _ in range(2)]
        ours.append(_cpu_load(bench_cpu.Checkout(ingest.ROOT)))
        for name, what in (("CPU", "cpu"), ("time", "seconds")):
            mine, other = (sum(getattr(load, what) for load in some) for some in (ours, theirs))
            figures = {"ours": [asdict(x) for x in ours], "theirs": [asdict(x) for x in theirs]}
            yield Finding(
                f"first load: {name} / the other checkout's",
                mine / other,
                note=f"{mine / 2:.1f} s, {other / 2:.1f} s",
                figures=figures,
            )
    load = ours[-1]
    yield Finding(
        "first load: CPU time for 1,000 chunks",
        load.per_thousand,
        unit="s",
        note=f"{load.chunks:,} chunks in {load.seconds:.1f} s; {load.cpu:.1f} s of CPU, of which "
        f"{load.database:.1f} s in the database",
        figures=asdict(load),
    )
    share = load.coordinator / load.cpu
    gains = ", ".join(f"{1 / (share + (1 - share) / n):.1f} on {n}" for n in (4, 16, 64))
    yield Finding(
        "first load: CPU of the coordinator / of all",
        share,
        most=0.15,
        note=f"by Amdahl's law at most so many times as fast as on one core: {gains}",
        figures=asdict(load),
    )


def _cpu_load(checkout: bench_cpu.Checkout, **environment: str) -> bench_cpu.Load:
    return checkout.load("flare", "FlareParser", environment)


def cores(size: Size) -> Iterator[Finding]:
    """A first load with one process that reads, and with more, up to the processors there are."""
    material.project("flare", size.topics)
    number, seconds = processors.usable(), {}
    for processes in sorted({1, 2, 4, 8, 16, 32, 64, number}):
        if processes <= number:
            load = _cpu_load(bench_cpu.Checkout(ingest.ROOT), CHUNKING_PROCESSES=str(processes))
            seconds[processes] = load.seconds
    yield Finding(
        f"first load: {number} processes / one",
        seconds[number] / seconds[1],
        note=", ".join(f"{n}: {spent:.1f} s" for n, spent in seconds.items()),
        figures={"seconds": seconds},
    )


def pages(size: Size) -> Iterator[Finding]:
    """Markdown pages, embedded by a server that answers at once with 1024 dimensions.

    The bounds are the best that three others reached, each in what it is best at, with 7,000 pages
    of 56 MB on a machine with two cores: PEERS.
    """
    material.pages("pages", size.topics)
    ingest.empty()
    source = ingest.add_source("pages", "MdxParser")
    with _served(1024) as (environment, _):
        cold = ingest.ingest([source], environment)
        same = ingest.ingest([source], environment)
    rate = cold.counters["chunks"] / cold.command
    share = size.topics / PEERS_PAGES
    figures = {"cold": asdict(cold), "same": asdict(same)}
    name = f"{size.topics:,} Markdown pages"
    yield Finding(
        f"{name}: chunks a second / the fastest other's",
        rate / PEERS["chunks_per_second"],
        least=1.0,
        note=f"{cold.counters['chunks']:,} chunks in {cold.command:.1f} s, {rate:,.0f}/s",
        figures=figures,
    )
    yield Finding(
        f"{name}, unchanged: seconds / the fastest other's",
        same.command / (PEERS["unchanged_seconds"] * share),
        most=1.0,
        note=f"{same.command:.2f} s, the start of the command included",
        figures=figures,
    )
    peak = max(cold.peak_mb, same.peak_mb)
    yield Finding(
        f"{name}: peak / the smallest other's",
        peak / PEERS["peak_mb"],
        most=1.0,
        note=f"{peak:.0f} MB",
    )


def beside_peers(size: Size) -> Iterator[Finding]:
    """A first load of Markdown pages and an unchanged one, with an embedder that answers at once,
    by this product, by LangChain's indexer and by LlamaIndex's pipeline, one after the other.

    This one also has a vector index and full text, which they do not make.
    """
    folder = material.pages("pages", size.topics)
    ingest.empty()
    peers.forget()
    peers.install()
    with embedder.serving(1024) as host:
        environment, _ = _ollama(host, embedder.MODEL)
        source = ingest.add_source("pages", "MdxParser")
        ours = [ingest.ingest([source], environment) for _ in range(2)]
        for script in ("langchain_index", "llamaindex_pipeline"):
            cold, same = (peers.load(script, folder, host, embedder.MODEL) for _ in range(2))
            rate, other = ours[0].chunks / ours[0].command, cold.chunks / cold.seconds
            is_langchain = script.startswith("langchain")
            figures = {"ours": [asdict(run) for run in ours], "other": [asdict(cold), asdict(same)]}
            name = "LangChain" if is_langchain else "LlamaIndex"
            yield Finding(
                f"{size.topics:,} Markdown pages: chunks a second / {name}'s",
                rate / other,
                least=2.5 if is_langchain else None,
                note=f"{ours[0].chunks:,} in {ours[0].command:.1f} s, {rate:,.0f}/s; "
                f"{cold.chunks:,} in {cold.seconds:.1f} s, {other:,.0f}/s",
                figures=figures,
            )
            yield Finding(
                f"{size.topics:,} Markdown pages, unchanged: seconds / {name}'s",
                ours[1].command / same.seconds,
                most=0.5,
                note=f"{ours[1].command:.2f} s, {same.seconds:.2f} s, of whole commands",
                figures=figures,
            )
    peers.forget()


def workers(size: Size) -> Iterator[Finding]:
    """Two sources with one worker and with two, the vector index left aside: it is built once all
    is stored, by as many processes as there are cores, however many workers there are.

    With one process for each source: with more, one worker keeps two cores busy already.
    """
    halves = [f"half{number}" for number in (1, 2)]
    for seed, name in enumerate(halves, 1):
        material.project(name, size.topics // 4, seed)
    runs = {}
    for number in (1, 2):
        ingest.empty()
        sources = [ingest.add_source(name) for name in halves]
        runs[number] = ingest.ingest(sources, {"CHUNKING_PROCESSES": "1"}, workers=number)
    whole = {number: run.seconds for number, run in runs.items()}
    read = {number: run.seconds - run.timings.get("index", 0.0) for number, run in runs.items()}
    yield Finding(
        "two sources: two workers / one worker",
        read[2] / read[1],
        most=0.6,
        note=f"{read[1]:.1f} s with one, {read[2]:.1f} s with two, both on this machine; with the "
        f"vector index {whole[1]:.1f} and {whole[2]:.1f} s",
        figures={"read": read, "whole": whole},
    )


def clusters(size: Size) -> Iterator[Finding]:
    """Several workers, as on several hosts, on one database; all sources are asked for twice."""
    names = [f"part{number}" for number in range(2 * CLUSTERS)]
    for seed, name in enumerate(names, 1):
        material.project(name, max(10, size.topics // 20), seed)
    wanted, alone = _read_all(names, 0)
    stored, together = _read_all(names, CLUSTERS)
    yield Finding(
        f"{CLUSTERS} workers, {len(names)} sources asked for twice at once: wrong rows",
        len(wanted ^ stored) + sum(finding.number for finding in consistency.examine()),
        unit="",
        most=0,
        exact=True,
        note=f"{len(stored):,} chunks in {together:.1f} s, by one worker in {alone:.1f} s",
        figures={"seconds": {"1": alone, str(CLUSTERS): together}},
    )


def _read_all(names: Sequence[str], number: int) -> tuple[set[tuple[str, int, str]], float]:
    """What is stored after so many workers have read the sources; the seconds it took."""
    ingest.empty()
    sources = [ingest.add_source(name) for name in names]
    with ingest.workers(number), ThreadPoolExecutor(2) as pool:
        requests = [pool.submit(ingest.ingest, sources) for _ in range(2 if number else 1)]
        seconds = max(request.result().seconds for request in requests)
    rows = Chunk.objects.order_by().values_list("document__url", "ordinal", "content_hash")
    return set(rows), seconds


def large_document(size: Size) -> Iterator[Finding]:
    """A project with one topic of 10 MB."""
    folder = material.project("flare", 50)
    material.large_topic(folder, 10_000_000)
    ingest.empty()
    with _served(1024) as (environment, _):
        run = ingest.ingest([ingest.add_source("flare")], environment)
    yield Finding(
        "memory, one document of 10 MB: peak of the reading",
        run.peak_mb,
        unit="MB",
        most=400,
        note=f"{run.counters['chunks']:,} chunks in {run.seconds:.1f} s",
        figures={"run": asdict(run)},
    )


def busy(size: Size) -> Iterator[Finding]:
    """How busy one slow embedder is kept by a load of some thousand chunks, from the first request
    to the end of the last one, while how much it is given at once has yet to be found out."""
    material.project("flare", min(size.topics, SLOW_TOPICS))
    for name, (speed, given) in SLOW.items():
        ingest.empty()
        source = ingest.add_source("flare")
        with embedder.serving(64, speed) as host:
            environment, _ = _ollama(host, embedder.MODEL)
            run = ingest.ingest([source], environment | given)
            found = httpx.get(f"{host}/busy").json()
        yield Finding(
            f"an embedder that {name}: share of the time that it is busy",
            found["share"],
            unit="",
            least=0.95,
            note=f"{run.counters['chunks']:,} chunks in {found['seconds']:.1f} s, "
            f"{found['requests']:.0f} requests, the largest of {found['largest']:.0f} texts",
            figures={"run": asdict(run), "embedder": found},
        )


def real_ollama(size: Size) -> Iterator[Finding]:
    """A real Ollama against bare concurrent calls for the same texts, where one answers."""
    if not _answers(workspace.REAL_OLLAMA):
        return
    environment, settings = _ollama(workspace.REAL_OLLAMA, REAL_MODEL)
    material.project("flare", size.ollama_topics)
    ingest.empty()
    source = ingest.add_source("flare")
    first = ingest.ingest([source], environment)
    texts = bare.stored_texts()
    calls = [bare.embed(settings, texts)]
    runs = [first, ingest.ingest([source], environment, clean=True)]
    calls.append(bare.embed(settings, texts))
    ratio = sum(run.seconds for run in runs) / sum(calls)
    yield Finding(
        f"real Ollama ({REAL_MODEL}): run / bare concurrent calls",
        ratio,
        most=1.05,
        note=f"{len(texts)} chunks in {runs[0].seconds:.1f} and {runs[1].seconds:.1f} s, "
        f"bare {calls[0]:.1f} and {calls[1]:.1f} s",
        figures={"runs": [asdict(run) for run in runs], "bare": calls},
    )


def _answers(host: str) -> bool:
    try:
        reply = httpx.get(f"{host}/api/tags", timeout=3, trust_env=False)
        models = [model["name"] for model in reply.raise_for_status().json()["models"]]
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    return any(model.partition(":")[0] == REAL_MODEL for model in models)


def growth(size: Size) -> Iterator[Finding]:
    """How time and memory grow with the number of documents: t = a * n ** exponent."""
    cold, same = [], []
    for topics in size.growth:
        shutil.rmtree(workspace.MATERIAL / "flare", ignore_errors=True)
        material.project("flare", topics)
        ingest.empty()
        source = ingest.add_source("flare")
        cold.append(ingest.ingest([source]))
        same.append(ingest.ingest([source]))
    for name, runs in (("cold", cold), ("unchanged", same)):
        yield from _exponent(f"growth, {name}: exponent of time", size, runs, "seconds", 1.15)
        yield from _exponent(f"growth, {name}: exponent of memory", size, runs, "peak_mb", 1.0)


def memory(size: Size) -> Iterator[Finding]:
    """The memory of reading many times the topics."""
    topics = MANY_TIMES * size.topics
    shutil.rmtree(workspace.MATERIAL / "flare", ignore_errors=True)
    material.project("flare", topics)
    ingest.empty()
    source = ingest.add_source("flare")
    cold = ingest.ingest([source])
    same = ingest.ingest([source])
    yield Finding(
        f"memory, {topics:,} topics: peak of the reading",
        max(cold.peak_mb, same.peak_mb),
        unit="MB",
        most=400,
        note=f"{cold.peak_mb:.0f} MB in {cold.seconds:,.0f} s for {cold.counters['chunks']:,} "
        f"chunks; unchanged {same.peak_mb:.0f} MB in {same.seconds:.1f} s",
        figures={"cold": asdict(cold), "same": asdict(same)},
    )


def _exponent(
    name: str, size: Size, runs: Sequence[Ingested], what: str, most: float
) -> Iterator[Finding]:
    measured = [(n, getattr(run, what)) for n, run in zip(size.growth, runs, strict=True)]
    seen = [pair for pair in measured if pair[1]]  # no look falls into a run that is short enough
    if len(seen) < 2:
        return
    numbers, values = np.log(np.transpose(seen))
    slope = float(np.polyfit(numbers, values, 1)[0])
    pairs = ", ".join(f"{n:,}: {value:.1f}" for n, value in seen)
    unit = "s" if what == "seconds" else "MB"
    figures = {"runs": [asdict(run) for run in runs]}
    yield Finding(name, slope, "", most, note=f"{pairs} {unit}", figures=figures)


def search(size: Size) -> Iterator[Finding]:
    """Recall and latency of search over made-up chunks (tests/scripts/bench_search.py): of 1024
    dimensions, and where they are very many, of 256."""
    dimensions = 1024 if size.searched <= 50_000 else 256
    figures, built = _searched(size.searched, dimensions)
    for filtered in ("", ", filter of 1 %"):
        alone, eight = (figures[f"ms, {clients} clients{filtered}"] for clients in (1, 8))
        yield Finding(
            f"search in {size.searched:,} chunks{filtered}: recall@10",
            figures[f"recall@10{filtered}"],
            unit="",
            least=0.95,
            note=f"p50 {alone['p50']} ms, p95 {alone['p95']} ms; eight at once {eight['p50']} ms "
            f"and {eight['p95']} ms" + ("" if filtered else f"; {built}"),
            figures=figures,
        )


def _searched(chunks: int, dimensions: int) -> tuple[dict[str, Any], str]:
    """What the script found, and what it said of the index."""
    command = [sys.executable, "-m", "tests.scripts.bench_search"]
    state = workspace.FOLDER / f"search-{chunks}-{dimensions}"
    made = subprocess.run(
        [*command, "--chunks", str(chunks), "--dimensions", str(dimensions)],
        cwd=ingest.ROOT,
        env=os.environ | {"STATE_DIR": str(state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(made.stdout)
    sizes = ", ".join(f"{name} {size} MB" for name, size in figures["MB"].items())
    return figures, f"{made.stderr.strip().splitlines()[-1]}; {sizes}"


MEASURES: dict[str, Callable[[Size], Iterator[Finding]]] = {
    "cpu": cpu_time,
    "cores": cores,
    "loads": loads,
    "pages": pages,
    "peers": beside_peers,
    "workers": workers,
    "clusters": clusters,
    "large": large_document,
    "busy": busy,
    "ollama": real_ollama,
    "growth": growth,
    "memory": memory,
    "search": search,
}
