"""How an edit's pixels are joined to the host: soft edges at one or several scales, gradient-domain blending.

One law: where the mask is False, the host's pixels stay bit for bit. Deliberately left out: choosing a way and its
width (`edits.py`) and exact solvers (`membrane` stands in for Poisson's equation at a fraction of its time).
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from data_tools.forge.regions import padded_box

Blend = Literal["alpha", "multiscale", "poisson"]
RIM = (
    3  # pixels beside a region that a gradient-domain blend is levelled to; a patch must continue so far past its mask
)
_BANDS = ((1.0, 1.0), (3.0, 2.5))  # (sigma in pixels, how much wider than the feather): from fine to coarse detail
_REST = 6.0  # the same for what remains


def alpha_of(mask: np.ndarray, feather: float) -> np.ndarray:
    """float32 HxW in [0, 1], positive exactly on the mask, rising to 1 within `feather` pixels inwards."""
    if feather <= 0:
        return mask.astype(np.float32)
    # A border of zeros would make the frame's own edge an edge of the mask, hence no padding here.
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.minimum(distance / np.float32(feather + 1.0), 1.0).astype(np.float32)


def composite(
    host: np.ndarray, patch: np.ndarray, mask: np.ndarray, feather: float = 0.0, blend: Blend = "alpha"
) -> np.ndarray:
    """`patch` over `host` where the mask is.

    Args:
        host, patch: uint8 HxWx3 of one size. For "poisson" the patch has to go on for `RIM` pixels past the mask.
        mask: bool HxW.
        feather: pixels of soft edge inside the mask; 0 is a hard edge. Not used by "poisson".
        blend: "alpha": one ramp for everything. "multiscale": fine detail changes within `feather` pixels, coarser
            detail within up to six times as many (after Burt and Adelson 1983). "poisson": the patch's gradients,
            levelled to the host along the rim (Perez et al. 2003), as a healing tool does it.
    """
    out = host.copy()
    if blend == "alpha" and feather <= 0:
        out[mask] = patch[mask]
        return out
    x0, y0, x1, y1 = padded_box(mask, 8)
    view = np.s_[y0:y1, x0:x1]
    inside = mask[view]
    difference = patch[view].astype(np.float32) - host[view]
    if blend == "poisson":
        window = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
        rim = cv2.dilate(inside.astype(np.uint8), window).astype(bool) & ~inside
        if rim.any():
            difference -= membrane(difference, rim)
        mixed = difference * inside[..., None]
    elif blend == "multiscale":
        mixed = np.zeros_like(difference)
        for sigma, wider in _BANDS:
            smooth = cv2.GaussianBlur(difference, (0, 0), sigma)
            mixed += alpha_of(inside, feather * wider)[..., None] * (difference - smooth)
            difference = smooth
        mixed += alpha_of(inside, feather * _REST)[..., None] * difference
    else:
        mixed = alpha_of(inside, feather)[..., None] * difference
    out[view] = np.clip(np.rint(host[view] + mixed), 0, 255).astype(np.uint8)
    return out


def membrane(difference: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Smooth continuation of `difference` (float32 HxWxC) from where `known` (bool HxW) into the rest.

    Push-pull over a pyramid: averages of known values are handed down to the finer level wherever that knows nothing.
    It stands in for the Laplace equation of Poisson blending at a fraction of its time.
    """
    weights = known.astype(np.float32)
    values = difference * weights[..., None]
    levels: list[tuple[np.ndarray, np.ndarray]] = [(values, weights)]
    while min(levels[-1][1].shape) > 2:
        v, w = levels[-1]
        levels.append((cv2.pyrDown(v), cv2.pyrDown(w)))
    v, w = levels[-1]
    coarse = v / np.maximum(w, 1e-6)[..., None]
    for v, w in reversed(levels[:-1]):
        up = cv2.pyrUp(coarse, dstsize=v.shape[1::-1])
        trust = np.minimum(w * 4, 1.0)[..., None]  # a pixel that saw a quarter of known ones believes itself
        coarse = trust * v / np.maximum(w, 1e-6)[..., None] + (1 - trust) * up
    return coarse
