"""Masks from pairs: an original and its edited copy -> the edited pixels, with a score of how far to trust them.

The original is registered to the edited picture, brought to its tone and sharpness, and the difference is judged
against its own noise: what two saves of one photograph differ by depends on how textured a place is, so the noise is
estimated from the pair itself, per channel, per scale and per texture, as the spread of the bulk of the differences.
The mask comes from a mean field of an Ising model over the resulting likelihood ratios (Geman & Geman, PAMI 1984),
which closes holes and drops specks where the evidence is weak and follows the pixels where it is strong.

Deliberately left out: what the edit was, pairs with parallax or local warps, edits below the noise of the two saves
(nobody can find those in a difference), and masks without an original (that is what `fakeexplain` is for).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from fakeexplain.imaging.registration import Registration, register, warp_to

_FLOOR = (0.45, 0.4, 0.4)  # grey levels of Y, Cb, Cr: the least noise, so that less than two levels never count
_WEIGHTS = (1.0, 0.6, 0.6)  # chroma is stored at half the resolution by most JPEGs: it knows less of places
_THRESHOLD = 3.8  # units of noise at which edited and not edited are as likely
_LEAK = (0.08, 0.15, 0.15)  # share of a strong difference that codecs and interpolation carry over its border
_SCALES = (0.0, 1.0, 3.0)  # Gaussian smoothing of the signed difference, pixels
_TEXTURE_BINS = 12
_SAMPLE = 100_000  # pixels for fitting tone, filter and noise
_LEAST_COMPONENT = 24


@dataclass(frozen=True, eq=False)
class PairMask:
    """What differs between an original and its edited copy; all arrays in the frame of the edited picture.

    Attributes:
        mask: bool HxW, edited pixels; all False where none were found or the pair could not be compared.
        quality: in [0, 1], how far the mask can be trusted.
        reasons: why not to trust it, in words, worst first; empty when there is none.
        transform: float64 3x3, xy of the original -> xy of the edited picture.
        overlap_mask: bool HxW, where the original has pixels; outside it nothing is known.
        difference_map: float32 HxW in [0, 1]: the difference over its noise, 1 from 12 times on.
        figures: what quality and reasons were computed from.
    """

    mask: np.ndarray
    quality: float
    reasons: tuple[str, ...]
    transform: np.ndarray
    overlap_mask: np.ndarray
    difference_map: np.ndarray
    figures: dict[str, float] = field(default_factory=dict)


def mask_from_pair(original_rgb: np.ndarray, edited_rgb: np.ndarray) -> PairMask:
    """See `PairMask`. Both uint8 HxWx3, of any two sizes."""
    registration = register(original_rgb, edited_rgb)
    height, width = edited_rgb.shape[:2]
    overlap = registration.overlap_mask
    nothing, zeros = np.zeros((height, width), bool), np.zeros((height, width), np.float32)
    if not registration.quality.found:
        reason = f"registration failed: {registration.quality.reason}"
        return PairMask(nothing, 0.0, (reason,), registration.matrix, overlap, zeros)
    moved = warp_to(original_rgb, registration.matrix, (width, height))
    if registration.exact and np.array_equal(moved[overlap], edited_rgb[overlap]):
        return PairMask(
            nothing, 0.0, ("no change found: the pictures hold the same pixels",), registration.matrix, overlap, zeros
        )
    if not registration.exact:
        overlap = ndimage.binary_erosion(overlap, iterations=2, border_value=1)
    before, after = _ycc(moved), _ycc(edited_rgb)
    matched, tone_change = _matched(before, after, overlap)
    texture = _texture(matched, after)
    ratio, excess, spread = _judge(after - matched, texture, overlap)
    # A second look with what was found set aside: a large edit inflates the noise of the first.
    first = (_mean_field(ratio) > 0.5) & overlap
    if 0.002 < first.mean() < 0.8:
        aside = overlap & ~ndimage.binary_dilation(first, iterations=6)
        if aside.sum() > 0.1 * overlap.sum():
            matched, tone_change = _matched(before, after, aside)
            ratio, excess, spread = _judge(after - matched, texture, overlap, aside)
    ratio[~overlap] = -4.0
    belief = _mean_field(ratio)
    mask = _cleaned(belief, ratio) & registration.overlap_mask
    quality, reasons, figures = _quality(registration, mask, ratio, spread, tone_change)
    shown = np.clip(excess / 12.0, 0, 1).astype(np.float32)
    return PairMask(mask, quality, reasons, registration.matrix, registration.overlap_mask, shown, figures)


# --- bringing the original to the edited picture's tone and sharpness -------------------------------------------------


_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)


def _ycc(rgb: np.ndarray) -> np.ndarray:
    """float32 HxWx3: Y, Cb, Cr of JPEG, not rounded."""
    return cv2.transform(rgb.astype(np.float32), _YCC)


def _bulk(values: np.ndarray) -> float:
    """Mean of the smaller half of absolute values: the size of the noise where up to a half was edited."""
    count = max(values.size // 2, 1)
    magnitude = np.abs(values).ravel()
    return float(np.partition(magnitude, count - 1)[:count].mean()) if magnitude.size else 0.0


def _sampled(where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of at most `_SAMPLE` True pixels, the same ones every time."""
    rows, columns = np.nonzero(where)
    if rows.size > _SAMPLE:
        chosen = np.random.default_rng(0).choice(rows.size, _SAMPLE, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    return rows, columns


def _matched(before: np.ndarray, after: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, float]:
    """(`before` with the global tone and sharpness of `after`, mean change of tone in grey levels).

    Each step is kept only if it shrinks the bulk of the difference by a twentieth: a fit never replaces a good match.
    """
    rows, columns = _sampled(where)
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


# --- difference against its own noise ---------------------------------------------------------------------------------


def _texture(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """float32 HxW: activity of the 8 x 8 surroundings, the lesser of both pictures', in grey levels.

    What JPEG does to a pixel depends on what else its block holds. The lesser of both: a detailed thing put on a plain
    wall must not excuse itself.
    """
    activity = []
    for picture in (before, after):
        luma = picture[..., 0]
        gx = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=0.25)
        gy = cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=0.25)
        activity.append(np.sqrt(np.maximum(cv2.blur(gx * gx + gy * gy, (9, 9)), 0.0)))
    return activity[1]


