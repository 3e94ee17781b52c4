"""Masks from pairs: an original and its edited copy -> the edited pixels, with a score of how far to trust them.

The original is registered to the edited picture. Then one of two roads:

- *exact*: the pictures lie on each other by whole pixels and the edited file is a JPEG whose own coefficients the
  original explains in most blocks (`least_change`). Blocks that it does not explain were changed, without any guess
  about noise; where within them is judged by the smallest change that explains the file, against the changes around
  it (`_change_belief`).
- *by noise*: the original is brought to the edited picture's tone and sharpness, and the difference is judged against
  its own noise, estimated from the pair (`_pair_noise`).

The mask comes from a mean field of an Ising model over the resulting likelihood ratios (Geman & Geman, PAMI 1984),
which closes holes and drops specks where the evidence is weak and follows the pixels where it is strong.

Deliberately left out: what the edit was, pairs with parallax or local warps, edits below the noise of the two saves
(nobody can find those in a difference), and masks without an original (that is what `fakeexplain` is for).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy import ndimage

from fakeexplain.imaging._change_belief import log_odds
from fakeexplain.imaging._pair_noise import judge, texture_of
from fakeexplain.imaging._pair_tone import matched, ycc
from fakeexplain.imaging.least_change import Change, StoredJpeg, least_change, read_stored
from fakeexplain.imaging.registration import Registration, register, warp_to
from fakeexplain.imaging.source import SourceImage

_LEAST_COMPONENT = 24
# The exact road, tuned on half of the tuning photographs. A change is as likely edited as leaked when it reaches
# _LEAST_LEVELS grey levels and _LEAKED of the changes around it; where a block was changed but this pixel seems not to
# be, the mesh of a coarse save may have swallowed it, so the doubt is small.
_LEAST_LEVELS, _LEAKED, _DOUBT, _UNCHANGED = 0.6, 0.2, -0.6, -4.0
_LOOKS = 3
_SUREST = 12.0  # log-odds beyond which nothing is believed
_EXACT_COUPLING = 1.5  # the measurements already know of the surroundings
_THRESHOLDS = (0.5, 0.45, 0.4, 0.35, 0.3, 0.25)


@dataclass(frozen=True, eq=False)
class PairMask:
    """What differs between an original and its edited copy; all arrays in the frame of the edited picture.

    Attributes:
        mask: bool HxW, edited pixels; all False where none were found or the pair could not be compared.
        quality: in [0, 1], how far the mask can be trusted.
        reasons: why not to trust it, in words, worst first; empty when there is none.
        registration: how the original lies on the edited picture, and whether it does at all.
        difference_map: float32 HxW in [0, 1]: the difference over its noise, 1 from 12 times on; on the exact road the
            change in grey levels, 1 from 24 on.
        exact: whether the file itself told changed from unchanged blocks.
        figures: what quality and reasons were computed from.
    """

    mask: np.ndarray
    quality: float
    reasons: tuple[str, ...]
    registration: Registration
    difference_map: np.ndarray
    exact: bool = False
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether the pictures could be compared at all."""
        return self.registration.quality.found

    @property
    def transform(self) -> np.ndarray:
        """float64 3x3, xy of the original -> xy of the edited picture."""
        return self.registration.matrix


def mask_from_sources(original: SourceImage, edited: SourceImage) -> PairMask:
    """`mask_from_pair` of two files; a JPEG's own coefficients are made use of."""
    return mask_from_pair(original.rgb, edited.rgb, read_stored(edited))


def mask_from_pair(original_rgb: np.ndarray, edited_rgb: np.ndarray, stored: StoredJpeg | None = None) -> PairMask:
    """See `PairMask`.

    Args:
        original_rgb, edited_rgb: uint8 HxWx3, of any two sizes.
        stored: the coefficients of the edited file (`least_change.read_stored`), None where there is no JPEG.
    """
    registration = register(original_rgb, edited_rgb)
    height, width = edited_rgb.shape[:2]
    overlap = registration.overlap_mask
    nothing, zeros = np.zeros((height, width), bool), np.zeros((height, width), np.float32)
    if not registration.quality.found:
        reason = f"registration failed: {registration.quality.reason}"
        return PairMask(nothing, 0.0, (reason,), registration, zeros)
    moved = warp_to(original_rgb, registration.matrix, (width, height))
    if registration.exact and np.array_equal(moved[overlap], edited_rgb[overlap]):
        return PairMask(nothing, 0.0, ("no change found: the pictures hold the same pixels",), registration, zeros)
    if registration.exact and stored is not None:
        proven = _exact_road(moved, stored, registration)
        if proven is not None:
            return proven
    if not registration.exact:
        overlap = ndimage.binary_erosion(overlap, iterations=2, border_value=1)
    before, after = ycc(moved), ycc(edited_rgb)
    toned, tone_change = matched(before, after, overlap)
    texture = texture_of(after)
    ratio, excess, spread = judge(after - toned, texture, overlap)
    # A second look with what was found set aside: a large edit inflates the noise of the first.
    first = (_mean_field(ratio) > 0.5) & overlap
    if 0.002 < first.mean() < 0.8:
        aside = overlap & ~ndimage.binary_dilation(first, iterations=6)
        if aside.sum() > 0.1 * overlap.sum():
            toned, tone_change = matched(before, after, aside)
            ratio, excess, spread = judge(after - toned, texture, overlap, aside)
    ratio[~overlap] = -4.0
    belief = _mean_field(ratio)
    mask = _cleaned(belief, ratio) & registration.overlap_mask
    quality, reasons, figures = _quality(registration, mask, ratio, spread, tone_change)
    shown = np.clip(excess / 12.0, 0, 1).astype(np.float32)
    return PairMask(mask, quality, reasons, registration, shown, figures=figures)


