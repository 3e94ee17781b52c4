"""One picture's prediction against its truth, pixel by pixel: fixed-threshold scores, exact ranking, marked area.

A predictor is judged by a mask (bool HxW) or by a map (float32 HxW in [0, 1], larger means more suspicious) at the
protocol's fixed threshold; its ranking of pixels is judged without any threshold. What uses the truth to choose a
threshold or a polarity is an oracle and named so. Left out: averages over pictures (`tables`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fakeexplain.evaluation.metrics import f1_score, iou_score, permuted_f1

MAP_THRESHOLD = 0.5  # of the protocol, the same for every map and never tuned
REGION_SHARE = 0.005  # of the picture's area: a marked region at least this large would be noticed by a reader


@dataclass(frozen=True)
class MapRanking:
    """How a map ranks pixels.

    Attributes:
        auc: area under the ROC curve, ties count half; 0.5 for a constant map or when all pixels are forged.
        average_precision: sum of precision times recall gained, over falling thresholds, without interpolation; the
            forged share of the picture for a constant map.
        best_f1: F1 at the best of all thresholds: an oracle.
    """

    auc: float
    average_precision: float
    best_f1: float


def rank_map(score_map: np.ndarray, true_mask: np.ndarray) -> MapRanking:
    """Exact ranking scores: every distinct float32 value is a threshold of its own, nothing is binned.

    A 12-megapixel map takes about a second: a non-negative float32 sorts like its bits, so value and label are sorted
    together as one integer.

    Args:
        score_map: float HxW in [0, 1], finite; compared as float32.
        true_mask: bool HxW with at least one True pixel.

    Raises:
        ValueError: another size, values outside [0, 1] or not finite, or an empty truth.
    """
    if score_map.shape != true_mask.shape:
        raise ValueError(f"map is {score_map.shape}, truth {true_mask.shape}; wanted one size")
    values = np.ascontiguousarray(score_map, dtype=np.float32).ravel() + np.float32(0.0)  # turns -0.0 into 0.0
    positives = int(np.count_nonzero(true_mask))
    if positives == 0:
        raise ValueError("the truth marks no pixel; ranking scores are for forged pictures")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(f"map values run from {low} to {high}; wanted finite numbers in [0, 1]")
    total = values.size
    share = positives / total
    if low == high:
        return MapRanking(0.5, share, 2.0 * share / (share + 1.0))
    keys = (values.view(np.uint32) << np.uint32(1)) | true_mask.ravel()
    keys.sort()
    first = np.flatnonzero(np.concatenate([[True], (keys[1:] >> 1) != (keys[:-1] >> 1)]))  # first pixel of each value
    labels_below = np.concatenate([[0], np.cumsum(keys & np.uint32(1), dtype=np.int64)])
    found = positives - labels_below[first]  # true pixels at or above each value
    marked = total - first
    own = found - np.append(found[1:], 0)
    others = np.diff(np.append(first, total)) - own
    negatives = total - positives
    auc = float((others * (found - own / 2.0)).sum() / positives / negatives) if negatives else 0.5
    average_precision = float((own * (found / marked)).sum() / positives)
    return MapRanking(auc, average_precision, float((2.0 * found / (marked + positives)).max()))


def largest_region_share(mask: np.ndarray) -> float:
    """Area of the largest 8-connected region of a mask over the picture's area; 0 for an empty mask."""
    if not mask.any():
        return 0.0
    _, _, statistics, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask).view(np.uint8), connectivity=8)
    return float(statistics[1:, cv2.CC_STAT_AREA].max()) / mask.size


def mask_figures(mask: np.ndarray, true_mask: np.ndarray | None) -> dict[str, float]:
    """What a mask gives: `marked` and `largest` (shares of the area); against a truth also `f1`, `iou`, `permuted_f1`.

    Args:
        mask: bool HxW.
        true_mask: bool HxW, None for an authentic picture.
    """
    figures = {"marked": float(mask.mean()), "largest": largest_region_share(mask)}
    if true_mask is not None:
        figures |= {
            "f1": f1_score(mask, true_mask),
            "iou": iou_score(mask, true_mask),
            "permuted_f1": permuted_f1(mask, true_mask),
        }
    return figures


def map_figures(score_map: np.ndarray, true_mask: np.ndarray | None) -> dict[str, float]:
    """Those of the mask `score_map >= MAP_THRESHOLD`, `peak` (largest value); with truth the ranking, see `rank_map`.

    Args:
        score_map: float HxW in [0, 1].
        true_mask: bool HxW, None for an authentic picture.

    Raises:
        ValueError: see `rank_map`.
    """
    figures = mask_figures(score_map >= MAP_THRESHOLD, true_mask) | {"peak": float(score_map.max())}
    if true_mask is not None:
        ranking = rank_map(score_map, true_mask)
        figures |= {"pixel_auc": ranking.auc, "pixel_ap": ranking.average_precision, "best_f1": ranking.best_f1}
    return figures
