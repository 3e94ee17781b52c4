"""Figures of merit of masks and of whole pictures, with the intervals they need.

Nothing is inverted here and no threshold is fitted to the truth. Left out: ranking the pixels of a map (`pixels`) and
the probability's calibration (`calibration`). Masks are bool HxW of one size; rates and intervals are in [0, 1]. Scores
of pictures are any real numbers, larger means more suspicious.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

YARDSTICKS = ("all_ones", "random", "centre")


def f1_score(predicted_mask: np.ndarray, true_mask: np.ndarray) -> float:
    """Pixel F1 (Dice) of a prediction against a non-empty truth; 0 when nothing true is found."""
    hit = np.count_nonzero(predicted_mask & true_mask)
    total = np.count_nonzero(predicted_mask) + np.count_nonzero(true_mask)
    return 2.0 * hit / total if total else 1.0


def iou_score(predicted_mask: np.ndarray, true_mask: np.ndarray) -> float:
    """Intersection over union; 1 when both are empty."""
    union = np.count_nonzero(predicted_mask | true_mask)
    return np.count_nonzero(predicted_mask & true_mask) / union if union else 1.0


def permuted_f1(predicted_mask: np.ndarray, true_mask: np.ndarray) -> float:
    """The larger F1 of a mask and of its inverse. An oracle: only the truth tells which of the two to take."""
    return max(f1_score(predicted_mask, true_mask), f1_score(~predicted_mask, true_mask))


@dataclass(frozen=True)
class BinaryScores:
    """Counts of forged (`tp`, `fn`) and authentic (`fp`, `tn`) pictures; rates are nan where nothing was counted."""

    tp: int
    fn: int
    fp: int
    tn: int

    @property
    def accuracy(self) -> float:
        return _ratio(self.tp + self.tn, self.tp + self.fn + self.fp + self.tn)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the two classes' rates; does not depend on how many pictures of each there are."""
        return 0.5 * (_ratio(self.tp, self.tp + self.fn) + _ratio(self.tn, self.fp + self.tn))

    @property
    def f1(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fn + self.fp)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


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
    """Percentile interval of the mean of group means, pictures redrawn within each group (Efron 1979).

    The groups themselves are not redrawn: the interval speaks of these data sets, not of others.
    """
    rng = np.random.default_rng(seed)
    filled = [np.asarray(g, float) for g in groups if len(g)]
    if not filled:
        return float("nan"), float("nan")
    means = np.zeros(draws)
    for group in filled:
        step = max(1, 4_000_000 // group.size)  # draws at a time, so that large sets need no large memory
        for first in range(0, draws, step):
            part = means[first : first + step]
            part += group[rng.integers(0, group.size, (part.size, group.size))].mean(axis=1)
    means /= len(filled)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return float(low), float(high)


def auc_score(positive: Sequence[float] | np.ndarray, negative: Sequence[float] | np.ndarray) -> float:
    """Area under the ROC curve (Mann-Whitney, ties count half); nan when one side is empty."""
    if not len(positive) or not len(negative):
        return float("nan")
    values = np.concatenate([np.asarray(positive, float), np.asarray(negative, float)])
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    n_positive, n_negative = len(positive), len(negative)
    return float((ranks[:n_positive].sum() - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative))


def auc_interval(
    positive: Sequence[float], negative: Sequence[float], confidence: float = 0.95, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap percentile interval of `auc_score`, redrawn within each class; (nan, nan) when one side is empty."""
    if not len(positive) or not len(negative):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    high, low = np.asarray(positive, float), np.asarray(negative, float)
    areas = [auc_score(rng.choice(high, high.size), rng.choice(low, low.size)) for _ in range(draws)]
    tail = 50.0 * (1.0 - confidence)
    bounds = np.percentile(areas, [tail, 100.0 - tail])
    return float(bounds[0]), float(bounds[1])


def roc_curve(positive: Sequence[float], negative: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """(false-positive rates, true-positive rates), float64, rising from (0, 0) to (1, 1), a point per distinct score.

    Raises:
        ValueError: one side is empty.
    """
    true, false = _counts_above(positive, negative)
    if not len(positive) or not len(negative):
        raise ValueError("a ROC curve needs scores of both classes")
    zero = np.zeros(1)
    return np.concatenate([zero, false / len(negative)]), np.concatenate([zero, true / len(positive)])


def precision_recall_curve(positive: Sequence[float], negative: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """(recalls, precisions), float64, a point per distinct score, recall rising.

    Precision depends on how many pictures of each class there are; recall does not.

    Raises:
        ValueError: there is no positive.
    """
    if not len(positive):
        raise ValueError("a precision-recall curve needs scores of the positive class")
    true, false = _counts_above(positive, negative)
    return true / len(positive), true / (true + false)


def _counts_above(positive: Sequence[float], negative: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives at or above each distinct score, from the highest score down."""
    scores = np.concatenate([np.asarray(positive, float), np.asarray(negative, float)])
    labels = np.arange(scores.size) < len(positive)
    values = np.unique(scores)[::-1]
    order = np.argsort(-scores, kind="stable")
    ends = np.searchsorted(-scores[order], -values, side="right")
    true = np.cumsum(labels[order])[ends - 1] if scores.size else np.zeros(0)
    return true, ends - true


def tpr_at_fpr(positive: Sequence[float], negative: Sequence[float], rate: float) -> float:
    """Largest true-positive rate of a threshold with at most `rate` false positives; no interpolation between scores.

    With fewer than 1 / rate negatives this means: no false positive at all. nan when one side is empty.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    false, true = roc_curve(positive, negative)
    return float(true[false <= rate + 1e-12].max())


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