def _judge(
    difference: np.ndarray, texture: np.ndarray, overlap: np.ndarray, background: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Log-likelihood ratio of edited against noise.

    Returns:
        ratio float32 HxW in [-4, 6]; excess float32 HxW, the difference in units of its noise (largest over the
        scales); spread, median of the noise of luma in grey levels.
    """
    rows, columns = _sampled(overlap if background is None else background)
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


# --- from ratios to a mask --------------------------------------------------------------------------------------------


def _mean_field(ratio: np.ndarray, coupling: float = 5.0, rounds: int = 12) -> np.ndarray:
    """float32 HxW in (0, 1): belief that a pixel was edited, neighbours pulling each other along."""
    belief = 1 / (1 + np.exp(-ratio))
    for _ in range(rounds):
        around = cv2.GaussianBlur(belief, (0, 0), 1.5)
        belief = 1 / (1 + np.exp(-(ratio + coupling * (2 * around - 1))))
    return belief.astype(np.float32)


def _cleaned(belief: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Hysteresis, holes filled up to a tenth of their surroundings, specks dropped."""
    mask = belief > 0.5
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return mask
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(mask, labels, numbers)
    peaks = ndimage.sum_labels(ratio > 2.0, labels, numbers)
    keep = np.concatenate(([False], (sizes >= _LEAST_COMPONENT) & (peaks >= 8)))
    mask = keep[labels]
    holes, count = ndimage.label(~mask)
    if count > 1:
        sizes = ndimage.sum_labels(~mask, holes, np.arange(1, count + 1))
        limit = max(0.02 * mask.sum(), 16)
        filled = np.concatenate(([False], sizes <= limit))
        mask = mask | filled[holes]
    return mask


# --- how far to trust it ----------------------------------------------------------------------------------------------


def _quality(
    registration: Registration,
    mask: np.ndarray,
    ratio: np.ndarray,
    spread: float,
    tone_change: float,
) -> tuple[float, tuple[str, ...], dict[str, float]]:
    """(quality in [0, 1], reasons worst first, figures behind both).

    Quality is a product of factors in [0, 1], each with its own reason, so that one bad sign is enough: how clearly the
    pixels of the mask stand out, how much as clear stands outside of it, how ragged it is, how much it covers, how well
    the pictures lie on each other, how much of the edited picture the original covers.
    """
    overlap, inside = registration.overlap_mask, int(mask.sum())
    figures = {
        "area": round(float(mask.mean()), 6),
        "noise": round(spread, 3),
        "tone_change": round(tone_change, 3),
        "correlation": registration.quality.correlation,
        "overlap": registration.quality.overlap_fraction,
    }
    if not inside:
        return 0.0, (f"no change found above the noise of the two pictures ({spread:.1f} grey levels)",), figures
    strict = ratio > 2.5
    outside = overlap & ~cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    border = mask & ~cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    clear = float((strict & mask).sum() / inside)
    stray = float((strict & outside).sum() / inside)
    compactness = float(np.sqrt(inside) / max(int(border.sum()), 1))
    pieces = int(ndimage.label(mask, np.ones((3, 3)))[1])
    covered = inside / max(int(overlap.sum()), 1)
    figures |= {"clear": round(clear, 4), "stray": round(stray, 4), "compactness": round(compactness, 4)}
    figures |= {"pieces": float(pieces), "covered": round(covered, 4)}
    toned = f"; the whole picture was toned by {tone_change:.0f} grey levels" if tone_change > 3.0 else ""
    correlation = registration.quality.correlation if registration.quality.textured_blocks else 1.0
    factors = [
        (min(clear / 0.9, 1.0), f"the edit hardly stands out: {100 * clear:.0f} % of its pixels are clear{toned}"),
        (1 / (1 + 2 * stray), f"background residual high: as strong differences lie outside of the mask{toned}"),
        (min(compactness / 0.12, 1.0), f"mask fragmented or ragged: {pieces} pieces"),
        (
            float(np.clip((0.75 - covered) / 0.2, 0, 1)),
            f"the change covers {100 * covered:.0f} % of it all{toned}",
        ),
        (float(np.clip((correlation - 0.3) / 0.5, 0, 1)), "registration doubtful: the pictures hardly agree in detail"),
        (min(registration.quality.overlap_fraction / 0.8, 1.0), "different crops: the original does not cover it all"),
    ]
    quality = float(np.prod([factor for factor, _ in factors]))
    reasons = tuple(text for factor, text in sorted(factors, key=lambda f: f[0]) if factor < 0.6)
    return round(quality, 4), reasons, figures
