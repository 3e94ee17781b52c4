"""How far each pixel is to be believed edited, from what `least_change` found in the file's own coefficients.

A logistic regression on the logarithms of twelve local measurements. Whether a block was changed is known all but
exactly; where within it is not, for a coarse save spreads a change over its block. A pixel's own change says less of
that than its change against the changes around it, at several scales: hence differences of logarithms, which tell
ratios. Part of `pair_mask`; left out: the mask, and pairs whose coefficients tell nothing (`_pair_noise`).

The weights were fitted to edits of the forge in the tuning half of the photographs, saved at JPEG 50, 75 and 90.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from fakeexplain.imaging.least_change import Change

_CALM = 0.1  # added before each logarithm, grey levels: changes below it do not count
_SEEN = 0.5  # grey levels: a smallest change beyond this counts as one
WEIGHTS = (0.371, 1.196, -0.513, -1.221, 0.141, -2.151, 4.103, 0.594, 0.319, -0.164, 4.219, -1.357)
BIAS = 1.598


def log_odds(change: Change) -> np.ndarray:
    """float32 HxW: log-odds of edited against not edited, so calibrated that expected IoU can be read from it."""
    odds = np.full(change.levels.shape, BIAS, np.float32)
    for weight, plane in zip(WEIGHTS, measurements(change), strict=True):
        odds += np.float32(weight) * plane
    return odds


def measurements(change: Change) -> Iterator[np.ndarray]:
    """Twelve float32 HxW, in the order of the weights: logarithms of changes in grey levels and of shares in [0, 1].

    One at a time, for together they would need more memory than everything else.
    """
    levels, seen = change.levels, (change.levels > _SEEN).astype(np.float32)
    contradicted = change.contradicted_mask.astype(np.float32)
    yield _logarithm(levels)
    for sigma in (1.0, 2.5, 6.0):
        yield _logarithm(_smooth(levels, sigma))
    yield _logarithm(np.sqrt(np.maximum(cv2.blur(levels * levels, (9, 9)), 0.0)))
    for sigma in (1.5, 4.0):
        yield _logarithm(_smooth(seen, sigma))
    yield _logarithm(change.stored_levels)
    for sigma in (2.0, 6.0):
        yield _logarithm(_smooth(change.stored_levels, sigma))
    for sigma in (8.0, 16.0):
        yield _logarithm(_smooth(contradicted, sigma))


def _smooth(plane: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(plane, (0, 0), sigma)


def _logarithm(plane: np.ndarray) -> np.ndarray:
    return np.log(plane + np.float32(_CALM))
