"""COCO's compressed run lengths: a mask as one short ASCII string, exact with what pycocotools reads and writes.

The format (pycocotools' `maskApi`, from its documentation): column-major runs, the first one of False; from the fourth
run on, the difference to the run two places before; each number in groups of five bits, least significant first, with
a sixth bit that says "more follows", plus 48 to land among printable characters. The runs themselves are
`fakeexplain.imaging.regions`'. Deliberately left out: polygons, and unions of many masks.
"""

from __future__ import annotations

import numpy as np

from fakeexplain.errors import SourceError
from fakeexplain.imaging.regions import decode_mask, encode_mask
from fakeexplain.records import RunLengths

MAX_PIXELS = 1 << 30  # a few characters can announce any size; nothing is allocated beyond this


def counts_to_string(counts: tuple[int, ...] | list[int]) -> str:
    """Runs -> string.

    >>> counts_to_string([2, 4, 30])
    '24n0'
    """
    characters: list[str] = []
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            group = value & 0x1F
            value >>= 5
            # The fifth bit is the sign once nothing but sign is left.
            more = value != (-1 if group & 0x10 else 0)
            characters.append(chr((group | 0x20 if more else group) + 48))
            if not more:
                break
    return "".join(characters)


def string_to_counts(text: str) -> tuple[int, ...]:
    """Inverse of `counts_to_string`.

    Raises:
        SourceError: a character outside the alphabet, or the string stops in the middle of a number.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for position, character in enumerate(text):
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise SourceError(f"run lengths: {character!r} at position {position} is no character of COCO's format")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        counts.append(value + counts[len(counts) - 2] if len(counts) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise SourceError("run lengths: the string ends in the middle of a number; it was cut off")
    return tuple(counts)


def mask_to_rle(mask: np.ndarray) -> dict[str, object]:
    """bool HxW -> {"size": [H, W], "counts": str}, as in COCO's annotation files."""
    runs = encode_mask(mask)
    return {"size": [runs.height, runs.width], "counts": counts_to_string(runs.counts)}


def rle_to_mask(size: tuple[int, int], counts: str | tuple[int, ...]) -> np.ndarray:
    """bool HxW of compressed (str) or plain (integers) run lengths; `size` is (height, width).

    Raises:
        SourceError: the string is broken, or the runs do not add up to height x width.
    """
    height, width = size
    if min(size) < 0 or height * width > MAX_PIXELS:
        raise SourceError(f"run lengths: size {height}x{width}; wanted at most {MAX_PIXELS} pixels")
    runs = string_to_counts(counts) if isinstance(counts, str) else tuple(counts)
    try:
        return decode_mask(RunLengths(height=height, width=width, counts=runs))
    except (ValueError, OverflowError) as error:
        raise SourceError(str(error)) from None
