"""Containers around the picture: PNG chunks and their texts, and what follows the end of a JPEG, PNG or WebP picture.

Left out on purpose: JPEG segments (`imaging.jpeg` lists them), the boxes of HEIF and AVIF, and unpacking of what is
appended: its kind is told from signatures alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from fakeexplain.imaging.source import SourceImage
from fakeexplain.provenance.text import MAX_TEXT, clean_text

TRAILER_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"ftyp", "a video (MP4 container)"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\x7fELF", "a program (ELF)"),
    (b"SEFT", "Samsung's camera trailer"),
)
_MAX_CHUNKS = 100_000  # of a PNG


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of each chunk; stops at the end, or at the first that does not fit."""
    position = 8
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[position : position + 4], "big")
        if position + 12 + length > len(data):
            return
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, 8 * MAX_TEXT)
    except zlib.error:
        return b""


def png_text(kind: bytes, payload: bytes) -> tuple[str, str]:
    """(key, text), both cleaned, of a tEXt, zTXt or iTXt chunk."""
    key, _, rest = payload.partition(b"\x00")
    if kind == b"zTXt":
        rest = _inflate(rest[1:])
    elif kind == b"iTXt":
        compressed, rest = rest[:1] == b"\x01", rest[2:]
        rest = rest.split(b"\x00", 2)[-1]
        rest = _inflate(rest) if compressed else rest
    return clean_text(key, 79), clean_text(rest)


def trailer(source: SourceImage) -> tuple[int, bytes]:
    """(number, first MiB) of the bytes after the end of a JPEG, PNG or WebP picture."""
    data, size = source.data, 0
    if source.jpeg is not None:
        size = source.jpeg.trailing_bytes
    elif source.format == "PNG":
        end = 8
        for kind, payload in png_chunks(data):
            end += 12 + len(payload)
            if kind == b"IEND":
                size = len(data) - end
                break
    elif source.format == "WEBP":
        announced = int.from_bytes(data[4:8], "little")
        size = max(0, len(data) - 8 - announced - announced % 2)
    start = len(data) - size
    return size, data[start : start + (1 << 20)]
