"""A region that somebody names, against regions of its size on authentic photographs: the expert asked about one place.

The verdict has to hold for every place of a picture at once, so only strong marks pass. A place that was named before
anybody looked is one place, and weaker marks say something there. The score compares the region with the rest of its
own picture: that of the expert's region head, or `contrast` of its map where it has none. Its law is counted by
`python -m training.calibrate` on authentic photographs, per size of region, with half of the places at random and half
where there is most detail, for people ask about things and not about sky.

A photograph's places resemble each other, so each photograph counts once: P(p <= a) <= a over photographs, for a region
chosen without a look at the map. Left out: the map (`localization`), and the verdict, which this never touches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from scipy import special

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import checked_region

Law: TypeAlias = tuple[float | None, ...]
LEVELS = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.04, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005)
SIZES = {"tiny": 0.01, "small": 0.04, "medium": 0.16, "large": 0.6}  # largest part of the picture in each class
LEAST_PIXELS = 512
PLACES = 6  # of each size, looked at on one photograph
_TOP, _REST = 0.9, 0.99  # quantiles: the region's most suspicious tenth, the rest's most suspicious hundredth
_MOST = 250_000  # pixels that a quantile is read from; more are thinned evenly
_LIMIT = 1e-6  # of a map value, so that its logit is finite
_SMALLEST, _TRIES = 0.002, 8


def size_class(area_fraction: float) -> str:
    """Name in `SIZES`.

    Raises:
        MeasurementError: so large that little is left to compare it with.
    """
    for name, largest in SIZES.items():
        if area_fraction <= largest:
            return name
    raise MeasurementError(
        f"the region covers {100 * area_fraction:.0f} % of the picture; the network compares a region with the rest, "
        f"so wanted at most {100 * SIZES['large']:.0f} %"
    )


def checked(region_mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A region that can be tested, bool HxW.

    Raises:
        MeasurementError: the region has another frame, or is too small or too large.
    """
    mask = checked_region(region_mask, height, width, LEAST_PIXELS, "expert")
    size_class(float(mask.mean()))
    return mask


def contrast(map_: np.ndarray, region_mask: np.ndarray) -> float:
    """How far the map rises in a region above the rest of the picture, in logits: for an expert without a region head.

    Mean of the region's most suspicious tenth less the level that a hundredth of the rest exceeds.

    Args:
        map_: float32 HxW in [0, 1], the expert's. region_mask: bool HxW, neither empty nor all of it.

    Raises:
        MeasurementError: the region has another frame, or is too small or too large.
    """
    height, width = map_.shape
    checked(region_mask, height, width)
    inside, rest = _logits(map_[region_mask]), _logits(map_[~region_mask])
    top = inside[inside >= np.quantile(inside, _TOP)].mean(dtype=np.float64)
    return float(top - np.quantile(rest, _REST))


def _logits(values: np.ndarray) -> np.ndarray:
    thinned = values[:: math.ceil(values.size / _MOST)]
    return special.logit(np.clip(thinned.astype(np.float64), _LIMIT, 1 - _LIMIT))


def share_as_high(law: Law, score: float) -> float:
    """An upper bound of the share of authentic photographs whose region scores as high, from `LEVELS`; 1 above them.

    Args:
        law: score that at most the share `LEVELS[i]` reaches, for each i.
    """
    reached = [level for level, least in zip(LEVELS, law, strict=True) if least is not None and score >= least]
    return min(reached, default=1.0)


def fit_law(scores: Sequence[Sequence[float]]) -> Law:
    """The score that at most each share of `LEVELS` of the photographs reaches.

    Args:
        scores: one sequence a photograph, of its places; each photograph weighs the same.

    Returns:
        Rising scores; None for a level that so few photographs cannot tell.
    """
    values = np.concatenate([np.asarray(s, dtype=np.float64) for s in scores])
    weights = np.concatenate([np.full(len(s), 1.0 / len(s)) for s in scores])
    order = np.argsort(-values, kind="stable")
    values, sums = values[order], np.cumsum(weights[order])
    found: list[float | None] = []
    for level in LEVELS:
        allowed = level * (len(scores) + 1) - 1  # the examined picture counts as one more that reaches its own score
        number = int(np.searchsorted(sums, allowed + 1e-9, side="right"))
        # rounded up, so that the first score that would make it too many stays below
        above = math.floor(1e4 * float(values[min(number, values.size - 1)]) + 1) / 1e4
        found.append(None if allowed < -1e-9 else above)
    return tuple(found)


def places(rgb: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """(class of size, bool HxW) of `PLACES` boxes in each class, every second one where there is most detail.

    Args:
        rgb: uint8 HxWx3 of an authentic photograph.
    """
    height, width = rgb.shape[:2]
    detail = detail_integral(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    smallest = _SMALLEST
    for name, largest in SIZES.items():
        for number in range(PLACES):
            tried = [_box(height, width, smallest, largest, rng) for _ in range(_TRIES if number % 2 else 1)]
            x0, y0, x1, y1 = max(tried, key=lambda b: sum_in(detail, b) / ((b[2] - b[0]) * (b[3] - b[1])))
            mask = np.zeros((height, width), bool)
            mask[y0:y1, x0:x1] = True
            if mask.sum() >= LEAST_PIXELS and smallest <= mask.mean() <= largest:
                yield name, mask
        smallest = largest


def _box(
    height: int, width: int, smallest: float, largest: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    area = math.exp(rng.uniform(math.log(smallest), math.log(largest)))
    shape = math.exp(rng.uniform(-0.7, 0.7))
    w = min(max(round(math.sqrt(area * shape) * width), 1), width)
    h = min(max(round(math.sqrt(area / shape) * height), 1), height)
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    return x, y, x + w, y + h


def detail_integral(grey: np.ndarray) -> np.ndarray:
    """Integral image, float64 H+1 x W+1, of the absolute Laplacian of a plane HxW; read with `sum_in`."""
    return cv2.integral(np.abs(cv2.Laplacian(grey, cv2.CV_32F)))


def sum_in(integral: np.ndarray, box: tuple[int, int, int, int]) -> float:
    """Sum over an xyxy box."""
    x0, y0, x1, y1 = box
    return float(integral[y1, x1] - integral[y0, x1] - integral[y1, x0] + integral[y0, x0])


def law_of(laws: Mapping[str, Law], area_fraction: float) -> tuple[str, Law]:
    """(class of size, its law).

    Raises:
        MeasurementError: no law was counted for it, or the region is too large.
    """
    name = size_class(area_fraction)
    if name not in laws:
        raise MeasurementError(
            "these weights have no law for regions; add it: python -m training.calibrate --weights FOLDER --regions"
        )
    return name, laws[name]
