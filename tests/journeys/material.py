"""Material that journeys put beside the sample data."""

from __future__ import annotations

from pathlib import Path


def write_topics(folder: Path, number: int) -> list[Path]:
    """Pages with a word each that no other page has: the folder's name and their number."""
    folder.mkdir()
    topics = [folder / f"topic{index}.md" for index in range(number)]
    for index, topic in enumerate(topics):
        topic.write_text(f"# Topic {index}\n\nWhat {folder.name}{index} is about.\n")
    return topics
