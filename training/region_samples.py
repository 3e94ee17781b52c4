"""Regions to train the region head on: boxes around edits as people draw them, and boxes of the same sizes elsewhere.

Sizes of negatives are those of the batch's own edits: otherwise the head would learn how large edits are, which looked
like a large gain once (docs/experiments.md). Drawn from the pictures themselves, so that a run that was stopped draws
the same again.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fakeexplain import region_test
from fakeexplain.imaging.regions import box_of_largest_part
from training.data import Batch

REGIONS = 12  # of one picture, which costs little beside a look at it; half of them around the edit of a forged one
LEAST = 16  # pixels of a side
_FREE = 0.01  # part of a negative that may be forged
_TRIES = 24
_COMPARED = 6  # free places, the one with most detail of which every second negative takes
_DEFAULT = (0.25, 0.25)  # sides of negatives where a batch holds no edit, parts of the picture
Box = tuple[int, int, int, int]


def region_samples(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Regions of each picture of a batch (`training.data.sample_tensors`).

    Returns:
        float32 B,R,H/4,W/4 the part of each cell that lies in each region; float32 B,R whether it is an edit;
        float32 B,R whether there is such a region.
    """
    rgb, forged = batch["rgb"].cpu().numpy(), batch["forged"].cpu().numpy()[:, 0]
    rng = np.random.default_rng(int(rgb.sum(dtype=np.int64)))
    edits = [box_of_largest_part(f) for f in forged]
    sizes = [(b[2] - b[0], b[3] - b[1]) for b in edits if b is not None]
    height, width = forged.shape[1:]
    sizes = sizes or [(round(_DEFAULT[0] * width), round(_DEFAULT[1] * height))]
    masks = np.zeros((len(rgb), REGIONS, height, width), np.uint8)
    labels, known = np.zeros((2, len(rgb), REGIONS), np.float32)
    for i, edit in enumerate(edits):
        detail = region_test.detail_integral(rgb[i].mean(axis=0, dtype=np.float32))
        for r in range(REGIONS):
            if edit is not None and r < REGIONS // 2:
                box: Box | None = _drawn_around(edit, height, width, rng)
                labels[i, r] = 1.0
            else:
                size = sizes[int(rng.integers(len(sizes)))]
                box = _elsewhere(forged[i], detail if r % 2 else None, size, rng)
            if box is not None:
                x0, y0, x1, y1 = box
                masks[i, r, y0:y1, x0:x1] = 1
                known[i, r] = 1.0
    cells = F.avg_pool2d(torch.from_numpy(masks).float(), 4)
    return cells, torch.from_numpy(labels), torch.from_numpy(known)


def _drawn_around(edit: Box, height: int, width: int, rng: np.random.Generator) -> Box:
    """A box as somebody would draw it: a quarter too small to two fifths too large, a little off."""
    x0, y0, x1, y1 = edit
    w, h = ((b - a) * math.exp(rng.uniform(-0.25, 0.35)) for a, b in ((x0, x1), (y0, y1)))
    x = (x0 + x1) / 2 + 0.08 * (x1 - x0) * rng.standard_normal()
    y = (y0 + y1) / 2 + 0.08 * (y1 - y0) * rng.standard_normal()
    left, top = _within(x - w / 2, width), _within(y - h / 2, height)
    right, bottom = max(left + LEAST, round(x + w / 2)), max(top + LEAST, round(y + h / 2))
    return left, top, min(right, width), min(bottom, height)


def _within(start: float, side: int) -> int:
    return min(max(round(start), 0), side - LEAST)


def _elsewhere(
    forged: np.ndarray, detail: np.ndarray | None, size: tuple[int, int], rng: np.random.Generator
) -> Box | None:
    """A box of a size without an edit, the one with most detail of some where `detail` (an integral image) is given."""
    height, width = forged.shape
    w, h = min(max(size[0], LEAST), width), min(max(size[1], LEAST), height)
    found: list[Box] = []
    for _ in range(_TRIES):
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        if forged[y : y + h, x : x + w].mean() <= _FREE:
            found.append((x, y, x + w, y + h))
            if detail is None or len(found) == _COMPARED:
                break
    if detail is None or not found:
        return found[0] if found else None
    return max(found, key=lambda box: region_test.sum_in(detail, box))
