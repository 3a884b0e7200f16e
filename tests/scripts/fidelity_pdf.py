"""Compare what PdfParser keeps of PDFs with what poppler's pdftotext reads from them.

    python -m tests.scripts.fidelity_pdf FOLDER [--missing] [--tools]

Per file: recall and precision of the words (as multisets; hyphens, ligatures and case set aside,
running heads and page numbers left out of the reference), the share of words that keep their order,
the share of code lines that are in `pdftotext -layout` as they are, pages per second of CPU time.

`--tools` prints a table instead: recall and precision, against pdftotext, of PdfParser and of what
PDFium and pypdf make of a file themselves (their running heads left out likewise).
"""

from __future__ import annotations

import bisect
import re
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pypdfium2
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdfium2 import PdfiumError

from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.pdf import PdfParser


@dataclass
class Fidelity:
    name: str
    recall: float = 0.0
    precision: float = 0.0
    order: float = 0.0
    code: tuple[int, int, int] = (0, 0, 0)
    documents: int = 0
    pages_per_second: float = 0.0
    failures: list[DocumentFailure] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)


def compare(path: Path) -> Fidelity:
    result = Fidelity(path.name)
    began = time.process_time()
    parsed = list(PdfParser(SourceConfig("pdf", path.parent, (path.name,))).parse())
    elapsed = time.process_time() - began
    documents = [item for item in parsed if isinstance(item, ParsedDocument)]
    result.failures = [item for item in parsed if isinstance(item, DocumentFailure)]
    result.documents = len(documents)
    if not documents or any(not failure.warning for failure in result.failures):
        return result
    result.pages_per_second = documents[0].metadata["pages"] / elapsed
    ours = words("\n".join(text for document in _in_order(documents) for text in document))
    reference = words(without_furniture(pdftotext(path)))
    _measure(result, ours, reference)
    result.code = _code_lines(documents, pdftotext(path, "-layout"))
    return result


def _in_order(documents: Iterable[ParsedDocument]) -> Iterator[list[str]]:
    """Title and content of each document, and once each heading above it without a document. A
    title that the content begins with is in there only, as it is on the page."""
    documents = list(documents)
    told = {document.title for document in documents}
    for document in documents:
        above = [title for title in document.breadcrumb[1:] if title not in told]
        told.update(above)
        shown = document.content.startswith(f"# {document.title}\n")
        is_start = document.url.endswith("#start")
        yield [*above, "" if is_start or shown else document.title, document.content]


def _measure(result: Fidelity, ours: list[str], reference: list[str]) -> None:
    have, want = Counter(ours), Counter(reference)
    common = sum((have & want).values())
    result.recall = common / max(len(reference), 1)
    result.precision = common / max(len(ours), 1)
    result.missing, result.added = want - have, have - want
    once = {w for w, n in want.items() if n == 1 and have[w] == 1}
    place = {word: index for index, word in enumerate(reference) if word in once}
    result.order = longest_rise([place[w] for w in ours if w in once]) / max(len(once), 1)


def longest_rise(values: Iterable[int]) -> int:
    tails: list[int] = []
    for value in values:
        at = bisect.bisect_left(tails, value)
        tails[at : at + 1] = [value]
    return len(tails)


def words(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text.replace("\u00ad", "-"))
    text = re.sub(r"`|(?<=\w)\[(?=\d+\])|\\(?=[|#<>`])", "", text)
    text = re.sub(r"[-\u2010]\s*\n\s*", "", text)
    return [
        w.lower() for w in re.findall(r"\w+", re.sub(r"(?<=\w)[-\u2010\u2011](?=\w)", "", text))
    ]