def _exact_road(moved: np.ndarray, stored: StoredJpeg, registration: Registration) -> PairMask | None:
    """The mask from the file's own coefficients; None where the original does not explain most of it."""
    overlap = registration.overlap_mask
    if not overlap.all():  # blocks over the edge of the original hold what it does not
        overlap = ndimage.binary_erosion(overlap, np.ones((3, 3)), iterations=16, border_value=1)
    change = least_change(moved, stored)
    if change is None:
        return None
    for _ in range(_LOOKS - 1):  # what is believed to be edited may change at less cost
        change = least_change(moved, stored, _mean_field(_exact_ratio(change, overlap))) or change
    odds = np.clip(log_odds(change), -_SUREST, _SUREST)
    odds[~overlap] = -_SUREST
    alone = (1 / (1 + np.exp(-odds))).astype(np.float32)
    smooth = _mean_field(odds, _EXACT_COUPLING, 6, 1.0)
    mask = _cleaned(smooth, odds, _most_expected(alone))
    quality, reasons, figures = _exact_quality(registration, mask, alone, change.consistent_fraction)
    shown = np.clip(change.levels / 24.0, 0, 1).astype(np.float32)
    return PairMask(mask, quality, reasons, registration, shown, exact=True, figures=figures)


def _most_expected(belief: np.ndarray) -> float:
    """The threshold in [0.25, 0.5] whose mask has the greatest expected IoU with the truth, if the beliefs hold.

    Where no pixel is certain, those that are as likely as not are worth marking, or next to nothing would be.
    """
    total = float(belief.sum())
    expected = []
    for threshold in _THRESHOLDS:
        marked = belief > threshold
        inside = float(belief[marked].sum())
        expected.append(inside / max(float(marked.sum()) + total - inside, 1e-6))
    return _THRESHOLDS[int(np.argmax(expected))]


def _exact_ratio(change: Change, overlap: np.ndarray) -> np.ndarray:
    """float32 HxW: a rough log-likelihood ratio of edited against not edited, for the looks before the last."""
    around = np.sqrt(np.maximum(cv2.blur(change.levels**2, (9, 9)), 0.0))
    ratio = np.clip(change.levels / (_LEAST_LEVELS + _LEAKED * around) - 1.0, _DOUBT, 5.0).astype(np.float32)
    ratio[~(change.contradicted_mask & overlap)] = _UNCHANGED
    return ratio


# --- from ratios to a mask --------------------------------------------------------------------------------------------


def _mean_field(ratio: np.ndarray, coupling: float = 5.0, rounds: int = 12, sigma: float = 1.5) -> np.ndarray:
    """float32 HxW in (0, 1): belief that a pixel was edited, neighbours pulling each other along."""
    belief = 1 / (1 + np.exp(-ratio))
    for _ in range(rounds):
        around = cv2.GaussianBlur(belief, (0, 0), sigma)
        belief = 1 / (1 + np.exp(-(ratio + coupling * (2 * around - 1))))
    return belief.astype(np.float32)


def _cleaned(belief: np.ndarray, ratio: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Pixels believed beyond the threshold; small holes filled, pieces dropped that are specks or nowhere clear."""
    mask = belief > threshold
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


def _exact_quality(
    registration: Registration, mask: np.ndarray, belief: np.ndarray, consistent_fraction: float
) -> tuple[float, tuple[str, ...], dict[str, float]]:
    """As `_quality`, on the exact road: the IoU that the beliefs themselves expect, times what the original covers."""
    inside = float(mask.sum())
    overlap_fraction = registration.quality.overlap_fraction
    figures = {"area": round(float(mask.mean()), 6), "consistent": consistent_fraction, "overlap": overlap_fraction}
    if not inside:
        return 0.0, ("no change found: the original explains every block of the file",), figures
    pieces = int(ndimage.label(mask, np.ones((3, 3)))[1])
    expected_iou = float(belief[mask].sum() / (inside + belief[~mask].sum()))
    figures |= {"expected_iou": round(expected_iou, 4), "pieces": float(pieces)}
    factors = [
        (
            expected_iou,
            f"the edit is small or faint against the coarseness of the save, its border uncertain: {pieces} pieces",
        ),
        (min(overlap_fraction / 0.8, 1.0), "different crops: the original does not cover it all"),
    ]
    quality = float(np.prod([factor for factor, _ in factors]))
    return round(quality, 4), tuple(text for factor, text in sorted(factors) if factor < 0.6), figures
