"""How long the answers of the MCP server are over everything stored, by the official client.

    STATE_DIR=... python -m tests.scripts.measure_mcp [--documents 200]

Reads the longest documents to their ends in pages, and searches for the title of each with 20 hits
and all neighbours. Prints the longest answer of each call and exits with 1 if one is longer than
MCP_MAX_CHARACTERS.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import anyio
import django
from mcp import Client

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.db.models.functions import Length  # noqa: E402

from ingestion import access  # noqa: E402
from ingestion.mcp.server import server  # noqa: E402
from ingestion.models import Document  # noqa: E402


async def ask(client: Client, tool: str, **given: Any) -> str:
    answer: Any = await client.call_tool(tool, given)
    assert not answer.is_error, answer.content[0].text
    assert answer.structured_content is None
    return str(answer.content[0].text)


async def measure(documents: Sequence[Document]) -> dict[str, int]:
    longest = {"get_document": 0, "search_bbj_knowledge": 0, "pages of the longest": 0}
    async with Client(server()) as client:
        longest["list_sources"] = len(await ask(client, "list_sources"))
        for document in documents:
            pages = 0
            said = "(Go on with page"
            while "(Go on with page" in said[-40:]:
                pages += 1
                said = await ask(client, "get_document", url=document.url, page=pages)
                longest["get_document"] = max(longest["get_document"], len(said))
            longest["pages of the longest"] = max(longest["pages of the longest"], pages)
            said = await ask(
                client, "search_bbj_knowledge", query=document.title, limit=20, neighbours=3
            )
            longest["search_bbj_knowledge"] = max(longest["search_bbj_knowledge"], len(said))
    return longest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=200)
    options = parser.parse_args()
    by_length = Document.objects.annotate(length=Sum(Length("chunks__content")))
    documents = list(by_length.filter(length__gt=0).order_by("-length")[: options.documents])
    print(f"The longest document has {documents[0].length:,} characters: {documents[0].url}")
    with access.everything():
        longest = anyio.run(measure, documents)
    for name, number in longest.items():
        print(f"{name:<24} {number:>8,}")
    longest.pop("pages of the longest")
    return int(max(longest.values()) > settings.MCP_MAX_CHARACTERS)


if __name__ == "__main__":
    sys.exit(main())