def pdftotext(path: Path, *options: str) -> str:
    command = ["pdftotext", "-enc", "UTF-8", *options, str(path), "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode()


def without_furniture(text: str) -> str:
    """Drop the lines at page edges that, numbers aside, are on at least three pages."""
    pages = [page.splitlines() for page in text.split("\f")]
    seen: Counter[str] = Counter()
    for page in pages:
        seen.update({_shape(line) for line in _edges(page)})
    for page in pages:
        for line in _edges(page):
            if seen[_shape(line)] >= 3 or _shape(line) in ("#", "§"):
                page.remove(line)
    return "\n".join(line for page in pages for line in page)


def _shape(line: str) -> str:
    return re.sub(r"\b[ivxl]+\b", "§", re.sub(r"\d+", "#", line.strip()))


def _edges(page: list[str]) -> list[str]:
    lines = [line for line in page if line.strip()]
    return list(dict.fromkeys(lines[:5] + lines[-5:]))


def _code_lines(documents: Iterable[ParsedDocument], layout: str) -> tuple[int, int, int]:
    """How many lines of our code are in the reference as they are, how many do when runs of
    spaces count as one (the reference bends them to the page's average width), how many there are.
    """
    lines: list[str] = []
    for document in documents:
        for block in re.findall(r"^(`{3,})\n(.*?)\n\1$", document.content, re.M | re.S):
            lines += [line.strip() for line in block[1].split("\n") if line.strip()]
    loose = re.sub(r" +", " ", layout)
    exact = sum(line in layout for line in lines)
    alike = [line for line in lines if re.sub(r" +", " ", line) in loose]
    if "--missing" in sys.argv:
        print("    code:", [line for line in lines if line not in alike][:12])
    return exact, len(alike), len(lines)


# Other tools


def by_pdfium(path: Path) -> str:
    document = pypdfium2.PdfDocument(path)
    try:
        pages = [page.get_textpage().get_text_range() for page in document]
        return "\f".join(pages).replace("\ufffe", "-\n")  # a hyphen that ends a line
    finally:
        document.close()


def by_pypdf(path: Path) -> str:
    return "\f".join(page.extract_text() for page in PdfReader(path).pages)


TOOLS = {"PDFium": by_pdfium, "pypdf": by_pypdf}


def tools_row(path: Path) -> str:
    """A row of the table: recall and precision of each; a dash for what cannot be read."""
    try:
        reference = words(without_furniture(pdftotext(path)))
    except subprocess.CalledProcessError:
        reference = []
    parsed = list(PdfParser(SourceConfig("pdf", path.parent, (path.name,))).parse())
    documents = [item for item in parsed if isinstance(item, ParsedDocument)]
    ours = words("\n".join(text for document in _in_order(documents) for text in document))
    cells = [_figures(ours, reference)]
    for read in TOOLS.values():
        try:
            cells.append(_figures(words(without_furniture(read(path))), reference))
        except (PdfiumError, PyPdfError):
            cells.append("-")
    return f"| {path.name} | {len(reference):,} | {' | '.join(cells)} |"


def _figures(have: list[str], want: list[str]) -> str:
    if not have or not want:
        return "-"
    common = sum((Counter(have) & Counter(want)).values())
    return f"{common / len(want):.4f} / {common / len(have):.4f}"


def print_tools(paths: Iterable[Path]) -> None:
    print(f"| file | words of pdftotext | PdfParser | {' | '.join(TOOLS)} |")
    print("|---|---" + "|---" * (1 + len(TOOLS)) + "|")
    for path in paths:
        print(tools_row(path), flush=True)


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    if "--tools" in arguments:
        print_tools(sorted(folder.glob("*.pdf")))
        return 0
    for path in sorted(folder.glob("*.pdf")):
        result = compare(path)
        print(
            f"{result.name:48} docs {result.documents:3} recall {result.recall:.4f} "
            f"precision {result.precision:.4f} order {result.order:.4f} "
            f"code {'/'.join(map(str, result.code))} {result.pages_per_second:.0f} pages/s"
        )
        for failure in result.failures:
            print(f"    {'warning' if failure.warning else 'failure'}: {failure.message}")
        if "--missing" in arguments:
            print("    missing:", dict(result.missing.most_common(40)))
            print("    added:  ", dict(result.added.most_common(40)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
