"""What a file is that has the name of a page but is not text."""

from __future__ import annotations

from ingestion.exceptions import DocumentError

_KINDS = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"\x00\x00\x01\x00", "icon"),
    (b"II*\x00", "TIFF image"),
    (b"MM\x00*", "TIFF image"),
    (b"RIFF", "RIFF file (sound, video or image)"),
    (b"%PDF-", "PDF document"),
    (b"PK\x03\x04", "ZIP archive or Office document"),
    (b"\xd0\xcf\x11\xe0", "Office document"),
    (b"ITSF", "compiled help (CHM)"),
    (b"\x1f\x8b", "gzip archive"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"Rar!", "RAR archive"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"BM", "bitmap image"),
)
_OF_TWO_LETTERS = 2
_LOOKED_AT = 1024
_MOST_NULS = 0.05
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<")


def kind_of_binary(data: bytes) -> str:
    """What binary data is, by how it begins; empty for text."""
    head = data[:_LOOKED_AT]
    for signature, kind in _KINDS:
        if head.startswith(signature) and (len(signature) > _OF_TWO_LETTERS or b"\x00" in head):
            return kind
    nuls = 0 if head.startswith(_UTF_16) else head.count(0)
    return "binary data" if nuls > _MOST_NULS * len(head) else ""


def refuse_binary(data: bytes) -> None:
    """Raise DocumentError if this is not text."""
    if kind := kind_of_binary(data):
        raise DocumentError(
            f"It is not text but binary: {kind}. Give it the ending of its kind, or leave it out."
        )
