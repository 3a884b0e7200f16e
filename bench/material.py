"""What is read: Flare projects made by the generator, nothing downloaded."""

from __future__ import annotations

import random
from pathlib import Path

from bench import workspace
from tests.scripts import generate_flare

BYTES_A_TOPIC = 9_200
"""As the topics are in which 7,000 make about 50,000 chunks."""

BYTES_A_PAGE = 8_000


def project(name: str, topics: int, seed: int = 1) -> Path:
    """A Flare project of so many topics; what was there is replaced."""
    folder = workspace.fresh_folder(name)
    generate_flare.generate(folder, topics, topics * BYTES_A_TOPIC, seed)
    return folder


def pages(name: str, number: int, seed: int = 1) -> Path:
    """A folder of so many Markdown pages, of 8 KB in the mean."""
    folder = workspace.fresh_folder(name)
    rng = random.Random(seed)
    for page in range(number):
        generate_flare.write(folder / f"part{page % 70}/page{page}.md", _page(rng, page))
    return folder


def _page(rng: random.Random, number: int) -> str:
    title = f"{generate_flare.words(rng, 3)} {number}"
    parts, written = [f"---\ntitle: {title}\n---\n"], 0
    wanted = max(200, int(rng.lognormvariate(0, 0.8) * BYTES_A_PAGE / 1.38))
    while written < wanted:
        parts.append(rng.choices([_text, _list, _code], weights=[8, 2, 1])[0](rng))
        written += len(parts[-1])
        if len(parts) % 8 == 0:
            parts.append(f"## {generate_flare.words(rng, 4)}\n")
    return "\n".join(parts)


def _text(rng: random.Random) -> str:
    words = generate_flare.words
    return f"{words(rng, rng.randint(15, 70))} **{words(rng, 2)}** `{words(rng, 1)}!`.\n"


def _list(rng: random.Random) -> str:
    lines = (f"- {generate_flare.words(rng, 15)}\n" for _ in range(rng.randint(2, 8)))
    return "".join(lines)


def _code(rng: random.Random) -> str:
    names = rng.choices(generate_flare.WORDS, k=rng.randint(3, 20))
    lines = (f"{name}! = sysgui!.add{name}({rng.randrange(999)})\n" for name in names)
    return f"```bbj\n{''.join(lines)}```\n"


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
