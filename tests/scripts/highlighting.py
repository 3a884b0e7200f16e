"""Check on an installation's index that the pages of documents mark the places of their chunks.

    python -m tests.scripts.highlighting [--seeds 5] [--chunks 20]

It takes random chunks of each source, asks for the page of each one's document as a superuser's
browser does, and compares what is marked there with the chunk (see `tests.support.highlights`).
The settings are those of the environment. What is wrong is listed; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402

from ingestion.index import texts  # noqa: E402
from ingestion.models import Chunk  # noqa: E402
from sources.models import Source  # noqa: E402
from tests.support.highlights import (  # noqa: E402
    highlighted,
    marked_text,
    problem,
    problem_of_lines,
)

VIEWS = {texts.PLAIN: ("rendered", "markdown", "file")}
PAGE = "/admin/ingestion/document/{0}/change/"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=20)
    asked = parser.parse_args()
    client = Client(HTTP_HOST=[*settings.ALLOWED_HOSTS, "localhost"][0])
    client.force_login(User.objects.filter(is_superuser=True)[0])
    return sum([_examine(source, client, asked) for source in Source.objects.order_by("name")]) > 0


def _examine(source: Source, client: Client, asked: argparse.Namespace) -> int:
    keys = list(Chunk.objects.filter(document__source=source).values_list("pk", flat=True))
    chosen = [
        pk
        for seed in range(asked.seeds)
        for pk in random.Random(seed).sample(sorted(keys), min(asked.chunks, len(keys)))
    ]
    started, wrong = time.monotonic(), 0
    for pk in chosen:
        for said in _problems(pk, client):
            wrong += 1
            print(f"  {source.name}, chunk {pk}: {said}")
    each = 1000 * (time.monotonic() - started) / max(1, len(chosen))
    print(
        f"{source.name} ({source.parser}): {len(chosen)} chunks, {wrong} wrong, {each:.0f} ms each"
    )
    return wrong


def _problems(pk: int, client: Client) -> Iterator[str]:
    chunk = Chunk.objects.select_related("document__stored_text").get(pk=pk)
    stored = chunk.document.stored_text
    text, parts = texts.unpacked(stored.text), texts.parts(stored.chunks)
    if chunk.ordinal >= len(parts):
        yield "its place is not stored"
        return
    place = parts[chunk.ordinal]
    if said := problem(marked_text(highlighted(text, *place)), text, *place, chunk.content):
        yield f"as stored: {said}"
    for show in VIEWS.get(stored.media_type, ("rendered", "markdown")):
        query = {"chunk": str(chunk.ordinal), "show": show}
        html = client.get(PAGE.format(chunk.document_id), query).content.decode()
        as_shown = problem if show == "rendered" else problem_of_lines
        if said := as_shown(marked_text(html), text, *place, chunk.content):
            yield f"page, {show}: {said}"


if __name__ == "__main__":
    sys.exit(main())
