"""Ranking of pixels against a library reference; marked regions by hand; calibration by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fakeexplain.evaluation.calibration import (
    brier_score,
    class_weights,
    expected_calibration_error,
    reliability_bins,
)
from fakeexplain.evaluation.pixels import largest_region_share, map_figures, mask_figures, rank_map


@pytest.mark.parametrize("levels", [2, 9, 10**9])
def test_ranking_equals_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    score_map = (np.floor(rng.random((61, 83)) * levels) / levels).astype(np.float32)
    true_mask = rng.random(score_map.shape) < 0.05 + 0.3 * score_map
    ranking = rank_map(score_map, true_mask)
    assert ranking.auc == pytest.approx(roc_auc_score(true_mask.ravel(), score_map.ravel()), abs=1e-9)
    expected = average_precision_score(true_mask.ravel(), score_map.ravel())
    assert ranking.average_precision == pytest.approx(expected, abs=1e-9)
    thresholds = np.unique(score_map)[:: max(1, np.unique(score_map).size // 300)]
    best = max(mask_figures(score_map >= t, true_mask)["f1"] for t in thresholds)
    assert best - 1e-9 <= ranking.best_f1 <= best + 0.01


def test_tiny_differences_are_told_apart():
    """A network that is sure of itself gives values that a histogram would throw together."""
    true_mask = np.zeros((40, 40), bool)
    true_mask[:10] = True
    for low, high in ((1e-7, 2e-7), (1 - 2e-7, 1.0)):
        ranking = rank_map(np.where(true_mask, high, low).astype(np.float32), true_mask)
        assert (ranking.auc, ranking.average_precision, ranking.best_f1) == (1.0, 1.0, 1.0)


def test_constant_and_reversed_maps():
    true_mask = np.zeros((40, 40), bool)
    true_mask[:10] = True
    constant = rank_map(np.full((40, 40), 0.7, np.float32), true_mask)
    assert (constant.auc, constant.average_precision, constant.best_f1) == (0.5, 0.25, pytest.approx(0.4))
    assert rank_map(1.0 - true_mask.astype(np.float32), true_mask).auc == 0.0
    assert rank_map(-0.0 * np.ones((40, 40), np.float32), true_mask).auc == 0.5
    assert rank_map(np.linspace(0, 1, 1600).reshape(40, 40), np.ones((40, 40), bool)).auc == 0.5


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1, np.inf])
def test_maps_that_are_no_probabilities_are_refused(wrong):
    score_map = np.zeros((8, 8), np.float32)
    score_map[3, 3] = wrong
    with pytest.raises(ValueError, match="wanted finite"):
        rank_map(score_map, np.eye(8, dtype=bool))


def test_ranking_needs_a_truth_of_its_size():
    with pytest.raises(ValueError, match="no pixel"):
        rank_map(np.zeros((8, 8), np.float32), np.zeros((8, 8), bool))
    with pytest.raises(ValueError, match="one size"):
        rank_map(np.zeros((8, 8), np.float32), np.ones((8, 9), bool))


def test_largest_region_joins_corners_and_ignores_crumbs():
    mask = np.zeros((20, 20), bool)
    mask[2:4, 2:4] = mask[4:6, 4:6] = True  # touch at a corner: one region of 8
    mask[15, 15] = mask[10, 2:7] = True
    assert largest_region_share(mask) == pytest.approx(8 / 400)
    assert largest_region_share(np.zeros((20, 20), bool)) == 0.0
    assert mask_figures(mask, None) == {"marked": pytest.approx(14 / 400), "largest": pytest.approx(8 / 400)}


def test_map_threshold_is_fixed_and_inclusive():
    score_map = np.full((10, 10), 0.4999, np.float32)
    score_map[:5] = 0.5
    true_mask = np.zeros((10, 10), bool)
    true_mask[:5] = True
    figures = map_figures(score_map, true_mask)
    assert figures["f1"] == figures["iou"] == 1.0
    assert figures["marked"] == 0.5
    assert map_figures(score_map * 0.9, true_mask)["f1"] == 0.0, "no threshold is fitted to the truth"
    assert map_figures(score_map * 0.9, true_mask)["pixel_auc"] == 1.0
    assert "f1" not in map_figures(score_map, None)
    assert map_figures(score_map, None)["peak"] == 0.5


def test_brier_and_calibration_error_by_hand():
    probability, forged = [0.9, 0.9, 0.9, 0.9, 0.1], [True, True, True, False, False]
    assert brier_score(probability, forged) == pytest.approx((3 * 0.01 + 0.81 + 0.01) / 5)
    bins = reliability_bins(probability, forged)
    assert [(b.count, b.forged) for b in bins] == [(1, 0), (4, 3)]
    assert expected_calibration_error(bins) == pytest.approx(0.2 * 0.1 + 0.8 * 0.15)


def test_prior_takes_the_mix_of_a_benchmark_out():
    """A posterior for an even prior is calibrated at an even prior, whatever share of forgeries a set holds."""
    rng = np.random.default_rng(0)
    score = np.r_[rng.normal(1, 1, 4000), rng.normal(0, 1, 40_000)]
    forged = np.arange(score.size) < 4000
    posterior = 1 / (1 + np.exp(-(score - 0.5)))  # log likelihood ratio of the two normals
    assert expected_calibration_error(reliability_bins(posterior, forged, 0.5)) < 0.02
    assert expected_calibration_error(reliability_bins(posterior, forged)) > 0.1
    for b in reliability_bins(posterior, forged, 0.5):
        assert b.interval[0] <= b.observed <= b.interval[1]
    assert brier_score(posterior, forged, 0.5) < 0.25
    weights = class_weights(forged, 0.5)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[forged].sum() == pytest.approx(0.5)
    with pytest.raises(ValueError, match="both classes"):
        class_weights(np.ones(4, bool), 0.5)


def test_probability_one_falls_into_the_last_bin():
    bins = reliability_bins([1.0, 0.0], [True, False])
    assert [(b.low, b.high) for b in bins] == [(0.0, 0.1), (0.9, 1.0)]
