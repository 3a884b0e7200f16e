from __future__ import annotations

from ingestion.management.background import BackgroundCommand
from ingestion.runs import reembedding


class Command(BackgroundCommand):
    help = (
        "Gives each chunk the vector it ends up with (EMBEDDING_PROVIDER=auto), without a worker."
    )
    work = reembedding
    name = "reembed"
    shown = "Meaning"
    unwanted = "Only EMBEDDING_PROVIDER=auto embeds chunks twice: there is nothing to do."
    nothing_left = "Nothing is left to embed again."
    done = "are found by their meaning."
