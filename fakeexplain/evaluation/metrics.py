"""Figures of merit, with the intervals they need. No threshold is chosen here and nothing is inverted.

Masks are bool HxW of one size; rates and intervals are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special


def f1_score(predicted_mask: np.ndarray, true_mask: np.ndarray) -> float:
    """Pixel F1 (Dice) of a prediction against a non-empty truth; 0 when nothing true is found."""
    hit = np.count_nonzero(predicted_mask & true_mask)
    total = np.count_nonzero(predicted_mask) + np.count_nonzero(true_mask)
    return 2.0 * hit / total if total else 1.0


def iou_score(predicted_mask: np.ndarray, true_mask: np.ndarray) -> float:
    """Intersection over union; 1 when both are empty."""
    union = np.count_nonzero(predicted_mask | true_mask)
    return np.count_nonzero(predicted_mask & true_mask) / union if union else 1.0


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval (Clopper and Pearson, Biometrika 1934); (0, 1) when nothing was tried."""
    if total == 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else float(special.betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(special.betaincinv(count + 1, total - count, 1.0 - tail))
    return low, high


def bootstrap_interval(
    groups: Sequence[Sequence[float]], confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of group means, pictures redrawn within each group."""
    rng = np.random.default_rng(seed)
    filled = [np.asarray(g, float) for g in groups if len(g)]
    if not filled:
        return float("nan"), float("nan")
    means = np.zeros(draws)
    for group in filled:
        means += group[rng.integers(0, group.size, (draws, group.size))].mean(axis=1)
    means /= len(filled)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return float(low), float(high)


def auc_score(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Area under the ROC curve (Mann-Whitney, ties count half); nan when one side is empty."""
    if not len(positive) or not len(negative):
        return float("nan")
    values = np.concatenate([np.asarray(positive, float), np.asarray(negative, float)])
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    n_positive, n_negative = len(positive), len(negative)
    return float((ranks[:n_positive].sum() - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative))


def yardstick_masks(height: int, width: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Predictions that know nothing: all, a coin toss a pixel, a central ellipse of a quarter of the area."""
    rng = np.random.default_rng([seed, height, width])
    y, x = np.mgrid[0:height, 0:width]
    radius = np.sqrt(0.25 / np.pi) * 2.0  # of an ellipse that fills a quarter of its bounding frame, half sides = 1
    ellipse = ((y + 0.5) / height * 2 - 1) ** 2 + ((x + 0.5) / width * 2 - 1) ** 2 <= radius**2
    return {
        "all_ones": np.ones((height, width), dtype=bool),
        "random": rng.random((height, width)) < 0.5,
        "centre": ellipse,
    }
