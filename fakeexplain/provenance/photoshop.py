"""Photoshop image resources ("8BIM" blocks): what each is for, and what those that tell of the file's history say.

Only resources whose layout is published are read (Adobe Photoshop File Formats Specification, "Image Resources").
Left out on purpose: the IPTC block (Pillow reads it), colour and print settings beyond their presence, and any
judgement: other programs write some of these blocks too.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fakeexplain.provenance.text import clean_text

_NAMES = {
    0x03ED: "resolution",
    0x03F3: "print flags",
    0x03F5: "colour halftoning",
    0x03F8: "colour transfer functions",
    0x0400: "layer state",
    0x0402: "layer groups",
    0x0404: "IPTC",
    0x0406: "JPEG quality",
    0x0408: "grid and guides",
    0x040A: "copyright flag",
    0x040B: "URL",
    0x040C: "preview",
    0x040D: "global light angle",
    0x040F: "ICC profile",
    0x0411: "untagged profile",
    0x0414: "document-specific ids",
    0x0419: "global altitude",
    0x041A: "slices",
    0x041E: "URL list",
    0x0421: "version",
    0x0422: "EXIF",
    0x0424: "XMP",
    0x0425: "caption digest",
    0x0426: "print scale",
    0x0428: "pixel aspect ratio",
    0x042D: "selected layers",
    0x0430: "enabled layer groups",
    0x043A: "print information",
    0x043B: "print style",
    0x0BB7: "clipping path",
    0x2710: "print flags information",
}
_PREVIEW_HEADER = 28
# Written by programs other than Photoshop in the same box: IPTC and the digest that guards it.
SHARED_IDS = (0x0404, 0x0425)


def photoshop_facts(resources: dict[int, bytes]) -> dict[str, Any]:
    """Readable facts of the resource blocks of one file, as JSON values. Never raises on bytes.

    Keys, each only where the block is there: blocks (names), writer and reader (programs of the version block),
    jpeg_quality (0 to 12, as in Photoshop's dialogue), paths (number of saved paths), iptc_unchanged (whether the
    digest that Photoshop stored still fits the IPTC block).
    """
    facts: dict[str, Any] = {"blocks": [_name(i) for i in sorted(resources)]}
    version = resources.get(0x0421, b"")
    if len(version) >= 9:
        writer, at = _unicode(version, 5)
        reader, _ = _unicode(version, at)
        facts |= {k: v for k, v in (("writer", writer), ("reader", reader)) if v}
    quality = resources.get(0x0406, b"")
    if len(quality) >= 2:
        value = int.from_bytes(quality[:2], "big", signed=True) + 4
        if 0 <= value <= 12:
            facts["jpeg_quality"] = value
    paths = sum(0x07D0 <= i <= 0x0BB6 for i in resources)
    if paths:
        facts["paths"] = paths
    digest, iptc = resources.get(0x0425, b""), resources.get(0x0404, b"")
    if len(digest) == 16 and any(digest) and iptc:
        facts["iptc_unchanged"] = hashlib.md5(iptc, usedforsecurity=False).digest() == digest
    return facts


def photoshop_preview(resources: dict[int, bytes]) -> bytes | None:
    """The JPEG preview that Photoshop keeps beside the EXIF one, None when there is none."""
    block = resources.get(0x040C, b"")
    is_jpeg = block[:4] == b"\x00\x00\x00\x01" and block[_PREVIEW_HEADER : _PREVIEW_HEADER + 2] == b"\xff\xd8"
    return block[_PREVIEW_HEADER:] if is_jpeg else None


def _name(number: int) -> str:
    if 0x07D0 <= number <= 0x0BB6:
        return "saved path"
    return _NAMES.get(number, f"0x{number:04x}")


def _unicode(block: bytes, at: int) -> tuple[str, int]:
    """(text, position after it) of a length-prefixed UTF-16 string."""
    length = int.from_bytes(block[at : at + 4], "big")
    end = min(at + 4 + 2 * length, len(block))
    return clean_text(block[at + 4 : end].decode("utf-16-be", "replace").rstrip("\x00")), end
