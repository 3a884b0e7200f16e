"""How long the admin's pages take at the server, and how many queries, with many chunks stored.

    STATE_DIR=... python -m tests.scripts.bench_admin [--documents 10000] [--chunks 100000]

Fills the database of the state directory with made-up documents where it holds fewer, in eight
sources with 40 runs each, and prints a line for each page: the median of five requests.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from itertools import accumulate

import django
import numpy as np

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext, setup_test_environment  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from ingestion.embedding.configured import configured_embedder  # noqa: E402
from ingestion.embedding.stage import pack_vector  # noqa: E402
from ingestion.index import hnsw, quality, term_statistics  # noqa: E402
from ingestion.index.writer import CHUNK_COLUMNS, profile_of  # noqa: E402
from ingestion.models import Chunk, Document, EmbeddingProfile, Failure, Run, SourceRun, State  # noqa: E402
from ingestion.text import analyzer  # noqa: E402
from sources.models import Source  # noqa: E402

STEMS = ("window", "grid", "control", "event", "callback", "channel", "file", "record", "mask")
WORDS = [f"{stem}{number or ''}" for number in range(2000) for stem in STEMS]
SHARES = list(accumulate(1 / place for place in range(1, len(WORDS) + 1)))
CLUSTERS = 400
TYPES = ("concept", "reference", "example", "tutorial")
TAGS = ("dwc", "bbj", "bbj_gui", "all", "untagged")
SOURCES = 8
RUNS = 40


def fill(documents: int, chunks: int) -> None:
    profile = profile_of(configured_embedder())
    sources = [
        Source.objects.get_or_create(
            name=f"bench-{number}",
            defaults={
                "title": f"Bench {number}",
                "parser": "MdxParser",
                "paths": ["bbj-dwc-tutorial"],
            },
        )[0]
        for number in range(SOURCES)
    ]
    chance = random.Random(7)
    now = timezone.now()
    rows = Document.objects.bulk_create(
        (
            Document(
                source=chance.choice(sources),
                url=f"bench://{number}",
                title=" ".join(chance.choices(WORDS, cum_weights=SHARES, k=4)).title(),
                doc_type=chance.choice(TYPES),
                generations=[chance.choice(TAGS)],
                first_seen=now,
                last_seen=now,
                changed_at=now,
            )
            for number in range(documents)
        ),
        batch_size=1000,
    )
    copy_chunks(rows, profile, chunks // documents, chance)
    for source in sources:
        runs_of(source)


def copy_chunks(
    rows: list[Document], profile: EmbeddingProfile, each: int, chance: random.Random
) -> None:
    vectors = np.random.default_rng(7)
    centres = vectors.normal(size=(CLUSTERS, profile.dimensions))
    columns = ", ".join(CHUNK_COLUMNS)
    sql = f"COPY ingestion_chunk ({columns}) FROM STDIN (FORMAT BINARY)"
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(sql) as copy:
        copy.set_types(list(CHUNK_COLUMNS.values()))
        for row in rows:
            for ordinal in range(each):
                number = chance.randrange(20, 260)
                text = " ".join(chance.choices(WORDS, cum_weights=SHARES, k=number))
                vector = centres[chance.randrange(CLUSTERS)] + vectors.normal(
                    scale=0.3, size=profile.dimensions
                )
                fields = {
                    "document_id": row.pk,
                    "ordinal": ordinal,
                    "title": row.title,
                    "heading_path": [row.title, "Part"],
                    "context_header": row.title,
                    "content": text,
                    "content_hash": f"{row.pk}-{ordinal}" if chance.random() > 0.01 else "same",
                    "tokens": len(text) // 5,
                    "start_line": 1,
                    "start_page": None,
                    "profile_id": profile.pk,
                    "embedding": pack_vector((vector / np.linalg.norm(vector)).astype(np.float32)),
                    "search_vector": analyzer.vector(row.title, row.title, text),
                    "enrichment_id": None,
                }
                copy.write_row([fields[name] for name in CHUNK_COLUMNS])


def runs_of(source: Source) -> None:
    for _ in range(RUNS):
        row = SourceRun.objects.create(
            run=Run.objects.create(origin="schedule"),
            source=source,
            source_name=source.name,
            state=State.PARTIAL,
            started_at=timezone.now(),
            finished_at=timezone.now(),
        )
        Failure.objects.bulk_create(
            Failure(source_run=row, source=source, stage="parse", message=f"Page {n} is torn.")
            for n in range(25)
        )
    quality.keep(row)


def measure() -> None:
    User.objects.filter(username="bench").delete()
    client = Client()
    client.force_login(User.objects.create_superuser("bench"))
    for name, path in pages().items():
        counts, spent = [], []
        for _ in range(5):
            with CaptureQueriesContext(connection) as queries:
                started = time.perf_counter()
                response = client.get(path, follow=True)
                spent.append(1000 * (time.perf_counter() - started))
            counts.append(len(queries))
            assert response.status_code == 200, path
        slowest = max(queries.captured_queries, key=lambda query: float(query["time"]))
        print(f"{name:<28} {statistics.median(spent):7.0f} ms {counts[-1]:4} queries", end="  ")
        print(f"slowest {1000 * float(slowest['time']):.0f} ms: {slowest['sql'][:90]}")


def pages() -> dict[str, str]:
    chunk = Chunk.objects.only("pk", "document_id")[50_000 if Chunk.objects.count() > 50_000 else 0]
    lists = {
        name: reverse(f"admin:{name}")
        for name in ("index", "overview", "pulse", "quality", "sources_source_changelist")
    }
    for model in ("document", "chunk", "run", "failure"):
        lists[f"{model} list"] = reverse(f"admin:ingestion_{model}_changelist")
    chunks = lists["chunk list"]
    source, run = Source.objects.latest("pk"), Run.objects.earliest("pk")
    return lists | {
        "chunk list, page 1000": f"{chunks}?p=1000",
        "chunk list, words": f"{chunks}?q=window+grid",
        "chunk list, rare words": f'{chunks}?q="window+grid+window+theme"',
        "chunk list, source": f"{chunks}?document__source__id__exact={source.pk}",
        "chunk list, generation": f"{chunks}?generation=dwc",
        "chunk list, type": f"{chunks}?document__doc_type=example",
        "chunk list, duplicates": f"{chunks}?quality=duplicate",
        "chunk list, markup": f"{chunks}?quality=markup",
        "document list, words": f"{lists['document list']}?q=window",
        "document list, no chunks": f"{lists['document list']}?quality=empty",
        "search": reverse("admin:search") + "?q=grid12+control3+event",
        "search, a source": reverse("admin:search") + "?q=grid12+control3&source=bench-3",
        "chunk": reverse("admin:ingestion_chunk_change", args=[chunk.pk]),
        "chunk, findable": reverse("admin:ingestion_chunk_change", args=[chunk.pk]) + "?findable=1",
        "document": reverse("admin:ingestion_document_change", args=[chunk.document_id]),
        "run": reverse("admin:ingestion_run_change", args=[run.pk]),
        "source": reverse("admin:sources_source_change", args=[source.pk]),
        "source, delete": reverse("admin:sources_source_delete", args=[source.pk]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--chunks", type=int, default=100_000)
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    setup_test_environment()
    if Chunk.objects.count() < options.chunks:
        fill(options.documents, options.chunks)
        hnsw.build(EmbeddingProfile.objects.get())
        term_statistics.rebuild()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    print(f"{Document.objects.count():,} documents, {Chunk.objects.count():,} chunks")
    measure()


if __name__ == "__main__":
    main()
