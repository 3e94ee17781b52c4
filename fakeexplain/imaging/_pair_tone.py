"""Bringing an original to the tone and sharpness of its edited copy, before their difference is taken.

A monotone curve per channel, an affine map of chroma and a small linear filter, each fitted robustly, for the edited
part must not pull, and each kept only where it helps. Part of `pair_mask`. Left out: local tone mapping, vignettes.
"""

from __future__ import annotations

import cv2
import numpy as np

_SAMPLE = 100_000  # pixels for fitting tone, filter and noise
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)


def ycc(rgb: np.ndarray) -> np.ndarray:
    """float32 HxWx3: Y, Cb, Cr of JPEG, not rounded."""
    return cv2.transform(rgb.astype(np.float32), _YCC)


def _bulk(values: np.ndarray) -> float:
    """Mean of the smaller half of absolute values: the size of the noise where up to a half was edited."""
    count = max(values.size // 2, 1)
    magnitude = np.abs(values).ravel()
    return float(np.partition(magnitude, count - 1)[:count].mean()) if magnitude.size else 0.0


def sampled(where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of at most `_SAMPLE` True pixels, the same ones every time."""
    rows, columns = np.nonzero(where)
    if rows.size > _SAMPLE:
        chosen = np.random.default_rng(0).choice(rows.size, _SAMPLE, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    return rows, columns


def matched(before: np.ndarray, after: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, float]:
    """(`before` with the global tone and sharpness of `after`, mean change of tone in grey levels).

    Each step is kept only if it shrinks the bulk of the difference by a twentieth: a fit never replaces a good match.
    """
    rows, columns = sampled(where)
    if rows.size < 500:
        return before, 0.0
    target = after[rows, columns]
    best, tone_change = before, 0.0
    toned = _tone_matched(before, after, rows, columns)
    if _total_bulk(toned[rows, columns] - target) < 0.95 * _total_bulk(before[rows, columns] - target) - 0.01:
        best, tone_change = toned, float(np.abs(toned[rows, columns, 0] - before[rows, columns, 0]).mean())
    filtered = _filter_matched(best, after, rows, columns)
    if _total_bulk(filtered[rows, columns] - target) < 0.95 * _total_bulk(best[rows, columns] - target) - 0.01:
        best = filtered
    return best, tone_change


def _total_bulk(difference: np.ndarray) -> float:
    return sum(_bulk(difference[:, c]) for c in range(3))


def _robust_least_squares(a: np.ndarray, b: np.ndarray, rounds: int, prior: np.ndarray, damping: float) -> np.ndarray:
    """Tukey-weighted least squares a p = b, pulled softly to `prior`; starts from the prior's residuals."""
    p = prior
    pull = damping * len(a) * np.eye(a.shape[1])
    for _ in range(rounds):
        residual = b - a @ p
        scale = 1.4826 * float(np.median(np.abs(residual))) + 0.3
        weight = (1 - np.clip(residual / (4.0 * scale), -1, 1) ** 2) ** 2
        weighted = a * weight[:, None]
        before, p = p, np.linalg.solve(a.T @ weighted + pull, weighted.T @ b + pull @ prior)
        if np.abs(p - before).max() < 1e-4 * max(np.abs(p).max(), 1.0):
            break
    return p


def _tone_matched(before: np.ndarray, after: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Each of R, G, B through a monotone piecewise-linear curve, then chroma through an affine map (saturation)."""
    to_rgb = np.linalg.inv(_YCC).astype(np.float32)
    picture = cv2.transform(before, to_rgb)
    source, target = picture[rows, columns].astype(np.float64), after[rows, columns].astype(np.float64)
    target_rgb = target @ to_rgb.T.astype(np.float64)
    knots = np.linspace(0, 255, 18)
    step = knots[1] - knots[0]
    toned = np.empty_like(picture)
    for channel in range(3):
        # Hat functions: the unknowns are the curve's values at the knots. Medians give a start that an edit of less
        # than half of a level's pixels does not move.
        place = np.clip(source[:, channel], 0, 254.99) / step
        low = place.astype(int)
        hats = np.zeros((len(source), len(knots)))
        hats[np.arange(len(source)), low] = 1 - (place - low)
        hats[np.arange(len(source)), low + 1] = place - low
        nearest = np.rint(place).astype(int)
        shift = target_rgb[:, channel] - source[:, channel]
        seen = [k for k in range(len(knots)) if np.count_nonzero(nearest == k) >= 40]
        medians = [float(np.median(shift[nearest == k])) for k in seen]
        start = knots + (np.interp(np.arange(len(knots)), seen, medians) if seen else 0.0)
        curve = _robust_least_squares(hats, target_rgb[:, channel], 12, start, 1e-4)
        fine = np.interp(np.arange(256 * 16) / 16.0, knots, np.maximum.accumulate(curve)).astype(np.float32)
        toned[..., channel] = fine[np.clip(picture[..., channel] * 16 + 0.5, 0, 256 * 16 - 1).astype(np.int32)]
    out = cv2.transform(np.clip(toned, 0, 255), _YCC)
    source = out[rows, columns].astype(np.float64)
    design = np.column_stack([source - [128.0, 0.0, 0.0], np.ones(len(source))])
    affine = out.copy()
    for channel in (1, 2):
        p = _robust_least_squares(design, target[:, channel], 12, np.eye(4)[channel], 1e-6)
        affine[..., channel] = (out - np.array([128, 0, 0], np.float32)) @ p[:3].astype(np.float32) + np.float32(p[3])
    better = _total_bulk(affine[rows, columns] - target) < 0.95 * _total_bulk(source - target)
    return affine if better else out


def _filter_matched(before: np.ndarray, after: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Luma and chroma each through the small linear filter that brings them closest to `after`.

    It undoes what the interpolation of an unknown program, a slight blur or sharpening, or a rest of a few hundredths
    of a pixel of misregistration does to edges.
    """
    out = before.copy()
    for channel in range(3):
        reach = 2 if channel == 0 else 1
        padded = cv2.copyMakeBorder(before[..., channel], reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
        side = 2 * reach + 1
        design = np.stack([padded[rows + i, columns + j] for i in range(side) for j in range(side)], axis=1).astype(
            np.float64
        )
        centre = design.mean(axis=0).mean()
        prior = np.zeros(side * side + 1)
        prior[side * side // 2] = 1.0
        design = np.column_stack([design - centre, np.ones(len(design))])
        target = after[rows, columns, channel].astype(np.float64) - centre
        p = _robust_least_squares(design, target, 6, prior, 1e-3)
        kernel = p[:-1].reshape(side, side)
        smooth = cv2.filter2D(before[..., channel] - np.float32(centre), cv2.CV_32F, kernel.astype(np.float32))
        out[..., channel] = smooth + np.float32(p[-1] + centre)
    return out
