"""Pages to read, without any of Django."""

from __future__ import annotations


def page(name: str, sections: int = 3, words: int = 12) -> str:
    """A page whose sections are chunks of their own, each with a text no other page has."""
    parts = [f"---\ntitle: Page {name}\n---\n"]
    for number in range(sections):
        text = " ".join(f"{name}{number}word{index}" for index in range(words))
        parts.append(f"## Section {number} of {name}\n\n{text}.\n")
    return "\n".join(parts)
