"""Containers around the picture: PNG chunks and their texts, the order of JPEG segments, and what follows the picture.

Left out on purpose: walking JPEG segments (`imaging.jpeg` does), the boxes of HEIF and AVIF, and unpacking of what is
appended: its kind is told from signatures alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from fakeexplain.imaging.jpeg import Segment
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
_IDENTIFIERS = (
    (b"JFIF\x00", "JFIF"),
    (b"JFXX\x00", "JFXX"),
    (b"Exif\x00", "Exif"),
    (b"http://ns.adobe.com/xap/1.0/\x00", "XMP"),
    (b"http://ns.adobe.com/xmp/extensi", "extended XMP"),
    (b"ICC_PROFILE\x00", "ICC"),
    (b"MPF\x00", "MPF"),
    (b"Photoshop 3.0\x00", "Photoshop"),
    (b"Adobe", "Adobe"),
    (b"Ducky", "Ducky"),
    (b"JP\x00", "JUMBF"),
)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of each chunk; stops at the end, or at the first that does not fit."""
    position = 8
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[position : position + 4], "big")
        if position + 12 + length > len(data):
            return
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def _inflate(data: bytes, limit: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, limit)
    except zlib.error:
        return b""


def png_text(kind: bytes, payload: bytes, limit: int = 8 * MAX_TEXT) -> tuple[str, bytes]:
    """(cleaned key, up to `limit` bytes of the text as stored, unpacked) of a tEXt, zTXt or iTXt chunk."""
    key, _, rest = payload.partition(b"\x00")
    if kind == b"zTXt":
        rest = _inflate(rest[1:], limit)
    elif kind == b"iTXt":
        compressed, rest = rest[:1] == b"\x01", rest[2:]
        rest = rest.split(b"\x00", 2)[-1]
        rest = _inflate(rest, limit) if compressed else rest
    return clean_text(key, 79), rest[:limit]


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


def segment_names(segments: Sequence[Segment]) -> list[str]:
    """Names of JPEG segments with what an application segment holds: ["APP1 Exif", "DQT", ...]."""
    names = []
    for segment in segments:
        known = next((words for mark, words in _IDENTIFIERS if segment.identifier.startswith(mark)), "")
        names.append(f"{segment.name} {known}" if known and segment.name.startswith("APP") else segment.name)
    return names


def order_remarks(names: Sequence[str]) -> list[str]:
    """What is not as cameras write it in the order of segments, as clauses; `names` as from `segment_names`.

    Cameras write one Exif segment first, and no JFIF segment or one after it (JEITA CP-3451); programs that add EXIF to
    their own JPEG put JFIF first.
    """
    remarks = []
    for kind in ("APP0 JFIF", "APP1 Exif", "APP1 XMP"):
        if names.count(kind) > 1:
            remarks.append(f"{names.count(kind)} segments of the kind {kind}")
    if "APP0 JFIF" in names and "APP1 Exif" in names and names.index("APP0 JFIF") < names.index("APP1 Exif"):
        remarks.append("the JFIF segment stands before the Exif segment")
    tables = next((i for i, n in enumerate(names) if n in ("DQT", "DHT") or n.startswith("SOF")), len(names))
    late = [n for n in names[tables:] if n in ("APP1 Exif", "APP1 XMP", "APP13 Photoshop")]
    if late:
        remarks.append(f"{late[0]} stands after the picture's tables")
    return remarks
