"""A region corrected by clicks: GrabCut from the clicks and the region so far (Rother, Kolmogorov & Blake 2004).

It follows the picture's visible edges, so it corrects the border of a region whose object somebody recognises; it
measures no trace of manipulation and never changes the verdict. Left out: the learned mask decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import box_of_mask

_WORK_SIDE = 640  # pixels, longest side of what GrabCut sees
_ROUNDS = 4
_MOST_CLICKS = 200


def refine_mask(rgb: np.ndarray, region_mask: np.ndarray, clicks: Sequence[tuple[float, float, bool]]) -> np.ndarray:
    """The region after the clicks.

    Args:
        rgb: uint8 HxWx3. region_mask: bool HxW, may be empty.
        clicks: (x, y, whether this place belongs to the region) in pixels.

    Returns:
        bool HxW.

    Raises:
        MeasurementError: no clicks, too many, or one outside the picture.
    """
    height, width = region_mask.shape
    if not 0 < len(clicks) <= _MOST_CLICKS:
        raise MeasurementError(f"{len(clicks)} clicks, wanted 1 to {_MOST_CLICKS}")
    for x, y, _ in clicks:
        if not (0 <= x < width and 0 <= y < height):
            raise MeasurementError(f"click at {x:g}, {y:g} lies outside the picture of {width}x{height} pixels")
    scale = min(1.0, _WORK_SIDE / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(region_mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    brush = max(2, round(0.012 * max(size)))
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    reach = _window(inside, [(x * scale, y * scale) for x, y, _ in clicks], size)
    outside = np.ones_like(inside)
    outside[reach] = False
    labels[outside & ~inside] = cv2.GC_BGD
    for x, y, belongs in clicks:
        centre = (round(x * scale), round(y * scale))
        if belongs and not inside.any():  # a first click on an empty mask: its surroundings may belong
            cv2.circle(labels, centre, 6 * brush, int(cv2.GC_PR_FGD), -1)
        elif not belongs:
            cv2.circle(labels, centre, 3 * brush, int(cv2.GC_PR_BGD), -1)
    for x, y, belongs in clicks:
        centre = (round(x * scale), round(y * scale))
        cv2.circle(labels, centre, brush, int(cv2.GC_FGD if belongs else cv2.GC_BGD), -1)
    foreground = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if foreground.any() and not foreground.all():
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(7)
        cv2.grabCut(
            np.ascontiguousarray(small[..., ::-1]), labels, (0, 0, 1, 1), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK
        )
        foreground = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    large = cv2.resize(foreground.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return large >= 0.5


def _window(inside: np.ndarray, clicks: Sequence[tuple[float, float]], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that the region may reach: its box and the clicks, and half as much again around."""
    x0, y0, x1, y1 = box_of_mask(inside)
    xs, ys = [x for x, _ in clicks], [y for _, y in clicks]
    if x1 > x0:
        xs, ys = [*xs, x0, x1], [*ys, y0, y1]
    margin = 0.5 * max(max(xs) - min(xs), max(ys) - min(ys), 0.25 * max(size))
    rows = slice(max(0, int(min(ys) - margin)), int(max(ys) + margin) + 1)
    return rows, slice(max(0, int(min(xs) - margin)), int(max(xs) + margin) + 1)
