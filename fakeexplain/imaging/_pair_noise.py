"""The difference of a registered pair against its own noise: a log-likelihood ratio of edited against not edited.

What two saves of one photograph differ by depends on how textured a place is, so the noise is estimated from the pair
itself, per channel, per scale and per texture, as the spread of the bulk of the differences. Part of `pair_mask`, for
pairs where nothing exact is known. Left out: registration, tone, and everything after the ratio.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from scipy.special import ndtri

from fakeexplain.imaging._pair_tone import sampled

_FLOOR = (0.45, 0.4, 0.4)  # grey levels of Y, Cb, Cr: the least noise, so that less than two levels never count
_WEIGHTS = (1.0, 0.6, 0.6)  # chroma is stored at half the resolution by most JPEGs: it knows less of places
_THRESHOLD = 3.8  # units of noise at which edited and not edited are as likely
_LEAK = (0.08, 0.15, 0.15)  # share of a strong difference that codecs and interpolation carry over its border
_SCALES = (0.0, 1.0, 3.0)  # Gaussian smoothing of the signed difference, pixels
_TEXTURE_BINS = 12


def texture_of(edited_ycc: np.ndarray) -> np.ndarray:
    """float32 HxW: activity of the 9 x 9 surroundings in the edited picture, in grey levels.

    What JPEG does to a pixel depends on what else its block holds.
    """
    luma = edited_ycc[..., 0]
    gx = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=0.25)
    gy = cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=0.25)
    return np.sqrt(np.maximum(cv2.blur(gx * gx + gy * gy, (9, 9)), 0.0))


def judge(
    difference: np.ndarray, texture: np.ndarray, overlap: np.ndarray, background: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Log-likelihood ratio of edited against noise.

    Returns:
        ratio float32 HxW in [-4, 6]; excess float32 HxW, the difference in units of its noise (largest over the
        scales); spread, median of the noise of luma in grey levels.
    """
    rows, columns = sampled(overlap if background is None else background)
    seen = texture[rows, columns]
    edges = np.unique(np.quantile(seen, np.linspace(0, 1, _TEXTURE_BINS + 1)))
    best = np.zeros(texture.shape, np.float32)
    spread = 0.0
    quantile = 0.6 if background is None else 0.9
    limits: list[np.ndarray] = []
    leaked: list[np.ndarray] = []
    busy = seen >= np.quantile(seen, 0.75)
    lossless = float(np.mean(np.abs(difference[rows, columns][busy]).max(axis=1) < 0.01)) > 0.4
    leak = (0.0, 0.0, 0.0) if lossless else _LEAK
    for sigma in _SCALES:
        energy = np.zeros(texture.shape, np.float32)
        for channel in range(3):
            plane = difference[..., channel]
            if sigma:
                # Cut off at what noise can be, so that a strong difference does not spread beyond its border.
                plane = cv2.GaussianBlur(np.clip(plane, -limits[channel], limits[channel]), (0, 0), sigma)
            noise = _noise_of(np.abs(plane[rows, columns]), seen, edges, quantile)
            expected = np.maximum(_looked_up(texture, *noise), _FLOOR[channel])
            if sigma == 0.0:
                limits.append(2.5 * expected)
                if channel == 0:
                    spread = float(np.median(expected[overlap])) if overlap.any() else 0.0
            variance = expected**2
            if sigma == 0.0:
                power = cv2.blur(difference[..., channel] ** 2, (9, 9))
                leaked.append(np.float32(leak[channel] ** 2) * np.maximum(power - 4.0 * variance, 0.0))
            energy += plane**2 / (variance + leaked[channel]) * np.float32(_WEIGHTS[channel])
        best = np.maximum(best, np.sqrt(energy))
    ratio = np.clip(1.1 * (best - _THRESHOLD), -4.0, 5.0).astype(np.float32)
    return ratio, best, spread


def _noise_of(
    values: np.ndarray, seen: np.ndarray, edges: np.ndarray, quantile: float
) -> tuple[np.ndarray, np.ndarray]:
    """(texture at the bins' centres, standard deviation there), rising with texture.

    Taken from a quantile of the absolute differences: low while an edit may fill much of a bin.
    """
    factor = 1.0 / float(ndtri((1 + quantile) / 2))
    centres, spreads = [], []
    for low, high in pairwise(edges):
        inside = values[(seen >= low) & (seen <= high)]
        if inside.size >= 50:
            centres.append((low + high) / 2)
            spreads.append(float(np.quantile(inside, quantile)) * factor)
    if not centres:
        return np.array([0.0]), np.array([float(np.quantile(values, quantile)) * factor if values.size else 1.0])
    # An edit of one texture must not hide behind a bin of its own: noise rises with texture and never falls.
    rising = np.minimum.accumulate(np.array(spreads)[::-1])[::-1]
    return np.array(centres), rising


def _looked_up(texture: np.ndarray, centres: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Interpolates through a table of 1/16 grey level: np.interp over every pixel would take longer than the rest."""
    level = np.arange(0, 4096) / 16.0
    # Beyond the most textured places of the background noise goes on growing, but slower than texture.
    table = np.interp(level, centres, spreads) * np.sqrt(np.maximum(level / max(centres[-1], 1.0), 1.0))
    table = table.astype(np.float32)
    return table[np.minimum((texture * 16).astype(np.int32), 4095)]
