"""Repairs damaged PDFs: finds the objects that are left, and writes a file with its pages.

A PDF is read from the cross-reference table at its end, so an incomplete download cannot be opened
although most of it is there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

OBJECT = re.compile(rb"(?<![0-9])(\d{1,10})[ \t\r\n]+\d{1,5}[ \t\r\n]+obj\b")
PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
CATALOG = re.compile(rb"/Type\s*/Catalog\b")
OBJECT_STREAM = re.compile(rb"/Type\s*/ObjStm\b")
CROSS_REFERENCES = re.compile(rb"/Type\s*/XRef\b")
KEPT_OF_CATALOG = re.compile(rb"/(?:Outlines|Dests|Names)\s+\d+\s+\d+\s+R")
MAX_STREAM = 64_000_000
MAX_OBJECTS = 1_000_000


def rebuild(data: bytes) -> bytes | None:
    """A PDF of the complete objects in `data`, with the pages in their order there.

    None if no pages are found, or if the file is encrypted, because the encryption is declared at
    the file's end.
    """
    objects = dict(_objects(data))
    pages = [number for number, body in objects.items() if PAGE.search(_head(body))]
    if not pages or b"/Encrypt" in data:
        return None
    catalogs = [body for body in objects.values() if CATALOG.search(_head(body))]
    kept = b" ".join(KEPT_OF_CATALOG.findall(catalogs[-1])) if catalogs else b""
    tree = max(objects) + 1
    kids = b" ".join(b"%d 0 R" % number for number in pages)
    objects[tree] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(pages), kids)
    objects[tree + 1] = b"<</Type/Catalog/Pages %d 0 R %s>>" % (tree, kept)
    return _write(objects, tree + 1)


def _head(body: bytes) -> bytes:
    """The dictionary of an object, without its stream."""
    return body.split(b"stream", 1)[0]


def _objects(data: bytes) -> Iterator[tuple[int, bytes]]:
    starts = list(OBJECT.finditer(data))[:MAX_OBJECTS]
    ends = [match.start() for match in starts[1:]] + [len(data)]
    for match, end in zip(starts, ends, strict=True):
        body = data[match.end() : end]
        if b"endobj" not in body:
            continue
        body = body[: body.rindex(b"endobj")].strip()
        if OBJECT_STREAM.search(_head(body)):
            yield from _unpacked(body)
        elif not CROSS_REFERENCES.search(_head(body)):
            yield int(match[1]), body


def _unpacked(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The objects of an object stream (ISO 32000-1, 7.5.7); none if it cannot be unpacked."""
    head, _, stream = body.partition(b"stream")
    first = re.search(rb"/First\s+(\d+)", head)
    packed = re.sub(rb"^\r?\n", b"", stream)
    try:
        text = zlib.decompressobj().decompress(packed, MAX_STREAM) if b"Flate" in head else packed
    except zlib.error:
        return
    if first is None:
        return
    index = [int(number) for number in re.findall(rb"\d+", text[: int(first[1])])]
    places = [int(first[1]) + offset for offset in index[1::2]]
    for number, start, end in zip(index[::2], places, [*places[1:], len(text)], strict=False):
        yield number, text[start:end].strip()


def _write(objects: dict[int, bytes], root: int) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    rows = []
    for number in sorted(objects):
        rows.append(b"%d 1\n%010d 00000 n \n" % (number, len(out)))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n" + b"".join(rows)
    out += b"trailer\n<</Size %d/Root %d 0 R>>\n" % (root + 1, root)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)
