"""The a-contrario law: tails against exact references, deep tails finite and ordered."""

import numpy as np
import pytest
from scipy import stats

from fakeexplain.instruments.statistics import log10_binomial_tail, log10_normal_tail, strength_of


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (12, 0.1), (400, 1 / 64), (5000, 0.3)])
def test_binomial_tail_equals_the_exact_one(n, p):
    k = np.unique(np.linspace(0, n, 40).astype(int))
    exact = stats.binom.sf(k - 1, n, p)
    usable = exact > 1e-250
    np.testing.assert_allclose(log10_binomial_tail(n, k, p)[usable], np.log10(exact[usable]), rtol=1e-6, atol=1e-9)


def test_deep_binomial_tail_is_close_to_the_exact_sum_and_decreases():
    n, p = 4000, 0.05
    k = np.arange(1200, 2400, 100)
    i = np.arange(0, n + 1)
    log_terms = stats.binom.logpmf(i, n, p) / np.log(10)
    exact = [float(log_terms[kk:].max() + np.log10(np.sum(10 ** (log_terms[kk:] - log_terms[kk:].max())))) for kk in k]
    ours = log10_binomial_tail(n, k, p)
    assert np.all(np.diff(ours) < 0)
    assert np.all(ours >= np.array(exact) - 1e-6)  # an upper bound keeps NFAs valid
    np.testing.assert_allclose(ours, exact, atol=0.01)


def test_binomial_tail_edges():
    assert log10_binomial_tail(10, 0, 0.2) == 0.0
    assert np.isclose(log10_binomial_tail(10, 10, 0.1), -10.0)
    assert log10_binomial_tail(0, 0, 0.5) == 0.0


def test_normal_tail():
    z = np.array([-3.0, 0.0, 2.0, 6.0, 30.0])
    np.testing.assert_allclose(log10_normal_tail(z), stats.norm.logsf(z) / np.log(10), rtol=1e-9)


def test_strength_words_are_ordered():
    values = [0.0, -0.99, -1.5, -3.0, -5.0, -20.0]
    assert [strength_of(v) for v in values] == ["none", "none", "weak", "moderate", "strong", "very strong"]
    assert strength_of(None) == "none"
