"""The a-contrario law shared by the instruments: binomial tails, number of false alarms, words for strength.

NFA = (number of tests) x P(a background image gives at least this result in one test); the expected number of results
with NFA < e in a background image is then at most e (Desolneux, Moisan, Morel, "Meaningful alignments", IJCV 2000).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from fakeexplain.records import Strength

LOG10_E = math.log10(math.e)
_FLOOR = -1e6


def log10_binomial_tail(n: np.ndarray | int, k: np.ndarray | int, p: np.ndarray | float) -> np.ndarray:
    """log10 P(X >= k) for X ~ Binomial(n, p), elementwise, accurate deep in the tail.

    Args:
        n: trials, k: successes (0 <= k <= n), p: probability in (0, 1); broadcast against each other. n and k may be
            real (effective sample sizes).

    Returns:
        float64 array <= 0. Where the regularised incomplete beta function underflows, its leading term times the
        geometric bound of the remaining ones stands in (an upper bound, so NFAs stay valid).
    """
    n_, k_, p_ = np.broadcast_arrays(np.asarray(n, float), np.asarray(k, float), np.asarray(p, float))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exact = np.log10(special.betainc(np.maximum(k_, 1e-12), n_ - k_ + 1.0, p_))
        term = (
            special.gammaln(n_ + 1)
            - special.gammaln(k_ + 1)
            - special.gammaln(n_ - k_ + 1)
            + special.xlogy(k_, p_)
            + special.xlog1py(n_ - k_, -p_)
        )
        ratio = (n_ - k_) * p_ / ((k_ + 1.0) * (1.0 - p_))
        bound = (term - np.log1p(-np.minimum(ratio, 1 - 1e-12))) * LOG10_E
    result = np.where(k_ <= 0, 0.0, np.where(exact > -290, exact, bound))
    return np.clip(np.nan_to_num(result, nan=0.0, neginf=_FLOOR), _FLOOR, 0.0)


def log10_normal_tail(z: np.ndarray | float) -> np.ndarray:
    """log10 P(N(0, 1) >= z), elementwise, accurate deep in the tail."""
    return special.log_ndtr(-np.asarray(z, float)) * LOG10_E


def strength_of(log10_nfa: float | None) -> Strength:
    """Words for an NFA: above 0.1 none, then weak, moderate (1e-2), strong (1e-4), very strong (1e-8).

    >>> strength_of(-5.0)
    'strong'
    """
    if log10_nfa is None or log10_nfa > -1:
        return "none"
    if log10_nfa > -2:
        return "weak"
    if log10_nfa > -4:
        return "moderate"
    return "strong" if log10_nfa > -8 else "very strong"
