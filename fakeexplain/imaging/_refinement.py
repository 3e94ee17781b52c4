"""Refinement of a guessed motion to sub-pixel: the robust part of `registration`, and the motion models it can fit.

Inverse-compositional Gauss-Newton (Baker & Matthews, "Lucas-Kanade 20 years on", IJCV 2004) with Tukey weights, from
coarse to fine, driven by the pixels with the steepest slopes only. Left out: where the guess comes from, how planes are
normalised, which model is kept and whether the fit is believed; all that is `registration`.

Frames: xy in pixels, pixel centres at integers; matrices are float64 3x3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Model = Literal["identity", "translation", "stretch", "similarity", "affine", "homography"]

_SAMPLES = 60_000  # pixels that drive the refinement: those with the steepest slopes


@dataclass(frozen=True)
class Samples:
    """xy float64 (n, 2), values and slopes (n, 2) of the questioned picture there."""

    xy: np.ndarray
    values: np.ndarray
    slopes: np.ndarray


def steepest(plane: np.ndarray) -> Samples:
    """The pixels with the steepest slopes, evenly taken from a 4 x 4 grid so that no corner is left without a say."""
    gx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    gy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    power = gx * gx + gy * gy
    power[:2], power[-2:], power[:, :2], power[:, -2:] = 0, 0, 0, 0
    height, width = plane.shape
    chosen = []
    for y0, y1 in _parts(height):
        for x0, x1 in _parts(width):
            part = power[y0:y1, x0:x1]
            count = min(_SAMPLES // 16, int(part.size * 0.4))
            if count < 1:
                continue
            flat = np.argpartition(part.ravel(), part.size - count)[-count:]
            rows, columns = np.unravel_index(flat, part.shape)
            keep = part[rows, columns] > 1e-4
            chosen.append(np.stack([columns[keep] + x0, rows[keep] + y0], axis=1))
    xy = np.concatenate(chosen) if chosen else np.zeros((0, 2), np.int64)
    x, y = xy[:, 0], xy[:, 1]
    return Samples(xy.astype(np.float64), plane[y, x], np.stack([gx[y, x], gy[y, x]], axis=1))


def _parts(length: int) -> Iterator[tuple[int, int]]:
    edges = np.linspace(0, length, 5).astype(int)
    yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


def nearest(matrix: np.ndarray, model: Model, shape: tuple[int, ...]) -> np.ndarray:
    """The motion of a model that is closest to a homography over a frame (the target's), in the target's pixels."""
    if model == "homography":
        return matrix
    x, y = np.meshgrid(np.linspace(0, shape[1] - 1, 5), np.linspace(0, shape[0] - 1, 5))
    there = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
    here = there @ np.linalg.inv(matrix).T
    here = here[:, :2] / here[:, 2:]
    basis = _basis(model, here)
    wanted = there[:, :2] - here
    p = np.linalg.lstsq(basis.reshape(-1, basis.shape[2]), wanted.ravel(), rcond=None)[0]
    return _increment(model, p)


def _basis(model: Model, xy: np.ndarray) -> np.ndarray:
    """Displacement (n, 2, k) of points per unit of each of the model's k parameters; xy are centred, of size 1."""
    x, y = xy[:, 0], xy[:, 1]
    one, nil = np.ones_like(x), np.zeros_like(x)
    columns = {
        "identity": [],
        "translation": [(one, nil), (nil, one)],
        "stretch": [(one, nil), (nil, one), (x, nil), (nil, y)],
        "similarity": [(one, nil), (nil, one), (x, y), (-y, x)],
        "affine": [(one, nil), (nil, one), (x, nil), (nil, y), (y, nil), (nil, x)],
        "homography": [(one, nil), (nil, one), (x, nil), (nil, y), (y, nil), (nil, x), (x * x, x * y), (x * y, y * y)],
    }[model]
    return np.stack([np.stack(c, axis=1) for c in columns], axis=2) if columns else np.zeros((len(x), 2, 0))


def _increment(model: Model, p: np.ndarray) -> np.ndarray:
    """3x3 matrix whose first-order displacement is `_basis` @ p."""
    m = np.eye(3)
    if p.size:
        m[0, 2], m[1, 2] = p[0], p[1]
    if model == "stretch":
        m[0, 0], m[1, 1] = 1 + p[2], 1 + p[3]
    elif model == "similarity":
        m[:2, :2] += [[p[2], -p[3]], [p[3], p[2]]]
    elif model in ("affine", "homography"):
        m[:2, :2] += [[p[2], p[4]], [p[5], p[3]]]
    if model == "homography":
        m[2, :2] = -p[6], -p[7]
    return m


def refine(
    references: Sequence[np.ndarray],
    samples: Sequence[Samples],
    shape: tuple[int, ...],
    start: np.ndarray,
    model: Model,
) -> tuple[np.ndarray, float]:
    """Robust inverse-compositional Gauss-Newton from coarse to fine.

    Args:
        references: the reference's normalised planes, float32 HxW, coarse first.
        samples: of the questioned picture's planes, level by level.
        shape: (height, width) of the questioned planes.
        start: guessed matrix, reference -> questioned. model: which parameters may move.

    Returns:
        (matrix, cost): the cost is the mean truncated squared residual of the last level that had samples; infinite,
        with `start` as matrix, where too few of them fall into the reference.
    """
    height, width = shape[:2]
    size = max(height, width) / 2
    centred = np.array([[1 / size, 0, -(width - 1) / 2 / size], [0, 1 / size, -(height - 1) / 2 / size], [0, 0, 1.0]])
    back = np.linalg.inv(start)  # questioned -> reference
    cost = np.inf
    for reference, points in zip(references, samples, strict=True):
        if len(points.xy) < 50:
            break
        basis = _basis(model, points.xy @ centred[:2, :2].T + centred[:2, 2])
        steepest = np.einsum("nc,nck->nk", points.slopes, basis) * size
        last = np.inf
        for _ in range(12):
            residual, inside = _residual(reference, points, back)
            if inside.sum() < 50:
                return start, np.inf
            scale = 1.4826 * float(np.median(np.abs(residual[inside]))) + 1e-3
            u = np.clip(residual / (4.0 * scale), -1, 1)
            weight = np.where(inside, (1 - u * u) ** 2, 0.0)
            # A fixed loss: one that followed the scale could not be compared between models.
            cost = float(np.minimum(residual[inside] ** 2, 0.25).mean())
            if not basis.shape[2] or cost > last * 0.9995:
                break
            last = cost
            normal = steepest.T @ (weight[:, None] * steepest)
            normal += 1e-6 * np.trace(normal) / len(normal) * np.eye(len(normal))
            p = np.linalg.solve(normal, steepest.T @ (weight * residual))
            step = np.linalg.inv(centred) @ _increment(model, p) @ centred
            back = back @ np.linalg.inv(step)
            back /= back[2, 2]
    return np.linalg.inv(back), cost


def _residual(reference: np.ndarray, samples: Samples, back: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(reference at the mapped samples less the questioned values, whether the place lies inside)."""
    mapped = np.column_stack([samples.xy, np.ones(len(samples.xy))]) @ back.T
    xy = (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)
    height, width = reference.shape
    inside = (xy >= 1).all(axis=1) & (xy[:, 0] <= width - 2) & (xy[:, 1] <= height - 2)
    rows = -(-len(xy) // 256)
    padded = np.zeros((rows * 256, 2), np.float32)  # remap takes no more than 32767 rows or columns
    padded[: len(xy)] = xy
    grid = padded.reshape(rows, 256, 2)
    # OpenCV's own bilinear remap rounds places to 1/32 pixel, which is where the steps below would stop.
    values = _bilinear(reference, grid.reshape(-1, 2)[: len(xy)])
    return np.where(inside, values - samples.values, 0.0), inside


def _bilinear(plane: np.ndarray, xy: np.ndarray) -> np.ndarray:
    x = np.clip(xy[:, 0].astype(np.float64), 0, plane.shape[1] - 1.001)
    y = np.clip(xy[:, 1].astype(np.float64), 0, plane.shape[0] - 1.001)
    c, r = x.astype(np.int64), y.astype(np.int64)
    fx, fy = x - c, y - r
    flat = plane.ravel()
    place = r * plane.shape[1] + c
    below = place + plane.shape[1]
    top = flat[place] * (1 - fx) + flat[place + 1] * fx
    return np.asarray(top * (1 - fy) + (flat[below] * (1 - fx) + flat[below + 1] * fx) * fy)
