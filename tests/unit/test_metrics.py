"""Figures of merit against hand-computed and library references."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from fakeexplain.evaluation.metrics import (
    YARDSTICKS,
    BinaryScores,
    auc_interval,
    auc_score,
    bootstrap_interval,
    clopper_pearson,
    f1_score,
    iou_score,
    permuted_f1,
    precision_recall_curve,
    roc_curve,
    tpr_at_fpr,
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
    assert tuple(masks) == YARDSTICKS
    assert masks["all_ones"].all()
    assert masks["random"].mean() == pytest.approx(0.5, abs=0.01)
    assert masks["centre"].mean() == pytest.approx(0.25, abs=0.01)
    assert masks["centre"][200, 150]


def test_permuted_f1_takes_the_better_polarity():
    truth = np.zeros((4, 4), bool)
    truth[:2] = True
    assert permuted_f1(~truth, truth) == 1.0
    assert permuted_f1(truth, truth) == 1.0


def tied_scores():
    rng = np.random.default_rng(3)
    return rng.integers(0, 8, 50) + 1.0, rng.integers(0, 8, 70) + 0.0


def test_roc_equals_scikit_learn():
    high, low = tied_scores()
    false, true = roc_curve(high, low)
    labels, scores = np.r_[np.ones(50), np.zeros(70)], np.r_[high, low]
    expected = reference.roc_curve(labels, scores, drop_intermediate=False)
    assert np.allclose(false, expected[0])
    assert np.allclose(true, expected[1])
    assert np.trapezoid(true, false) == pytest.approx(auc_score(high, low))
    with pytest.raises(ValueError, match="both classes"):
        roc_curve(high, [])


def test_precision_recall_equals_scikit_learn():
    high, low = tied_scores()
    recall, precision = precision_recall_curve(high, low)
    labels, scores = np.r_[np.ones(50), np.zeros(70)], np.r_[high, low]
    expected_precision, expected_recall, _ = reference.precision_recall_curve(labels, scores)
    assert np.allclose(recall, expected_recall[:-1][::-1])
    assert np.allclose(precision, expected_precision[:-1][::-1])


def test_tpr_at_fpr_by_hand():
    low = list(range(100))  # one false positive allows thresholds above 98, five allow those above 94
    high = [98.5] * 3 + [97.5] * 2 + [93.5] * 2 + [100.0] * 2 + [99.0]
    assert tpr_at_fpr(high, low, 0.01) == pytest.approx(0.6)
    assert tpr_at_fpr(high, low, 0.05) == pytest.approx(0.8)
    assert tpr_at_fpr(high, low[:50], 0.01) == 1.0
    assert tpr_at_fpr([49.0], low[:50], 0.01) == 0.0, "a tie with the one negative that is not allowed"
    assert np.isnan(tpr_at_fpr([], low, 0.05))


def test_binary_scores_by_hand():
    scores = BinaryScores(tp=3, fn=1, fp=2, tn=14)
    assert scores.accuracy == pytest.approx(17 / 20)
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 14 / 16) / 2)
    assert scores.f1 == pytest.approx(6 / 9)
    assert np.isnan(BinaryScores(0, 0, 0, 4).balanced_accuracy)


def test_auc_interval_covers_and_narrows():
    rng = np.random.default_rng(0)
    wide = auc_interval(rng.normal(1, 1, 20), rng.normal(0, 1, 20))
    narrow = auc_interval(rng.normal(1, 1, 500), rng.normal(0, 1, 500))
    true_area = stats.norm.cdf(1 / np.sqrt(2))
    assert wide[0] < true_area < wide[1]
    assert narrow[0] < true_area < narrow[1]
    assert narrow[1] - narrow[0] < (wide[1] - wide[0]) / 2


def test_bootstrap_of_a_large_set_is_not_drawn_at_once():
    values = np.random.default_rng(1).random(30_000)
    low, high = bootstrap_interval([values], draws=300)
    error = values.std() / np.sqrt(values.size)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=error)
