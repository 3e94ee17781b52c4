"""Whether a stated probability means what it says: Brier score, calibration error, reliability bins.

The verdict's probability is a posterior for a stated prior, while a benchmark holds whatever share of forged pictures
somebody collected. So the classes are weighted to the prior first; with `prior` None every picture counts once.
Left out: fitting a calibration (`verdict.fit_likelihood_ratios`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fakeexplain.evaluation.metrics import clopper_pearson

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """Pictures whose probability lies in [low, high) (the last bin holds 1 too).

    Attributes:
        count, forged: pictures, and forged ones among them, unweighted.
        weight: the bin's share of all weight, in [0, 1].
        predicted: weighted mean of the probabilities.
        observed: weighted share of forged pictures.
        interval: 95 % interval of `observed`: Clopper-Pearson of the counts, carried to the prior.
    """

    low: float
    high: float
    count: int
    forged: int
    weight: float
    predicted: float
    observed: float
    interval: tuple[float, float]


def class_weights(forged: Sequence[bool] | np.ndarray, prior: float | None) -> np.ndarray:
    """float64 weights that sum to 1 and give the forged class `prior` of the whole; equal ones for None.

    Raises:
        ValueError: a prior was given but one class is empty.
    """
    labels = np.asarray(forged, bool)
    count = int(labels.sum())
    if prior is None:
        return np.full(labels.size, 1.0 / max(labels.size, 1))
    if count in (0, labels.size):
        raise ValueError("weighting to a prior needs pictures of both classes")
    return np.where(labels, prior / count, (1.0 - prior) / (labels.size - count))


def brier_score(probability: Sequence[float], forged: Sequence[bool], prior: float | None = None) -> float:
    """Weighted mean of (probability - truth)^2 (Brier 1950); 0.25 for a constant one half."""
    error = np.asarray(probability, float) - np.asarray(forged, bool)
    return float((class_weights(forged, prior) * error**2).sum())


def reliability_bins(
    probability: Sequence[float], forged: Sequence[bool], prior: float | None = None, bins: int = BINS
) -> list[ReliabilityBin]:
    """The non-empty ones of `bins` bins of equal width.

    Args:
        probability: in [0, 1], one per picture.
        forged: the truth, one per picture.
        prior: see the module.
    """
    stated, labels = np.asarray(probability, float), np.asarray(forged, bool)
    weights = class_weights(labels, prior)
    index = np.minimum((stated * bins).astype(int), bins - 1)
    # Odds of a bin at the prior over its odds as counted.
    ratio = 1.0 if prior is None else (weights[labels][0] / weights[~labels][0])
    found = []
    for number in np.unique(index):
        inside = index == number
        weight = float(weights[inside].sum())
        count, hits = int(inside.sum()), int(labels[inside].sum())
        low, high = (float(q * ratio / (q * ratio + 1.0 - q)) for q in clopper_pearson(hits, count))
        found.append(
            ReliabilityBin(
                low=number / bins,
                high=(number + 1) / bins,
                count=count,
                forged=hits,
                weight=weight,
                predicted=float((weights * stated)[inside].sum() / weight),
                observed=float(weights[inside & labels].sum() / weight),
                interval=(low, high),
            )
        )
    return found


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Weighted mean distance between stated and observed shares over bins (Naeini et al., AAAI 2015)."""
    return float(sum(b.weight * abs(b.observed - b.predicted) for b in bins))
