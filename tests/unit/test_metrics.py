"""Figures of merit against hand-computed and library references."""

import numpy as np
import pytest
from scipy import stats

from fakeexplain.evaluation.metrics import (
    auc_score,
    bootstrap_interval,
    clopper_pearson,
    f1_score,
    iou_score,
    yardstick_masks,
)


def test_f1_and_iou_by_hand():
    truth, guess = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    truth[:2], guess[1:3] = True, True
    assert f1_score(guess, truth) == pytest.approx(0.5)
    assert iou_score(guess, truth) == pytest.approx(1 / 3)
    assert f1_score(~truth, truth) == 0.0  # an inverted mask earns nothing
    assert f1_score(np.zeros_like(truth), truth) == 0.0
    assert iou_score(truth, truth) == 1.0


@pytest.mark.parametrize(("count", "total"), [(0, 320), (3, 320), (320, 320), (7, 11)])
def test_clopper_pearson_equals_scipy(count, total):
    expected = stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_clopper_pearson_without_trials_knows_nothing():
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_auc_against_pair_counting():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 40), rng.integers(0, 5, 30)
    pairs = np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b])
    assert auc_score(a, b) == pytest.approx(pairs)
    assert np.isnan(auc_score([], b))


def test_bootstrap_covers_the_mean_and_is_repeatable():
    groups = [np.random.default_rng(i).random(50) for i in range(3)]
    low, high = bootstrap_interval(groups)
    assert low < np.mean([g.mean() for g in groups]) < high
    assert (low, high) == bootstrap_interval(groups)


def test_yardsticks_cover_what_they_say():
    masks = yardstick_masks(400, 300)
    assert masks["all_ones"].all()
    assert masks["random"].mean() == pytest.approx(0.5, abs=0.01)
    assert masks["centre"].mean() == pytest.approx(0.25, abs=0.01)
    assert masks["centre"][200, 150]
