"""Write a Flare project of any size, for measuring: the same arguments give the same project.

    python -m tests.scripts.generate_flare <folder> [--topics 7000] [--bytes 55000000] [--seed 1]

The shape follows BASIS's documentation: keywords in most topics, half of them with snippets, code
in four of ten, tables and drop-downs in some, one topic in five in the table of contents.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Callable
from pathlib import Path

NAMESPACE = 'xmlns:MadCap="http://www.madcapsoftware.com/Schemas/MadCap.xsd"'
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
VOCABULARY = (
    "window grid control event channel record file string number program server client thread "
    "callback value returns sets the a of in when if with and not each from method object user "
    "data button menu image list tree table index key length mask mode error option terminal "
    "printer"
)
WORDS = VOCABULARY.split()
PARTS_OF_WORDS = (
    "re con de tion al in pro ter com men ver ex per ment ing ac cess si ble di rec tor y tive sub "
    "ject form at par am e trans fer un load man ag er dis play inter face"
)
SYLLABLES = PARTS_OF_WORDS.split()
FOLDERS = ("bbjobjects/Window", "bbjevents", "commands", "mnemonic/sysgui", "usr", "dwc", "util")
STYLE = "TableStyle-Methods_Table"
SNIPPETS = 200
Writer = Callable[[random.Random], str]


def lexicon(size: int) -> list[str]:
    """The vocabulary, and made-up words up to `size`: always the same ones."""
    rng = random.Random(size)
    made = dict.fromkeys(WORDS)
    while len(made) < size:
        made["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4)))] = None
    return list(made)


LEXICON = lexicon(12_000)
RANKED = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(LEXICON))))
"""The frequency of a word is that of its rank, as in a language: most are rare."""


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(LEXICON, cum_weights=RANKED, k=count)).capitalize()


def path_of(number: int) -> str:
    return f"Content/{FOLDERS[number % len(FOLDERS)]}/t{number}.htm"


def paragraph(rng: random.Random) -> str:
    text = words(rng, rng.randint(15, 70))
    return (
        f"        <p>{text} <b>{rng.choice(WORDS)}</b> <code>{rng.choice(WORDS)}!</code>, see "
        f'<a href="/{path_of(rng.randrange(100))}">{words(rng, 2)}</a>.</p>\n'
    )


def code(rng: random.Random) -> str:
    lines = "\n".join(
        f'    {rng.choice(WORDS)}! = sysgui!.add{rng.choice(WORDS)}({rng.randrange(999)},"x")'
        for _ in range(rng.randint(3, 20))
    )
    return f'        <pre><code class="language-bbj">{lines}</code></pre>\n'


def table(rng: random.Random) -> str:
    rows = "".join(
        f'            <tr class="{STYLE}-Body1">\n'
        f'                <td class="{STYLE}-BodyE-Column1">{rng.choice(WORDS)}</td>\n'
        f'                <td class="{STYLE}-BodyD-Column2">'
        f"<p>{words(rng, 12)}</p></td>\n            </tr>\n"
        for _ in range(rng.randint(2, 12))
    )
    head = "<thead><tr><th>Name</th><th>Description</th></tr></thead>"
    return f'        <table class="Methods_Table"><col /><col />{head}\n{rows}        </table>\n'


def items(rng: random.Random) -> str:
    lines = "".join(f"            <li>{words(rng, 15)}</li>\n" for _ in range(rng.randint(2, 8)))
    return f"        <ul>\n{lines}        </ul>\n"


def drop_down(rng: random.Random) -> str:
    return (
        "        <MadCap:dropDown><MadCap:dropDownHead><MadCap:dropDownHotspot>"
        f"{words(rng, 3)}</MadCap:dropDownHotspot></MadCap:dropDownHead>"
        f"<MadCap:dropDownBody>{paragraph(rng)}</MadCap:dropDownBody></MadCap:dropDown>\n"
    )


def snippet(rng: random.Random) -> str:
    path = f"Resources/Snippets/s{rng.randrange(SNIPPETS)}.flsnp"
    return f'        <MadCap:snippetBlock src="/Content/{path}" />\n'


PARTS: dict[Writer, int] = {
    paragraph: 50,
    items: 12,
    code: 10,
    table: 8,
    snippet: 8,
    drop_down: 4,
}


def body(rng: random.Random, size: int) -> str:
    parts, written = [], 0
    while written < size:
        part = rng.choices(list(PARTS), weights=list(PARTS.values()))[0](rng)
        parts.append(part)
        written += len(part)
    return "".join(parts)


def topic(rng: random.Random, number: int, size: int) -> str:
    title = f"{words(rng, 3)} {number}"
    keyword = f'<MadCap:keyword term="{rng.choice(WORDS)};{rng.choice(WORDS)}" />'
    return (
        f'{DECLARATION}<html {NAMESPACE} MadCap:conditions="Primary.BASISHelp">\n'
        f"    <head><title>{title}</title>\n    </head>\n    <body>\n"
        f"        <h1>{keyword}{title}</h1>\n"
        f'        <p>In <MadCap:variable name="Set.Product" />.</p>\n'
        f"        <h2>Description</h2>\n{body(rng, size // 2)}"
        f"        <h2>Syntax</h2>\n{body(rng, size // 2)}    </body>\n</html>\n"
    )


def write(path: Path, text: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_text(text, encoding="utf-8")


def generate(folder: Path, topics: int, size: int, seed: int) -> int:
    """Write the project and return the bytes of its topics."""
    rng = random.Random(seed)
    mean = size // topics - 1_700
    written, entries = 0, []
    for number in range(topics):
        path = path_of(number)
        length = max(200, int(rng.lognormvariate(0, 0.8) * mean / 1.38))
        written += write(folder / path, topic(rng, number, length))
        if number % 5 == 0:
            entries.append(f'<TocEntry Title="[%=System.LinkedTitle%]" Link="/{path}" />\n')
    for number in range(SNIPPETS):
        html = f"{DECLARATION}<html {NAMESPACE}><body>{paragraph(rng)}</body></html>"
        write(folder / f"Content/Resources/Snippets/s{number}.flsnp", html)
    variable = '<CatapultVariableSet><Variable Name="Product">BBj</Variable></CatapultVariableSet>'
    write(folder / "Project/VariableSets/Set.flvar", variable)
    toc = f'<CatapultToc><TocEntry Title="Manual">{"".join(entries)}</TocEntry></CatapultToc>'
    write(folder / "Project/TOCs/basishelp.fltoc", toc)
    return written


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--topics", type=int, default=7_000)
    arguments.add_argument("--bytes", type=int, default=55_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    written = generate(given.folder, given.topics, given.bytes, given.seed)
    print(f"{given.topics} topics, {written:,} bytes in {given.folder}")


if __name__ == "__main__":
    main()
