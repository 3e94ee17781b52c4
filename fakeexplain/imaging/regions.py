"""Regions: mask <-> run lengths <-> box <-> words. The only place where these are converted.

Masks are bool HxW in the upright source frame; boxes are xyxy in source pixels, right and bottom exclusive.
"""

from __future__ import annotations

import cv2
import numpy as np

from fakeexplain.errors import MeasurementError
from fakeexplain.records import Region, RunLengths

_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")


def encode_mask(mask: np.ndarray) -> RunLengths:
    """bool HxW -> COCO's uncompressed RLE (column-major, first run counts False pixels)."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate(([0], changes, [flat.size])))
    if flat.size and flat[0]:
        counts = np.concatenate(([0], counts))
    height, width = mask.shape
    return RunLengths(height=height, width=width, counts=tuple(int(c) for c in counts))


def decode_mask(runs: RunLengths) -> np.ndarray:
    """Inverse of `encode_mask`: bool HxW.

    Raises:
        ValueError: the runs do not add up to height x width.
    """
    counts = np.asarray(runs.counts, dtype=np.int64)
    if counts.sum() != runs.height * runs.width or (counts < 0).any():
        raise ValueError(
            f"run lengths add up to {counts.sum()}, wanted {runs.height}x{runs.width} = {runs.height * runs.width}"
        )
    values = np.arange(counts.size) % 2 == 1
    return np.repeat(values, counts).reshape((runs.height, runs.width), order="F")


def box_of_mask(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Tight xyxy box of the True pixels; (0, 0, 0, 0) for an empty mask."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return (0, 0, 0, 0)
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def box_of_largest_part(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """xyxy box of the largest 8-connected part of the True pixels; None for an empty mask."""
    count, _, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    x, y, width, height, _ = statistics[1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))].tolist()
    return x, y, x + width, y + height


def mask_of_box(box_xyxy: tuple[float, float, float, float], height: int, width: int) -> np.ndarray:
    """bool HxW, True inside the box after clipping it to the image."""
    x0, y0, x1, y1 = (round(v) for v in box_xyxy)
    mask = np.zeros((height, width), dtype=bool)
    mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return mask


def checked_region(region_mask: np.ndarray, height: int, width: int, min_pixels: int, who: str) -> np.ndarray:
    """A region that somebody chose as bool HxW, after checking frame and size; `who` wants to measure it.

    Raises:
        MeasurementError: another frame than the upright picture's, or fewer than `min_pixels`.
    """
    mask = np.asarray(region_mask, dtype=bool)
    if mask.shape != (height, width):
        raise MeasurementError(
            f"{who}: region is {mask.shape[1]}x{mask.shape[0]}, picture is {width}x{height}; "
            "give the region in the frame of the upright picture"
        )
    count = int(mask.sum())
    if count < min_pixels:
        raise MeasurementError(f"{who}: region has {count} pixels, at least {min_pixels} are needed; widen it")
    return mask


def percent_words(fraction: float) -> str:
    """A fraction of the image as a reader expects it: "0.04 %", "0.4 %", "4 %", "41 %"."""
    percent = 100.0 * fraction
    if percent == 0.0:
        return "0 %"
    if percent < 0.01:
        return "under 0.01 %"
    digits = 2 if percent < 0.1 else 1 if percent < 3 else 0
    return f"{percent:.{digits}f} %"


def place_words(mask: np.ndarray) -> str:
    """Where a mask lies: a cell of a 3x3 grid by its centroid, or how far it spreads when it is large.

    >>> mask = np.zeros((90, 90), bool); mask[:20, :20] = True
    >>> place_words(mask)
    'upper left'
    """
    height, width = mask.shape
    if not mask.any():
        return "nowhere"
    x0, y0, x1, y1 = box_of_mask(mask)
    wide, tall = (x1 - x0) / width, (y1 - y0) / height
    if wide > 0.8 and tall > 0.8:
        return "across the whole image"
    row_weights, column_weights = mask.sum(axis=1), mask.sum(axis=0)
    cy = float((row_weights * np.arange(height)).sum() / row_weights.sum()) / height
    cx = float((column_weights * np.arange(width)).sum() / column_weights.sum()) / width
    row, column = _ROWS[min(int(cy * 3), 2)], _COLUMNS[min(int(cx * 3), 2)]
    if wide > 0.8:
        return f"across the {row} part"
    if tall > 0.8:
        return f"from top to bottom, {column}" if column == "centre" else f"along the {column} side"
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"


def region_of_mask(mask: np.ndarray, region_id: str = "") -> Region:
    """bool HxW -> Region with box, area and words."""
    mask = np.asarray(mask, dtype=bool)
    fraction = float(mask.mean()) if mask.size else 0.0
    return Region(
        id=region_id,
        mask=encode_mask(mask),
        box_xyxy=box_of_mask(mask),
        area_fraction=fraction,
        words=f"{place_words(mask)}, {percent_words(fraction)} of the image",
    )


def mask_of_region(region: Region) -> np.ndarray:
    """bool HxW of a Region."""
    return decode_mask(region.mask)
