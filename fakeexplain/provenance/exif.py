"""EXIF: the structure walk that recognises broken blocks, then camera, dates, position, preview and lens.

Left out on purpose: maker notes beyond the lens and their state (`maker_notes`), interoperability entries, and any
judgement of what is read.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from fakeexplain.provenance.maker_notes import MakerNote, read_maker_note
from fakeexplain.provenance.text import MAX_BLOCK, MAX_GENERATOR_TEXT, clean_text

_MAKER_NOTE_BLOCK = 256 << 10  # bytes; maker notes are only read in blocks of the size cameras write

# EXIF tags by directory. Names as in the EXIF 2.32 standard.
_IFD0 = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0112: "Orientation",
    0x0131: "Software",
    0x000B: "ProcessingSoftware",
    0x013C: "HostComputer",
    0x0132: "DateTime",
    0x013B: "Artist",
    0x8298: "Copyright",
}
_EXIF_IFD = {
    0x829A: "ExposureTime",
    0x829D: "FNumber",
    0x8827: "ISO",
    0x9003: "DateTimeOriginal",
    0x9004: "DateTimeDigitized",
    0x9010: "OffsetTime",
    0x9011: "OffsetTimeOriginal",
    0x920A: "FocalLength",
    0x9286: "UserComment",
    0xA002: "PixelXDimension",
    0xA003: "PixelYDimension",
    0xA404: "DigitalZoomRatio",
    0xA433: "LensMake",
    0xA434: "LensModel",
    0xA460: "CompositeImage",
}


@dataclass
class ExifFacts:
    """Everything read from one EXIF block, cleaned; `faults` are clauses on what is wrong with it.

    `comment` is the user comment in full length, where generators leave their prompts; `entries` has it shortened.
    """

    entries: dict[str, Any] = field(default_factory=dict)
    gps: dict[int, Any] = field(default_factory=dict)
    thumbnail: bytes | None = None
    lens: str = ""
    maker_note: MakerNote | None = None
    comment: str = ""
    faults: list[str] = field(default_factory=list)


def exif_faults(block: bytes) -> list[str]:
    """What is structurally wrong with an EXIF block (TIFF structure), as clauses; empty for a sound one.

    Walks the directories without reading values, so that a block made to exhaust a reader is recognised first.
    """
    if block[:4] not in (b"II*\x00", b"MM\x00*"):
        return ["it does not start with a TIFF header"]
    order = "little" if block[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(block[at : at + size], order)  # type: ignore[arg-type]

    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
    faults: list[str] = []
    queue, seen, claimed = [number(4, 4)], set(), 0
    while queue:
        offset = queue.pop(0)
        if offset in seen:
            faults.append("a directory refers back to one already read")
            continue
        seen.add(offset)
        count = number(offset, 2)
        if offset < 8 or offset + 2 + 12 * count > len(block):
            faults.append("a directory lies outside the block")
            continue
        for at in range(offset + 2, offset + 2 + 12 * count, 12):
            tag, kind, length = number(at, 2), number(at + 2, 2), number(at + 4, 4)
            size = sizes.get(kind, 0) * length
            claimed += size
            if kind not in sizes:
                faults.append(f"tag 0x{tag:04x} has an unknown type")
            elif size > 4 and number(at + 8, 4) + size > len(block):
                faults.append(f"tag 0x{tag:04x} points outside the block")
            if tag in (0x8769, 0x8825, 0xA005):
                queue.append(number(at + 8, 4))
        following = number(offset + 2 + 12 * count, 4)
        if following and len(seen) == 1:
            queue.append(following)
        if len(seen) > 16 or claimed > 4 * len(block) + 4096:
            faults.append("its entries claim more data than the block holds")
            break
    return list(dict.fromkeys(faults))[:8]


def read_exif(block: bytes) -> ExifFacts:
    """Reads an EXIF block as far as that is safe; what cannot be read ends up in `faults`, nothing raises."""
    faults = ["it is larger than any camera writes"] if len(block) > MAX_BLOCK else exif_faults(block)
    facts = ExifFacts(faults=list(faults))
    if len(block) > MAX_BLOCK or any("claim" in f or "header" in f for f in faults):
        return facts
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns where we report
            _read_directories(block, facts)
    except Exception as error:  # Pillow raises whatever struct, int or seek raise on hostile blocks
        facts.faults.append(clean_text(error) or type(error).__name__)
    if not faults:
        facts.maker_note = read_maker_note(block, str(facts.entries.get("Make", "")))
    if not faults and "LensModel" not in facts.entries and len(block) <= _MAKER_NOTE_BLOCK:
        facts.lens = _maker_note_lens(block)
    return facts


def _read_directories(block: bytes, facts: ExifFacts) -> None:
    exif = Image.Exif()
    exif.load(block)
    sub = exif.get_ifd(0x8769)
    for table, names in ((exif, _IFD0), (sub, _EXIF_IFD)):
        for tag, name in names.items():
            if table.get(tag) is not None:
                facts.entries[name] = _exif_value(table[tag], name)
    if isinstance(sub.get(0x9286), bytes):
        facts.comment = _user_comment(sub[0x9286])
    facts.gps = dict(exif.get_ifd(0x8825))
    first = exif.get_ifd(-1)  # Pillow's number for IFD1, the thumbnail's directory
    start, size = int(first.get(0x0201, 0)), int(first.get(0x0202, 0))
    if start > 0 and size > 0 and block[start : start + 2] == b"\xff\xd8":
        facts.thumbnail = block[start : start + size]


def _exif_value(value: Any, name: str) -> Any:
    if name == "UserComment" and isinstance(value, bytes):
        return clean_text(_user_comment(value))
    if isinstance(value, tuple) and value and not isinstance(value[0], bytes | str):
        value = value[0]
    if isinstance(value, bytes | str | tuple):
        return clean_text(value)
    number = float(value) if getattr(value, "denominator", 1) != 0 else 0.0
    return int(number) if number == int(number) else round(number, 6)


def _user_comment(value: bytes) -> str:
    encoding = {b"UNICODE\x00": "utf-16-be", b"ASCII\x00\x00\x00": "utf-8"}.get(value[:8], "latin-1")
    body = value[8 : 8 + MAX_GENERATOR_TEXT]
    if encoding == "utf-16-be" and body[1:2] == b"\x00":
        encoding = "utf-16-le"
    return body.decode(encoding, "replace").split("\x00", 1)[0]


def _maker_note_lens(block: bytes) -> str:
    import exifread

    logging.getLogger("exifread").setLevel(logging.CRITICAL)
    try:
        tags = exifread.process_file(io.BytesIO(block), details=True, extract_thumbnail=False)
    except Exception:  # maker notes are undocumented; failing to read one is no fault of the file
        return ""
    for name in ("MakerNote LensModel", "MakerNote LensType", "MakerNote Lens"):
        text = clean_text(tags[name]) if name in tags else ""
        if text.lower() not in ("n/a", "unknown", "none") and re.search(r"[a-z]{2}|\dmm", text, re.IGNORECASE):
            return text
    return ""


def degrees_of(value: Any, sign: Any) -> float | None:
    """Signed decimal degrees, to 0.001, of a GPS entry (degrees, minutes, seconds) and its letter; None if unusable."""
    try:
        degrees, minutes, seconds = (float(v) for v in value)
        result = round(degrees + minutes / 60 + seconds / 3600, 3)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (-result if str(sign)[:1] in ("S", "W") else result) if abs(result) <= 180 else None
