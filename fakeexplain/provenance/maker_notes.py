"""Maker notes: whether a camera's private EXIF block is there, whose it is, and whether an editor moved or broke it.

Most makers store addresses counted from the start of the EXIF block. A program that rewrites the block and copies the
maker note without mending those addresses leaves them pointing beside it; that is what `moved` says. Layouts: the
documentation of P. Harvey's ExifTool. Left out on purpose: the values themselves (undocumented), for makers that count
addresses from the note itself all but a check that they stay inside, and any judgement. "Not in our list" is neutral.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

NoteState = Literal["absent", "sound", "moved", "broken", "unlisted"]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MAX_ENTRIES = 400
# Makers whose cameras are documented to write a maker note into their JPEGs.
WRITERS = ("canon", "nikon", "fujifilm", "olympus", "panasonic", "pentax", "sony")


@dataclass(frozen=True)
class _Layout:
    """How one maker's note begins.

    Attributes:
        name: as people call it.
        signature: first bytes; b"" for a note that starts with its directory.
        makes: beginnings of the EXIF Make entry (lower case), needed where there is no signature.
        directory: offset of the directory from the start of the note, -1 where a 32-bit little-endian number at byte 8
            holds it (Fujifilm).
        base: what addresses count from: "block" (the EXIF block), "note", or an offset into the note as a number.
        order: byte order, "" as in the EXIF block, "header" where a TIFF header stands at `base`.
    """

    name: str
    signature: bytes
    makes: tuple[str, ...]
    directory: int
    base: str | int
    order: Literal["", "little", "big", "header"] = ""


_LAYOUTS = (
    _Layout("Nikon", b"Nikon\x00\x02", (), 18, 10, "header"),
    _Layout("Fujifilm", b"FUJIFILM", (), -1, 0, "little"),
    _Layout("Olympus", b"OLYMPUS\x00II", (), 12, 0, "little"),
    _Layout("Olympus", b"OLYMP\x00", (), 8, "block"),
    _Layout("Panasonic", b"Panasonic\x00\x00\x00", (), 12, "block"),
    _Layout("Sony", b"SONY DSC \x00\x00\x00", (), 12, "block"),
    _Layout("Sony", b"SONY CAM \x00\x00\x00", (), 12, "block"),
    _Layout("Pentax", b"AOC\x00", (), 6, "block"),
    _Layout("Apple", b"Apple iOS\x00\x00\x01MM", (), 14, 0, "big"),
    _Layout("Canon", b"", ("canon",), 0, "block"),
)


@dataclass(frozen=True)
class MakerNote:
    """State of the maker note of one EXIF block.

    Attributes:
        state: absent, sound (addresses point into the note), moved (they point beside it, all by the like of one
            displacement), broken (its directory does not parse), unlisted (a maker whose layout is not known here).
        maker: by signature or Make entry, "" when unlisted or absent.
        size: bytes.
        entries: of its directory.
        displacement: for `moved`: bytes by which the addresses miss the note.
    """

    state: NoteState
    maker: str = ""
    size: int = 0
    entries: int = 0
    displacement: int = 0

    def details(self) -> dict[str, Any]:
        return {
            "maker_note": self.state,
            "maker_note_of": self.maker or None,
            "maker_note_bytes": self.size,
            "maker_note_entries": self.entries,
        }


def read_maker_note(block: bytes, make: str) -> MakerNote:
    """State of the maker note of an EXIF block (TIFF structure); never raises.

    Args:
        block: the EXIF block, whose directories must be sound (`exif.exif_faults` found nothing).
        make: its Make entry.
    """
    order: Any = "little" if block[:2] == b"II" else "big"
    place = _locate(block, order)
    if place is None:
        return MakerNote("absent")
    start, size = place
    note = block[start : start + size]
    layout = next((one for one in _LAYOUTS if _fits(one, note, make.lower())), None)
    if layout is None:
        return MakerNote("unlisted", size=size)
    base = layout.base if isinstance(layout.base, int) else 0
    if layout.order == "header":
        order = {b"II": "little", b"MM": "big"}.get(note[base : base + 2], order)
    elif layout.order:
        order = layout.order
    at = int.from_bytes(note[8:12], "little") if layout.directory < 0 else layout.directory
    count = int.from_bytes(note[at : at + 2], order)
    if not 0 < count <= _MAX_ENTRIES or at + 2 + 12 * count > size:
        return MakerNote("broken", layout.name, size, count)
    spans = []
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        kind = int.from_bytes(note[entry + 2 : entry + 4], order)
        length = int.from_bytes(note[entry + 4 : entry + 8], order) * _SIZES.get(kind, 0)
        if kind not in _SIZES:
            if not any(note[entry : entry + 8]):  # padding, as some Sony cameras write it
                continue
            return MakerNote("broken", layout.name, size, count)
        if length > 4:
            spans.append((int.from_bytes(note[entry + 8 : entry + 12], order), length))
    if not spans:
        return MakerNote("sound", layout.name, size, count)
    if layout.base == "block":
        low, high = start, start + size
    else:
        low, high = 0, size - base
    inside = sum(low <= a and a + n <= high for a, n in spans)
    if inside >= 0.5 * len(spans):  # a few entries of sound notes point elsewhere, as with previews
        return MakerNote("sound", layout.name, size, count)
    # Moved as a whole: in the old file, one of the values began right after the directory.
    first = low + at + 2 + 12 * count + 4
    for address, _ in sorted(spans)[:40] if layout.base == "block" else ():
        shift = address - first
        if sum(low <= a - shift and a + n - shift <= high for a, n in spans) >= 0.5 * len(spans):
            return MakerNote("moved", layout.name, size, count, shift)
    return MakerNote("broken", layout.name, size, count)


def _fits(layout: _Layout, note: bytes, make: str) -> bool:
    return note.startswith(layout.signature) if layout.signature else make.startswith(layout.makes)


def _locate(block: bytes, order: Any) -> tuple[int, int] | None:
    """(start, size) of the MakerNote value in the block."""

    def find(directory: int, wanted: int) -> tuple[int, int] | None:
        count = int.from_bytes(block[directory : directory + 2], order)
        for at in range(directory + 2, min(directory + 2 + 12 * count, len(block) - 11), 12):
            if int.from_bytes(block[at : at + 2], order) == wanted:
                return int.from_bytes(block[at + 4 : at + 8], order), int.from_bytes(block[at + 8 : at + 12], order)
        return None

    pointer = find(int.from_bytes(block[4:8], order), 0x8769)
    value = find(pointer[1], 0x927C) if pointer else None
    if value is None or value[0] <= 4 or value[1] + value[0] > len(block):
        return None
    return value[1], value[0]
