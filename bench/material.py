"""What is read: Flare projects made by the generator, nothing downloaded."""

from __future__ import annotations

import random
from pathlib import Path

from bench import place
from tests.scripts import generate_flare

BYTES_A_TOPIC = 12_800
"""As the topics are in which 7,000 make about 50,000 chunks."""


def project(name: str, topics: int, seed: int = 1) -> Path:
    """A Flare project of so many topics; what was there is replaced."""
    folder = place.fresh_folder(name)
    generate_flare.generate(folder, topics, topics * BYTES_A_TOPIC, seed)
    return folder


def change(folder: Path, share: float, seed: int = 1) -> int:
    """Put a sentence to the end of that share of the topics; how many there were."""
    topics = sorted((folder / "Content").rglob("*.htm"))
    chosen = random.Random(seed).sample(topics, max(1, round(len(topics) * share)))
    for number, topic in enumerate(chosen):
        text = topic.read_text("utf-8")
        added = (
            f"<p>The benchmark changed this, as number {number} of seed {seed}.</p>\n    </body>"
        )
        topic.write_text(text.replace("</body>", added), "utf-8")
    return len(chosen)


def large_topic(folder: Path, size: int) -> None:
    """One more topic, of `size` bytes."""
    rng = random.Random(size)
    text = generate_flare.topic(rng, 0, size).replace("<h1>", "<h1>A large topic: ")
    generate_flare.write(folder / "Content/large.htm", text)
