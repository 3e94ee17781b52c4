"""Boxes to ask about: around the true region, at random, where the eye goes, and of the same size elsewhere.

Region POPE after Li et al. (EMNLP 2023): the same yes-or-no question about places where the answer is yes and where it
is no. "Salient" stands for POPE's "popular" negatives: the place a reader would guess, without any finding there. The
answerer is told a box and nothing else. Left out: asking and counting (`protocol`, `tables`).
"""

from __future__ import annotations

import cv2
import numpy as np

from fakeexplain.imaging.regions import box_of_largest_part, box_of_mask

Box = tuple[int, int, int, int]
LEAST = 24  # pixels of a side
_TRIES = 200
_FREE = 0.01  # part of a negative box that may lie on the truth


def region_boxes(
    rgb: np.ndarray, true_mask: np.ndarray | None, rng: np.random.Generator, donor: np.ndarray | None = None
) -> dict[str, Box]:
    """Boxes by kind: "true", "same_size" (forged pictures only), "random", "salient".

    A kind is left out where no place for it exists, say beside a region that fills the picture.

    Args:
        rgb: uint8 HxWx3. true_mask: bool HxW, None for an authentic picture.
        donor: bool HxW, where copied content came from: neither answer is wrong there, so no box lies on it.
    """
    height, width = rgb.shape[:2]
    truth = np.zeros((height, width), bool) if true_mask is None else true_mask
    avoid = truth if donor is None else truth | donor
    found: dict[str, Box] = {}
    edit = box_of_largest_part(truth)
    if edit is not None:
        found["true"] = _grown(edit, height, width)
        size = found["true"][2] - found["true"][0], found["true"][3] - found["true"][1]
        _put(found, "same_size", _free_box(avoid, size, rng))
    size = max(LEAST, int(width * rng.uniform(0.12, 0.35))), max(LEAST, int(height * rng.uniform(0.12, 0.35)))
    _put(found, "random", _free_box(avoid, size, rng))
    _put(found, "salient", _salient_box(rgb, avoid, size))
    return found


def _put(found: dict[str, Box], name: str, box: Box | None) -> None:
    if box is not None:
        found[name] = box


def _grown(box: Box, height: int, width: int) -> Box:
    """At least `LEAST` pixels a side, inside the picture."""
    x0, y0, x1, y1 = box
    dx, dy = max(0, LEAST - (x1 - x0) + 1) // 2, max(0, LEAST - (y1 - y0) + 1) // 2
    return max(x0 - dx, 0), max(y0 - dy, 0), min(x1 + dx, width), min(y1 + dy, height)


def _free_box(truth: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> Box | None:
    height, width = truth.shape
    w, h = min(size[0], width), min(size[1], height)
    for _ in range(_TRIES):
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        if truth[y : y + h, x : x + w].mean() <= _FREE:
            return x, y, x + w, y + h
    return None


def _salient_box(rgb: np.ndarray, truth: np.ndarray, size: tuple[int, int]) -> Box | None:
    """The place of most colour contrast to the whole picture and most detail that has nothing of the truth.

    Contrast is the distance from the mean colour in CIELAB (Achanta et al., CVPR 2009), detail the gradient.
    """
    height, width = truth.shape
    w, h = min(size[0], width), min(size[1], height)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    contrast = np.linalg.norm(cv2.GaussianBlur(lab, (0, 0), 3.0) - lab.mean(axis=(0, 1)), axis=2)
    detail = np.abs(cv2.Laplacian(lab[..., 0], cv2.CV_32F))
    salience = contrast / max(float(contrast.mean()), 1e-6) + detail / max(float(detail.mean()), 1e-6)
    mean = _box_means(salience, w, h)
    mean[_box_means(truth.astype(np.float32), w, h) > _FREE] = -1.0
    y, x = np.unravel_index(int(np.argmax(mean)), mean.shape)
    return None if mean[y, x] < 0 else (int(x), int(y), int(x) + w, int(y) + h)


def _box_means(plane: np.ndarray, w: int, h: int) -> np.ndarray:
    """float64 (H-h+1, W-w+1): mean of every box of w x h by its upper left corner."""
    total = cv2.integral(plane.astype(np.float64))
    return (total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]) / (w * h)


def control_mask(true_mask: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """bool HxW: the same shape moved to a place without any of the truth; None where it fits nowhere."""
    x0, y0, x1, y1 = box_of_mask(true_mask)
    near = cv2.dilate(true_mask.astype(np.uint8), np.ones((17, 17), np.uint8)).astype(bool)
    shape, (height, width) = true_mask[y0:y1, x0:x1], true_mask.shape
    for _ in range(_TRIES):
        x, y = int(rng.integers(width - (x1 - x0) + 1)), int(rng.integers(height - (y1 - y0) + 1))
        moved = np.zeros((height, width), bool)
        moved[y : y + y1 - y0, x : x + x1 - x0] = shape
        if not (moved & near).any():
            return moved
    return None
